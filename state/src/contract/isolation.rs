//! Tenants and streams side by side.

use super::{claim, commit, entry, hours, ids, seen_of, step, token};
use crate::{Cursor, Epoch, Quarantined, Step, Store, UploadNote};

/// Names that a careless key would take for one another.
fn names() -> Vec<String> {
    let long = "n".repeat(300);
    let plain = ["", "a", "aa", "b", "ab", "a/b", "a\0", "a\0b", "\0", "\0\0", "a\0\0b", "\u{1}", "\0\u{1}"];
    let mut names: Vec<_> = plain.map(str::to_owned).into();
    names.extend(["é", "日本", "🔑", "%61", "a ", "A"].map(str::to_owned));
    names.extend([format!("{long}1"), format!("{long}2"), long]);
    names
}

/// Whatever two tenants or streams are called, each has what was committed for it.
pub async fn tenants_and_streams_never_mix_whatever_their_names<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let names = names();
    let number = |tenant: usize, stream: usize| (tenant * 100 + stream) as u32;
    for (t, tenant) in names.iter().enumerate() {
        let first: Vec<_> = names.iter().map(|stream| (stream.clone(), token("a"))).collect();
        let run = store.claim(tenant, &first, hours(0)).await.expect("claims");
        assert_eq!(run.epoch, Epoch(1), "{tenant:?}");
        let steps = names.iter().enumerate().map(|(s, stream)| Step {
            seen: vec![ids(number(t, s)..number(t, s) + 1)],
            ..step(stream, "a", &format!("{t} {s}"))
        });
        let mut whole = commit(tenant, run.epoch, hours(1), steps.collect());
        whole.directory = names.iter().map(|key| entry(key, 2, t as i64, tenant)).collect();
        whole.quarantined = vec![Quarantined {
            stream: tenant.clone(),
            reason: String::new(),
            body: tenant.clone(),
            at: hours(t as i64),
        }];
        store.commit(whole).await.expect("commits");
        let note = UploadNote { name: tenant.clone(), note: t.to_string() };
        store.note_upload(tenant, run.epoch, note).await.expect("notes");
    }
    // One tenant's rewind is nobody else's.
    store.rewind(&names[1], &names[2], Cursor::Since(hours(0)), hours(2)).await.expect("rewinds");
    let all = store.checkpoints().await.expect("reads");
    assert_eq!(all.len(), names.len());
    for (t, tenant) in names.iter().enumerate() {
        assert_eq!(all[tenant].len(), names.len());
        for (s, stream) in names.iter().enumerate() {
            let expected = match (t, s) {
                (1, 2) => Cursor::Since(hours(0)),
                _ => token(&format!("{t} {s}")),
            };
            assert_eq!(all[tenant][stream].cursor, expected, "{tenant:?} {stream:?}");
            assert_eq!(seen_of(&store, tenant, stream).await, ids(number(t, s)..number(t, s) + 1));
        }
        let expected: Vec<_> = names.iter().map(|key| Some(entry(key, 2, t as i64, tenant))).collect();
        assert_eq!(store.directory(tenant, names.clone()).await.expect("reads"), expected);
        let set_aside = store.quarantined(tenant, 9).await.expect("reads");
        assert_eq!(set_aside.iter().map(|entry| &entry.body).collect::<Vec<_>>(), [tenant]);
        assert_eq!(store.quarantine_len(tenant).await.expect("reads"), 1);
        let next = claim(&store, tenant, &[]).await;
        assert_eq!(next.epoch, Epoch(if t == 1 { 3 } else { 2 }));
        assert_eq!(next.unsettled, [UploadNote { name: tenant.clone(), note: t.to_string() }]);
    }
}

/// A clone is the same store, not a copy of it.
pub async fn clones_of_a_handle_share_the_store<S: Store + Clone>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let run = claim(&store.clone(), "acme", &["s"]).await;
    store.commit(commit("acme", run.epoch, hours(1), vec![step("s", "a", "b")])).await.expect("commits");
    assert_eq!(claim(&store.clone(), "acme", &["s"]).await.checkpoints["s"].cursor, token("b"));
}
