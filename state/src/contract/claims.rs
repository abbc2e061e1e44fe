//! Claiming a tenant, and staying its run.

use super::{assert_fenced, claim, commit, hours, step, stored, token};
use crate::{Checkpoint, Cursor, Epoch, Store, UnixMs, UploadNote};

/// A new tenant has epoch 1, no earlier run, no uploads, and the given first cursors, stored.
pub async fn a_first_claim_starts_every_stream_where_it_was_told<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let first = [("s".to_owned(), Cursor::Since(UnixMs(-5))), ("t".to_owned(), token("t0"))];
    let claim = store.claim("acme", &first, hours(1)).await.expect("claims");
    assert_eq!(claim.epoch, Epoch(1));
    assert_eq!(claim.active_until, None);
    assert_eq!(claim.unsettled, []);
    for (stream, cursor) in first {
        let expected = Checkpoint::starting_at(cursor);
        assert_eq!(claim.checkpoints.get(&stream), Some(&expected));
        assert_eq!(self::stored(&store, "acme", &stream).await, Some(expected));
    }
    assert_eq!(claim.checkpoints.len(), 2);
}

/// `first` is for streams that were never seen; the others stand where they stand.
pub async fn a_later_claim_returns_what_is_stored_under_a_higher_epoch<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let run = claim(&store, "acme", &["s"]).await;
    store.commit(commit("acme", run.epoch, hours(1), vec![step("s", "a", "b")])).await.expect("commits");
    let later = claim(&store, "acme", &["s", "new"]).await;
    assert_eq!(later.epoch, Epoch(run.epoch.0 + 1));
    assert_eq!(later.checkpoints["s"].cursor, token("b"));
    assert_eq!(later.checkpoints["s"].commits, 1);
    assert_eq!(later.checkpoints["new"], Checkpoint::starting_at(token("a")));
}

/// A stream that is configured away for a while is found where it was.
pub async fn a_claim_leaves_streams_it_does_not_name_untouched<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let run = claim(&store, "acme", &["s", "t"]).await;
    let steps = vec![step("s", "a", "s1"), step("t", "a", "t1")];
    store.commit(commit("acme", run.epoch, hours(1), steps)).await.expect("commits");
    let before = stored(&store, "acme", "t").await;
    let later = claim(&store, "acme", &["s"]).await;
    assert_eq!(later.checkpoints.keys().collect::<Vec<_>>(), ["s"]);
    assert_eq!(stored(&store, "acme", "t").await, before);
    assert_eq!(claim(&store, "acme", &["t"]).await.checkpoints["t"].cursor, token("t1"));
}

/// A run is active until its claim, renewal or release says; a claim never
/// shortens what an earlier run announced, because that run may still live.
pub async fn a_claim_tells_until_when_earlier_runs_may_be_active<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let claim_at = async |at: i64| store.claim("acme", &[], UnixMs(at)).await.expect("claims");
    let first = claim_at(100).await;
    assert_eq!(first.active_until, None);
    let second = claim_at(110).await;
    assert_eq!(second.active_until, Some(UnixMs(100)));
    store.renew("acme", second.epoch, UnixMs(200)).await.expect("renews");
    let third = claim_at(150).await;
    assert_eq!(third.active_until, Some(UnixMs(200)));
    // The third run dies before it renews; the second may still be active.
    let fourth = claim_at(160).await;
    assert_eq!(fourth.active_until, Some(UnixMs(200)));
    store.renew("acme", fourth.epoch, UnixMs(300)).await.expect("renews");
    store.release("acme", fourth.epoch, UnixMs(250)).await.expect("releases");
    let told = async |tenant: &str| store.active_until(tenant).await.expect("reads");
    assert_eq!((told("acme").await, told("other").await), (Some(UnixMs(250)), None));
    assert_eq!(claim_at(260).await.active_until, Some(UnixMs(250)));
}

/// Fenced is fenced, in every call; and a fenced call changes nothing.
pub async fn an_older_run_can_neither_renew_nor_release_nor_note_an_upload<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let old = store.claim("acme", &[], UnixMs(10)).await.expect("claims");
    let new = store.claim("acme", &[], UnixMs(20)).await.expect("claims");
    let note = UploadNote { name: "job".to_owned(), note: "{}".to_owned() };
    assert_fenced(&store.renew("acme", old.epoch, UnixMs(1_000)).await, 2, 1);
    assert_fenced(&store.release("acme", old.epoch, UnixMs(1_000)).await, 2, 1);
    assert_fenced(&store.note_upload("acme", old.epoch, note.clone()).await, 2, 1);
    store
        .note_upload("acme", new.epoch, UploadNote { name: "other".to_owned(), ..note })
        .await
        .expect("notes");
    let claim = store.claim("acme", &[], UnixMs(30)).await.expect("claims");
    assert_eq!(claim.active_until, Some(UnixMs(20)));
    assert_eq!(claim.unsettled.iter().map(|note| note.name.as_str()).collect::<Vec<_>>(), ["other"]);
}

/// Without a claim there is no run, and no epoch that would do.
pub async fn a_tenant_never_claimed_admits_nobody<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    for epoch in [0, 1] {
        assert_fenced(&store.renew("acme", Epoch(epoch), hours(1)).await, 0, epoch);
        assert_fenced(&store.commit(commit("acme", Epoch(epoch), hours(1), vec![])).await, 0, epoch);
    }
    assert!(store.checkpoints().await.expect("reads").is_empty());
}
