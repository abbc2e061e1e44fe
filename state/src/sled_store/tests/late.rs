//! Damage to ids, which the open leaves out: found behind it, and never trusted.

use std::path::Path;

use super::{behind_the_back, claim, commit, ids, open};
use crate::{
    CursorsFile, Epoch, OpenOptions, SledStore, Store, StoreError, UnixMs,
    sled_store::{
        hours,
        overlay::Overlay,
        trees::{Rows, Tree, Trees},
        verify,
    },
};

const STEPS: u64 = 10;

/// Ten commits in ten hours, closed.
async fn furnished(dir: &Path) -> Epoch {
    let store = open(dir);
    let epoch = claim(&store, "acme").await;
    for number in 0..STEPS {
        store.commit(commit("acme", epoch, number, number as i64, vec![ids(number, 1000)])).await.unwrap();
    }
    store.checked().await.unwrap();
    epoch
}

/// Loses the row of ids of this number.
fn lose(dir: &Path, number: usize) {
    behind_the_back(dir, |db| {
        let seen = db.open_tree("seen").unwrap();
        let key = seen.iter().keys().nth(number).unwrap().unwrap();
        seen.remove(key).unwrap();
    });
}

#[tokio::test]
async fn ids_that_are_lost_are_missed_behind_the_open_though_nobody_reads_them() {
    let dir = tempfile::tempdir().unwrap();
    let epoch = furnished(dir.path()).await;
    lose(dir.path(), 4);
    let store = open(dir.path());
    let Err(StoreError::Damaged { what }) = store.checked().await else { panic!("not missed") };
    assert!(what.contains("tree `seen`, hour `acme") && what.contains("2 rows are left of it"), "{what}");
    // Nothing builds on it from here on.
    let refused = store.commit(commit("acme", epoch, STEPS, 11, vec![])).await;
    assert!(matches!(refused, Err(StoreError::Damaged { .. })), "{refused:?}");
    let read = store.checkpoints().await;
    assert!(matches!(read, Err(StoreError::Damaged { .. })), "{read:?}");
}

#[tokio::test]
async fn what_was_found_behind_an_open_is_healed_by_the_next_one() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("state");
    furnished(&dir).await;
    lose(&dir, 0);
    let heal = || SledStore::open_or_heal(&dir, OpenOptions::default(), UnixMs(0), "now", |known| known);
    let (store, healed) = heal().unwrap();
    assert_eq!(healed, None);
    store.checked().await.unwrap_err();
    let stood = CursorsFile::from_json(&std::fs::read_to_string(dir.join("cursors.json")).unwrap()).unwrap();
    drop(store);
    let (store, healed) = heal().unwrap();
    let healed = healed.unwrap();
    assert!(healed.damage.contains("tree `seen`"), "{healed:?}");
    assert_eq!(healed.cursors, stood);
    assert_eq!(store.checkpoints().await.unwrap(), stood.tenants);
    store.checked().await.unwrap();
}

/// A row that is lost, one that is back though it was removed, one more than there should be.
#[tokio::test]
async fn who_reads_ids_gets_all_of_them_or_an_error() {
    for case in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        furnished(dir.path()).await;
        behind_the_back(dir.path(), |db| {
            let (seen, hours) = (db.open_tree("seen").unwrap(), db.open_tree("hours").unwrap());
            let (newest, ids) = seen.last().unwrap().unwrap();
            match case {
                0 => drop(seen.remove(newest).unwrap()),
                1 => drop(hours.pop_max().unwrap()),
                _ => {
                    let mut key = newest.to_vec();
                    *key.last_mut().unwrap() += 1;
                    seen.insert(key, ids).unwrap();
                }
            }
        });
        match SledStore::open(dir.path(), OpenOptions::default()) {
            // What the ids should add up to is among what the open reads.
            Err(StoreError::Damaged { .. }) if case == 1 => {}
            Err(other) => panic!("{case}: {other}"),
            Ok(store) => {
                for at_least in [Some(1), None] {
                    let read = store.seen("acme", "s", at_least).await;
                    assert!(matches!(read, Err(StoreError::Damaged { .. })), "{case}: {read:?}");
                }
            }
        }
        let found = verify(dir.path(), &OpenOptions::default()).unwrap();
        assert!(found.missing.is_some(), "{case}: {found:?}");
    }
}

/// Pruning takes rows out of the sum of their hour. What is left in the end shows what was wrong with them.
#[tokio::test]
async fn a_bent_row_is_noticed_when_it_is_pruned() {
    let dir = tempfile::tempdir().unwrap();
    furnished(dir.path()).await;
    let remove_hour = |trees: &Trees| {
        let mut overlay = Overlay::over(trees);
        let oldest = trees.scan(Tree::Hours, &[]).next().unwrap().unwrap().0;
        for row in trees.scan(Tree::Seen, &oldest) {
            overlay.remove_row(Tree::Seen, row.unwrap().0.to_vec());
        }
        overlay.accept();
        hours::keep_up(&mut overlay).map(|()| overlay.get(Tree::Hours, &oldest).unwrap())
    };
    behind_the_back(dir.path(), |db| {
        let trees = Trees::open(db).unwrap();
        assert_eq!(remove_hour(&trees).unwrap(), None);
        let (key, mut ids) = db.open_tree("seen").unwrap().first().unwrap().unwrap();
        ids[7] ^= 1;
        db.open_tree("seen").unwrap().insert(key, ids).unwrap();
        let Err(StoreError::Damaged { what }) = remove_hour(&trees) else { panic!("pruned in silence") };
        assert!(what.contains("the last row of the hour goes"), "{what}");
    });
}

#[tokio::test]
async fn a_store_that_is_closed_does_not_wait_for_its_ids_to_be_read() {
    let dir = tempfile::tempdir().unwrap();
    furnished(dir.path()).await;
    for _ in 0..20 {
        drop(open(dir.path()));
    }
    open(dir.path()).checked().await.unwrap();
}
