//! Going on from cursors that were known elsewhere.

use std::collections::BTreeMap;

use super::{assert_fenced, claim, commit, hours, ids, newest_first, seen_of, step, stored, token};
use crate::{Checkpoint, Epoch, Refused, SourceInfo, Step, Store, StoreError};

fn known(commits: u64) -> Checkpoint {
    let source = SourceInfo { account: Some("A".to_owned()), ..SourceInfo::default() };
    let newest_event = Some(hours(9));
    Checkpoint { source, newest_event, commits, rewinding: true, ..Checkpoint::starting_at(token("x")) }
}

fn one(stream: &str, checkpoint: Checkpoint) -> BTreeMap<String, Checkpoint> {
    [(stream.to_owned(), checkpoint)].into()
}

/// The streams go on from there, whatever start a claim names, and the rate
/// budget counts whoever read the tenant before.
pub async fn an_import_starts_a_tenant_where_another_store_was<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    store.import("acme", one("s", known(7)), false, hours(5)).await.expect("imports");
    assert_eq!(stored(&store, "acme", "s").await, Some(known(7)));
    let run = claim(&store, "acme", &["s", "t"]).await;
    assert_eq!((run.epoch, run.active_until), (Epoch(2), Some(hours(5))));
    assert_eq!(run.checkpoints["s"], known(7));
    assert_eq!(run.checkpoints["t"], Checkpoint::starting_at(token("a")));
    store.commit(commit("acme", run.epoch, hours(6), vec![step("s", "x", "y")])).await.expect("commits");
    assert_eq!(stored(&store, "acme", "s").await.map(|stored| stored.commits), Some(8));
}

/// Only if it is asked for are cursors replaced; other streams and what was seen
/// stay, the run in progress is fenced, and a count of commits never falls.
pub async fn an_import_over_checkpoints_is_refused_unless_it_replaces_them<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let run = claim(&store, "acme", &["s", "t"]).await;
    let first = Step { seen: vec![ids(0..4)], ..step("s", "a", "b") };
    store.commit(commit("acme", run.epoch, hours(1), vec![first])).await.expect("commits");
    let before = store.checkpoints().await.expect("reads");

    let refused = store.import("acme", one("u", known(0)), false, hours(2)).await;
    let expected = Refused::HasCheckpoints { tenant: "acme".to_owned() };
    assert!(matches!(refused, Err(StoreError::Refused(refused)) if refused == expected));
    assert_eq!(store.checkpoints().await.expect("reads"), before);
    store.renew("acme", run.epoch, hours(2)).await.expect("nothing was fenced");
    store.import("other", one("u", known(0)), false, hours(2)).await.expect("another tenant is another");

    store.import("acme", one("s", known(0)), true, hours(2)).await.expect("replaces");
    assert_eq!(stored(&store, "acme", "s").await, Some(known(1)));
    assert_eq!(stored(&store, "acme", "t").await.as_ref(), before["acme"].get("t"));
    assert_eq!(seen_of(&store, "acme", "s").await, newest_first(0..4));
    let late = commit("acme", run.epoch, hours(3), vec![step("s", "x", "y")]);
    assert_fenced(&store.commit(late).await, 2, 1);
}
