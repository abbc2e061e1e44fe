//! What vaults and items become. Pure: the same object gives the same records.

use opgraph_state::{UnixMs, Version};

use super::wire::{Item, Labels, Vault};
use crate::graph::{EntityType, Records, RelationshipType, records::FULL};

/// How many versions of a vault's own properties the version of an item's record tells apart.
const ATTRIBUTE_VERSIONS: u64 = 1 << 23;

/// Adds the entity of a vault.
pub fn vault(records: &mut Records, vault: &Vault, account_name: Option<&str>) {
    // Either number grows with a change of the vault, and neither ever falls.
    let grown = vault.attribute_version.unwrap_or(0).saturating_add(vault.content_version.unwrap_or(0));
    let at = time(records, vault.updated_at.as_deref());
    let created = time(records, vault.created_at.as_deref());
    let mut entity = records.entity(EntityType::Vault, &vault.id, numbered(grown));
    let name = filled(&vault.name).unwrap_or(&vault.id);
    entity.text("name", Some(name));
    entity.text("displayName", Some(name));
    entity.text("description", vault.description.as_deref());
    entity.text("type", vault.of.as_deref());
    entity.integer("attributeVersion", integer(vault.attribute_version));
    entity.integer("contentVersion", integer(vault.content_version));
    entity.integer("itemsCount", integer(vault.items));
    entity.time("createdOn", created);
    entity.time("updatedOn", at);
    entity.text("tag.AccountName", account_name);
    entity.close();
}

/// Adds the entity of an item and its place in the vault.
///
/// Its version is that of the item first, then that of the vault's own
/// properties, then whether its labels are known: with labels beats without,
/// whichever comes later.
pub fn secret(
    records: &mut Records,
    vault: &Vault,
    item: &Item,
    labels: Option<&Labels>,
    account_name: Option<&str>,
) {
    // A vault that is renamed changes its items' records, and not their versions.
    let renamed = vault.attribute_version.unwrap_or(0).min(ATTRIBUTE_VERSIONS - 1);
    let version = item.version.unwrap_or(0).saturating_mul(ATTRIBUTE_VERSIONS).saturating_add(renamed);
    let version = numbered(version.saturating_mul(2).saturating_add(u64::from(labels.is_some())));
    let at = time(records, item.updated_at.as_deref());
    let created = time(records, item.created_at.as_deref());
    let mut entity = records.entity(EntityType::Secret, &item.id, version);
    let name = filled(&item.title).unwrap_or(&item.id);
    entity.text("name", Some(name));
    entity.text("displayName", Some(name));
    entity.boolean("favorite", item.favorite);
    entity.integer("version", integer(item.version));
    entity.text("lastEditedBy", item.last_edited_by.as_deref());
    entity.text("vaultId", Some(&vault.id));
    entity.text("vaultName", Some(filled(&vault.name).unwrap_or(&vault.id)));
    entity.text("category", item.category.as_deref());
    entity.texts("tags", item.tags.as_deref().unwrap_or_default());
    if let Some(labels) = labels {
        entity.texts("sectionLabels", &labels.sections);
        entity.texts("fileNames", &labels.files);
    }
    entity.time("createdOn", created);
    entity.time("updatedOn", at);
    entity.text("tag.AccountName", account_name);
    entity.close();
    records.relationship(RelationshipType::VaultHasSecret, &vault.id, &item.id, UnixMs(0));
}

/// The version of a record that Connect numbers. A record of events is ordered
/// by time instead; the two never meet but in a stub, whose rank is lower.
fn numbered(number: u64) -> Version {
    Version { rank: FULL, at: UnixMs(integer(Some(number)).unwrap_or(i64::MAX)) }
}

fn integer(number: Option<u64>) -> Option<i64> {
    number.and_then(|number| i64::try_from(number).ok())
}

fn filled(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// Reads a time; one that cannot be read is left out and counted.
fn time(records: &mut Records, text: Option<&str>) -> Option<UnixMs> {
    let text = text.filter(|text| !text.is_empty())?;
    match text.parse::<jiff::Timestamp>() {
        Ok(at) => Some(UnixMs(at.as_millisecond())),
        Err(_) => {
            records.counts.unreadable_times += 1;
            None
        }
    }
}
