//! Damage of every kind, everywhere: what is there is told, and nothing is made up.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use super::{
    furnished::{content, copy, step_of},
    open_renewing,
};
use crate::{Fingerprint, OpenOptions, SledStore, StoreError};

/// Steps of the story before the copy that is damaged; each but the claims is a commit.
const STEPS: u64 = 60;

/// The step at which the directory was closed and opened again: sled remembers
/// its pages up to there, and reads the log from there on.
const REOPENED: u64 = 24;

/// How long one case may take before it counts as one that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// How sled cuts its file.
const SEGMENT: u64 = 512 * 1024;

/// What became of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Whole,
    WentBack,
    Damaged,
    /// Opened, and then found out.
    DamagedBehind,
    TooNew,
    CannotRead,
}

/// A whole directory, what it held after every commit, and an older copy of it.
struct Story {
    dir: PathBuf,
    older: PathBuf,
    /// The number of the commit by what the store held after it.
    prefixes: HashMap<Fingerprint, u64>,
    last: u64,
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

fn story(place: &Path, page: u64, scattered: u64, renew_bytes: u64) -> Story {
    let (dir, older) = (place.join("whole"), place.join("older"));
    let mut prefixes = HashMap::new();
    runtime().block_on(async {
        let mut store = open_renewing(&dir, renew_bytes);
        prefixes.insert(content(&store).await.unwrap(), 0);
        for number in 0..STEPS {
            step_of(&store, number, page, scattered).await;
            prefixes.insert(content(&store).await.unwrap(), number + 1);
            if number == REOPENED {
                drop(store);
                copy(&dir, &older);
                store = open_renewing(&dir, renew_bytes);
            }
        }
    });
    Story { dir, older, prefixes, last: STEPS }
}

/// The names of everything in a directory, but for what sled makes and removes at every open.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = entries.filter(|name| !name.starts_with("snap.")).collect();
    names.sort();
    names
}

/// Opens a damaged copy in a thread of its own, and says what became of it.
fn outcome(story: &Arc<Story>, dir: &Path, how: &str) -> Outcome {
    let before = names(dir);
    let (tell, told) = mpsc::channel();
    let (shared, path) = (Arc::clone(story), dir.to_owned());
    thread::spawn(move || tell.send(runtime().block_on(opened(&shared, &path))));
    let outcome = match told.recv_timeout(PATIENCE) {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(wrong)) => panic!("{how}: {wrong}"),
        Err(error) => panic!("{how}: it panicked or hangs: {error}"),
    };
    let after = names(dir);
    assert!(before.iter().all(|name| after.contains(name)), "{how}: of {before:?}, {after:?} is left");
    outcome
}

async fn opened(story: &Story, dir: &Path) -> Result<Outcome, String> {
    let store = match SledStore::open(dir, OpenOptions::default()) {
        Ok(store) => store,
        Err(StoreError::Damaged { what }) if what.len() > 10 => return Ok(Outcome::Damaged),
        Err(StoreError::TooNew { .. }) => return Ok(Outcome::TooNew),
        Err(StoreError::Io { .. }) => return Ok(Outcome::CannotRead),
        Err(other) => return Err(format!("{other:?}")),
    };
    let read = content(&store).await;
    // The open leaves the ids out: they are compared when they are read, and by a thread of the store.
    if let Err(StoreError::Damaged { what }) = store.checked().await {
        drop(store);
        return match SledStore::open(dir, OpenOptions::default()) {
            Err(StoreError::Damaged { .. }) => Ok(Outcome::DamagedBehind),
            _ => Err(format!("found behind the open ({what}), and then whole")),
        };
    }
    let content = read.map_err(|error| format!("opened, and then: {error}"))?;
    match (story.prefixes.get(&content), store.rolled_back()) {
        (Some(commit), None) if *commit == story.last => Ok(Outcome::Whole),
        (Some(_), Some(_)) => Ok(Outcome::WentBack),
        (Some(commit), None) => Err(format!("commit {commit} of {} and not a word", story.last)),
        (None, told) => Err(format!("what no commit has left, and {told:?}")),
    }
}

type Outcomes = BTreeMap<(&'static str, Outcome), u32>;

/// Damages a copy for each case, and counts what becomes of it.
fn sweep<C: std::fmt::Debug>(
    story: &Arc<Story>,
    place: &Path,
    kind: &'static str,
    cases: impl IntoIterator<Item = C>,
    damage: impl Fn(&Path, &C),
    outcomes: &mut Outcomes,
) {
    for case in cases {
        let dir = place.join("damaged");
        copy(&story.dir, &dir);
        damage(&dir, &case);
        let outcome = outcome(story, &dir, &format!("{kind} {case:?}"));
        *outcomes.entry((kind, outcome)).or_default() += 1;
        fs::remove_dir_all(&dir).unwrap();
    }
}

/// Numbers that look like chance, the same every time.
fn dice(mut seed: u64) -> impl FnMut(u64) -> u64 {
    move |below| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    }
}

fn change(dir: &Path, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let path = dir.join(name);
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Where a bit is flipped: the ends of the file, every segment's header, and everywhere.
fn places(bytes: u64, end: u64, count: u64) -> Vec<(u64, u8)> {
    let mut roll = dice(7);
    let mut places: Vec<_> = (0..20).chain(end - 12..end).chain([end, bytes - 1]).collect();
    places.extend(
        (0..bytes.div_ceil(SEGMENT)).flat_map(|segment| {
            [0, 4, 12, 19, 20, 21, 24, 30, 40].map(|at| segment * SEGMENT + at).into_iter()
        }),
    );
    places.extend((0..count).map(|_| roll(end)));
    places.retain(|at| *at < bytes);
    places.into_iter().map(|at| (at, roll(8) as u8)).collect()
}

/// How often bits are flipped at places of chance.
fn flips() -> u64 {
    std::env::var("OPGRAPH_STATE_TEST_FLIPS").ok().and_then(|count| count.parse().ok()).unwrap_or(120)
}

#[test]
fn no_damage_to_the_database_is_served_as_truth() {
    let mut outcomes = Outcomes::new();
    // Of the second story sled remembers nearly all of its log, and reads little of it at an open.
    for renew_bytes in [u64::MAX, 1] {
        damage_everywhere(renew_bytes, &mut outcomes);
    }
    let ended = |of: Outcome| outcomes.iter().filter(|((_, is), _)| *is == of).map(|(_, count)| count).sum();
    let known = [Outcome::Whole, Outcome::WentBack, Outcome::Damaged, Outcome::DamagedBehind];
    let counts: [u32; 4] = known.map(ended);
    assert!(counts.iter().all(|count| *count > 0), "{outcomes:?}");
    assert_eq!(counts.iter().sum::<u32>(), outcomes.values().sum::<u32>(), "{outcomes:?}");
}

fn damage_everywhere(renew_bytes: u64, outcomes: &mut Outcomes) {
    let place = tempfile::tempdir().unwrap();
    let story = Arc::new(story(place.path(), 1000, 0, renew_bytes));
    let whole = fs::read(story.dir.join("db")).unwrap();
    let bytes = whole.len() as u64;
    // Behind the last byte that says something there are only zeros.
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap() as u64;
    let flip = |dir: &Path, (at, bit): &(u64, u8)| change(dir, "db", |db| db[*at as usize] ^= 1 << bit);
    sweep(&story, place.path(), "a bit", places(bytes, end, flips() / 2), flip, outcomes);
    let mut roll = dice(8);
    let lengths = (0..10).map(|_| roll(end)).chain([0, 1, 19, 20, 21, end, end - 1, bytes - 1]);
    let cut = |dir: &Path, len: &u64| change(dir, "db", |db| db.truncate(*len as usize));
    sweep(&story, place.path(), "cut", lengths.collect::<Vec<_>>(), cut, outcomes);
    let pages = (0..10).map(|_| roll(end / 4096)).chain([0, 128, end / 4096]).collect::<Vec<_>>();
    let zero = |dir: &Path, page: &u64| {
        change(dir, "db", |db| {
            let at = (page * 4096) as usize;
            let until = db.len().min(at + 4096);
            db[at.min(until)..until].fill(0);
        });
    };
    sweep(&story, place.path(), "a page", pages, zero, outcomes);
    println!("{bytes} bytes, {end} used: {outcomes:?}");
}

/// Small changes all over many pages: sled writes each as a piece of its own,
/// and goes on behind a stretch of its log that is bent.
#[test]
fn rows_that_are_lost_from_the_middle_are_missed() {
    let mut outcomes = Outcomes::new();
    // Where a segment ends is chance: a story may have no piece there that is little enough.
    for told in 1..=6 {
        let place = tempfile::tempdir().unwrap();
        let story = Arc::new(story(place.path(), 10, 150, u64::MAX));
        let end = fs::read(story.dir.join("db")).unwrap().iter().rposition(|byte| *byte != 0).unwrap() as u64;
        let mut roll = dice(told);
        // Behind a bent place the rest of its segment is lost. Near the end that is little enough to be missed.
        let near_ends =
            (1..=end / SEGMENT).flat_map(|segment| (1..9).map(move |back| segment * SEGMENT - 300 * back));
        let cases: Vec<_> = near_ends.map(|at| (at - roll(300), roll(8) as u8)).collect();
        let flip = |dir: &Path, (at, bit): &(u64, u8)| change(dir, "db", |db| db[*at as usize] ^= 1 << bit);
        sweep(&story, place.path(), "a bit", cases, flip, &mut outcomes);
        println!("{end} used: {outcomes:?}");
        if outcomes.contains_key(&("a bit", Outcome::Damaged)) {
            return;
        }
    }
    panic!("nothing was ever lost from the middle: {outcomes:?}");
}

#[test]
fn no_damage_to_the_files_around_it_is_served_as_truth_and_none_is_deleted() {
    let place = tempfile::tempdir().unwrap();
    let story = Arc::new(story(place.path(), 1000, 0, u64::MAX));
    let mut outcomes = Outcomes::new();
    let files: Vec<String> = fs::read_dir(&story.dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert!(files.len() >= 6, "{files:?}");
    let mut check = |kind, damage: &dyn Fn(&Path, &String)| {
        sweep(&story, place.path(), kind, files.clone(), damage, &mut outcomes);
    };
    check("no file", &|dir, name| fs::remove_file(dir.join(name)).unwrap());
    check("an empty file", &|dir, name| fs::write(dir.join(name), "").unwrap());
    check("garbage", &|dir, name| fs::write(dir.join(name), "garbage\n".repeat(99)).unwrap());
    check("a directory", &|dir, name| {
        fs::remove_file(dir.join(name)).unwrap();
        fs::create_dir(dir.join(name)).unwrap();
    });
    let older = fs::read_dir(&story.older).unwrap().map(|entry| entry.unwrap().file_name());
    let older: Vec<_> = older.map(|name| name.into_string().unwrap()).collect();
    let from_older = |dir: &Path, name: &String| {
        drop(fs::copy(story.older.join(name), dir.join(name)));
    };
    let is_file = |name: &String| story.older.join(name).is_file();
    let swapped: Vec<_> = older.into_iter().filter(is_file).collect();
    sweep(&story, place.path(), "an older file", swapped, from_older, &mut outcomes);
    for name in files.iter().filter(|name| *name != "db") {
        let bits = fs::metadata(story.dir.join(name)).unwrap().len().min(300) * 8;
        let step = (bits / 24).max(1) as usize;
        let flip = |dir: &Path, bit: &u64| {
            change(dir, name, |bytes| bytes[*bit as usize / 8] ^= 1 << (bit % 8));
        };
        let cases = (0..bits).step_by(step).collect::<Vec<_>>();
        sweep(&story, place.path(), "a bit of another file", cases, flip, &mut outcomes);
    }
    println!("{files:?}: {outcomes:?}");
    assert!(outcomes.keys().all(|(_, of)| *of != Outcome::CannotRead), "{outcomes:?}");
    // A bit of `commit.json` must not pass for a newer version.
    assert!(outcomes.keys().all(|(_, of)| *of != Outcome::TooNew), "{outcomes:?}");
    assert_eq!(outcomes.get(&("no file", Outcome::Damaged)).copied(), Some(1), "{outcomes:?}");
}
