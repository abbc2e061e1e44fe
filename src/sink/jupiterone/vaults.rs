//! The vault scopes of plan `scope`: the secrets of each vault, and their place in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use opgraph_state::{Store, die_at};
use serde::Deserialize;

use super::{
    Link,
    api::Target,
    directory::{self, DIRECTORY, Newest},
    ending::Ending,
    feed::{Feed, Sent},
    pack::Kind,
    present::Present,
    removal::Gone,
    report::Tally,
    scope::{End, label},
    shards, shared_types,
};
use crate::{
    graph::{EntityType, RecordType, RelationshipType},
    sink::SinkError,
};

/// Items that are read from the state at a time.
const ITEMS: usize = 500;

/// The types that live in vault scopes and in no other.
pub(super) fn is_of_vault(of: RecordType) -> bool {
    matches!(
        of,
        RecordType::Entity(EntityType::Secret) | RecordType::Relationship(RelationshipType::VaultHasSecret)
    )
}

/// The vault scopes that an upload concerns.
#[derive(Debug, Default)]
pub(super) struct Concerned {
    /// By the vault's key, how many items leave it.
    vaults: BTreeMap<String, u64>,
}

impl Concerned {
    /// Adds the vaults of a secret, or of a place in a vault, that is to be sent.
    pub(super) fn add(&mut self, record: &Newest) -> Result<(), SinkError> {
        let written = directory::head(&record.entry)?;
        let vault = match (written.of, &written.ends) {
            (RecordType::Relationship(RelationshipType::VaultHasSecret), Some((vault, _))) => {
                Some(vault.clone().into_owned())
            }
            // Alone it comes from the quarantine, or because its vault was renamed.
            (RecordType::Entity(EntityType::Secret), _) => vault_of(&record.entry.record),
            _ => None,
        };
        if let Some(vault) = vault {
            self.vaults.entry(vault).or_default();
        }
        Ok(())
    }

    /// Adds the vault that an item leaves.
    pub(super) fn leave(&mut self, gone: &Gone<'_>) {
        if let (RecordType::Relationship(RelationshipType::VaultHasSecret), Some((vault, _))) =
            (gone.of, gone.ends)
        {
            *self.vaults.entry(vault.to_owned()).or_default() += 1;
        }
    }

    /// Adds every vault that has an item.
    pub(super) async fn add_all<S: Store>(
        &mut self,
        link: &Link<S>,
        present: &Present,
    ) -> Result<(), SinkError> {
        for shard in 0..=u8::MAX {
            for key in present.shard(&link.home, shard).await?.keys() {
                if let Some((vault, _)) = place(key) {
                    self.vaults.entry(vault.to_owned()).or_default();
                }
            }
        }
        Ok(())
    }

    /// Each vault's key, how many items leave it, and the secrets that have come
    /// into it and of which the state may not know yet.
    pub(super) fn into_parts(self, present: &Present) -> Vec<(String, u64, BTreeSet<String>)> {
        let mut fresh: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for (vault, secret) in present.fresh().filter_map(place) {
            fresh.entry(vault).or_default().insert(secret.to_owned());
        }
        let part = |(vault, leave): (String, u64)| {
            let come = fresh.remove(vault.as_str()).unwrap_or_default();
            (vault, leave, come)
        };
        self.vaults.into_iter().map(part).collect()
    }
}

/// The keys of the vault and the secret, if this is the key of a place in a vault.
fn place(key: &str) -> Option<(&str, &str)> {
    match RecordType::of_key(key)? {
        (RecordType::Relationship(RelationshipType::VaultHasSecret), ends) => ends,
        _ => None,
    }
}

/// The key of the vault that a secret says it is in.
fn vault_of(secret: &str) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Wire {
        vault_id: String,
    }
    let Wire { vault_id } = serde_json::from_str(secret).ok()?;
    Some(format!("{}:{vault_id}", EntityType::Vault.name()))
}

/// The scope of the vault with this key.
fn scope<'a>(prefix: &str, vault: &'a str) -> (String, &'a str) {
    let id = vault.split_once(':').map_or(vault, |(_, id)| id);
    (format!("{prefix}/vault/{id}"), id)
}

/// Sends one vault scope whole. An item that two vaults list while it is moved
/// is in both scopes.
///
/// It is finalized as adding only, unless items leave it: then it holds what
/// was sent and nothing else, and may shrink by these items and no more.
pub(super) async fn send_one<S: Store>(
    link: Arc<Link<S>>,
    prefix: Arc<str>,
    (vault, leave, mut items): (String, u64, BTreeSet<String>),
    present: Arc<Present>,
) -> Result<Sent, SinkError> {
    let home = &link.home;
    let (scope, id) = scope(&prefix, &vault);
    let listed = home.store.listed_items(&home.tenant, id).await;
    let listed = listed.map_err(|error| home.failed("read the inventory", error))?;
    items.extend(listed.into_iter().map(|item| format!("{}:{}", EntityType::Secret.name(), item.id)));

    let ending = match leave {
        0 => Ending::Append(shared_types()),
        leave => Ending::Remove(Vec::new(), Tally { entities: leave, relationships: leave }),
    };
    let mut feed = Feed::new(&link, Target::scope(scope), None, ending);
    if leave > 0 {
        // Even with nothing to say: what is there has to go.
        feed.open().await?;
    }
    let mut labels = String::new();
    label(&mut labels, End::From, &shards::scope(&prefix, &vault));
    let items: Vec<String> = items.into_iter().collect();
    for items in items.chunks(ITEMS) {
        let keys = items.iter().map(|secret| format!("{vault}|has|{secret}")).collect();
        let places = present.named(home, keys).await?;
        let mut secrets = Vec::new();
        for place in &places {
            secrets.extend(directory::head(place)?.ends.map(|(_, secret)| secret.into_owned()));
            feed.push(Kind::Relationships, &place.record, &labels, DIRECTORY).await?;
        }
        for secret in present.named(home, secrets).await? {
            feed.push(Kind::Entities, &secret.record, "", DIRECTORY).await?;
        }
    }
    let sent = feed.finish().await?;
    die_at!("vault.sent");
    Ok(sent)
}
