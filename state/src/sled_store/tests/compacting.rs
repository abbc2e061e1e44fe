//! A compacted directory holds what it held, in less space, whenever it is killed.

use std::{fs, path::Path};

use super::{
    commit,
    furnished::{content, copy, step},
    open,
};
use crate::{
    Commit, Entry, Epoch, OpenOptions, Store, StoreError, UnixMs, Version,
    sled_store::{compact::compact, trees::Tree},
};

#[tokio::test]
async fn a_compacted_state_holds_the_same_in_less_space_and_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("state");
    let store = open(&dir);
    for number in 0..45 {
        step(&store, number, 1000).await;
    }
    // Much that is then replaced by little.
    for (at, records, bytes) in [(1, 400, 20_000), (2, 1200, 20)] {
        let mut large = commit("acme", Epoch(1), 0, 1, vec![]);
        large.steps.clear();
        large.directory = (0..records)
            .map(|key| Entry {
                key: format!("large:{key}"),
                version: Version { rank: 2, at: UnixMs(at) },
                record: "r".repeat(bytes),
            })
            .collect();
        store.commit(large).await.unwrap();
    }
    let before = content(&store).await.unwrap();
    assert!(matches!(compact(&dir, &OpenOptions::default(), |_, _| ()), Err(StoreError::InUse { .. })));
    drop(store);

    let mut told = Vec::new();
    let compacted = compact(&dir, &OpenOptions::default(), |done, of| told.push((done, of))).unwrap();
    assert!(compacted.after < compacted.before / 2, "{compacted:?}");
    assert_eq!(told.last(), Some(&(compacted.rows, compacted.rows)));
    assert!(told.is_sorted() && compacted.rows > 1000);
    // 500 rows at a time, what is left of each tree, and twice at the end.
    assert!(told.windows(2).all(|two| two[1].0 - two[0].0 <= 500), "{told:?}");
    assert!(told.len() as u64 <= compacted.rows / 500 + Tree::ALL.len() as u64 + 2, "{told:?}");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing is left beside it");

    let store = open(&dir);
    assert_eq!(store.rolled_back(), None);
    assert!(content(&store).await.unwrap() == before);
    step(&store, 45, 1000).await;
    drop(store);
    assert_eq!(super::recorded(&dir), 48);
    assert!(open(&dir).rolled_back().is_none());
}

/// At every step, what is on disk is copied, which is what a kill would leave.
#[tokio::test]
async fn killed_at_any_step_the_old_or_the_new_state_is_there_whole() {
    let place = tempfile::tempdir().unwrap();
    let (live, killed) = (place.path().join("live"), place.path().join("killed"));
    let dir = live.join("state");
    let store = open(&dir);
    for number in 0..24 {
        step(&store, number, 50).await;
    }
    let expected = content(&store).await.unwrap();
    drop(store);
    let mut kills = 0;
    let at_each = |_, _| {
        kills += 1;
        copy(&live, &killed.join(kills.to_string()));
    };
    compact(&dir, &OpenOptions::default(), at_each).unwrap();
    assert!(kills >= 9, "{kills}");
    let mut beside = 0;
    for kill in 1..=kills {
        let (there, dir) = (killed.join(kill.to_string()), killed.join(kill.to_string()).join("state"));
        beside += usize::from(fs::read_dir(&there).unwrap().count() > 1);
        let store = open(&dir);
        assert_eq!(store.rolled_back(), None, "kill {kill}");
        assert!(content(&store).await.unwrap() == expected, "kill {kill}");
        assert_eq!(
            fs::read_dir(&there).unwrap().count(),
            1,
            "kill {kill}: what was left goes at the next open"
        );
        drop(store);
        compact(&dir, &OpenOptions::default(), |_, _| ()).unwrap();
    }
    assert!(beside >= 8, "{beside}");
}

#[tokio::test]
async fn a_state_that_went_backwards_still_says_so_when_it_is_compacted() {
    for record in [None, Some(""), Some("older")] {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("state");
        let store = open(&dir);
        let epoch = super::claim(&store, "acme").await;
        drop(store);
        copy(&dir, &place.path().join("older"));
        let next: Commit = commit("acme", epoch, 0, 1, vec![]);
        open(&dir).commit(next).await.unwrap();
        match record {
            None => fs::remove_file(dir.join("commit.json")).unwrap(),
            Some("older") => bring_back(&place.path().join("older"), &dir),
            Some(garbage) => fs::write(dir.join("commit.json"), garbage).unwrap(),
        }
        let told = |dir: &Path| open(dir).rolled_back().map(str::to_owned);
        let before = told(&dir);
        assert!(before.is_some());
        compact(&dir, &OpenOptions::default(), |_, _| ()).unwrap();
        assert_eq!(told(&dir), before);
        assert_eq!(super::claim(&open(&dir), "acme").await, Epoch(2));
        assert_eq!(told(&dir), None);
    }
}

/// Puts the older database under the newer record.
fn bring_back(older: &Path, dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with("snap.") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    for entry in fs::read_dir(older).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if entry.file_type().unwrap().is_file() && name != "commit.json" && name != "cursors.json" {
            fs::copy(entry.path(), dir.join(name)).unwrap();
        }
    }
}
