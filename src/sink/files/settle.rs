//! What runs have left that were killed between their files and their commit.
//!
//! Such a run has written vaults and items that the state has never known. They
//! are listed again as new; but one that has gone by then is on no list, and
//! what was never known is not missed: nobody would ever take it out. So once
//! everything was listed, and is committed, the files hold of what Connect lists
//! what the state knows, and nothing else.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use opgraph_state::{Entry, Fingerprint, Store};
use tokio::task::spawn_blocking;

use super::{
    books::Part,
    folder::{Folder, Mark},
    publish::Staged,
    shelves::{self, SHELVES},
    text,
    trouble::Trouble,
};
use crate::{
    graph::{EntityType, RecordType, RelationshipType},
    http::Remedy,
    sink::SinkError,
    supervisor::store_remedy,
};

/// What Connect lists.
const LISTED: [RecordType; 3] = [
    RecordType::Relationship(RelationshipType::VaultHasSecret),
    RecordType::Entity(EntityType::Secret),
    RecordType::Entity(EntityType::Vault),
];

/// Takes back what the state does not know of vaults and items. To be called
/// when all of them were listed, and nothing is on its way any more.
///
/// | the files hold                             | the state knows | becomes            |
/// |--------------------------------------------|-----------------|--------------------|
/// | any                                        | any version     | that version       |
/// | an item, or that a vault has one           | nothing of it   | nothing            |
/// | a vault that no event of the files names   | nothing of it   | nothing            |
/// | a vault that an event of the files names   | nothing of it   | what it was        |
///
/// # Errors
///
/// The store failed, or a file cannot be read or written.
pub async fn settle<S: Store>(dir: &Path, tenant: &str, store: &S) -> Result<(), SinkError> {
    let (dir, name): (PathBuf, _) = (dir.to_owned(), tenant.to_owned());
    let opened = spawn_blocking(move || Folder::open(&dir, &name)).await;
    let (folder, mut mark) = opened.unwrap_or_else(|error| {
        Err(SinkError { doing: "open the files".to_owned(), remedy: Remedy::RETRY, cause: error.into() })
    })?;
    let folder = Arc::new(folder);
    let named = block(&folder, named).await?;
    let mut staged = Staged::default();
    let (mut before, mut after) = (0, 0);
    for of in LISTED {
        for shelf in 0..SHELVES {
            let held =
                block(&folder, move |folder| shelves::read(&Part::Shelf(shelf).path(folder, of), of)).await?;
            let keys = held.keys().cloned().collect();
            let known = store.directory(tenant, keys).await.map_err(|error| SinkError {
                doing: "look up the directory".to_owned(),
                remedy: store_remedy(&error),
                cause: error.into(),
            })?;
            let settled = settled(&held, known, &named);
            before += held.len() as u64;
            after += settled.len() as u64;
            mark.vault_removed |= settled.len() < held.len() && of == RecordType::Entity(EntityType::Vault);
            if settled != held {
                let stage = move |folder: &Folder| {
                    shelves::stage(folder, of, shelf, &settled, &mut staged)?;
                    Ok(staged)
                };
                staged = block(&folder, stage).await?;
            }
        }
    }
    if staged.is_empty() {
        return Ok(());
    }
    block(&folder, move |folder| publish(folder, mark, staged, before - after)).await
}

/// Does something that blocks.
async fn block<T: Send + 'static>(
    folder: &Arc<Folder>,
    work: impl FnOnce(&Folder) -> Result<T, Trouble> + Send + 'static,
) -> Result<T, SinkError> {
    let of = Arc::clone(folder);
    let done = spawn_blocking(move || work(&of)).await;
    let done = done.unwrap_or_else(|error| Err(std::io::Error::other(error).into()));
    done.map_err(|trouble| trouble.told(folder))
}

/// The vaults that events of the files name.
fn named(folder: &Folder) -> Result<HashSet<Fingerprint>, Trouble> {
    let of = RecordType::Relationship(RelationshipType::ActorPerformedVault);
    let mut named = HashSet::new();
    for shelf in 0..SHELVES {
        let place = Part::Shelf(shelf).path(folder, of);
        if place.exists() {
            text::each(&place, of, |key, _, _| {
                if let Some((_, Some((_, vault)))) = RecordType::of_key(&key) {
                    named.insert(Fingerprint::of(vault));
                }
            })?;
        }
    }
    Ok(named)
}

/// What a shelf is to hold. `known` is what the state knows of its keys, in their order.
fn settled(
    held: &BTreeMap<String, Entry>,
    known: Vec<Option<Entry>>,
    named: &HashSet<Fingerprint>,
) -> BTreeMap<String, Entry> {
    let mut settled = BTreeMap::new();
    for ((key, entry), known) in held.iter().zip(known) {
        let stays = || named.contains(&Fingerprint::of(key)).then(|| entry.clone());
        if let Some(entry) = known.or_else(stays) {
            settled.insert(key.clone(), entry);
        }
    }
    settled
}

/// Puts the shelves into their place, of which so many records are gone.
fn publish(folder: &Folder, mut mark: Mark, staged: Staged, gone: u64) -> Result<(), Trouble> {
    mark.records = mark.records.saturating_sub(gone);
    folder.write_mark(&mark)?;
    Ok(staged.publish(true)?)
}
