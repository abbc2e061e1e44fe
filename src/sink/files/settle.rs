//! What a run left that was killed between its files and its commit: of what
//! Connect lists, the files hold what the state knows, and nothing else.
//!
//! Events come again, and what they tell is there already. Vaults and items are
//! listed again as well, but one that has gone meanwhile is on no list, and the
//! state has never known it: nobody would ever take it out.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use opgraph_state::{Entry, Fingerprint, Store};
use tokio::task::spawn_blocking;

use super::{
    FilesSink,
    books::{Books, Part},
    folder::Folder,
    publish::Staged,
    shelves::{self, SHELVES},
    text,
    trouble::Trouble,
};
use crate::{
    graph::{EntityType, RecordType, RelationshipType},
    sink::SinkError,
    supervisor::store_remedy,
};

/// What Connect lists. Relationships go before their ends.
const LISTED: [RecordType; 3] = [
    RecordType::Relationship(RelationshipType::VaultHasSecret),
    RecordType::Entity(EntityType::Secret),
    RecordType::Entity(EntityType::Vault),
];

impl FilesSink {
    /// Takes back what the state does not know of vaults and items.
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
    pub async fn settled<S: Store>(self, store: &S, tenant: &str) -> Result<FilesSink, SinkError> {
        let mut books = self.turn().await;
        let mut staged = Staged::default();
        let (mut before, mut after) = (0, 0);
        let folder = Arc::clone(&self.folder);
        let named = self.block(move || named(&folder)).await?;
        for of in LISTED {
            for shelf in 0..SHELVES {
                let folder = Arc::clone(&self.folder);
                let place = Part::Shelf(shelf).path(&folder, of);
                let held = self.block(move || shelves::read(&place, of)).await?;
                let keys = held.keys().cloned().collect();
                let known = store.directory(tenant, keys).await.map_err(|error| SinkError {
                    doing: "look up the directory".to_owned(),
                    remedy: store_remedy(&error),
                    cause: error.into(),
                })?;
                let settled = settled(&held, known, &named);
                before += held.len() as u64;
                after += settled.len() as u64;
                if settled != held {
                    let folder = Arc::clone(&self.folder);
                    let write = move || {
                        shelves::stage(&folder, of, shelf, &settled, &mut staged)?;
                        Ok(staged)
                    };
                    staged = self.block(write).await?;
                }
            }
        }
        if !staged.is_empty() {
            let folder = Arc::clone(&self.folder);
            books = self.block(move || publish(&folder, books, staged, before - after)).await?;
        }
        drop(books);
        Ok(self)
    }

    /// Does something that blocks.
    async fn block<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, SinkError> {
        let done =
            spawn_blocking(work).await.unwrap_or_else(|error| Err(std::io::Error::other(error).into()));
        done.map_err(|trouble| trouble.told(&self.folder))
    }
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

type Turn = tokio::sync::OwnedMutexGuard<Books>;

/// Puts the shelves into their place, of which so many records are gone.
fn publish(folder: &Folder, mut books: Turn, staged: Staged, gone: u64) -> Result<Turn, Trouble> {
    books.halfway = true;
    books.mark.records = books.mark.records.saturating_sub(gone);
    folder.write_mark(&books.mark)?;
    staged.publish(true)?;
    books.shared -= gone;
    books.halfway = false;
    Ok(books)
}
