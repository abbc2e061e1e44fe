//! Which commits are made, and that they are made whole.

use super::{assert_fenced, claim, commit, entry, hours, ids, newest_first, seen_of, step, stored, token};
use crate::{
    Advance, Checkpoint, Cursor, Epoch, Quarantined, Refused, SourceInfo, Step, Store, StoreError, UploadNote,
};

/// Everything a step says is in the checkpoint after it.
pub async fn a_commit_moves_the_cursor_and_counts<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let run = claim(&store, "acme", &["s"]).await;
    let source = SourceInfo { account: Some("A".to_owned()), api_version: "v2".to_owned(), page_size: 1000 };
    let first = Step {
        source: source.clone(),
        newest_event: Some(hours(7)),
        seen: vec![ids(0..3), ids(3..5)],
        ..step("s", "a", "b")
    };
    store.commit(commit("acme", run.epoch, hours(8), vec![first])).await.expect("commits");
    let mut expected = Checkpoint {
        cursor: token("b"),
        source,
        since: None,
        newest_event: Some(hours(7)),
        committed_at: Some(hours(8)),
        commits: 1,
        events: 5,
        windows: Vec::new(),
        seam: None,
        rewinding: false,
        rewound_from: None,
    };
    assert_eq!(stored(&store, "acme", "s").await.as_ref(), Some(&expected));
    let second = Step { source: expected.source.clone(), seen: vec![ids(5..6)], ..step("s", "b", "c") };
    store.commit(commit("acme", run.epoch, hours(9), vec![second])).await.expect("commits");
    expected =
        Checkpoint { cursor: token("c"), committed_at: Some(hours(9)), commits: 2, events: 6, ..expected };
    assert_eq!(stored(&store, "acme", "s").await, Some(expected));
}

/// The truth table of [`Checkpoint::advanced`], asked of the store.
pub async fn only_the_claimed_epoch_and_the_stored_cursor_are_accepted<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    claim(&store, "acme", &["s"]).await;
    let run = claim(&store, "acme", &["s"]).await;
    assert_eq!(run.epoch, Epoch(2));
    let from_a = |epoch| commit("acme", Epoch(epoch), hours(1), vec![step("s", "a", "b")]);
    // Fenced comes first, whether or not the step would chain.
    for epoch in [0, 1, 3] {
        assert_fenced(&store.commit(from_a(epoch)).await, 2, epoch);
        let elsewhere = commit("acme", Epoch(epoch), hours(1), vec![step("s", "z", "b")]);
        assert_fenced(&store.commit(elsewhere).await, 2, epoch);
    }
    assert_eq!(stored(&store, "acme", "s").await, Some(Checkpoint::starting_at(token("a"))));
    store.commit(from_a(2)).await.expect("commits");
    // The same again, and a token that looks like an instant: not where the stream stands.
    let since = Advance::new(Cursor::Since(hours(0)), token("c"));
    for bad in [step("s", "a", "b"), Step { advance: since, ..step("s", "b", "c") }] {
        let from = bad.advance.from().clone();
        let refused = store.commit(commit("acme", Epoch(2), hours(1), vec![bad])).await;
        let expected = Refused::NotChained { stream: "s".to_owned(), stored: token("b"), from };
        assert!(matches!(&refused, Err(StoreError::Refused(refused)) if *refused == expected), "{refused:?}");
    }
    assert_eq!(stored(&store, "acme", "s").await.map(|stored| stored.commits), Some(1));
}

/// Of a commit with one bad step, nothing is written: no cursor, no id, no
/// shared record, no quarantine, and no upload is settled.
pub async fn one_bad_step_refuses_the_whole_commit<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let run = claim(&store, "acme", &["r", "s", "t"]).await;
    let note = UploadNote { name: "job".to_owned(), note: "{}".to_owned() };
    store.note_upload("acme", run.epoch, note.clone()).await.expect("notes");
    let before = store.checkpoints().await.expect("reads");
    for bad in 0..3 {
        let mut steps: Vec<_> = ["r", "s", "t"]
            .map(|stream| Step {
                seen: vec![ids(0..2)],
                newest_event: Some(hours(1)),
                ..step(stream, "a", "b")
            })
            .into();
        steps[bad].advance = Advance::new(token("elsewhere"), token("b"));
        let mut whole = commit("acme", run.epoch, hours(1), steps);
        whole.directory = vec![entry("user", 2, 1, "{}")];
        whole.quarantined = vec![Quarantined {
            stream: "s".to_owned(),
            reason: "no uuid".to_owned(),
            body: "{}".to_owned(),
            at: hours(1),
        }];
        whole.settled = vec!["job".to_owned()];
        let refused = store.commit(whole).await;
        assert!(matches!(refused, Err(StoreError::Refused(Refused::NotChained { .. }))), "{refused:?}");
        assert_eq!(store.checkpoints().await.expect("reads"), before);
        for stream in ["r", "s", "t"] {
            assert_eq!(seen_of(&store, "acme", stream).await, []);
        }
        assert_eq!(store.directory("acme", vec!["user".to_owned()]).await.expect("reads"), [None]);
        assert_eq!(store.quarantine_len("acme").await.expect("reads"), 0);
    }
    assert_eq!(claim(&store, "acme", &[]).await.unsettled, [note]);
}

/// There is no cursor that such a step could be compared with.
pub async fn a_stream_never_claimed_cannot_be_committed<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let run = claim(&store, "acme", &["s"]).await;
    let steps = vec![step("s", "a", "b"), step("t", "a", "b")];
    let answer = store.commit(commit("acme", run.epoch, hours(1), steps)).await;
    match answer {
        Err(StoreError::Damaged { what }) => {
            assert_eq!(what, "stream `t` of tenant `acme` was never claimed");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(stored(&store, "acme", "s").await, Some(Checkpoint::starting_at(token("a"))));
    assert_eq!(stored(&store, "acme", "t").await, None);
}

/// Events arrive out of order; the newest time is of all that were committed.
pub async fn the_newest_event_time_never_falls<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let run = claim(&store, "acme", &["s"]).await;
    let cases = [(None, None), (Some(5), Some(5)), (Some(3), Some(5)), (None, Some(5)), (Some(6), Some(6))];
    for (at, (newest, expected)) in cases.into_iter().enumerate() {
        let from = if at == 0 { "a".to_owned() } else { at.to_string() };
        let step = Step { newest_event: newest.map(hours), ..step("s", &from, &(at + 1).to_string()) };
        store.commit(commit("acme", run.epoch, hours(9), vec![step])).await.expect("commits");
        let newest = stored(&store, "acme", "s").await.and_then(|stored| stored.newest_event);
        assert_eq!(newest, expected.map(hours));
    }
}

/// A page emptied by dedup still carries its cursor.
pub async fn an_empty_page_still_moves_the_cursor<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let run = claim(&store, "acme", &["s"]).await;
    let pages = [vec![], vec![vec![]], vec![vec![], ids(0..2), vec![]]];
    for (pages, (from, to)) in pages.into_iter().zip([("a", "b"), ("b", "c"), ("c", "d")]) {
        let step = Step { seen: pages, ..step("s", from, to) };
        store.commit(commit("acme", run.epoch, hours(1), vec![step])).await.expect("commits");
    }
    let stored = stored(&store, "acme", "s").await.expect("is stored");
    assert_eq!((stored.cursor, stored.commits, stored.events), (token("d"), 3, 2));
    assert_eq!(seen_of(&store, "acme", "s").await, newest_first(0..2));
}

/// Shared records alone (as a snapshot of Connect commits them) are fenced too.
pub async fn a_commit_without_steps_is_still_fenced<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let old = claim(&store, "acme", &[]).await;
    let new = claim(&store, "acme", &[]).await;
    let mut alone = commit("acme", old.epoch, hours(1), vec![]);
    alone.directory = vec![entry("user", 2, 1, "{}")];
    assert_fenced(&store.commit(alone.clone()).await, 2, 1);
    alone.epoch = new.epoch;
    store.commit(alone.clone()).await.expect("commits");
    let stored = store.directory("acme", vec!["user".to_owned()]).await.expect("reads");
    assert_eq!(stored, [Some(alone.directory.remove(0))]);
}
