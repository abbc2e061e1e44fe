//! One process at a time.

use std::{fs, process::Command};

use super::{OpenOptions, SledStore, claim, open};
use crate::StoreError;

const DIR: &str = "OPGRAPH_STATE_TEST_LOCKED_DIR";

#[track_caller]
fn assert_in_use(dir: &std::path::Path) {
    match SledStore::open(dir, OpenOptions::default()) {
        Err(StoreError::InUse { path }) => assert_eq!(path, dir.display().to_string()),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("opened twice"),
    }
}

#[tokio::test]
async fn a_second_open_in_the_same_process_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_in_use(dir.path());
    let pid = fs::read_to_string(dir.path().join("lock")).unwrap();
    assert_eq!(pid.trim(), std::process::id().to_string());
    claim(&store, "acme").await;
}

/// Runs itself in a second process, which finds the variable set.
#[test]
fn a_second_process_is_told_at_once() {
    if let Some(dir) = std::env::var_os(DIR) {
        assert_in_use(dir.as_ref());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let _store = open(dir.path());
    let mut second = Command::new(std::env::current_exe().unwrap());
    let name = "sled_store::tests::locking::a_second_process_is_told_at_once";
    let output = second.args(["--exact", name]).env(DIR, dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
async fn the_directory_is_free_as_soon_as_the_last_handle_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..30 {
        let store = open(dir.path());
        claim(&store, "acme").await;
        let clone = store.clone();
        drop(store);
        assert_in_use(dir.path());
        drop(clone);
    }
}

/// Whoever waits for the end of the others' handles, finds all of it written.
#[tokio::test]
async fn a_closed_store_is_written_whole_and_free_however_late_others_let_go_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    claim(&store, "acme").await;
    let held = store.clone();
    let closed = tokio::spawn(store.closed());
    tokio::task::yield_now().await;
    assert!(!closed.is_finished());
    assert_in_use(dir.path());
    drop(held);
    closed.await.unwrap();
    let cursors = fs::read_to_string(dir.path().join("cursors.json")).unwrap();
    assert!(cursors.contains("acme"), "{cursors}");
    drop(open(dir.path()));
}

#[test]
fn somebody_else_in_the_database_is_in_use_too() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let db = fs::File::open(dir.path().join("db")).unwrap();
    db.try_lock().unwrap();
    assert_in_use(dir.path());
}

#[test]
fn a_failed_open_leaves_the_directory_free() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let record = dir.path().join("commit.json");
    let good = fs::read(&record).unwrap();
    let crc = super::super::record::Record::new(99, 0);
    fs::write(&record, serde_json::to_vec(&crc).unwrap()).unwrap();
    assert!(SledStore::open(dir.path(), OpenOptions::default()).is_err());
    fs::write(&record, good).unwrap();
    drop(open(dir.path()));
}
