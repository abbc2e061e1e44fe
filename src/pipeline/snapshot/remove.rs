//! Takes out what is no more, once everything that is there is committed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use opgraph_state::{InventoryChange, Store, UnixMs, Version, die_at};
use tracing::{debug, info, warn};

use super::{Ended, Opened, Snapshooting, decide::Picked, list::Told, list::Whole, list::secret_key, trail};
use crate::{
    graph::{EntityType, RecordType, Records, RelationshipType, records::STUB},
    http::{Failure, Remedy},
    page::Listing,
    source::{
        Lister,
        connect::{Item, Labels, Vault, records},
    },
};

/// Keys that a listing removes at most.
const MOST_REMOVED: usize = 10_000;

/// Removes items that are gone from vaults listed whole, and vaults with all
/// they held. When it ends, it is committed. Answers a failure that left
/// something to the next snapshot.
///
/// A sink that removes by sending all that stays needs to know all that stays:
/// while a killed run may have sent what is neither listed nor gone, nothing is removed.
pub(super) async fn run<L: Lister, T: Store>(
    with: &Snapshooting<L, T>,
    listed: &HashMap<String, Vault>,
    whole: Vec<Whole>,
    mut gone: Vec<String>,
) -> Result<Option<Failure>, Ended> {
    if whole.is_empty() && gone.is_empty() {
        return Ok(None);
    }
    let mut left: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for Whole { vault, gone } in &whole {
        for item in gone {
            left.entry(item.clone()).or_default().insert(vault.id.clone());
        }
    }
    for vault in &gone {
        for item in with.store.listed_items(&with.tenant, vault).await? {
            left.entry(item.id).or_default().insert(vault.clone());
        }
    }
    let stays_unlisted = |vault: &String| !listed.contains_key(vault) && !gone.contains(vault);
    let places = places(with, &left, stays_unlisted).await?;
    if places.unsure_of_more {
        info!("what is not listed any more stays until all that a killed run has sent is listed or gone");
        return Ok(None);
    }
    let Again { sent, late, failed } = again(with, listed, &left, &places).await?;

    // A vault that holds an item of which the new place is not seen yet stays for now.
    let late: HashSet<String> = late.iter().filter_map(|item| left.remove(item)).flatten().collect();
    gone.retain(|vault| !late.contains(vault));

    let (trail, mut settled) = trail();
    let mut listing = Listing::default();
    let (mut items, mut keys) = (0, 0);
    for (item, vaults) in &left {
        items += 1;
        let secret = secret_key(item);
        for vault in vaults {
            listing.removed.insert(relationship_key(vault, &secret));
            listing.inventory.push(InventoryChange::ItemGone { vault: vault.clone(), item: item.clone() });
        }
        // With the last place of the item goes its record, and never before.
        if let Some((vault, item, labels)) = sent.get(item) {
            listing.removed.insert(secret);
            let account_name = with.account_name.as_deref();
            records::secret(&mut listing.records, vault, item, labels.as_ref(), account_name);
        } else if !places.elsewhere.contains_key(item) {
            listing.removed.insert(secret);
        }
        if listing.removed.len() + vaults.len() + 1 > MOST_REMOVED {
            keys += remove(with, std::mem::take(&mut listing), &trail).await?;
        }
    }
    for Whole { vault, .. } in whole {
        if !late.contains(&vault.id) {
            listing.inventory.push(InventoryChange::Vault(vault));
        }
    }
    let named = named(with, &gone).await?;
    for vault in &gone {
        listing.removed.insert(vault_key(vault));
        if named.contains(vault) {
            stub(&mut listing.records, vault, with.account_name.as_deref());
        }
    }
    keys += remove(with, listing, &trail).await?;
    drop(trail);
    settled.recv().await;
    forget(with, &gone).await?;
    with.meter.snapshots.removed.add(keys);
    if items > 0 || !gone.is_empty() {
        info!(items, vaults = gone.len(), records = keys, "removed what is not listed any more");
    }
    Ok(failed)
}

/// Sends a listing; answers how many records it removes.
async fn remove<L, T>(
    with: &Snapshooting<L, T>,
    listing: Listing,
    trail: &crate::page::Trail,
) -> Result<u64, Ended> {
    let back: HashSet<&str> = listing.records.iter().map(|record| record.key).collect();
    let removed = listing.removed.iter().filter(|key| !back.contains(key.as_str())).count() as u64;
    debug!(keys = ?listing.removed, "removing");
    drop(back);
    die_at!("snapshot.removing");
    with.outlet.send(listing, trail).await?;
    Ok(removed)
}

/// Forgets vaults that were removed. An event may have named one since it was
/// decided that none does: its stub is there before the vault is forgotten.
async fn forget<L, T: Store>(with: &Snapshooting<L, T>, gone: &[String]) -> Result<(), Ended> {
    if gone.is_empty() {
        return Ok(());
    }
    let (trail, mut settled) = trail();
    let mut listing = Listing::default();
    let mut named: Vec<String> = named(with, gone).await?.into_iter().collect();
    named.sort();
    for vault in named {
        stub(&mut listing.records, &vault, with.account_name.as_deref());
    }
    let forgotten = gone.iter().map(|vault| InventoryChange::VaultGone { vault: vault.clone() });
    listing.inventory.extend(forgotten);
    with.outlet.send(listing, &trail).await?;
    with.outlet.settle().await?;
    drop(trail);
    settled.recv().await;
    Ok(())
}

/// Where the inventory knows items that are gone from some vault.
#[derive(Default)]
struct Places {
    /// The vaults, if any, that still list them, by item.
    elsewhere: BTreeMap<String, Vec<String>>,
    /// The vaults in which they were opened, left or not: item and vault.
    opened: HashSet<(String, String)>,
    /// Those that left a vault before its record of them was acknowledged: what
    /// a sink holds may be newer than what the directory tells.
    unsure: HashSet<String>,
    /// Others were announced as well, and are neither acknowledged nor gone.
    unsure_of_more: bool,
}

async fn places<L, T: Store>(
    with: &Snapshooting<L, T>,
    left: &BTreeMap<String, BTreeSet<String>>,
    stays_unlisted: impl Fn(&String) -> bool,
) -> Result<Places, Ended> {
    let mut places = Places::default();
    for vault in with.store.listed_vaults(&with.tenant).await? {
        // One that was never listed whole may not be acknowledged either.
        places.unsure_of_more |= vault.attribute_version.is_none() && stays_unlisted(&vault.id);
        for item in with.store.listed_items(&with.tenant, &vault.id).await? {
            let Some(vaults) = left.get(&item.id) else {
                places.unsure_of_more |= !item.is_acknowledged();
                continue;
            };
            if item.details {
                places.opened.insert((item.id.clone(), vault.id.clone()));
            }
            if !vaults.contains(&vault.id) {
                places.unsure_of_more |= !item.is_acknowledged();
                places.elsewhere.entry(item.id).or_default().push(vault.id.clone());
            } else if !item.is_acknowledged() {
                places.unsure.insert(item.id);
            }
        }
    }
    Ok(places)
}

/// Items whose newest record is of a vault they have left.
#[derive(Default)]
struct Again {
    /// What their records are now, by item.
    sent: HashMap<String, (Vault, Item, Option<Labels>)>,
    /// Those whose other place could not be read.
    late: Vec<String>,
    failed: Option<Failure>,
}

/// Finds the moved items of which the directory still tells the old place, and
/// lists the new one for what to tell. The versions of two vaults say nothing
/// about which of them an item was in last.
async fn again<L: Lister, T: Store>(
    with: &Snapshooting<L, T>,
    listed: &HashMap<String, Vault>,
    left: &BTreeMap<String, BTreeSet<String>>,
    Places { elsewhere, opened, unsure, .. }: &Places,
) -> Result<Again, Ended> {
    let mut again = Again::default();
    let moved: Vec<String> = elsewhere.keys().cloned().collect();
    let mut by_vault: BTreeMap<&str, Vec<(String, Option<Told>)>> = BTreeMap::new();
    for (item, told) in moved.iter().zip(with.secrets(&moved).await?) {
        let stale = told.as_ref().is_none_or(|told| left[item].contains(&told.vault_id));
        if !stale && !unsure.contains(item) {
            continue;
        }
        match elsewhere[item].iter().find(|vault| listed.contains_key(*vault)) {
            Some(vault) => by_vault.entry(vault).or_default().push((item.clone(), told)),
            None => again.late.push(item.clone()),
        }
    }
    for (id, items) in by_vault {
        let wanted: Arc<HashSet<String>> = Arc::new(items.iter().map(|(item, _)| item.clone()).collect());
        let pick = || Picked { wanted: wanted.clone(), found: HashMap::new() };
        let mut found = match with.snapshots.lister.items(id, pick).await {
            Ok(picked) => picked.found,
            Err(failure) if matches!(failure.remedy, Remedy::Retry { .. }) => {
                warn!(vault = id, error = %failure, cause = %failure.cause, "moved items left for the next snapshot");
                again.failed.get_or_insert(failure);
                HashMap::new()
            }
            Err(failure) => return Err(Ended::Failed(failure)),
        };
        for (item_id, told) in items {
            let found = found.remove(&item_id).filter(Item::is_active);
            let Some((item, vault)) = found.zip(listed.get(id)) else {
                again.late.push(item_id);
                continue;
            };
            let is_opened = |told: &Told| opened.contains(&(item_id.clone(), told.vault_id.clone()));
            let labels = match told.filter(|told| told.version == item.version && is_opened(told)) {
                Some(told) => Some(told.labels()),
                None if !with.snapshots.settings.details => None,
                None => match with.open(id, &item_id).await?.1 {
                    Opened::Labels(labels) => Some(labels),
                    Opened::Gone => {
                        again.late.push(item_id);
                        continue;
                    }
                    Opened::Failed(failure) => {
                        again.failed.get_or_insert(failure);
                        again.late.push(item_id);
                        continue;
                    }
                },
            };
            again.sent.insert(item_id, (vault.clone(), item, labels));
        }
    }
    Ok(again)
}

/// Which of these vaults an audit event in the graph names.
async fn named<L, T: Store>(with: &Snapshooting<L, T>, vaults: &[String]) -> Result<HashSet<String>, Ended> {
    let mut named = HashSet::new();
    if vaults.is_empty() {
        return Ok(named);
    }
    let by_key: HashMap<String, &String> = vaults.iter().map(|vault| (vault_key(vault), vault)).collect();
    for shard in 0..=u8::MAX {
        for entry in with.store.directory_shard(&with.tenant, shard).await? {
            let Some((RecordType::Relationship(of), Some((_, to)))) = RecordType::of_key(&entry.key) else {
                continue;
            };
            if of == RelationshipType::ActorPerformedVault
                && let Some(vault) = by_key.get(to)
            {
                named.insert((*vault).clone());
            }
        }
    }
    Ok(named)
}

/// Adds what is known of a vault that only events name.
fn stub(records: &mut Records, vault: &str, account_name: Option<&str>) {
    let mut entity = records.entity(EntityType::Vault, vault, Version { rank: STUB, at: UnixMs(0) });
    entity.text("name", Some(vault));
    entity.text("displayName", Some(vault));
    entity.text("tag.AccountName", account_name);
    entity.close();
}

fn vault_key(vault: &str) -> String {
    format!("{}:{vault}", EntityType::Vault.name())
}

fn relationship_key(vault: &str, secret: &str) -> String {
    let verb = RelationshipType::VaultHasSecret.verb().to_ascii_lowercase();
    format!("{}|{verb}|{secret}", vault_key(vault))
}
