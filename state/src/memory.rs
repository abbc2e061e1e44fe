//! The store of tests: everything in memory, every rule as in the real one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    Checkpoint, Claim, Commit, Cursor, Entry, Epoch, Fingerprint, InventoryChange, Listed, ListedItem,
    ListedVault, QuarantineId, Quarantined, Refused, Store, StoreError, UnixMs, UploadNote,
    run::Run,
    seen::{DEFAULT_HORIZON, oldest_hour_kept},
    shard_of,
};

/// Keeps its content as long as a handle to it lives; clones share it.
///
/// A test crashes a run by dropping everything else.
#[derive(Clone, Default)]
pub struct MemoryStore {
    tenants: Arc<Mutex<BTreeMap<String, Tenant>>>,
}

#[derive(Clone, Default)]
struct Tenant {
    run: Option<Run>,
    streams: BTreeMap<String, Stream>,
    directory: BTreeMap<String, Entry>,
    vaults: BTreeMap<String, ListedVault>,
    /// By vault and id.
    items: BTreeMap<(String, String), ListedItem>,
    quarantine: BTreeMap<QuarantineId, Quarantined>,
    uploads: BTreeMap<String, UploadNote>,
}

#[derive(Clone)]
struct Stream {
    checkpoint: Checkpoint,
    /// By the hour they are filed under, the stream's commit number, and page.
    seen: BTreeMap<(i64, u64, usize), Vec<Fingerprint>>,
}

impl Stream {
    fn starting_at(first: Cursor) -> Stream {
        Stream { checkpoint: Checkpoint::starting_at(first), seen: BTreeMap::new() }
    }
}

impl MemoryStore {
    fn tenants(&self) -> MutexGuard<'_, BTreeMap<String, Tenant>> {
        // No code under the lock panics between two writes that belong together.
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a store of its own with the same content: what a test goes back
    /// to when a state is to have lost its last commits.
    pub fn copied(&self) -> MemoryStore {
        MemoryStore { tenants: Arc::new(Mutex::new(self.tenants().clone())) }
    }

    fn read<T: Default>(&self, tenant: &str, read: impl FnOnce(&Tenant) -> T) -> Result<T, StoreError> {
        Ok(self.tenants().get(tenant).map(read).unwrap_or_default())
    }

    fn write<T>(
        &self,
        tenant: &str,
        epoch: Epoch,
        write: impl FnOnce(&mut Tenant, Run) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut tenants = self.tenants();
        let stored = tenants.get(tenant).and_then(|tenant| tenant.run);
        let run = Run::admit(stored, epoch)?;
        write(tenants.entry(tenant.to_owned()).or_default(), run)
    }
}

impl Tenant {
    fn commit(&mut self, run: Run, commit: Commit) -> Result<(), StoreError> {
        // Decided as a whole before anything is touched: one bad step refuses all.
        let mut moved: BTreeMap<&str, Checkpoint> = BTreeMap::new();
        let mut arrived = Vec::new();
        for step in &commit.steps {
            let stored = || self.streams.get(&step.stream).map(|stream| &stream.checkpoint);
            let checkpoint = moved
                .get(step.stream.as_str())
                .or_else(stored)
                .ok_or_else(|| never_claimed(&commit.tenant, &step.stream))?
                .advanced(run.epoch, commit.epoch, step, commit.at)?;
            for (page, ids) in step.seen.iter().enumerate().filter(|(_, ids)| !ids.is_empty()) {
                arrived.push((
                    &step.stream,
                    (step.filed_under(commit.at), checkpoint.commits, page),
                    ids.clone(),
                ));
            }
            moved.insert(&step.stream, checkpoint);
        }
        self.take_out(&commit.released)?;
        for (stream, place, ids) in arrived {
            self.streams.entry(stream.clone()).and_modify(|stream| {
                stream.seen.insert(place, ids);
            });
        }
        for (name, checkpoint) in moved {
            self.streams.entry(name.to_owned()).and_modify(|stream| {
                if let Some(oldest) = oldest_hour_kept(&checkpoint, DEFAULT_HORIZON) {
                    stream.seen.retain(|(hour, ..), _| *hour >= oldest);
                }
                stream.checkpoint = checkpoint;
            });
        }
        for key in &commit.removed {
            self.directory.remove(key);
        }
        for entry in commit.directory {
            if self.directory.get(&entry.key).is_none_or(|stored| entry.supersedes(stored)) {
                self.directory.insert(entry.key.clone(), entry);
            }
        }
        for change in commit.inventory {
            self.list(change);
        }
        for entry in commit.quarantined {
            self.quarantine.entry(entry.id()).or_insert(entry);
        }
        for name in &commit.settled {
            self.uploads.remove(name);
        }
        Ok(())
    }

    fn list(&mut self, change: InventoryChange) {
        match change {
            InventoryChange::Vault(vault) => {
                self.vaults.insert(vault.id.clone(), vault);
            }
            InventoryChange::VaultGone { vault } => {
                self.vaults.remove(&vault);
            }
            InventoryChange::Item(item) => {
                self.items.insert((item.vault.clone(), item.id.clone()), item);
            }
            InventoryChange::ItemGone { vault, item } => {
                self.items.remove(&(vault, item));
            }
        }
    }

    /// Removes entries of the quarantine: all of them, or none.
    fn take_out(&mut self, ids: &[QuarantineId]) -> Result<(), StoreError> {
        let mut named = BTreeSet::new();
        for id in ids {
            if !named.insert(id) || !self.quarantine.contains_key(id) {
                return Err(Refused::NotInQuarantine { id: id.clone() }.into());
            }
        }
        for id in ids {
            self.quarantine.remove(id);
        }
        Ok(())
    }
}

/// The error for a step of a stream that no claim has named.
pub(crate) fn never_claimed(tenant: &str, stream: &str) -> StoreError {
    StoreError::Damaged { what: format!("stream `{stream}` of tenant `{tenant}` was never claimed") }
}

impl Store for MemoryStore {
    async fn claim(&self, tenant: &str, first: &[(String, Cursor)], at: UnixMs) -> Result<Claim, StoreError> {
        let mut tenants = self.tenants();
        let tenant = tenants.entry(tenant.to_owned()).or_default();
        let earlier = tenant.run;
        let run = Run::claimed_after(earlier, at);
        tenant.run = Some(run);
        let mut checkpoints = BTreeMap::new();
        for (stream, cursor) in first {
            let stream = tenant.streams.entry(stream.clone());
            let name = stream.key().clone();
            let stored = stream.or_insert_with(|| Stream::starting_at(cursor.clone()));
            checkpoints.insert(name, stored.checkpoint.clone());
        }
        Ok(Claim {
            epoch: run.epoch,
            checkpoints,
            unsettled: tenant.uploads.values().cloned().collect(),
            active_until: earlier.and_then(|run| run.active_until),
        })
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        let name = commit.tenant.clone();
        self.write(&name, commit.epoch, |tenant, run| tenant.commit(run, commit))
    }

    async fn renew(&self, tenant: &str, epoch: Epoch, until: UnixMs) -> Result<(), StoreError> {
        self.write(tenant, epoch, |tenant, run| {
            tenant.run = Some(Run { active_until: Some(until), ..run });
            Ok(())
        })
    }

    async fn release(&self, tenant: &str, epoch: Epoch, at: UnixMs) -> Result<(), StoreError> {
        self.renew(tenant, epoch, at).await
    }

    async fn rewind(
        &self,
        tenant: &str,
        stream: &str,
        to: Cursor,
        _at: UnixMs,
    ) -> Result<Checkpoint, StoreError> {
        let mut tenants = self.tenants();
        let tenant = tenants.entry(tenant.to_owned()).or_default();
        tenant.run = Some(Run::rewound_after(tenant.run));
        let stream =
            tenant.streams.entry(stream.to_owned()).or_insert_with(|| Stream::starting_at(to.clone()));
        stream.checkpoint = stream.checkpoint.rewound(to);
        Ok(stream.checkpoint.clone())
    }

    async fn import(
        &self,
        tenant: &str,
        checkpoints: BTreeMap<String, Checkpoint>,
        replace: bool,
        at: UnixMs,
    ) -> Result<(), StoreError> {
        let mut tenants = self.tenants();
        let name = tenant.to_owned();
        if !replace && tenants.get(tenant).is_some_and(|tenant| !tenant.streams.is_empty()) {
            return Err(Refused::HasCheckpoints { tenant: name }.into());
        }
        let tenant = tenants.entry(name).or_default();
        tenant.run = Some(Run::claimed_after(tenant.run, at));
        for (name, checkpoint) in checkpoints {
            let stream =
                tenant.streams.entry(name).or_insert_with(|| Stream::starting_at(checkpoint.cursor.clone()));
            stream.checkpoint = checkpoint.imported_over(&stream.checkpoint);
        }
        Ok(())
    }

    async fn note_upload(&self, tenant: &str, epoch: Epoch, note: UploadNote) -> Result<(), StoreError> {
        self.write(tenant, epoch, |tenant, _| {
            tenant.uploads.insert(note.name.clone(), note);
            Ok(())
        })
    }

    async fn seen(
        &self,
        tenant: &str,
        stream: &str,
        at_least: Option<usize>,
    ) -> Result<Vec<Fingerprint>, StoreError> {
        self.read(tenant, |tenant| {
            let mut ids = Vec::new();
            for page in tenant.streams.get(stream).iter().flat_map(|stream| stream.seen.values().rev()) {
                if at_least.is_some_and(|wanted| ids.len() >= wanted) {
                    break;
                }
                ids.extend(page.iter().rev());
            }
            ids
        })
    }

    async fn directory(&self, tenant: &str, keys: Vec<String>) -> Result<Vec<Option<Entry>>, StoreError> {
        let tenants = self.tenants();
        let stored = tenants.get(tenant).map(|tenant| &tenant.directory);
        Ok(keys.iter().map(|key| stored.and_then(|entries| entries.get(key)).cloned()).collect())
    }

    async fn directory_shard(&self, tenant: &str, shard: u8) -> Result<Vec<Entry>, StoreError> {
        self.read(tenant, |tenant| {
            tenant.directory.values().filter(|entry| shard_of(&entry.key) == shard).cloned().collect()
        })
    }

    async fn listed_vaults(&self, tenant: &str) -> Result<Vec<ListedVault>, StoreError> {
        self.read(tenant, |tenant| tenant.vaults.values().cloned().collect())
    }

    async fn listed_items(&self, tenant: &str, vault: &str) -> Result<Vec<ListedItem>, StoreError> {
        self.read(tenant, |tenant| {
            tenant.items.values().filter(|item| item.vault == vault).cloned().collect()
        })
    }

    async fn quarantined(&self, tenant: &str, limit: usize) -> Result<Vec<Quarantined>, StoreError> {
        self.read(tenant, |tenant| {
            let mut entries: Vec<_> = tenant.quarantine.values().cloned().collect();
            entries.sort_by_key(|entry| entry.at);
            entries.truncate(limit);
            entries
        })
    }

    async fn quarantine_list(&self, tenant: &str) -> Result<Vec<Listed>, StoreError> {
        let entries = self.quarantined(tenant, usize::MAX).await?;
        Ok(entries.into_iter().map(Quarantined::listed).collect())
    }

    async fn quarantine_entry(
        &self,
        tenant: &str,
        id: &QuarantineId,
    ) -> Result<Option<Quarantined>, StoreError> {
        self.read(tenant, |tenant| tenant.quarantine.get(id).cloned())
    }

    async fn quarantine_drop(&self, tenant: &str, ids: Vec<QuarantineId>) -> Result<(), StoreError> {
        self.tenants().entry(tenant.to_owned()).or_default().take_out(&ids)
    }

    async fn quarantine_len(&self, tenant: &str) -> Result<u64, StoreError> {
        self.read(tenant, |tenant| tenant.quarantine.len() as u64)
    }

    async fn active_until(&self, tenant: &str) -> Result<Option<UnixMs>, StoreError> {
        self.read(tenant, |tenant| tenant.run.and_then(|run| run.active_until))
    }

    async fn checkpoints(&self) -> Result<BTreeMap<String, BTreeMap<String, Checkpoint>>, StoreError> {
        let of = |tenant: &Tenant| -> BTreeMap<String, Checkpoint> {
            tenant.streams.iter().map(|(name, stream)| (name.clone(), stream.checkpoint.clone())).collect()
        };
        let tenants = self.tenants();
        let with_streams = tenants.iter().filter(|(_, tenant)| !tenant.streams.is_empty());
        Ok(with_streams.map(|(name, tenant)| (name.clone(), of(tenant))).collect())
    }
}
