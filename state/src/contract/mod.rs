//! What every store has to do: one async function per guarantee.
//!
//! Each takes a way to make a fresh, empty store with the default horizon of
//! 72 hours, and panics with what was expected if the guarantee does not hold.
//! [`every_store_keeps_the_contract`] asks for all of them.

pub mod claims;

pub mod commits;

pub mod rewinds;

pub mod windows;

pub mod imports;

pub mod seen;

pub mod pruning;

pub mod directory;

pub mod inventory;

pub mod set_aside;

pub mod isolation;

use crate::{
    Advance, Checkpoint, Claim, Commit, Cursor, Entry, Epoch, Fingerprint, Refused, SourceInfo, Step, Store,
    StoreError, UnixMs, Version,
};

/// Hands every guarantee, as `theme::name`, to another macro.
macro_rules! for_each_guarantee {
    ($then:ident $($with:tt)*) => {
        $then! { $($with)*
            claims::a_first_claim_starts_every_stream_where_it_was_told,
            claims::a_later_claim_returns_what_is_stored_under_a_higher_epoch,
            claims::a_claim_leaves_streams_it_does_not_name_untouched,
            claims::a_claim_tells_until_when_earlier_runs_may_be_active,
            claims::an_older_run_can_neither_renew_nor_release_nor_note_an_upload,
            claims::a_tenant_never_claimed_admits_nobody,
            commits::a_commit_moves_the_cursor_and_counts,
            commits::only_the_claimed_epoch_and_the_stored_cursor_are_accepted,
            commits::one_bad_step_refuses_the_whole_commit,
            commits::a_stream_never_claimed_cannot_be_committed,
            commits::the_newest_event_time_never_falls,
            commits::an_empty_page_still_moves_the_cursor,
            commits::a_commit_without_steps_is_still_fenced,
            rewinds::a_rewind_fences_the_run_and_keeps_everything_but_the_place,
            rewinds::a_rewind_of_a_stream_never_seen_creates_it,
            rewinds::a_stream_is_rewinding_until_it_is_through,
            windows::a_split_opens_its_windows_with_the_commit_that_moves_the_cursor,
            windows::a_window_is_a_chain_of_its_own,
            windows::a_step_of_a_window_is_chained_and_fenced,
            windows::a_window_is_begun_anew_without_the_live_cursor,
            windows::ids_are_kept_as_long_as_a_window_may_come_by_them_again,
            windows::a_rewind_keeps_what_a_window_before_it_would_let_go_of,
            windows::a_rewind_by_a_person_takes_what_lies_behind_it_from_the_windows,
            imports::an_import_starts_a_tenant_where_another_store_was,
            imports::an_import_over_checkpoints_is_refused_unless_it_replaces_them,
            seen::ids_come_back_newest_first,
            seen::a_limit_is_met_with_whole_pages,
            seen::a_page_of_any_length_comes_back_whole,
            pruning::ids_from_before_the_horizon_go,
            pruning::a_backlog_is_kept_by_when_it_happened,
            pruning::what_is_too_old_when_it_comes_goes_at_once,
            pruning::the_clock_alone_prunes_nothing,
            pruning::nothing_is_pruned_while_a_stream_is_rewinding,
            pruning::one_stream_does_not_prune_another,
            directory::the_newest_version_wins_in_any_order,
            directory::a_fuller_version_beats_a_newer_stub,
            directory::answers_come_in_the_order_asked,
            directory::a_shard_holds_its_records_by_key_and_the_shards_hold_all,
            directory::a_record_of_any_length_comes_back_whole,
            inventory::removed_keys_go_before_the_directory_is_stored,
            inventory::changes_of_the_inventory_take_effect_in_their_order,
            inventory::vaults_and_items_come_back_by_id_whatever_their_ids,
            inventory::inventories_of_tenants_never_mix,
            inventory::a_refused_commit_lists_and_removes_nothing,
            set_aside::an_upload_note_stays_until_a_commit_settles_it,
            set_aside::quarantining_again_changes_nothing,
            set_aside::the_quarantine_comes_back_oldest_first,
            set_aside::an_entry_is_found_by_its_id_and_listed_without_its_body,
            set_aside::a_commit_takes_out_what_it_releases_and_nothing_else,
            set_aside::what_is_released_and_set_aside_again_stays_with_its_newest_reason,
            set_aside::releasing_what_is_not_there_refuses_the_whole_commit,
            set_aside::a_person_takes_out_all_that_is_named_or_nothing,
            isolation::tenants_and_streams_never_mix_whatever_their_names,
            isolation::clones_of_a_handle_share_the_store,
        }
    };
}

#[cfg(test)]
pub(crate) use for_each_guarantee;

macro_rules! ask_for_all {
    (($fresh:ident) $($theme:ident::$name:ident,)*) => { $($theme::$name(&$fresh).await;)* };
}

/// Asks for every guarantee in turn.
///
/// # Panics
///
/// If the store breaks one.
pub async fn every_store_keeps_the_contract<S: Store + Clone>(fresh: impl Fn() -> S) {
    for_each_guarantee! { ask_for_all (fresh) }
}

const HOUR: i64 = 3_600_000;

fn hours(count: i64) -> UnixMs {
    UnixMs(count * HOUR)
}

fn token(text: &str) -> Cursor {
    Cursor::Token(text.to_owned())
}

fn ids(range: std::ops::Range<u32>) -> Vec<Fingerprint> {
    range.map(|id| Fingerprint::of(&format!("id-{id}"))).collect()
}

fn newest_first(range: std::ops::Range<u32>) -> Vec<Fingerprint> {
    let mut ids = ids(range);
    ids.reverse();
    ids
}

/// A step from one token to the next, without events.
fn step(stream: &str, from: &str, to: &str) -> Step {
    Step {
        stream: stream.to_owned(),
        advance: Advance::new(token(from), token(to)),
        source: SourceInfo::default(),
        newest_event: None,
        latest: None,
        seen: Vec::new(),
        rewound: false,
        through: false,
        window: None,
        split: None,
    }
}

fn commit(tenant: &str, epoch: Epoch, at: UnixMs, steps: Vec<Step>) -> Commit {
    Commit { tenant: tenant.to_owned(), epoch, at, steps, ..Commit::default() }
}

fn entry(key: &str, rank: u8, at: i64, record: &str) -> Entry {
    Entry { key: key.to_owned(), version: Version { rank, at: UnixMs(at) }, record: record.to_owned() }
}

/// Claims streams that start at the token `a` if they are new.
async fn claim(store: &impl Store, tenant: &str, streams: &[&str]) -> Claim {
    let first: Vec<_> = streams.iter().map(|stream| ((*stream).to_owned(), token("a"))).collect();
    store.claim(tenant, &first, hours(0)).await.expect("a claim is never refused")
}

async fn stored(store: &impl Store, tenant: &str, stream: &str) -> Option<Checkpoint> {
    let mut all = store.checkpoints().await.expect("the store can be read");
    all.get_mut(tenant).and_then(|streams| streams.remove(stream))
}

async fn seen_of(store: &impl Store, tenant: &str, stream: &str) -> Vec<Fingerprint> {
    store.seen(tenant, stream, None).await.expect("the store can be read")
}

#[track_caller]
fn assert_fenced<T: std::fmt::Debug>(answer: &Result<T, StoreError>, stored: u64, claimed: u64) {
    let expected = Refused::Fenced { stored: Epoch(stored), claimed: Epoch(claimed) };
    match answer {
        Err(StoreError::Refused(refused)) => assert_eq!(*refused, expected),
        other => panic!("{other:?} instead of {expected:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;

    macro_rules! one_test_each {
        ($($theme:ident::$name:ident,)*) => {
            $(#[tokio::test] async fn $name() { $theme::$name(&MemoryStore::default).await; })*
        };
    }

    for_each_guarantee! { one_test_each }
}
