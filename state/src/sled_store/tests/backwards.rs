//! Finding out that the state went backwards, and going on from there.

use std::{fs, path::Path};

use super::{claim, commit, ids, open, recorded};
use crate::{CursorsFile, Epoch, OpenOptions, SledStore, Store, StoreError, sled_store::record::Record};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// A directory with a claim and `commits` commits, closed.
async fn directory_with(dir: &Path, commits: u64) -> Epoch {
    let store = open(dir);
    let epoch = claim(&store, "acme").await;
    for number in 0..commits {
        store.commit(commit("acme", epoch, number, 1, vec![ids(number, 10)])).await.unwrap();
    }
    epoch
}

#[tokio::test]
async fn an_older_database_under_a_newer_record_is_reported_and_read_on_from() {
    let dir = tempfile::tempdir().unwrap();
    let (live, backup) = (dir.path().join("live"), dir.path().join("backup"));
    let epoch = directory_with(&live, 5).await;
    copy(&live, &backup);
    {
        let store = open(&live);
        store.commit(commit("acme", epoch, 5, 1, vec![])).await.unwrap();
        store.commit(commit("acme", epoch, 6, 1, vec![])).await.unwrap();
    }
    fs::copy(live.join("commit.json"), backup.join("commit.json")).unwrap();

    // The report stays until there is something newer to record.
    for _ in 0..2 {
        let store = open(&backup);
        let report = store.rolled_back().unwrap();
        assert!(report.contains("at commit 6") && report.contains("commit 8"), "{report}");
        assert_eq!(recorded(&backup), 8);
    }
    let store = open(&backup);
    assert_eq!(store.checkpoints().await.unwrap()["acme"]["s"].commits, 5);
    store.commit(commit("acme", epoch, 5, 1, vec![])).await.unwrap();
    // The number goes on from the highest one ever given.
    assert_eq!(recorded(&backup), 9);
    drop(store);
    assert_eq!(open(&backup).rolled_back(), None);
}

/// A new database in its place would hide that there ever was one.
#[tokio::test]
async fn a_lost_database_under_a_record_or_beside_cursors_is_damage() {
    let check = async |keep: fn(&str) -> bool, expect: &str| {
        let dir = tempfile::tempdir().unwrap();
        directory_with(dir.path(), 2).await;
        for entry in fs::read_dir(dir.path()).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if entry.file_type().unwrap().is_file() && !keep(&name) {
                fs::remove_file(entry.path()).unwrap();
            }
        }
        match SledStore::open(dir.path(), OpenOptions::default()) {
            Err(StoreError::Damaged { what }) => assert!(what.contains(expect), "{what}"),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("opened without {expect}"),
        }
    };
    check(|name| name != "db", "commit 3 was made durable").await;
    check(|name| name == "commit.json", "commit 3 was made durable").await;
    check(|name| name == "cursors.json", "`cursors.json` knows of cursors").await;
}

/// A database that was never committed to, under a record that knows better.
#[tokio::test]
async fn an_empty_database_under_a_record_of_commits_is_damage() {
    let (dir, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    directory_with(dir.path(), 2).await;
    drop(open(new.path()));
    fs::copy(dir.path().join("commit.json"), new.path().join("commit.json")).unwrap();
    match SledStore::open(new.path(), OpenOptions::default()) {
        Err(StoreError::Damaged { what }) => {
            assert!(what.ends_with("db: it is empty, but commit 3 was made durable"), "{what}")
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("opened"),
    }
    // Nobody is missing from a list of nobody.
    fs::remove_file(new.path().join("commit.json")).unwrap();
    fs::write(new.path().join("cursors.json"), CursorsFile::default().to_json()).unwrap();
    drop(open(new.path()));
}

#[tokio::test]
async fn a_record_that_is_behind_is_what_a_crash_leaves_and_no_report() {
    let dir = tempfile::tempdir().unwrap();
    directory_with(dir.path(), 3).await;
    let behind = serde_json::to_vec(&Record::new(2, 3)).unwrap();
    fs::write(dir.path().join("commit.json"), behind).unwrap();
    let store = open(dir.path());
    assert_eq!(store.rolled_back(), None);
    assert_eq!(store.checkpoints().await.unwrap()["acme"]["s"].commits, 3);
    claim(&store, "acme").await;
    assert_eq!(recorded(dir.path()), 5);
}

#[tokio::test]
async fn a_missing_or_damaged_record_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let record = dir.path().join("commit.json");
    for bent in [
        None,
        Some(""),
        Some("{}"),
        Some(r#"{"format":1,"commits":1,"crc32":1}"#),
        Some(r#"{"format":2,"commits":[1]}"#),
    ] {
        directory_with(dir.path(), 0).await;
        match bent {
            None => fs::remove_file(&record).unwrap(),
            Some(text) => fs::write(&record, text).unwrap(),
        }
        let store = open(dir.path());
        let report = store.rolled_back().unwrap();
        assert!(report.contains("commit.json"), "{report}");
        claim(&store, "acme").await;
        drop(store);
        assert_eq!(open(dir.path()).rolled_back(), None);
    }
}

#[test]
fn a_new_directory_has_not_gone_backwards() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(open(dir.path()).rolled_back(), None);
    // Nor if the process ended before it wrote its first record.
    fs::remove_file(dir.path().join("commit.json")).unwrap();
    assert_eq!(open(dir.path()).rolled_back(), None);
    assert_eq!(recorded(dir.path()), 0);
}

/// Opens a damaged copy and reads all of it: everything is there, or it is said
/// that something is not.
async fn assert_not_taken_for_whole(dir: &Path, how: &str) {
    let damaged = |error: StoreError| assert!(matches!(error, StoreError::Damaged { .. }), "{how}: {error}");
    let store = match SledStore::open(dir, OpenOptions::default()) {
        Ok(store) => store,
        Err(error) => return damaged(error),
    };
    let (checkpoints, seen) = (store.checkpoints().await, store.seen("acme", "s", None).await);
    match (checkpoints, seen) {
        (Err(error), _) | (_, Err(error)) => damaged(error),
        (Ok(checkpoints), Ok(seen)) => {
            let commits = checkpoints.get("acme").map(|streams| streams["s"].commits);
            let whole = commits == Some(40) && seen.len() == 400;
            assert!(whole || store.rolled_back().is_some(), "{how}: {commits:?}, {} ids", seen.len());
        }
    }
}

#[tokio::test]
async fn a_cut_database_is_never_taken_for_whole() {
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("live");
    directory_with(&live, 40).await;
    let whole = fs::metadata(live.join("db")).unwrap().len();
    for eighths in 0..8 {
        let cut = dir.path().join(format!("cut at {eighths}"));
        copy(&live, &cut);
        let file = fs::OpenOptions::new().write(true).open(cut.join("db")).unwrap();
        file.set_len(whole * eighths / 8).unwrap();
        drop(file);
        assert_not_taken_for_whole(&cut, &format!("cut at {eighths}/8")).await;
    }
}

#[tokio::test]
async fn a_bent_database_is_never_taken_for_whole() {
    let dir = tempfile::tempdir().unwrap();
    let live = dir.path().join("live");
    directory_with(&live, 40).await;
    let whole = fs::read(live.join("db")).unwrap();
    // Behind the last byte that says something there are only zeros.
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap();
    for place in 0..60 {
        let bent = dir.path().join(format!("bent at {place}"));
        copy(&live, &bent);
        let mut bytes = whole.clone();
        let at = end * place / 60;
        bytes[at] ^= 0x55;
        fs::write(bent.join("db"), bytes).unwrap();
        assert_not_taken_for_whole(&bent, &format!("bent at {at} of {end}")).await;
    }
}
