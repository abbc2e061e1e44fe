//! Upload notes and the quarantine.

use super::{claim, commit, hours, step};
use crate::{Quarantined, Store, UnixMs, UploadNote};

fn note(name: &str, note: &str) -> UploadNote {
    UploadNote { name: name.to_owned(), note: note.to_owned() }
}

/// Notes come back with every claim, by name, until a commit settles them; a
/// note of the same name is replaced, and settling what is not there does nothing.
pub async fn an_upload_note_stays_until_a_commit_settles_it<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let run = claim(&store, "acme", &["s"]).await;
    let long = "x".repeat(20_000);
    for note in [note("b", &long), note("a", "1"), note("b", "2"), note("c", &long)] {
        store.note_upload("acme", run.epoch, note).await.expect("notes");
    }
    let run = claim(&store, "acme", &["s"]).await;
    assert_eq!(run.unsettled, [note("a", "1"), note("b", "2"), note("c", &long)]);
    let mut settling = commit("acme", run.epoch, hours(1), vec![step("s", "a", "b")]);
    settling.settled = ["c", "a", "never noted"].map(str::to_owned).into();
    store.commit(settling).await.expect("commits");
    assert_eq!(claim(&store, "acme", &[]).await.unsettled, [note("b", "2")]);
    assert_eq!(claim(&store, "other", &[]).await.unsettled, []);
}

fn quarantined(stream: &str, body: &str, at: i64) -> Quarantined {
    Quarantined {
        stream: stream.to_owned(),
        reason: format!("at {at}"),
        body: body.to_owned(),
        at: UnixMs(at),
    }
}

async fn put(store: &impl Store, tenant: &str, entries: Vec<Quarantined>) {
    let run = claim(store, tenant, &[]).await;
    let mut whole = commit(tenant, run.epoch, hours(1), vec![]);
    whole.quarantined = entries;
    store.commit(whole).await.expect("commits");
}

/// The same body in the same stream is one entry, the first one; in one commit
/// or in several.
pub async fn quarantining_again_changes_nothing<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let first = quarantined("s", "{}", 5);
    put(&store, "acme", vec![first.clone(), quarantined("s", "{}", 6)]).await;
    put(&store, "acme", vec![quarantined("s", "{}", 1)]).await;
    assert_eq!(store.quarantined("acme", 10).await.expect("reads"), std::slice::from_ref(&first));
    assert_eq!(store.quarantine_len("acme").await.expect("reads"), 1);
    // Another stream or another body is another entry.
    let others = [quarantined("t", "{}", 7), quarantined("s", "[]", 8)];
    put(&store, "acme", others.to_vec()).await;
    let all = store.quarantined("acme", 10).await.expect("reads");
    assert_eq!(all, [first, others[0].clone(), others[1].clone()]);
    assert_eq!(store.quarantine_len("acme").await.expect("reads"), 3);
    assert_eq!(store.quarantine_len("other").await.expect("reads"), 0);
}

/// By when they were set aside, the limit cutting the newest; bodies of any length.
pub async fn the_quarantine_comes_back_oldest_first<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let bodies = ["short".to_owned(), "x".repeat(6_000), "y".repeat(50_000), "z".repeat(100_000)];
    let at = [30, -10, 20, 10];
    let entries: Vec<_> = bodies.iter().zip(at).map(|(body, at)| quarantined("s", body, at)).collect();
    put(&store, "acme", entries.clone()).await;
    let mut expected = entries;
    expected.sort_by_key(|entry| entry.at);
    for limit in 0..=5 {
        let found = store.quarantined("acme", limit).await.expect("reads");
        assert_eq!(found, expected[..limit.min(4)], "limit {limit}");
    }
}
