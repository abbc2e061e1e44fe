//! Methods of a store that only pass on, for stores of the tests that change a few of them.

/// Writes the named methods of `Store`: each asks `self.inner` and hands the
/// future to `$through`, such as `std::convert::identity`.
macro_rules! passed_on {
    ($through:path; $($name:ident)*) => { $($crate::support::store::passed_on!(@ $through; $name);)* };

    (@ $through:path; claim) => { $crate::support::store::passed_on!(
        # $through; claim(tenant: &str, first: &[(String, opgraph_state::Cursor)], at: opgraph_state::UnixMs)
        -> opgraph_state::Claim); };
    (@ $through:path; commit) => { $crate::support::store::passed_on!(
        # $through; commit(commit: opgraph_state::Commit) -> ()); };
    (@ $through:path; renew) => { $crate::support::store::passed_on!(
        # $through; renew(tenant: &str, epoch: opgraph_state::Epoch, until: opgraph_state::UnixMs) -> ()); };
    (@ $through:path; release) => { $crate::support::store::passed_on!(
        # $through; release(tenant: &str, epoch: opgraph_state::Epoch, at: opgraph_state::UnixMs) -> ()); };
    (@ $through:path; rewind) => { $crate::support::store::passed_on!(
        # $through; rewind(
            tenant: &str, stream: &str, to: opgraph_state::Cursor, at: opgraph_state::UnixMs)
        -> opgraph_state::Checkpoint); };
    (@ $through:path; import) => { $crate::support::store::passed_on!(
        # $through; import(
            tenant: &str, checkpoints: std::collections::BTreeMap<String, opgraph_state::Checkpoint>,
            replace: bool, at: opgraph_state::UnixMs)
        -> ()); };
    (@ $through:path; note_upload) => { $crate::support::store::passed_on!(
        # $through; note_upload(tenant: &str, epoch: opgraph_state::Epoch, note: opgraph_state::UploadNote)
        -> ()); };
    (@ $through:path; seen) => { $crate::support::store::passed_on!(
        # $through; seen(tenant: &str, stream: &str, at_least: Option<usize>)
        -> Vec<opgraph_state::Fingerprint>); };
    (@ $through:path; directory) => { $crate::support::store::passed_on!(
        # $through; directory(tenant: &str, keys: Vec<String>) -> Vec<Option<opgraph_state::Entry>>); };
    (@ $through:path; directory_shard) => { $crate::support::store::passed_on!(
        # $through; directory_shard(tenant: &str, shard: u8) -> Vec<opgraph_state::Entry>); };
    (@ $through:path; listed_vaults) => { $crate::support::store::passed_on!(
        # $through; listed_vaults(tenant: &str) -> Vec<opgraph_state::ListedVault>); };
    (@ $through:path; listed_items) => { $crate::support::store::passed_on!(
        # $through; listed_items(tenant: &str, vault: &str) -> Vec<opgraph_state::ListedItem>); };
    (@ $through:path; quarantined) => { $crate::support::store::passed_on!(
        # $through; quarantined(tenant: &str, limit: usize) -> Vec<opgraph_state::Quarantined>); };
    (@ $through:path; quarantine_list) => { $crate::support::store::passed_on!(
        # $through; quarantine_list(tenant: &str) -> Vec<opgraph_state::Listed>); };
    (@ $through:path; quarantine_entry) => { $crate::support::store::passed_on!(
        # $through; quarantine_entry(tenant: &str, id: &opgraph_state::QuarantineId)
        -> Option<opgraph_state::Quarantined>); };
    (@ $through:path; quarantine_drop) => { $crate::support::store::passed_on!(
        # $through; quarantine_drop(tenant: &str, ids: Vec<opgraph_state::QuarantineId>) -> ()); };
    (@ $through:path; quarantine_len) => { $crate::support::store::passed_on!(
        # $through; quarantine_len(tenant: &str) -> u64); };
    (@ $through:path; active_until) => { $crate::support::store::passed_on!(
        # $through; active_until(tenant: &str) -> Option<opgraph_state::UnixMs>); };
    (@ $through:path; checkpoints) => { $crate::support::store::passed_on!(
        # $through; checkpoints()
        -> std::collections::BTreeMap<String, std::collections::BTreeMap<String, opgraph_state::Checkpoint>>); };

    (# $through:path; $name:ident($($arg:ident: $of:ty),*) -> $answer:ty) => {
        async fn $name(&self, $($arg: $of),*) -> Result<$answer, opgraph_state::StoreError> {
            $through(self.inner.$name($($arg),*)).await
        }
    };
}

pub(crate) use passed_on;
