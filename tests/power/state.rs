//! The state alone, which is quick enough for thousands of cuts.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use opgraph_state::{
    Advance, Claim, Commit, Cursor, Entry, Epoch, Fingerprint, InventoryChange, ListedItem, ListedVault,
    OpenOptions, SledStore, SourceInfo, Step, Store, UnixMs, UploadNote, Version,
};

use super::{
    Orders,
    disk::{Disk, Left},
    journal, library, thorough, watch,
};

const DIR: &str = "OPGRAPH_TEST_STATE_DIR";
const COMMITS: &str = "OPGRAPH_TEST_COMMITS";
const BYTES: &str = "OPGRAPH_TEST_BYTES";
/// Events of a commit.
const EVENTS: u64 = 30;
/// Shared records that each commit replaces.
const SHARED: u64 = 8;

fn token(number: u64) -> Cursor {
    Cursor::Token(number.to_string())
}

/// The shared record that commit `number` stores and the next one removes.
fn once_shared(number: u64) -> String {
    format!("once shared {number}")
}

fn item(number: u64) -> ListedItem {
    ListedItem { vault: "v".to_owned(), id: format!("{number:09}"), version: number, details: true }
}

fn vault(number: u64) -> ListedVault {
    let version = Some(number);
    let id = "v".to_owned();
    ListedVault {
        id,
        attribute_version: version,
        content_version: version,
        details: true,
        ..ListedVault::default()
    }
}

/// What commit `number` lists: the vault, and an item in the place of the one before.
fn listed(number: u64) -> Vec<InventoryChange> {
    let before = number.checked_sub(1).map(item);
    let gone = before.map(|ListedItem { vault, id, .. }| InventoryChange::ItemGone { vault, item: id });
    let now = [InventoryChange::Item(item(number)), InventoryChange::Vault(vault(number))];
    gone.into_iter().chain(now).collect()
}

/// Commit `number` of the stream `s`, with so many bytes in each of its shared records.
fn commit(epoch: Epoch, number: u64, bytes: usize) -> Commit {
    let id = |event| Fingerprint(u128::from(number) << 64 | u128::from(event));
    let shared = |key| Entry {
        key: format!("shared {key}"),
        version: Version { rank: 2, at: UnixMs(number as i64) },
        record: format!("{number:0>bytes$}"),
    };
    let once = Entry { key: once_shared(number), ..shared(0) };
    Commit {
        tenant: "acme".to_owned(),
        epoch,
        at: UnixMs(number as i64),
        steps: vec![Step {
            stream: "s".to_owned(),
            advance: Advance::new(token(number), token(number + 1)),
            source: SourceInfo::default(),
            newest_event: Some(UnixMs(number as i64)),
            latest: None,
            seen: vec![(0..EVENTS).map(id).collect()],
            rewound: false,
            through: false,
            window: None,
            split: None,
        }],
        removed: number.checked_sub(1).map(once_shared).into_iter().collect(),
        inventory: listed(number),
        directory: (0..SHARED).map(shared).chain([once]).collect(),
        quarantined: Vec::new(),
        released: Vec::new(),
        settled: vec![format!("note {number}")],
    }
}

async fn claim(store: &SledStore) -> Claim {
    store.claim("acme", &[("s".to_owned(), token(0))], UnixMs(0)).await.unwrap()
}

/// In a second process: commits, and says what was acknowledged. Lives twice, so
/// that a state is also opened that was there before.
async fn commit_and_tell(dir: &Path) {
    let number = |name: &str| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let tell = |what: String| std::io::stderr().write_all(format!("{what}\n").as_bytes()).unwrap();
    for _ in 0..2 {
        // Every few commits the database is opened anew: cuts fall into that, too.
        let options = OpenOptions { renew_bytes: 12_000, ..OpenOptions::default() };
        let store = SledStore::open(dir, options).unwrap();
        let Claim { epoch, checkpoints, .. } = claim(&store).await;
        tell(format!("epoch {}", epoch.0));
        let first = checkpoints["s"].commits;
        for at in first..first + number(COMMITS) {
            let note = UploadNote { name: format!("note {at}"), note: "open".to_owned() };
            store.note_upload("acme", epoch, note).await.unwrap();
            store.commit(commit(epoch, at, number(BYTES) as usize)).await.unwrap();
            tell(format!("commit {}", at + 1));
        }
    }
}

/// Runs the test `name` in a second process, which finds the folder in its environment.
fn record(
    name: &str,
    commits: u64,
    bytes: usize,
    library: &Path,
) -> (tempfile::TempDir, PathBuf, Vec<journal::Entry>) {
    let dir = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(dir.path()).unwrap().join("disk");
    let journal = dir.path().join("journal");
    fs::create_dir(&root).unwrap();
    let mut second = Command::new(std::env::current_exe().unwrap());
    second.args(["--exact", &format!("power::state::{name}"), "--nocapture", "--test-threads=1"]);
    // The folders on the way are made, too.
    second
        .env(DIR, root.join("var/lib/opgraph"))
        .env(COMMITS, commits.to_string())
        .env(BYTES, bytes.to_string());
    watch(&mut second, library, &root, &journal, &Orders::default());
    let ended = second.stdout(Stdio::null()).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    (dir, root, journal::read(&journal))
}

/// What was acknowledged so far.
#[derive(Clone, Copy, Debug, Default)]
struct Acknowledged {
    commits: u64,
    epoch: u64,
}

impl Acknowledged {
    fn hear(&mut self, entry: &journal::Entry) {
        let journal::Entry::Said(text) = entry else { return };
        for line in text.lines() {
            let number = |word: &str| line.strip_prefix(word)?.parse::<u64>().ok();
            self.commits = number("commit ").unwrap_or(self.commits);
            self.epoch = number("epoch ").unwrap_or(self.epoch);
        }
    }
}

/// Opens what a cut left, and holds it against what was acknowledged before the cut.
async fn holds(image: &Path, acknowledged: Acknowledged, cut: &str) {
    let dir = image.join("var/lib/opgraph");
    let store =
        SledStore::open(&dir, OpenOptions::default()).unwrap_or_else(|error| panic!("{cut}: {error:?}"));
    assert_eq!(store.rolled_back(), None, "{cut}");
    let Claim { epoch, checkpoints, .. } = claim(&store).await;
    assert!(epoch.0 > acknowledged.epoch, "{cut}: {epoch:?} after {acknowledged:?}");
    let stands = &checkpoints["s"];
    assert!(stands.commits >= acknowledged.commits, "{cut}: {stands:?} after {acknowledged:?}");
    // A commit is there whole or not at all.
    assert_eq!(stands.cursor, token(stands.commits), "{cut}");
    assert_eq!(store.seen("acme", "s", None).await.unwrap().len() as u64, EVENTS * stands.commits, "{cut}");
    let keys = (0..SHARED).map(|key| format!("shared {key}")).collect();
    for entry in store.directory("acme", keys).await.unwrap() {
        let number = entry.map(|entry| entry.record.parse::<u64>().unwrap() + 1);
        assert_eq!(number.unwrap_or(0), stands.commits, "{cut}");
    }
    // So is what it lists, and what it says is no more.
    let last = stands.commits.checked_sub(1);
    let once = (0..stands.commits).map(once_shared).collect();
    let once = store.directory("acme", once).await.unwrap();
    let left: Vec<_> = once.into_iter().flatten().map(|entry| entry.key).collect();
    assert_eq!(left, last.map(once_shared).into_iter().collect::<Vec<_>>(), "{cut}");
    let items = store.listed_items("acme", "v").await.unwrap();
    assert_eq!(items, last.map(item).into_iter().collect::<Vec<_>>(), "{cut}");
    let vaults = store.listed_vaults("acme").await.unwrap();
    assert_eq!(vaults, last.map(vault).into_iter().collect::<Vec<_>>(), "{cut}");
    // And it goes on.
    store.commit(commit(epoch, stands.commits, 1)).await.unwrap_or_else(|error| panic!("{cut}: {error:?}"));
}

/// Cuts after every `every`-th call, with nothing left and with `seeds` throws of the dice.
async fn sweep(root: &Path, entries: &[journal::Entry], every: usize, seeds: u64) -> usize {
    let (mut disk, mut acknowledged) = (Disk::empty(root), Acknowledged::default());
    let (mut calls, mut cuts) = (0, 0);
    for entry in entries {
        disk.apply(entry);
        acknowledged.hear(entry);
        calls += usize::from(entry.is_call());
        if !calls.is_multiple_of(every) {
            continue;
        }
        let throws = (0..seeds).map(|seed| Left::Some(seed << 32 | calls as u64));
        for left in std::iter::once(Left::Nothing).chain(throws) {
            let image = tempfile::tempdir().unwrap();
            disk.restore(left, root, image.path());
            holds(image.path(), acknowledged, &format!("cut after call {calls}, {left:?} left")).await;
            cuts += 1;
        }
    }
    cuts
}

#[tokio::test]
async fn no_power_cut_takes_an_acknowledged_commit_from_the_state() {
    if let Some(dir) = std::env::var_os(DIR) {
        return commit_and_tell(dir.as_ref()).await;
    }
    let Some(library) = library() else { return };
    let name = "no_power_cut_takes_an_acknowledged_commit_from_the_state";
    let (_dir, root, entries) = record(name, 12, 200, library);
    let (every, seeds) = if thorough() { (1, 20) } else { (1, 2) };
    let cuts = sweep(&root, &entries, every, seeds).await;
    assert!(cuts > 300, "{cuts}");
}

/// Enough for sled to write over segments whose content it has moved.
#[tokio::test]
async fn no_power_cut_takes_an_acknowledged_commit_while_the_state_reuses_its_space() {
    if let Some(dir) = std::env::var_os(DIR) {
        return commit_and_tell(dir.as_ref()).await;
    }
    let Some(library) = library() else { return };
    let name = "no_power_cut_takes_an_acknowledged_commit_while_the_state_reuses_its_space";
    let (_dir, root, entries) = record(name, 60, 20_000, library);
    let (every, seeds) = if thorough() { (1, 5) } else { (19, 1) };
    sweep(&root, &entries, every, seeds).await;
}
