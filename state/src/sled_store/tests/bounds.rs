//! What does not grow.

use std::{fs, path::Path, time::UNIX_EPOCH};

use super::{behind_the_back, claim, commit, ids, open};
use crate::{
    Entry, InventoryChange, ListedItem, ListedVault, Quarantined, Store, UnixMs, Version,
    sled_store::rows::ROW_BYTES,
};

fn db_bytes(dir: &Path) -> u64 {
    fs::metadata(dir.join("db")).unwrap().len()
}

fn rows_of(dir: &Path, tree: &str) -> Vec<sled::IVec> {
    behind_the_back(dir, |db| db.open_tree(tree).unwrap().iter().values().map(Result::unwrap).collect())
}

/// 600 hours of 20,000 ids each: the rows of 73 of them stay, and the file stays
/// at a multiple of that.
#[tokio::test]
async fn a_long_run_leaves_only_the_horizon_and_the_file_stops_growing() {
    let dir = tempfile::tempdir().unwrap();
    let mut grown = Vec::new();
    {
        let store = open(dir.path());
        let epoch = claim(&store, "acme").await;
        for hour in 0..600 {
            let pages = (0..20).map(|page| ids(hour * 20 + page, 1000)).collect();
            store.commit(commit("acme", epoch, hour, hour as i64, pages)).await.unwrap();
            if hour % 100 == 99 {
                grown.push(db_bytes(dir.path()));
            }
        }
        assert_eq!(store.seen("acme", "s", None).await.unwrap().len(), 73 * 20_000);
    }
    // 73 hours of ids are 23 MB; 600 would be 192 MB.
    assert!(grown.iter().all(|bytes| *bytes < 100 << 20), "{grown:?}");
    assert!(grown[5] < grown[2] + grown[2] / 4, "{grown:?}");
    assert_eq!(rows_of(dir.path(), "seen").len(), 73 * 20 * 3);
}

/// More old rows than one commit removes: the commits after it go on with it.
#[tokio::test]
async fn a_backlog_of_old_rows_goes_over_several_commits() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let epoch = claim(&store, "acme").await;
    let pages = (0..500).map(|page| ids(page, 10)).collect();
    store.commit(commit("acme", epoch, 0, 0, pages)).await.unwrap();
    let mut left = Vec::new();
    for number in 1..10 {
        store.commit(commit("acme", epoch, number, 1_000, vec![ids(1_000 + number, 1)])).await.unwrap();
        left.push(store.seen("acme", "s", None).await.unwrap().len());
    }
    assert!(left[0] > 4_000, "{left:?}");
    assert_eq!(left[8], 9, "{left:?}");
}

/// Listed again and again, a vault and an item are a row each; gone, they are none.
#[tokio::test]
async fn the_inventory_is_a_row_for_each_vault_and_item() {
    let dir = tempfile::tempdir().unwrap();
    let mut left = Vec::new();
    for number in 0..4 {
        let store = open(dir.path());
        let epoch = claim(&store, "acme").await;
        let mut whole = commit("acme", epoch, number, 0, Vec::new());
        let item = |id: u64| match number {
            3 => InventoryChange::ItemGone { vault: "v".to_owned(), item: id.to_string() },
            _ => {
                let id = id.to_string();
                InventoryChange::Item(ListedItem {
                    vault: "v".to_owned(),
                    id,
                    version: number,
                    details: true,
                })
            }
        };
        whole.inventory = (0..500).map(item).collect();
        whole.inventory.push(InventoryChange::Vault(ListedVault {
            id: "v".to_owned(),
            attribute_version: Some(number),
            content_version: None,
            details: false,
            missing: 0,
            ..ListedVault::default()
        }));
        store.commit(whole).await.unwrap();
        drop(store);
        left.push(rows_of(dir.path(), "inventory").len());
    }
    assert_eq!(left, [501, 501, 501, 1]);
}

/// However much a commit adds, it can remove more, and how much is bounded.
#[tokio::test]
async fn a_commit_removes_up_to_64_rows_beyond_twice_what_it_adds() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let epoch = claim(&store, "acme").await;
    let pages = |number: u64, rows: u64| (0..rows).map(|page| ids(number << 32 | page, 1)).collect();
    store.commit(commit("acme", epoch, 0, 0, pages(0, 1000))).await.unwrap();
    let mut left = 1000;
    for (number, adds) in [(1, 0), (2, 1), (3, 100), (4, 200)] {
        store.commit(commit("acme", epoch, number, 1_000, pages(number, adds))).await.unwrap();
        left = left + adds - (64 + 2 * adds);
        assert_eq!(store.seen("acme", "s", None).await.unwrap().len() as u64, left);
    }
}

/// A blob made in between and removed again would show in its folder's time.
#[tokio::test]
async fn no_content_of_any_size_makes_a_blob() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let epoch = claim(&store, "acme").await;
    let blobs = fs::File::open(dir.path().join("blobs")).unwrap();
    blobs.set_modified(UNIX_EPOCH).unwrap();
    let mut next = 0_u64;
    for number in 0..120 {
        let hour = (number * 3) as i64;
        let mut whole = commit("acme", epoch, number, hour, (0..20).map(|page| ids(page, 375)).collect());
        for _ in 0..10 {
            next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let long = (next >> 48) as usize;
            whole.directory.push(Entry {
                key: format!("{}{}", "k".repeat(long % 400), long % 50),
                version: Version { rank: 2, at: UnixMs(number as i64) },
                record: "r".repeat(long),
            });
        }
        whole.quarantined.push(Quarantined {
            stream: "s".to_owned(),
            reason: String::new(),
            body: number.to_string() + &"b".repeat((next >> 47) as usize),
            at: UnixMs(number as i64),
        });
        let id = |of: u64| format!("{of}{}", "i".repeat((next >> 56) as usize));
        let vault = id(number % 5);
        whole.inventory = (0..200)
            .map(|nth| ListedItem { vault: vault.clone(), id: id(nth), version: number, details: true })
            .map(InventoryChange::Item)
            .collect();
        store.commit(whole).await.unwrap();
    }
    drop(store);
    assert_eq!(blobs.metadata().unwrap().modified().unwrap(), UNIX_EPOCH);
    for tree in ["claims", "checkpoints", "seen", "directory", "quarantine", "uploads", "inventory"] {
        let longest = rows_of(dir.path(), tree).iter().map(|row| row.len()).max();
        assert!(longest.is_none_or(|bytes| bytes <= ROW_BYTES), "{tree}: {longest:?}");
    }
}
