//! What a process finds that comes after.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc,
    },
    time::Duration,
};

use super::{OpenOptions, SledStore, claim, commit, ids, open, recorded, token};
use crate::{
    Entry, InventoryChange, ListedItem, ListedVault, Quarantined, Store, UnixMs, UploadNote, Version,
    sled_store::Thread,
};

#[tokio::test]
async fn everything_is_found_again_after_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let epoch = claim(&store, "acme").await;
    let mut whole = commit("acme", epoch, 0, 1, vec![ids(1, 1000), ids(2, 3)]);
    whole.directory = vec![Entry {
        key: "user".to_owned(),
        version: Version { rank: 2, at: UnixMs(-1) },
        record: "r".repeat(20_000),
    }];
    whole.quarantined = vec![Quarantined {
        stream: "s".to_owned(),
        reason: "no uuid".to_owned(),
        body: "b".repeat(20_000),
        at: UnixMs(3),
    }];
    let vault = ListedVault {
        id: "v".repeat(200),
        attribute_version: None,
        content_version: Some(u64::MAX),
        details: true,
        missing: 2,
        ..ListedVault::default()
    };
    let item = ListedItem { vault: vault.id.clone(), id: "i".repeat(200), version: u64::MAX, details: true };
    whole.inventory = vec![InventoryChange::Vault(vault.clone()), InventoryChange::Item(item.clone())];
    let note = UploadNote { name: "job".to_owned(), note: "{}".to_owned() };
    store.note_upload("acme", epoch, note.clone()).await.unwrap();
    store.commit(whole.clone()).await.unwrap();
    let checkpoints = store.checkpoints().await.unwrap();
    drop(store);

    let store = open(dir.path());
    assert_eq!(store.rolled_back(), None);
    assert_eq!(store.checkpoints().await.unwrap(), checkpoints);
    assert_eq!(store.seen("acme", "s", None).await.unwrap().len(), 1003);
    let keys = vec!["user".to_owned()];
    assert_eq!(store.directory("acme", keys).await.unwrap(), [Some(whole.directory.remove(0))]);
    assert_eq!(store.quarantined("acme", 9).await.unwrap(), whole.quarantined);
    assert_eq!(store.listed_items("acme", &vault.id).await.unwrap(), [item]);
    assert_eq!(store.listed_vaults("acme").await.unwrap(), [vault]);
    let claim = store.claim("acme", &[("s".to_owned(), token(77))], UnixMs(9)).await.unwrap();
    assert_eq!(claim.epoch.0, epoch.0 + 1);
    assert_eq!(claim.checkpoints["s"].cursor, token(1));
    assert_eq!(claim.unsettled, [note]);
    assert_eq!(claim.active_until, Some(UnixMs(0)));
}

#[tokio::test]
async fn the_number_of_commits_goes_on_after_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    for reopened in 0..20 {
        let store = open(dir.path());
        assert_eq!(store.rolled_back(), None);
        assert_eq!(recorded(dir.path()), 2 * reopened);
        let epoch = claim(&store, "acme").await;
        store.commit(commit("acme", epoch, reopened, 1, vec![])).await.unwrap();
    }
}

#[tokio::test]
async fn a_dropped_store_can_be_opened_again_at_once_even_if_it_was_busy() {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..30 {
        let store = open(dir.path());
        let epoch = claim(&store, "acme").await;
        // Asked for and given up: the committer is still at it when the handle goes.
        let asked = store.commit(commit("acme", epoch, number, 1, vec![ids(number, 20_000)]));
        let given_up = is_pending_at_first(asked);
        drop(store);
        assert!(given_up, "nothing answers before the disk has");
        let reopened = open(dir.path());
        assert_eq!(reopened.checkpoints().await.unwrap()["acme"]["s"].cursor, token(number + 1));
    }
}

/// Polls a future once; whether it was not done yet.
fn is_pending_at_first(future: impl Future) -> bool {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    std::pin::pin!(future).poll(&mut context).is_pending()
}

#[tokio::test]
async fn what_is_made_is_for_the_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("deeper/state");
    let check = || {
        let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&inner), 0o700);
        let mut files = 0;
        for entry in fs::read_dir(&inner).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(mode(&path), if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
            files += 1;
        }
        assert!(files >= 4);
    };
    for _ in 0..2 {
        let store = open(&inner);
        claim(&store, "acme").await;
        check();
    }
    check();
}

/// Nothing of a store goes on behind the back of whoever dropped it.
#[test]
fn a_thread_of_the_store_is_waited_for_however_long_it_takes() {
    let ended = Arc::new(AtomicBool::new(false));
    let (never, waits) = mpsc::channel::<()>();
    let thread = Thread::start("waits", {
        let ended = Arc::clone(&ended);
        move || {
            let _ = waits.recv_timeout(Duration::from_millis(50));
            ended.store(true, Relaxed);
        }
    });
    drop(thread.unwrap());
    assert!(ended.load(Relaxed));
    drop(never);
}

/// Such as a home directory that others may only pass through. (Root may list everything.)
#[test]
fn a_state_below_a_folder_that_may_not_be_listed_opens() {
    let place = tempfile::tempdir().unwrap();
    let (private, mode) = (place.path().join("private"), fs::Permissions::from_mode);
    fs::create_dir(&private).unwrap();
    fs::create_dir(private.join("state")).unwrap();
    fs::set_permissions(&private, mode(0o311)).unwrap();
    let opened = SledStore::open(&private.join("state"), OpenOptions::default()).map(drop);
    fs::set_permissions(&private, mode(0o700)).unwrap();
    opened.unwrap();
}

#[tokio::test]
async fn a_call_after_the_caller_gave_up_on_another_still_answers() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let epoch = claim(&store, "acme").await;
    {
        let given_up = store.commit(commit("acme", epoch, 0, 1, vec![]));
        tokio::pin!(given_up);
        // Polled once, so that the request is on its way, then dropped.
        tokio::select! {
            biased;
            _ = &mut given_up => {}
            () = std::future::ready(()) => {}
        }
    }
    store.commit(commit("acme", epoch, 1, 1, vec![])).await.unwrap();
    assert_eq!(store.checkpoints().await.unwrap()["acme"]["s"].commits, 2);
}
