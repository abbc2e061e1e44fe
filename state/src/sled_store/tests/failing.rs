//! After a failed write.

use std::{error::Error, fs};

use super::{claim, commit, ids, open, recorded, token};
use crate::{Store, StoreError, UnixMs, UploadNote};

/// The record is written last, so a directory in the place of its new file fails
/// a commit whose rows are written: the worst place to fail in.
#[tokio::test]
async fn after_a_failed_write_every_call_answers_with_the_failure_and_nothing_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let epoch = claim(&store, "acme").await;
    let in_the_way = dir.path().join("commit.json.new");
    fs::create_dir(&in_the_way).unwrap();
    let fails = |error: Option<StoreError>| match error {
        Some(error @ StoreError::Io { .. }) => {
            assert!(error.to_string().starts_with("cannot write `"), "{error}");
            assert!(error.source().unwrap().to_string().contains("directory"), "{:?}", error.source());
        }
        other => panic!("{other:?}"),
    };
    fails(store.commit(commit("acme", epoch, 0, 1, vec![ids(1, 9)])).await.err());
    // It would work now. It is not tried.
    fs::remove_dir(&in_the_way).unwrap();
    fails(store.commit(commit("acme", epoch, 0, 1, vec![])).await.err());
    fails(store.claim("acme", &[], UnixMs(1)).await.err());
    fails(store.renew("acme", epoch, UnixMs(1)).await.err());
    fails(store.release("acme", epoch, UnixMs(1)).await.err());
    fails(store.rewind("acme", "s", token(0), UnixMs(1)).await.err());
    let note = UploadNote { name: String::new(), note: String::new() };
    fails(store.note_upload("acme", epoch, note).await.err());
    fails(store.seen("acme", "s", None).await.err());
    fails(store.directory("acme", vec![]).await.err());
    fails(store.directory_shard("acme", 0).await.err());
    fails(store.quarantined("acme", 1).await.err());
    fails(store.quarantine_len("acme").await.err());
    fails(store.quarantine_list("acme").await.err());
    fails(store.quarantine_drop("acme", vec![]).await.err());
    fails(store.checkpoints().await.err());
    assert_eq!(recorded(dir.path()), 1);
    drop(store);

    // The next process reads what the disk really holds.
    let store = open(dir.path());
    assert_eq!(store.rolled_back(), None);
    let stands = store.claim("acme", &[("s".to_owned(), token(0))], UnixMs(1)).await.unwrap();
    assert!([token(0), token(1)].contains(&stands.checkpoints["s"].cursor));
}

#[tokio::test]
async fn a_refusal_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let epoch = claim(&store, "acme").await;
    assert!(store.commit(commit("acme", epoch, 7, 1, vec![])).await.is_err());
    // Nothing was written, so there is nothing to make durable.
    assert_eq!(recorded(dir.path()), 1);
    store.commit(commit("acme", epoch, 0, 1, vec![])).await.unwrap();
    assert_eq!(recorded(dir.path()), 2);
}
