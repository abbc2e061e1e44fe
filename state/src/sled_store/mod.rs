//! The store of one machine: sled, with what sled leaves out.
//!
//! README.md describes the format on disk and the order of durability.

mod rows;

mod trees;

mod parts;

mod values;

mod overlay;

mod prune;

mod decide;

mod committer;

mod reader;

mod content;

mod hours;

mod check;

mod current;

mod cursors_json;

mod record;

mod fsync;

mod failure;

mod lock;

mod readable;

mod walk;

mod format;

mod open;

mod beside;

mod heal;

mod compact;

#[cfg(feature = "failpoints")]
pub(crate) mod bend;

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot, watch};

use self::{
    check::Check,
    committer::{Committer, GROUP, Reply, Write},
    current::Current,
    cursors_json::CursorsJson,
    failure::{Failure, Poison},
    lock::Lock,
    open::{Extent, Opened},
    prune::Pruning,
    reader::{Read, Reader},
};
pub use self::{
    compact::{Compacted, compact},
    heal::Healed,
    walk::{Findings, TreeFindings, verify},
};
use crate::{
    Checkpoint, Claim, Commit, Cursor, Entry, Epoch, Fingerprint, Listed, ListedItem, ListedVault,
    QuarantineId, Quarantined, Store, StoreError, UnixMs, UploadNote, seen::DEFAULT_HORIZON,
};

/// Reads that wait at most; more of them wait outside.
const READS: usize = 64;

/// How to open a [`SledStore`].
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// How far before a stream's newest committed event its ids are kept. It has
    /// to be more than a rewind goes back. 72 hours unless set.
    pub horizon: Duration,
    /// Memory for sled's cache of tree nodes, in bytes. 32 MiB unless set.
    pub cache_bytes: u64,
    /// After how many bytes of rows sled is opened anew, so that a start after a
    /// crash reads little of its log. 8 MiB unless set.
    pub renew_bytes: u64,
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions { horizon: DEFAULT_HORIZON, cache_bytes: 32 << 20, renew_bytes: 8 << 20 }
    }
}

/// A handle to a state directory; clones share it.
///
/// `Ok` from a method that writes means that the effect survives power loss. A
/// call that is given up halfway may still take effect. After a failed write
/// every further call answers [`StoreError::Io`] and nothing is tried again: the
/// process has to stop.
///
/// Two threads do the work, so that no caller ever blocks. Dropping the last
/// handle waits for them and then releases the directory: it can be opened again
/// at once.
#[derive(Clone)]
pub struct SledStore {
    inner: Arc<Inner>,
    /// Ends with the last handle, once the directory is released.
    released: watch::Receiver<()>,
}

// The fields are dropped in this order: without senders the threads end, with
// the threads the database is closed, and then the directory is released.
struct Inner {
    writes: mpsc::Sender<Write>,
    reads: mpsc::Sender<Read>,
    poison: Poison,
    rolled_back: Option<String>,
    /// Whether everything has been read that the open has left out.
    checked: watch::Receiver<bool>,
    /// Tells the thread that serves no requests, when it is dropped.
    _open: std::sync::mpsc::Sender<()>,
    threads: Vec<Thread>,
    _lock: Lock,
    _released: watch::Sender<()>,
}

impl SledStore {
    /// Opens a state directory, making it if it does not exist. Blocks.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] if this or another process has it open,
    /// [`StoreError::TooNew`] if a newer version wrote it, [`StoreError::Damaged`]
    /// if it is no state directory, sled cannot read it, or not every row is
    /// there and makes sense (every one is read), and [`StoreError::Io`]. A state that went backwards is no error: see
    /// [`SledStore::rolled_back`].
    pub fn open(dir: &Path, options: OpenOptions) -> Result<SledStore, StoreError> {
        SledStore::start(dir, open::open(dir, &options, Extent::AllButIds)?, &options)
    }

    fn start(dir: &Path, opened: Opened, options: &OpenOptions) -> Result<SledStore, StoreError> {
        let Opened { trees, durability, commits, content, rolled_back, lock, .. } = opened;
        let (writes, write_requests) = mpsc::channel(GROUP);
        let (reads, read_requests) = mpsc::channel(READS);
        let poison = Poison::of(dir);
        let current = Arc::new(Current::new(trees.clone()));
        let reader = Reader { current: Arc::clone(&current), poison: poison.clone() };
        let (done, checked) = watch::channel(false);
        let (open, closing) = std::sync::mpsc::channel();
        let check = Check { current: Arc::clone(&current), poison: poison.clone(), closing, done };
        let committer = Committer {
            trees,
            durability,
            poison: poison.clone(),
            current,
            dir: dir.to_owned(),
            options: options.clone(),
            written: 0,
            pruning: Pruning::new(options.horizon),
            commits,
            content,
            cursors: CursorsJson::in_dir(dir),
        };
        let (releases, released) = watch::channel(());
        let mut inner = Inner {
            writes,
            reads,
            poison,
            rolled_back,
            checked,
            _open: open,
            threads: Vec::new(),
            _lock: lock,
            _released: releases,
        };
        inner.threads.push(Thread::start("opgraph-commit", move || committer.run(write_requests))?);
        inner.threads.push(Thread::start("opgraph-read", move || reader.run(read_requests))?);
        inner.threads.push(Thread::start("opgraph-check", move || check.run())?);
        Ok(SledStore { inner: Arc::new(inner), released })
    }

    /// Says in what way the state had gone backwards when it was opened, if it had.
    ///
    /// sled answers some damage by going back to an older state, and a person
    /// may have restored an old copy. What is there is whole, only older: the
    /// streams are read again from its checkpoints. The report comes again at
    /// every start until the first commit.
    pub fn rolled_back(&self) -> Option<&str> {
        self.inner.rolled_back.as_deref()
    }

    /// Returns once every row has been read since the start, which goes on behind
    /// [`SledStore::open`]: it leaves the ids out, and whoever reads some compares
    /// them then.
    ///
    /// # Errors
    ///
    /// What has ended the store, if something has: [`StoreError::Damaged`] if rows
    /// are missing or make no sense. The next open reads everything and finds it too.
    pub async fn checked(&self) -> Result<(), StoreError> {
        // The thread says so before it ends.
        let _ = self.inner.checked.clone().wait_for(|checked| *checked).await;
        self.inner.poison.check()
    }

    /// Says what was found damaged since the open, if anything was: it ended the
    /// store, and the next open finds it and may heal it.
    pub fn damage(&self) -> Option<String> {
        match self.inner.poison.check() {
            Err(StoreError::Damaged { what }) => Some(what),
            _ => None,
        }
    }

    /// Lets go of this handle; returns once the last one is gone, everything is
    /// written and the directory is released.
    pub async fn closed(self) {
        let SledStore { inner, mut released } = self;
        drop(inner);
        while released.changed().await.is_ok() {}
    }

    async fn write<T>(&self, request: impl FnOnce(Reply<T>) -> Write) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.answer(self.inner.writes.send(request(reply)).await.is_ok(), answer).await
    }

    async fn read<T>(&self, request: impl FnOnce(Reply<T>) -> Read) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.answer(self.inner.reads.send(request(reply)).await.is_ok(), answer).await
    }

    async fn answer<T>(
        &self,
        sent: bool,
        answer: oneshot::Receiver<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let answer = if sent { answer.await.ok() } else { None };
        answer.unwrap_or_else(|| Err(self.inner.poison.or_stopped()))
    }
}

impl Store for SledStore {
    async fn claim(&self, tenant: &str, first: &[(String, Cursor)], at: UnixMs) -> Result<Claim, StoreError> {
        let (tenant, first) = (tenant.to_owned(), first.to_vec());
        self.write(|reply| Write::Claim { tenant, first, at, reply }).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        self.write(|reply| Write::Commit { commit: Box::new(commit), reply }).await
    }

    async fn renew(&self, tenant: &str, epoch: Epoch, until: UnixMs) -> Result<(), StoreError> {
        let tenant = tenant.to_owned();
        self.write(|reply| Write::Renew { tenant, epoch, until, reply }).await
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
        let (tenant, stream) = (tenant.to_owned(), stream.to_owned());
        self.write(|reply| Write::Rewind { tenant, stream, to, reply }).await
    }

    async fn import(
        &self,
        tenant: &str,
        checkpoints: BTreeMap<String, Checkpoint>,
        replace: bool,
        at: UnixMs,
    ) -> Result<(), StoreError> {
        let tenant = tenant.to_owned();
        self.write(|reply| Write::Import { tenant, checkpoints, replace, at, reply }).await
    }

    async fn note_upload(&self, tenant: &str, epoch: Epoch, note: UploadNote) -> Result<(), StoreError> {
        let tenant = tenant.to_owned();
        self.write(|reply| Write::NoteUpload { tenant, epoch, note, reply }).await
    }

    async fn seen(
        &self,
        tenant: &str,
        stream: &str,
        at_least: Option<usize>,
    ) -> Result<Vec<Fingerprint>, StoreError> {
        let (tenant, stream) = (tenant.to_owned(), stream.to_owned());
        self.read(|reply| Read::Seen { tenant, stream, at_least, reply }).await
    }

    async fn directory(&self, tenant: &str, keys: Vec<String>) -> Result<Vec<Option<Entry>>, StoreError> {
        let tenant = tenant.to_owned();
        self.read(|reply| Read::Directory { tenant, keys, reply }).await
    }

    async fn directory_shard(&self, tenant: &str, shard: u8) -> Result<Vec<Entry>, StoreError> {
        let tenant = tenant.to_owned();
        self.read(|reply| Read::Shard { tenant, shard, reply }).await
    }

    async fn listed_vaults(&self, tenant: &str) -> Result<Vec<ListedVault>, StoreError> {
        let tenant = tenant.to_owned();
        self.read(|reply| Read::Vaults { tenant, reply }).await
    }

    async fn listed_items(&self, tenant: &str, vault: &str) -> Result<Vec<ListedItem>, StoreError> {
        let (tenant, vault) = (tenant.to_owned(), vault.to_owned());
        self.read(|reply| Read::Items { tenant, vault, reply }).await
    }

    async fn quarantined(&self, tenant: &str, limit: usize) -> Result<Vec<Quarantined>, StoreError> {
        let tenant = tenant.to_owned();
        self.read(|reply| Read::Quarantined { tenant, limit, reply }).await
    }

    async fn quarantine_list(&self, tenant: &str) -> Result<Vec<Listed>, StoreError> {
        let tenant = tenant.to_owned();
        self.read(|reply| Read::QuarantineList { tenant, reply }).await
    }

    async fn quarantine_entry(
        &self,
        tenant: &str,
        id: &QuarantineId,
    ) -> Result<Option<Quarantined>, StoreError> {
        let (tenant, id) = (tenant.to_owned(), id.clone());
        self.read(|reply| Read::QuarantineEntry { tenant, id, reply }).await
    }

    async fn quarantine_drop(&self, tenant: &str, ids: Vec<QuarantineId>) -> Result<(), StoreError> {
        let tenant = tenant.to_owned();
        self.write(|reply| Write::QuarantineDrop { tenant, ids, reply }).await
    }

    async fn quarantine_len(&self, tenant: &str) -> Result<u64, StoreError> {
        let tenant = tenant.to_owned();
        self.read(|reply| Read::QuarantineLen { tenant, reply }).await
    }

    async fn active_until(&self, tenant: &str) -> Result<Option<UnixMs>, StoreError> {
        let tenant = tenant.to_owned();
        self.read(|reply| Read::ActiveUntil { tenant, reply }).await
    }

    async fn checkpoints(&self) -> Result<BTreeMap<String, BTreeMap<String, Checkpoint>>, StoreError> {
        self.read(|reply| Read::Checkpoints { reply }).await
    }
}

/// A thread that is waited for when this is dropped.
struct Thread(Option<JoinHandle<()>>);

impl Thread {
    fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<Thread, StoreError> {
        let started = thread::Builder::new().name(name.to_owned()).spawn(run);
        let failed = |error| Failure::new(format!("start the thread `{name}`"), error).error();
        Ok(Thread(Some(started.map_err(failed)?)))
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            // A panic was reported where it happened; there is nobody to tell here.
            let _ = thread.join();
        }
    }
}
