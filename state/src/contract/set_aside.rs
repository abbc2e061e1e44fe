//! Upload notes and the quarantine.

use super::{assert_fenced, claim, commit, hours, step, stored, token};
use crate::{
    Checkpoint, Epoch, Fingerprint, QuarantineId, Quarantined, Refused, Store, StoreError, UnixMs, UploadNote,
};

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

async fn held(store: &impl Store, tenant: &str) -> Vec<Quarantined> {
    let held = store.quarantined(tenant, 100).await.expect("reads");
    assert_eq!(store.quarantine_len(tenant).await.expect("reads"), held.len() as u64, "the count is right");
    held
}

fn unknown(body: &str) -> QuarantineId {
    QuarantineId { stream: "s".to_owned(), body: Fingerprint::of(body) }
}

#[track_caller]
fn assert_not_there(answer: &Result<(), StoreError>, id: &QuarantineId) {
    match answer {
        Err(StoreError::Refused(Refused::NotInQuarantine { id: named })) => assert_eq!(named, id),
        other => panic!("{other:?}"),
    }
}

/// By stream and body; the list has all, oldest first, the same body in two
/// streams being two entries under two ids.
pub async fn an_entry_is_found_by_its_id_and_listed_without_its_body<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let long = "x".repeat(20_000);
    let entries = [quarantined("s", "null", 3), quarantined("t", "null", 1), quarantined("s", &long, 2)];
    put(&store, "acme", entries.to_vec()).await;
    for entry in &entries {
        let found = store.quarantine_entry("acme", &entry.id()).await.expect("reads");
        assert_eq!(found.as_ref(), Some(entry));
        assert_eq!(store.quarantine_entry("other", &entry.id()).await.expect("reads"), None);
    }
    assert_eq!(store.quarantine_entry("acme", &unknown("never")).await.expect("reads"), None);
    let expected = [1, 2, 0].map(|at: usize| entries[at].clone().listed());
    assert_eq!(store.quarantine_list("acme").await.expect("reads"), expected);
    assert_eq!(store.quarantine_list("other").await.expect("reads"), []);
    assert_ne!(entries[0].id().to_string(), entries[1].id().to_string());
}

/// In the transaction of its steps; what comes again later is a new entry.
pub async fn a_commit_takes_out_what_it_releases_and_nothing_else<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let entries =
        [quarantined("s", &"x".repeat(20_000), 1), quarantined("t", "b", 2), quarantined("s", "c", 3)];
    put(&store, "acme", entries.to_vec()).await;
    put(&store, "other", entries.to_vec()).await;
    let run = claim(&store, "acme", &["s"]).await;
    let mut releasing = commit("acme", run.epoch, hours(1), vec![step("s", "a", "b")]);
    releasing.released = vec![entries[0].id(), entries[2].id()];
    store.commit(releasing).await.expect("commits");
    assert_eq!(held(&store, "acme").await, [entries[1].clone()]);
    assert_eq!(held(&store, "other").await, entries);
    assert_eq!(store.quarantine_entry("acme", &entries[0].id()).await.expect("reads"), None);
    let again = Quarantined { at: UnixMs(9), ..entries[0].clone() };
    put(&store, "acme", vec![again.clone()]).await;
    assert_eq!(held(&store, "acme").await, [entries[1].clone(), again]);
}

/// The entry is one before and one after, whatever its new time and reason.
pub async fn what_is_released_and_set_aside_again_stays_with_its_newest_reason<S: Store>(
    fresh: &impl Fn() -> S,
) {
    let store = fresh();
    let entry = quarantined("s", &"x".repeat(20_000), 5);
    for at in [5, 1, 9] {
        put(&store, "acme", vec![entry.clone()]).await;
        let run = claim(&store, "acme", &[]).await;
        let mut again = commit("acme", run.epoch, hours(1), vec![]);
        let newest = Quarantined { reason: "now known".to_owned(), at: UnixMs(at), ..entry.clone() };
        again.released = vec![entry.id()];
        again.quarantined = vec![newest.clone()];
        store.commit(again).await.expect("commits");
        assert_eq!(held(&store, "acme").await, [newest]);
    }
}

/// Someone else has taken the entry out, or the commit names it twice: then
/// nothing of the commit is written. A fenced run takes nothing out either.
pub async fn releasing_what_is_not_there_refuses_the_whole_commit<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let entries = [quarantined("s", "a", 1), quarantined("s", "b", 2)];
    put(&store, "acme", entries.to_vec()).await;
    let run = claim(&store, "acme", &["s"]).await;
    let ids = entries.each_ref().map(Quarantined::id);
    for (released, missing) in [
        (vec![ids[0].clone(), unknown("never")], unknown("never")),
        (vec![ids[0].clone(), ids[1].clone(), ids[0].clone()], ids[0].clone()),
    ] {
        let mut whole = commit("acme", run.epoch, hours(1), vec![step("s", "a", "b")]);
        whole.released = released;
        whole.quarantined = vec![quarantined("s", "c", 3)];
        assert_not_there(&store.commit(whole).await, &missing);
        assert_eq!(held(&store, "acme").await, entries);
        assert_eq!(stored(&store, "acme", "s").await, Some(Checkpoint::starting_at(token("a"))));
    }
    let newer = claim(&store, "acme", &[]).await.epoch;
    let mut late = commit("acme", run.epoch, hours(1), vec![]);
    late.released = vec![ids[0].clone()];
    assert_fenced(&store.commit(late).await, newer.0, run.epoch.0);
    assert_eq!(held(&store, "acme").await, entries);
}

/// No epoch is needed and none is raised: a run goes on.
pub async fn a_person_takes_out_all_that_is_named_or_nothing<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let entries =
        [quarantined("s", &"x".repeat(20_000), 1), quarantined("t", "b", 2), quarantined("s", "c", 3)];
    let ids = entries.each_ref().map(Quarantined::id);
    assert_not_there(&store.quarantine_drop("acme", vec![ids[0].clone()]).await, &ids[0]);
    put(&store, "acme", entries.to_vec()).await;
    let run = claim(&store, "acme", &["s"]).await;
    for ids in [vec![ids[0].clone(), unknown("never")], vec![unknown("never"), ids[0].clone()]] {
        assert_not_there(&store.quarantine_drop("acme", ids).await, &unknown("never"));
        assert_eq!(held(&store, "acme").await, entries);
    }
    let twice = store.quarantine_drop("acme", vec![ids[1].clone(), ids[1].clone()]).await;
    assert_not_there(&twice, &ids[1]);
    store.quarantine_drop("acme", vec![]).await.expect("drops nothing");
    store.quarantine_drop("acme", vec![ids[2].clone(), ids[0].clone()]).await.expect("drops");
    assert_eq!(held(&store, "acme").await, [entries[1].clone()]);
    assert_not_there(&store.quarantine_drop("acme", vec![ids[0].clone()]).await, &ids[0]);
    assert_ne!(run.epoch, Epoch(0));
    store.commit(commit("acme", run.epoch, hours(1), vec![step("s", "a", "b")])).await.expect("commits");
}
