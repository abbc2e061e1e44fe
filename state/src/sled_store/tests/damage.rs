//! Rows that make no sense, formats from the future, directories of others.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use super::{OpenOptions, SledStore, behind_the_back, claim, commit, ids, open};
use crate::{
    Entry, Epoch, InventoryChange, ListedItem, ListedVault, Quarantined, Store, StoreError, UnixMs,
    UploadNote, Version,
    sled_store::{parts, record::Record, rows, trees::Tree, verify},
};

#[test]
fn a_newer_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let expect_too_new = || match SledStore::open(dir.path(), OpenOptions::default()) {
        Err(StoreError::TooNew { path, found: 4, known: 3 }) => {
            assert_eq!(path, dir.path().display().to_string());
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("opened"),
    };
    drop(open(dir.path()));
    behind_the_back(dir.path(), |db| {
        db.open_tree("meta").unwrap().insert("format", &4_u64.to_be_bytes()).unwrap();
    });
    expect_too_new();
    // The record alone is enough: a newer version may use another database.
    fs::remove_file(dir.path().join("db")).unwrap();
    fs::write(dir.path().join("commit.json"), serde_json::to_vec(&Record::new(4, 7)).unwrap()).unwrap();
    expect_too_new();
    // It may look otherwise than this version knows it.
    fs::write(dir.path().join("commit.json"), r#"{"format":4,"commits":[7],"crc64":"x"}"#).unwrap();
    expect_too_new();
}

#[test]
fn a_directory_of_somebody_else_is_damage_that_says_so() {
    let check = |change: fn(&sled::Db), expected: &str| {
        let dir = tempfile::tempdir().unwrap();
        behind_the_back(dir.path(), change);
        match SledStore::open(dir.path(), OpenOptions::default()) {
            Err(StoreError::Damaged { what }) => {
                assert!(what.contains(expected), "{what}");
                let named =
                    what.starts_with("tree `") || what.contains(&*dir.path().join("db").to_string_lossy());
                assert!(named, "{what}");
            }
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

/// sled never syncs its settings; we do, before the first commit.
#[test]
fn torn_settings_are_mended_before_the_first_commit_and_damage_after_it() {
    for torn in [&b"torn in two"[..], &[0; 100]] {
        let dir = tempfile::tempdir().unwrap();
        let (conf, record) = (dir.path().join("conf"), dir.path().join("commit.json"));
        drop(open(dir.path()));
        let whole = fs::read(&conf).unwrap();
        fs::write(&conf, torn).unwrap();
        match SledStore::open(dir.path(), OpenOptions::default()) {
            Err(StoreError::Damaged { what }) => assert!(what.len() > 10, "{what}"),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("opened"),
        }
        assert_eq!(fs::read(&conf).unwrap(), torn, "it is as it was found");
        fs::remove_file(&record).unwrap();
        drop(open(dir.path()));
        assert_eq!(fs::read(&conf).unwrap(), whole);
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
    let vault = ListedVault {
        id: "v".to_owned(),
        attribute_version: Some(1),
        content_version: Some(2),
        details: true,
        missing: 0,
        ..ListedVault::default()
    };
    let item = ListedItem { vault: vault.id.clone(), id: "i".to_owned(), version: 3, details: true };
    whole.inventory = vec![InventoryChange::Vault(vault), InventoryChange::Item(item)];
    store.commit(whole).await.unwrap();
    let note = UploadNote { name: "job".to_owned(), note: String::new() };
    store.note_upload("acme", epoch, note).await.unwrap();
}

/// Every row in turn is replaced by bytes that make no sense, by others that
/// do, or by nothing: the directory does not open, and says which row it is if
/// that can be known. Of ids that is found out behind the open, and the next
/// one does not open.
#[tokio::test]
async fn a_bent_row_is_damage_at_open_that_names_its_tree_and_never_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    furnished(dir.path()).await;
    let trees = Tree::ALL.into_iter().filter(|tree| *tree != Tree::Meta);
    let rows: Vec<_> = behind_the_back(dir.path(), |db| {
        let rows =
            |tree: Tree| db.open_tree(tree.name()).unwrap().iter().map(move |row| (tree, row.unwrap()));
        trees.flat_map(rows).collect()
    });
    assert!(rows.len() > 12);
    let bytes = |of: &str| -> usize {
        let of_tree = rows.iter().filter(|(tree, _)| tree.name() == of);
        of_tree.map(|(_, (key, value))| key.len() + value.len()).sum()
    };
    let whole = verify(dir.path(), &OpenOptions::default()).unwrap();
    assert!(whole.trees.iter().all(|tree| tree.name == "meta" || tree.bytes == bytes(tree.name) as u64));
    let (mut named, mut cases) = (0, 0);
    for (tree, (key, good)) in rows {
        let mut flipped = good.to_vec();
        flipped[good.len() / 2] ^= 1;
        let zeros = &[0; 33][..];
        for bent in [Some(&b""[..]), Some(b"{"), Some(&[0xFF; 9]), Some(zeros), Some(&flipped), None] {
            behind_the_back(dir.path(), |db| {
                let tree = db.open_tree(tree.name()).unwrap();
                match bent {
                    Some(bent) => drop(tree.insert(&key, bent).unwrap()),
                    None => drop(tree.remove(&key).unwrap()),
                }
            });
            let opened = || match SledStore::open(dir.path(), OpenOptions::default()) {
                Err(StoreError::Damaged { what }) => Err(what),
                Err(other) => panic!("{other}"),
                Ok(store) => Ok(store),
            };
            let told = match opened() {
                Err(what) => what,
                Ok(store) if tree == Tree::Seen => {
                    let Err(StoreError::Damaged { what }) = store.checked().await else {
                        panic!("{bent:?} was taken for ids");
                    };
                    let refused = store.renew("acme", Epoch(1), UnixMs(0)).await;
                    assert!(matches!(refused, Err(StoreError::Damaged { .. })), "{refused:?}");
                    drop(store);
                    let again = opened().err().expect("it is known that something is damaged");
                    assert!(again.contains("tree `seen`"), "{again}");
                    what
                }
                Ok(_) => panic!("{}: {bent:?} was taken for whole", tree.name()),
            };
            assert_eq!(dir.path().join("suspect").exists(), tree == Tree::Seen);
            cases += 1;
            named += usize::from(told.contains(&format!("tree `{}`, key `", tree.name())));
            assert!(told.contains("tree `") || told.contains("rows are left of it"), "{told}");
            let found = verify(dir.path(), &OpenOptions::default()).unwrap();
            assert!(found.missing.is_some() && found.damage().is_some(), "{found:?}");
        }
        behind_the_back(dir.path(), |db| {
            drop(db.open_tree(tree.name()).unwrap().insert(&key, good).unwrap())
        });
        // Whole again, and so no longer suspect.
        drop(open(dir.path()));
        assert!(!dir.path().join("suspect").exists());
    }
    assert!(named > cases / 2, "{named} of {cases}");
    let whole = verify(dir.path(), &OpenOptions::default()).unwrap();
    assert_eq!((whole.damage(), whole.commits), (None, 3));
    assert!(whole.trees.iter().all(|tree| tree.rows > 0 && tree.bytes > 0), "{whole:?}");
}

/// Whatever all rows add up to: each has to be what its tree says.
#[tokio::test]
async fn a_row_that_makes_no_sense_is_named_with_what_is_wrong_with_it() {
    let in_parts = |key: &[u8], value: &[u8]| parts::split(key, value).remove(0);
    let single = |key: &[u8], value: &[u8]| (key.to_vec(), sled::IVec::from(value));
    let index = [&rows::quarantine_index("acme")[..], b"x"].concat();
    let foreign = r#"{"tenant":"acme","stream":"t","checkpoint":{"cursor":{"since":1}}}"#;
    let json = "not what it should be";
    for (tree, (key, value), expect) in [
        (Tree::Claims, in_parts(b"t", b"{}"), json),
        (Tree::Checkpoints, in_parts(b"t", b"{}"), json),
        (Tree::Checkpoints, in_parts(b"t", foreign.as_bytes()), "the checkpoint of another stream"),
        (Tree::Seen, single(b"t", &[7; 17]), "not a list of ids"),
        (Tree::Directory, in_parts(b"t", b"{}"), "not a shared record"),
        (Tree::Quarantine, in_parts(&rows::quarantine("acme"), b"{}"), json),
        (Tree::Quarantine, single(&index, &[7; 7]), "not a time"),
        (Tree::Uploads, in_parts(b"t", b"{}"), json),
        (Tree::Hours, single(b"t", &[7; 23]), "not what ids add up to"),
        (Tree::Meta, single(b"t", b"7"), "not a number"),
        (Tree::Meta, single(b"t", &[0xFF; 8]), "not a number"),
        (Tree::Meta, single(b"content", &[7; 7]), "not what all rows add up to"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        furnished(dir.path()).await;
        let insert = |db: &sled::Db| drop(db.open_tree(tree.name()).unwrap().insert(key, value).unwrap());
        behind_the_back(dir.path(), insert);
        let found = verify(dir.path(), &OpenOptions::default()).unwrap();
        for of in &found.trees {
            let named: Vec<_> = of.named.iter().filter(|what| what.contains(expect)).collect();
            let damaged = usize::from(of.name == tree.name());
            assert_eq!((of.damaged, named.len()), (damaged as u64, damaged), "{expect}: {of:?}");
        }
    }
}

#[tokio::test]
async fn of_much_damage_all_is_counted_and_the_first_twenty_are_named() {
    let dir = tempfile::tempdir().unwrap();
    furnished(dir.path()).await;
    behind_the_back(dir.path(), |db| {
        let seen = db.open_tree("seen").unwrap();
        (0..30_u8).for_each(|row| drop(seen.insert([row], b"bent").unwrap()));
    });
    let found = verify(dir.path(), &OpenOptions::default()).unwrap();
    let seen = found.trees.iter().find(|tree| tree.name == "seen").unwrap();
    assert_eq!((seen.damaged, seen.named.len()), (30, 20));
    // The 30, and that the rows do not add up.
    assert!(found.damage().unwrap().ends_with("(and 30 more)"), "{:?}", found.damage());
}

#[tokio::test]
async fn a_directory_where_a_file_should_be_and_the_reverse_are_damage_that_names_it() {
    for name in ["db", "conf", "commit.json", "lock", "blobs"] {
        let dir = tempfile::tempdir().unwrap();
        furnished(dir.path()).await;
        let path = dir.path().join(name);
        if path.is_dir() {
            fs::remove_dir(&path).unwrap();
            fs::write(&path, "").unwrap();
        } else {
            fs::remove_file(&path).unwrap();
            fs::create_dir(&path).unwrap();
        }
        match SledStore::open(dir.path(), OpenOptions::default()) {
            Err(StoreError::Damaged { what }) => {
                assert!(what.contains(&path.display().to_string()), "{what}")
            }
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("`{name}` does not matter"),
        }
    }
}

/// sled would take it for torn off, and wipe it.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_the_disk_cannot_read_is_no_damage_and_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    furnished(dir.path()).await;
    let (db, kept) = (dir.path().join("db"), dir.path().join("kept"));
    fs::rename(&db, &kept).unwrap();
    let before = fs::read(&kept).unwrap();
    // Reading its first page is EIO.
    std::os::unix::fs::symlink("/proc/self/mem", &db).unwrap();
    match SledStore::open(dir.path(), OpenOptions::default()) {
        Err(StoreError::Io { cause, .. }) => assert!(cause.to_string().contains("os error 5"), "{cause}"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("opened"),
    }
    fs::remove_file(&db).unwrap();
    fs::rename(&kept, &db).unwrap();
    assert!(fs::read(&db).unwrap() == before);
    drop(open(dir.path()));
}

#[tokio::test]
async fn what_may_not_be_read_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    furnished(dir.path()).await;
    for name in ["db", "conf", "commit.json"] {
        let path = dir.path().join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        if fs::File::open(&path).is_ok() {
            // Root may read everything.
            return;
        }
        let opened = SledStore::open(dir.path(), OpenOptions::default()).map(drop);
        assert!(matches!(opened, Err(StoreError::Io { .. })), "{name}: {opened:?}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}
