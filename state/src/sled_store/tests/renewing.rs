//! A database that is opened anew between commits.

use std::{fs, path::Path};

use super::{
    claim, commit,
    furnished::{content, step},
    ids, open, open_renewing,
};
use crate::{Fingerprint, OpenOptions, SledStore, Store, StoreError};

/// How much of its log sled remembers: its snapshot has the name of that number.
fn remembered(dir: &Path) -> u64 {
    let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let snapshot = names.filter_map(|name| u64::from_str_radix(name.strip_prefix("snap.")?, 16).ok());
    snapshot.max().unwrap_or(0)
}

#[tokio::test]
async fn a_database_that_is_opened_anew_holds_what_it_held() {
    let (often, never) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (renewing, other) = (open_renewing(often.path(), 1), open(never.path()));
    let mut last = 0;
    for number in 0..40 {
        step(&renewing, number, 1000).await;
        step(&other, number, 1000).await;
        // It is opened anew behind the answer; the next answer is behind that.
        let found: [Fingerprint; 2] = [content(&renewing).await.unwrap(), content(&other).await.unwrap()];
        assert_eq!(found[0], found[1], "step {number}");
        let now = remembered(often.path());
        assert!(now >= last, "step {number}");
        last = now;
    }
    assert!(last > 2_000_000, "{last} bytes of the log are remembered");
    assert!(remembered(never.path()) < 100_000, "nothing is remembered but at an open");
    drop(renewing);
    let again = open(often.path());
    assert_eq!(content(&again).await.unwrap(), content(&other).await.unwrap());
    assert_eq!(again.rolled_back(), None);
}

/// What a start after a kill reads of the log does not depend on how long the store was open.
#[tokio::test]
async fn a_log_that_grows_is_remembered_by_and_by() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_renewing(dir.path(), 200_000);
    let epoch = claim(&store, "acme").await;
    let mut changed = 0;
    let mut last = remembered(dir.path());
    for number in 0..100 {
        store.commit(commit("acme", epoch, number, 1, vec![ids(number, 1000)])).await.unwrap();
        let now = remembered(dir.path());
        changed += usize::from(now != last);
        last = now;
    }
    // 1.6 MB of ids, and what goes with them.
    assert!((7..=12).contains(&changed), "{changed} times");
}

#[tokio::test]
async fn a_database_that_was_damaged_while_it_was_open_is_found_out_when_it_is_opened_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_renewing(dir.path(), 200_000);
    let epoch = claim(&store, "acme").await;
    let more =
        async |number: u64| store.commit(commit("acme", epoch, number, 1, vec![ids(number, 1000)])).await;
    for number in 0..5 {
        more(number).await.unwrap();
    }
    let path = dir.path().join("db");
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    (100..end).step_by(512).for_each(|at| bytes[at] ^= 0x10);
    // Into the same file, which sled has open.
    fs::write(&path, bytes).unwrap();
    let mut number = 5;
    let told = loop {
        assert!(number < 30, "it was never opened anew");
        // What sled has in memory is whole until then.
        match more(number).await {
            Ok(()) => number += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(told, StoreError::Damaged { .. }), "{told:?}");
    drop(store);
    match SledStore::open(dir.path(), OpenOptions::default()) {
        Err(StoreError::Damaged { .. }) => {}
        Err(other) => panic!("{other}"),
        Ok(store) => assert!(store.rolled_back().is_some(), "damaged, and not a word"),
    }
}
