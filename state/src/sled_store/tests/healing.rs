//! A damaged directory goes aside, and a new one knows where to read on.

use std::{fs, path::Path, time::Duration};

use super::{
    claim, commit,
    furnished::{copy, step},
    ids, open,
};
use crate::{
    Cursor, CursorsFile, Epoch, Healed, OpenOptions, SledStore, Store, StoreError, UnixMs, sled_store::beside,
};

const OVERLAP: Duration = Duration::from_secs(48 * 3600);
const NOW: UnixMs = UnixMs(7_777_777_777_777);

fn plan(known: CursorsFile) -> CursorsFile {
    let again = known.tenants.into_iter().map(|(tenant, streams)| {
        (tenant, streams.into_iter().map(|(name, stands)| (name, stands.read_again(None, OVERLAP))).collect())
    });
    CursorsFile { tenants: again.collect() }
}

fn heal(dir: &Path) -> Result<(SledStore, Option<Healed>), StoreError> {
    SledStore::open_or_heal(dir, OpenOptions::default(), NOW, "20260131T000000Z", plan)
}

/// Every file below a directory, with its bytes.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

async fn furnished(dir: &Path, steps: u64) {
    let store = open(dir);
    for number in 0..steps {
        step(&store, number, 20).await;
    }
}

#[tokio::test]
async fn a_damaged_state_goes_aside_whole_and_reading_goes_on_with_overlap() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("state");
    furnished(&dir, 30).await;
    let listed_before = open(&dir).listed_vaults("acme").await.unwrap().len();
    let before = open(&dir).checkpoints().await.unwrap();
    let bytes = fs::read(dir.join("db")).unwrap();
    fs::write(dir.join("db"), "").unwrap();
    let damaged = files(&dir);

    let (store, healed) = heal(&dir).unwrap();
    let healed = healed.unwrap();
    assert!(healed.damage.contains("missing or empty"), "{healed:?}");
    assert_eq!(healed.unknown, None);
    assert_eq!(
        healed.moved_to,
        fs::canonicalize(place.path()).unwrap().join("state.damaged-20260131T000000Z")
    );
    let kept = |files: Vec<(String, Vec<u8>)>| {
        files.into_iter().filter(|(name, _)| name != "lock").collect::<Vec<_>>()
    };
    assert_eq!(kept(files(&healed.moved_to)), kept(damaged), "as it was, to the byte");

    assert_eq!(store.rolled_back(), None);
    let after = store.checkpoints().await.unwrap();
    assert_eq!(after, healed.cursors.tenants);
    assert_eq!(after.len(), before.len());
    assert!(listed_before > 0);
    assert_eq!(store.listed_vaults("acme").await.unwrap(), [], "every vault is listed anew");
    for (tenant, streams) in &before {
        for (stream, stood) in streams {
            let stands = &after[tenant][stream];
            let newest = stood.newest_event.unwrap();
            // What lies before the live cursor's start is in the windows, which are still there.
            let border = stood.since.filter(|_| stood.seam.is_some());
            assert_eq!(
                stands.cursor,
                Cursor::Since(border.unwrap_or(UnixMs(i64::MIN)).max(newest.minus(OVERLAP)))
            );
            assert_eq!(stands.windows, stood.windows);
            assert!(stands.rewinding);
            assert_eq!((stands.events, stands.commits), (stood.events, stood.commits));
        }
    }
    let claim = store.claim("acme", &[("auditevents".to_owned(), Cursor::Since(NOW))], NOW).await.unwrap();
    assert_eq!(claim.active_until, Some(NOW), "whoever read before may have used the budget up to now");
    assert_eq!(claim.checkpoints["auditevents"], after["acme"]["auditevents"]);
    drop(store);

    // Damaged once more, at once: nothing is known less, and nothing is overwritten.
    fs::write(dir.join("db"), &bytes[..1000]).unwrap();
    let (store, again) = heal(&dir).unwrap();
    let again = again.unwrap();
    assert!(again.moved_to.ends_with("state.damaged-20260131T000000Z-2"), "{again:?}");
    assert_eq!(store.checkpoints().await.unwrap(), after);
    drop(store);
    let (_, healed) = heal(&dir).unwrap();
    assert_eq!(healed, None);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 3);
}

#[tokio::test]
async fn the_cursors_outside_are_never_ahead_of_the_database_and_at_most_a_minute_behind() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("state");
    let kept = || {
        let text = fs::read_to_string(dir.join("cursors.json")).unwrap();
        CursorsFile::from_json(&text).unwrap().tenants["acme"]["s"].commits
    };
    let store = open(&dir);
    let epoch = claim(&store, "acme").await;
    let mut number = 0;
    let mut at = async |seconds: i64| {
        let mut next = commit("acme", epoch, number, 0, vec![ids(number, 3)]);
        next.at = UnixMs(seconds * 1000);
        store.commit(next).await.unwrap();
        number += 1;
        // The file is written behind the answer; the next answer is behind the file.
        store.renew("acme", epoch, UnixMs(0)).await.unwrap();
        kept()
    };
    assert_eq!(at(1).await, 0, "the claim has written it, at 0 s");
    assert_eq!(at(59).await, 0);
    assert_eq!(at(60).await, 3);
    assert_eq!(at(61).await, 3);
    assert_eq!(at(-100).await, 5, "a clock that was put back");
    assert_eq!(at(-99).await, 5);
    drop(store);
    assert_eq!(kept(), 6, "closed in order");
}

#[tokio::test]
async fn without_usable_cursors_streams_start_anew_and_it_is_said_why() {
    type Bend = fn(&Path);
    let cases: [(&str, Bend); 4] = [
        ("there is no `cursors.json`", |path| fs::remove_file(path).unwrap()),
        ("checksum", |path| {
            let text = fs::read_to_string(path).unwrap();
            fs::write(path, text.replace("acme", "acne")).unwrap();
        }),
        ("no cursors file", |path| fs::write(path, [0xFF; 9]).unwrap()),
        ("directory", |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        }),
    ];
    for (expect, bend) in cases {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("state");
        furnished(&dir, 12).await;
        bend(&dir.join("cursors.json"));
        // It is not needed as long as the database is whole.
        drop(open(&dir));
        bend_again(&dir, bend, expect);
        fs::remove_file(dir.join("db")).unwrap();
        let (store, healed) = heal(&dir).unwrap();
        assert!(healed.unwrap().unknown.unwrap().contains(expect));
        assert!(store.checkpoints().await.unwrap().is_empty());
    }
}

/// A store that is closed writes the file again, where it can.
fn bend_again(dir: &Path, bend: fn(&Path), expect: &str) {
    let path = dir.join("cursors.json");
    if path.is_file() && !expect.contains("directory") {
        bend(&path);
    }
}

#[tokio::test]
async fn what_may_be_no_damage_moves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("state");
    furnished(&dir, 12).await;
    let alone = || {
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    };
    {
        let _store = open(&dir);
        assert!(matches!(heal(&dir), Err(StoreError::InUse { .. })));
        alone();
    }
    let record = fs::read(dir.join("commit.json")).unwrap();
    fs::write(dir.join("commit.json"), r#"{"format":9}"#).unwrap();
    assert!(matches!(heal(&dir), Err(StoreError::TooNew { found: 9, .. })));
    alone();
    fs::write(dir.join("commit.json"), record).unwrap();
    // Nobody can tell whether somebody else is in a directory that cannot be locked.
    let lock = dir.join("lock");
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    assert!(matches!(heal(&dir), Err(StoreError::Damaged { .. })));
    alone();
    fs::remove_dir(&lock).unwrap();
    // What the system cannot read: a link that leads to itself.
    let conf = fs::read(dir.join("conf")).unwrap();
    fs::remove_file(dir.join("conf")).unwrap();
    std::os::unix::fs::symlink("conf", dir.join("conf")).unwrap();
    assert!(matches!(heal(&dir), Err(StoreError::Io { .. })));
    alone();
    fs::remove_file(dir.join("conf")).unwrap();
    fs::write(dir.join("conf"), conf).unwrap();
    assert_eq!(heal(&dir).unwrap().1, None);
    alone();
}

/// Killed at any point before the names are swapped, the damaged directory is
/// still in its place; what was made for it goes.
#[tokio::test]
async fn a_healing_that_was_killed_is_begun_anew() {
    let place = tempfile::tempdir().unwrap();
    let dir = fs::canonicalize(place.path()).unwrap().join("state");
    furnished(&dir, 12).await;
    fs::remove_file(dir.join("db")).unwrap();
    let unfinished = beside::sibling(&dir, beside::HEALING);
    fs::create_dir(&unfinished).unwrap();
    fs::write(unfinished.join("db"), "half of it").unwrap();
    // It was killed between the two names.
    let renamed = beside::sibling(&dir, "damaged-20260131T000000Z");
    copy(&unfinished, &renamed);
    let (store, healed) = heal(&dir).unwrap();
    assert!(healed.unwrap().moved_to.ends_with("state.damaged-20260131T000000Z-2"));
    assert!(!unfinished.exists() && renamed.exists());
    assert_eq!(store.checkpoints().await.unwrap().len(), 3);
    assert_eq!(claim(&store, "acme").await, Epoch(2));
}
