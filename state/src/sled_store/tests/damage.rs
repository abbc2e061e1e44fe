//! Rows that make no sense, formats from the future, directories of others.

use std::{fs, path::Path};

use super::{OpenOptions, SledStore, behind_the_back, claim, commit, ids, open};
use crate::{
    Entry, Quarantined, Store, StoreError, UnixMs, UploadNote, Version,
    sled_store::{record::Record, trees::Tree},
};

#[test]
fn a_newer_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let expect_too_new = || match SledStore::open(dir.path(), OpenOptions::default()) {
        Err(StoreError::TooNew { path, found: 2, known: 1 }) => {
            assert_eq!(path, dir.path().display().to_string());
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("opened"),
    };
    drop(open(dir.path()));
    behind_the_back(dir.path(), |db| {
        db.open_tree("meta").unwrap().insert("format", &2_u64.to_be_bytes()).unwrap();
    });
    expect_too_new();
    // The record alone is enough: a newer version may use another database.
    fs::remove_file(dir.path().join("db")).unwrap();
    fs::write(dir.path().join("commit.json"), serde_json::to_vec(&Record::new(2, 7)).unwrap()).unwrap();
    expect_too_new();
}

#[test]
fn a_directory_of_somebody_else_is_damage_that_says_so() {
    let check = |change: fn(&sled::Db), expected: &str| {
        let dir = tempfile::tempdir().unwrap();
        behind_the_back(dir.path(), change);
        match SledStore::open(dir.path(), OpenOptions::default()) {
            Err(StoreError::Damaged { what }) => assert!(what.contains(expected), "{what}"),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("opened"),
        }
    };
    check(|db| drop(db.open_tree("strangers").unwrap()), "the tree `strangers` is not one of ours");
    check(
        |db| drop(db.open_tree("seen").unwrap().insert("k", b"v").unwrap()),
        "the tree `seen` has rows, but no format",
    );
    check(
        |db| drop(db.open_tree("meta").unwrap().insert("format", b"one").unwrap()),
        "tree `meta`, key `format`",
    );
    check(
        |db| drop(db.open_tree("meta").unwrap().insert("format", &0_u64.to_be_bytes()).unwrap()),
        "tree `meta`, key `format`",
    );
}

#[test]
fn a_file_that_is_no_database_is_never_a_panic() {
    for text in [&b"not a database"[..], &[0; 600_000], &[0xFF; 600_000]] {
        let dir = tempfile::tempdir().unwrap();
        drop(open(dir.path()));
        for entry in fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().is_some_and(|name| name == "db" || name == "conf") {
                fs::write(path, text).unwrap();
            }
        }
        match SledStore::open(dir.path(), OpenOptions::default()) {
            Ok(_) | Err(StoreError::Damaged { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
}

/// A store with something in every tree, closed.
async fn furnished(dir: &Path) {
    let store = open(dir);
    let epoch = claim(&store, "acme").await;
    let mut whole = commit("acme", epoch, 0, 1, vec![ids(1, 1000)]);
    whole.directory = vec![Entry {
        key: "user".to_owned(),
        version: Version { rank: 2, at: UnixMs(1) },
        record: "r".repeat(20_000),
    }];
    whole.quarantined = vec![Quarantined {
        stream: "s".to_owned(),
        reason: String::new(),
        body: "b".repeat(20_000),
        at: UnixMs(1),
    }];
    store.commit(whole).await.unwrap();
    let note = UploadNote { name: "job".to_owned(), note: String::new() };
    store.note_upload("acme", epoch, note).await.unwrap();
}

/// Every row in turn is replaced by bytes that make no sense, or by nothing;
/// whatever is read or written then, the answer is an error that names the tree,
/// or one that does not need the row.
#[tokio::test]
async fn a_bent_row_is_damage_that_names_its_tree_and_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    furnished(dir.path()).await;
    let trees = Tree::ALL.into_iter().filter(|tree| *tree != Tree::Meta);
    let rows: Vec<_> = behind_the_back(dir.path(), |db| {
        let rows =
            |tree: Tree| db.open_tree(tree.name()).unwrap().iter().map(move |row| (tree, row.unwrap()));
        trees.flat_map(rows).collect()
    });
    assert!(rows.len() > 12);
    let mut damaged = 0;
    for (tree, (key, good)) in rows {
        for bent in [&b""[..], b"{", b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", &[0; 33]] {
            behind_the_back(dir.path(), |db| {
                drop(db.open_tree(tree.name()).unwrap().insert(&key, bent).unwrap())
            });
            let store = open(dir.path());
            let mut errors = Vec::new();
            errors.extend(store.seen("acme", "s", None).await.err());
            errors.extend(store.directory("acme", vec!["user".to_owned()]).await.err());
            errors.extend(store.directory_shard("acme", crate::shard_of("user")).await.err());
            errors.extend(store.quarantined("acme", 9).await.err());
            errors.extend(store.quarantine_len("acme").await.err());
            errors.extend(store.checkpoints().await.err());
            errors.extend(store.claim("acme", &[("s".to_owned(), super::token(0))], UnixMs(1)).await.err());
            for error in &errors {
                let named = format!("tree `{}`, key `", tree.name());
                assert!(error.to_string().contains(&named), "{error}");
            }
            damaged += usize::from(!errors.is_empty());
        }
        behind_the_back(dir.path(), |db| {
            drop(db.open_tree(tree.name()).unwrap().insert(&key, good).unwrap())
        });
    }
    assert!(damaged > 30, "{damaged}");
}
