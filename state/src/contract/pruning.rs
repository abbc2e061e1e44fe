//! When ids are let go of.

use super::{claim, commit, hours, ids, newest_first, seen_of, step, token};
use crate::{Advance, Cursor, Epoch, Step, Store};

/// Commits one page that arrived in hour `at`, whose newest event is from hour `newest`.
async fn arrive(store: &impl Store, epoch: Epoch, at: i64, newest: i64, page: u32) {
    arrive_as(store, epoch, at, newest, page, |step| step).await;
}

async fn arrive_as(
    store: &impl Store,
    epoch: Epoch,
    at: i64,
    newest: i64,
    page: u32,
    change: impl FnOnce(Step) -> Step,
) {
    let from = super::stored(store, "acme", "s").await.expect("is claimed").cursor;
    let step = change(Step {
        advance: Advance::new(from, token(&format!("after {page}"))),
        seen: vec![ids(page..page + 1)],
        newest_event: Some(hours(newest)),
        ..step("s", "", "")
    });
    store.commit(commit("acme", epoch, hours(at), vec![step])).await.expect("commits");
}

/// An id goes once its hour of arrival is more than 72 hours before the hour of
/// the newest committed event, and not an hour sooner.
pub async fn ids_from_before_the_horizon_go<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let run = claim(&store, "acme", &["s"]).await;
    arrive(&store, run.epoch, 1, 1, 0).await;
    arrive(&store, run.epoch, 2, 2, 1).await;
    arrive(&store, run.epoch, 73, 73, 2).await;
    assert_eq!(seen_of(&store, "acme", "s").await, newest_first(0..3));
    arrive(&store, run.epoch, 74, 74, 3).await;
    assert_eq!(seen_of(&store, "acme", "s").await, newest_first(1..4));
    arrive(&store, run.epoch, 200, 200, 4).await;
    assert_eq!(seen_of(&store, "acme", "s").await, newest_first(4..5));
}

/// A first read brings months within an hour: what is kept are the ids of the
/// horizon's events, however fast they were read; never those of a later event.
pub async fn a_backlog_is_kept_by_when_it_happened<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let run = claim(&store, "acme", &["s"]).await;
    for (page, happened) in [(0, 1), (1, 40), (2, 73), (3, 74), (4, 120)] {
        let latest = Some(hours(happened));
        arrive_as(&store, run.epoch, 5_000, happened, page, |step| Step { latest, ..step }).await;
    }
    assert_eq!(seen_of(&store, "acme", "s").await, newest_first(2..5));
    // A clock that is ahead files nothing later than it arrived.
    let ahead = Some(hours(9_999));
    arrive_as(&store, run.epoch, 5_001, 121, 5, |step| Step { latest: ahead, ..step }).await;
    arrive(&store, run.epoch, 5_100, 5_100, 6).await;
    assert_eq!(seen_of(&store, "acme", "s").await, newest_first(6..7));
}

/// What comes late is not kept for having come late, though the limit has not moved.
pub async fn what_is_too_old_when_it_comes_goes_at_once<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let run = claim(&store, "acme", &["s"]).await;
    arrive(&store, run.epoch, 200, 200, 0).await;
    arrive(&store, run.epoch, 200, 200, 1).await;
    let latest = Some(hours(50));
    arrive_as(&store, run.epoch, 201, 200, 2, |step| Step { latest, ..step }).await;
    assert_eq!(seen_of(&store, "acme", "s").await, newest_first(0..2));
}

/// After a week off, a rewind goes back from the newest event of a week ago: the
/// ids from then have to be there, whatever the clock says now.
pub async fn the_clock_alone_prunes_nothing<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let run = claim(&store, "acme", &["s"]).await;
    arrive(&store, run.epoch, 10, 10, 0).await;
    arrive(&store, run.epoch, 300, 11, 1).await;
    let from = token("after 1");
    let empty = Step { advance: Advance::new(from, token("after 2")), ..step("s", "", "") };
    store.commit(commit("acme", run.epoch, hours(900), vec![empty])).await.expect("commits");
    store.claim("acme", &[], hours(901)).await.expect("claims");
    assert_eq!(seen_of(&store, "acme", "s").await, newest_first(0..2));
}

/// While the overlap is read again, every id is kept; afterwards the old ones go.
pub async fn nothing_is_pruned_while_a_stream_is_rewinding<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let run = claim(&store, "acme", &["s"]).await;
    arrive(&store, run.epoch, 1, 1, 0).await;
    store.rewind("acme", "s", Cursor::Since(hours(0)), hours(2)).await.expect("rewinds");
    let run = claim(&store, "acme", &["s"]).await;
    arrive(&store, run.epoch, 400, 400, 1).await;
    arrive(&store, run.epoch, 401, 401, 2).await;
    assert_eq!(seen_of(&store, "acme", "s").await, newest_first(0..3));
    arrive_as(&store, run.epoch, 402, 402, 3, |step| Step { through: true, ..step }).await;
    assert_eq!(seen_of(&store, "acme", "s").await, newest_first(1..4));
    // A step that starts a rewind prunes nothing either.
    arrive_as(&store, run.epoch, 900, 900, 4, |step| Step { rewound: true, ..step }).await;
    assert_eq!(seen_of(&store, "acme", "s").await, newest_first(1..5));
}

/// Each stream has its own newest event.
pub async fn one_stream_does_not_prune_another<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    for tenant in ["acme", "other"] {
        let run = claim(&store, tenant, &["s", "t"]).await;
        let page =
            |stream| Step { seen: vec![ids(0..2)], newest_event: Some(hours(1)), ..step(stream, "a", "b") };
        store.commit(commit(tenant, run.epoch, hours(1), vec![page("s"), page("t")])).await.expect("commits");
    }
    let later = Step { newest_event: Some(hours(500)), ..step("s", "b", "c") };
    store.commit(commit("acme", Epoch(1), hours(500), vec![later])).await.expect("commits");
    assert_eq!(seen_of(&store, "acme", "s").await, []);
    assert_eq!(seen_of(&store, "acme", "t").await, newest_first(0..2));
    assert_eq!(seen_of(&store, "other", "s").await, newest_first(0..2));
}
