//! What every store can do.

use std::{collections::BTreeMap, future::Future, io};

use serde::{Deserialize, Serialize};

use crate::{
    Checkpoint, Commit, Cursor, Entry, Epoch, Fingerprint, Listed, ListedItem, ListedVault, QuarantineId,
    Quarantined, Refused, UnixMs,
};

/// Keeps what survives a crash, for many tenants.
///
/// Stores have no clock: the caller says what time it is, so that a run under
/// virtual time is the same in every store. When a method that writes returns
/// `Ok`, its effect survives power loss (in the memory store: the process's
/// crash as a test simulates it, by dropping everything but the store).
pub trait Store: Send + Sync + 'static {
    /// Starts a run: raises the tenant's epoch, so that earlier runs can no
    /// longer commit, and returns where each stream stands.
    ///
    /// `first` names the tenant's streams and where each starts if it was never
    /// seen before; that start is stored. Streams that are stored but not named
    /// are left as they are and not returned.
    fn claim(
        &self,
        tenant: &str,
        first: &[(String, Cursor)],
        at: UnixMs,
    ) -> impl Future<Output = Result<Claim, StoreError>> + Send;

    /// Moves the steps, the seen ids, the directory, the inventory, the quarantine
    /// and the upload notes of one ack, all or nothing.
    ///
    /// Refused as [`Checkpoint::advanced`] decides, and with
    /// [`Refused::NotInQuarantine`] if it releases what is not there; then
    /// nothing is written.
    /// Seen rows that a rewind can no longer reach are pruned on the way.
    fn commit(&self, commit: Commit) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Tells that the run is alive and may make requests until `until`.
    ///
    /// Refused with [`Refused::Fenced`] once a newer run has claimed the tenant.
    fn renew(
        &self,
        tenant: &str,
        epoch: Epoch,
        until: UnixMs,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Ends the run: it made its last request at or before `at`. A fenced
    /// run's release is refused and changes nothing.
    fn release(
        &self,
        tenant: &str,
        epoch: Epoch,
        at: UnixMs,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Puts a stream's cursor back (or anywhere), as a person asked. Raises the
    /// epoch, so that a run in progress can no longer commit; marks the stream
    /// as rewinding, so that dedup absorbs what is read again. Everything else
    /// about the stream is kept. A stream never seen is created.
    fn rewind(
        &self,
        tenant: &str,
        stream: &str,
        to: Cursor,
        at: UnixMs,
    ) -> impl Future<Output = Result<Checkpoint, StoreError>> + Send;

    /// Puts a tenant's streams where `checkpoints` say, as they were known
    /// elsewhere. Raises the epoch, and counts the tenant as active until `at`:
    /// whoever read it before may have made requests until then. Streams that
    /// are not named and all that was seen stay; a count of commits never falls.
    ///
    /// Refused with [`Refused::HasCheckpoints`] if the tenant has any, unless
    /// they are to be replaced.
    fn import(
        &self,
        tenant: &str,
        checkpoints: BTreeMap<String, Checkpoint>,
        replace: bool,
        at: UnixMs,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Notes an upload before its first request, so that a later run can find
    /// what a crash left open. A note of the same name is replaced.
    fn note_upload(
        &self,
        tenant: &str,
        epoch: Epoch,
        note: UploadNote,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Returns the ids of a stream's events, newest first by arrival: the whole
    /// horizon, or at least the newest `at_least` of it (whole pages, so a few
    /// more) when that is given.
    fn seen(
        &self,
        tenant: &str,
        stream: &str,
        at_least: Option<usize>,
    ) -> impl Future<Output = Result<Vec<Fingerprint>, StoreError>> + Send;

    /// Looks shared records up: one answer for each key, in the order asked.
    fn directory(
        &self,
        tenant: &str,
        keys: Vec<String>,
    ) -> impl Future<Output = Result<Vec<Option<Entry>>, StoreError>> + Send;

    /// Returns all entries of one directory shard (see [`crate::shard_of`]), by key.
    fn directory_shard(
        &self,
        tenant: &str,
        shard: u8,
    ) -> impl Future<Output = Result<Vec<Entry>, StoreError>> + Send;

    /// Returns the vaults that were listed last, by id.
    fn listed_vaults(
        &self,
        tenant: &str,
    ) -> impl Future<Output = Result<Vec<ListedVault>, StoreError>> + Send;

    /// Returns the items of a vault that were listed last, by id.
    fn listed_items(
        &self,
        tenant: &str,
        vault: &str,
    ) -> impl Future<Output = Result<Vec<ListedItem>, StoreError>> + Send;

    /// Returns what is in a tenant's quarantine, oldest first, `limit` at most.
    fn quarantined(
        &self,
        tenant: &str,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Quarantined>, StoreError>> + Send;

    /// Lists a tenant's quarantine, oldest first, without the bodies.
    fn quarantine_list(&self, tenant: &str) -> impl Future<Output = Result<Vec<Listed>, StoreError>> + Send;

    /// Returns one entry of a tenant's quarantine.
    fn quarantine_entry(
        &self,
        tenant: &str,
        id: &QuarantineId,
    ) -> impl Future<Output = Result<Option<Quarantined>, StoreError>> + Send;

    /// Removes entries for good, as a person asked; each is named once.
    ///
    /// Refused with [`Refused::NotInQuarantine`] if one is not there; then all
    /// of them stay. Runs are not disturbed.
    fn quarantine_drop(
        &self,
        tenant: &str,
        ids: Vec<QuarantineId>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Counts a tenant's quarantine without reading the bodies.
    fn quarantine_len(&self, tenant: &str) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Returns until when a tenant's runs may have made requests; `None` if it never had one.
    fn active_until(&self, tenant: &str) -> impl Future<Output = Result<Option<UnixMs>, StoreError>> + Send;

    /// Returns every checkpoint, by tenant and stream.
    fn checkpoints(
        &self,
    ) -> impl Future<Output = Result<BTreeMap<String, BTreeMap<String, Checkpoint>>, StoreError>> + Send;
}

/// What a run starts from: this and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The number of this run; goes into every commit.
    pub epoch: Epoch,
    /// Where each stream that was named stands.
    pub checkpoints: BTreeMap<String, Checkpoint>,
    /// Uploads that earlier runs noted and never settled.
    pub unsettled: Vec<UploadNote>,
    /// Until when an earlier run may have made requests; `None` for a new tenant.
    pub active_until: Option<UnixMs>,
}

/// What is remembered of an upload while it is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadNote {
    /// Unique within the tenant; what a commit settles it by.
    pub name: String,
    /// The sink's own words (such as a sync job's id and scope).
    pub note: String,
}

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The commit was illegal. Nothing was written.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Another process has the directory open.
    #[error("the state directory `{path}` is in use by another process")]
    InUse {
        /// The directory.
        path: String,
    },
    /// The directory was written by a newer version of opgraph.
    #[error("the state directory `{path}` has format {found}, this version knows up to {known}")]
    TooNew {
        /// The directory.
        path: String,
        /// The format found.
        found: u32,
        /// The newest format this version can read.
        known: u32,
    },
    /// What is stored makes no sense. `what` names the row or file and says why.
    #[error("the state is damaged: {what}")]
    Damaged {
        /// The row or file, and what is wrong with it.
        what: String,
    },
    /// The disk or the database failed. After a failed write the store answers
    /// every further call with this error: the process has to stop.
    #[error("cannot {doing}")]
    Io {
        /// What could not be done.
        doing: String,
        /// Why.
        #[source]
        cause: std::sync::Arc<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// Whether the disk is full, or this user's share of it.
    pub fn is_disk_full(&self) -> bool {
        let StoreError::Io { cause, .. } = self else { return false };
        let error = match cause.downcast_ref::<sled::Error>() {
            Some(sled::Error::Io(error)) => Some(error),
            _ => cause.downcast_ref::<io::Error>(),
        };
        error.is_some_and(|error| {
            matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_full_disk_is_told_from_any_other_trouble_with_it() {
        let of = |cause: Arc<dyn std::error::Error + Send + Sync>| {
            StoreError::Io { doing: "write".to_owned(), cause }.is_disk_full()
        };
        let io = |kind: io::ErrorKind| io::Error::from(kind);
        for full in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            assert!(of(Arc::new(io(full))), "{full}");
            assert!(of(Arc::new(sled::Error::Io(io(full)))), "{full}");
        }
        for other in [io::ErrorKind::PermissionDenied, io::ErrorKind::Other, io::ErrorKind::WriteZero] {
            assert!(!of(Arc::new(io(other))), "{other}");
            assert!(!of(Arc::new(sled::Error::Io(io(other)))), "{other}");
        }
        assert!(!of(Arc::new(sled::Error::Unsupported("storage full".to_owned()))));
        assert!(!StoreError::Damaged { what: "the disk is full".to_owned() }.is_disk_full());
    }
}
