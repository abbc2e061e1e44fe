//! What only the files of JupiterOne's SDK have to hold.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use opgraph::{
    graph::{Records, records::FULL},
    http::{Halt, Remedy},
    page::{Coverage, Listing},
    sink::{
        Sink, SinkError, Upload, UploadLimits,
        files::{Ended, FilesSink, Outcome, complete, prepare, settle},
    },
    stream::Stream,
};
use opgraph_state::{MemoryStore, Store, UnixMs};
use proptest::prelude::*;
use serde_json::Value;
use tempfile::TempDir;

use super::{
    Contents, Feed, Subject, cut_into,
    removal::{filled, item, list, listed, vault, version},
    upload, wait_for,
};
use crate::support::files::{all, records};

const TENANT: &str = "acme";

/// Files in a folder that goes with them.
pub(super) struct Files {
    sink: FilesSink,
    folder: TempDir,
}

impl Subject for Files {
    type Sink = FilesSink;

    fn new() -> Files {
        let folder = tempfile::tempdir().unwrap();
        Files { sink: open(folder.path()).unwrap(), folder }
    }

    fn sink(&self) -> &FilesSink {
        &self.sink
    }

    fn contents(&self) -> Contents {
        records(self.folder.path())
    }
}

fn open(dir: &Path) -> Result<FilesSink, SinkError> {
    FilesSink::open(dir, TENANT, FilesSink::LIMITS)
}

fn graph(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    all(&dir.join(".j1-integration/graph"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(12) })]

    #[test]
    fn the_files_are_the_same_byte_for_byte_however_pages_are_cut_and_runs_begun_anew(
        cuts in prop::collection::vec(any::<bool>(), 1..9),
        anew in any::<u8>(),
    ) {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let feed = Feed::new(cuts.len());
        wait_for(async {
            let _ = upload(&open(one.path()).unwrap(), &feed, 0..cuts.len()).await.unwrap();
            let mut sink = open(other.path()).unwrap();
            for (number, pages) in cut_into(&cuts).into_iter().enumerate() {
                let _ = upload(&sink, &feed, pages).await.unwrap();
                if anew & (1 << number) != 0 {
                    drop(sink);
                    sink = open(other.path()).unwrap();
                }
            }
        });
        let strip = |dir: &Path| -> Vec<(PathBuf, Vec<u8>)> {
            graph(dir).into_iter().map(|(path, bytes)| (path.strip_prefix(dir).unwrap().into(), bytes)).collect()
        };
        prop_assert_eq!(strip(one.path()), strip(other.path()));
    }

    /// A kill can come between any two renames, and a disk that loses power keeps any of them.
    #[test]
    fn whichever_files_of_an_upload_got_into_place_the_same_pages_make_it_whole(there in any::<u64>()) {
        let (feed, dir) = (Feed::new(6), tempfile::tempdir().unwrap());
        wait_for(async {
            let _ = upload(&open(dir.path()).unwrap(), &feed, 0..3).await.unwrap();
            let before = all(dir.path());
            let _ = upload(&open(dir.path()).unwrap(), &feed, 3..6).await.unwrap();
            let after = all(dir.path());
            let changed = after.iter().filter(|(path, bytes)| before.get(*path) != Some(bytes));
            for (number, (path, _)) in changed.enumerate() {
                let mark = path.ends_with("opgraph/files.json");
                match before.get(path) {
                    _ if !mark && there & (1 << (number % 64)) != 0 => (),
                    Some(bytes) => fs::write(path, bytes).unwrap(),
                    None => fs::remove_file(path).unwrap(),
                }
            }
            // Cut as it may be the second time.
            let sink = open(dir.path()).unwrap();
            let _ = upload(&sink, &feed, 3..5).await.unwrap();
            let _ = upload(&sink, &feed, 5..6).await.unwrap();
            let again = all(dir.path());
            assert!(again == after, "the folder is as it would have been");
            assert_eq!(records(dir.path()), feed.contents());
        });
    }
}

#[tokio::test]
async fn a_file_grows_until_it_is_full_and_the_next_one_follows() {
    let dir = tempfile::tempdir().unwrap();
    let sink = open(dir.path()).unwrap();
    let feed = Feed::new(3).with_raw_data("x".repeat(300_000));
    for number in 0..3 {
        let _ = upload(&sink, &feed, [number]).await.unwrap();
    }
    let feed = Feed::new(30).with_raw_data("x".repeat(300_000));
    let _ = upload(&sink, &feed, 3..30).await.unwrap();
    assert_eq!(records(dir.path()), feed.contents());
    let large: Vec<usize> =
        graph(dir.path()).into_values().map(|bytes| bytes.len()).filter(|bytes| *bytes > 1 << 20).collect();
    assert!(large.len() > 12, "{large:?}");
    assert!(large.iter().all(|bytes| *bytes < 4_400_000), "a file is full at 4 MB: {large:?}");
}

#[tokio::test]
async fn a_file_whose_records_are_all_removed_is_gone_and_the_others_hold_what_they_held() {
    let (files, mut expect) = filled::<Files>().await;
    let dir = files.folder.path();
    let gone: Vec<String> =
        expect.keys().filter(|key| key.contains("one_password_secret")).cloned().collect();
    list(files.sink(), Records::default(), &gone.iter().map(String::as_str).collect::<Vec<_>>()).await;
    gone.iter().for_each(|key| drop(expect.remove(key)));
    assert_eq!(records(dir), expect);
    let empty = graph(dir).into_keys().filter(|path| path.to_string_lossy().contains("secret"));
    assert_eq!(empty.count(), 0);
    drop(files.sink);
    drop(open(files.folder.path()).unwrap());
}

/// A run that is killed between its files and its commit leaves what is listed again; but nobody lists what has
/// gone by then, and the state never knew it.
#[tokio::test]
async fn what_no_commit_knows_of_vaults_and_items_is_taken_back_once_all_are_listed() {
    let files = Files::new();
    let store = MemoryStore::default();
    let epoch = store.claim(TENANT, &[], UnixMs(0)).await.unwrap().epoch;
    let ack = async |records: Records| {
        let mut coverage = Coverage::default();
        coverage.list(Listing { records, ..Listing::default() });
        files.sink().open().finish(coverage).await.unwrap()
    };
    // Events name the vaults U0 to U4; with their commit lost, they come again.
    let _ = upload(files.sink(), &Feed::new(6), 0..6).await.unwrap();
    store.commit(ack(listed()).await.into_commit(TENANT, epoch, UnixMs(1))).await.unwrap();
    let committed = files.contents();
    let mut late = Records::default();
    vault(&mut late, "W", "another name", version(FULL, 2_000));
    vault(&mut late, "N", "a new vault", version(FULL, 2_000));
    ["V", "W", "N"].iter().for_each(|of| item(&mut late, of, &format!("{of}9")));
    let _ = ack(late).await;
    assert_eq!(files.contents().len(), committed.len() + 7);

    let Files { sink, folder } = files;
    drop(sink);
    settle(folder.path(), TENANT, &store).await.unwrap();
    assert_eq!(records(folder.path()), committed);
    drop(open(folder.path()).unwrap());
    // With a state that knows nothing, as after damage: what events name stays.
    settle(folder.path(), TENANT, &MemoryStore::default()).await.unwrap();
    let left = records(folder.path());
    let gone: Vec<_> = committed.keys().filter(|key| !left.contains_key(*key)).collect();
    assert_eq!(gone.len(), 6 + 6 + 2, "items, which vault has them, and two vaults: {gone:?}");
    drop(open(folder.path()).unwrap());
}

/// What is told of a folder that cannot be used, and its hint.
fn refusal(dir: &Path, tenant: &str) -> (String, String) {
    let error = prepare(dir, tenant).and_then(|()| FilesSink::open(dir, tenant, FilesSink::LIMITS).map(drop));
    let error = error.unwrap_err();
    let Remedy::Halt(halt) = &error.remedy else { panic!("{error:?}") };
    assert!(matches!(halt, Halt::Configuration { .. } | Halt::State { .. }), "{halt:?}");
    (error.cause.to_string(), halt.hint().to_owned())
}

#[tokio::test]
async fn a_folder_that_is_not_for_these_files_is_refused_with_a_hint_and_left_as_it_is() {
    let place = tempfile::tempdir().unwrap();
    let check = |dir: &Path, tenant: &str, what: &str, hint: &str| {
        let before = all(place.path());
        let told = refusal(dir, tenant);
        assert!(told.0.contains(what) && told.1.contains(hint), "{told:?}");
        assert!(all(place.path()) == before, "{what}: nothing is changed");
    };
    let other = place.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("thesis.txt"), "ten years of work").unwrap();
    check(&other, TENANT, "it is not empty", "name a new or an empty folder");
    // What the SDK has collected itself.
    let sdk = place.path().join("sdk");
    fs::create_dir_all(sdk.join(".j1-integration/graph")).unwrap();
    check(&sdk, TENANT, "it is not empty", "name a new or an empty folder");
    let inside = place.path().join("new/.j1-integration");
    check(&inside, TENANT, "inside a folder `.j1-integration`", "name the folder that is to hold");
    let file = place.path().join("file");
    fs::write(&file, "").unwrap();
    check(&file, TENANT, "directory", "name a folder");

    let ours = place.path().join("ours");
    let _ = upload(&open(&ours).unwrap(), &Feed::new(6), 0..6).await.unwrap();
    check(&ours, "globex", "tenant `acme`", "a folder of its own");
    let mark = ours.join(".j1-integration/opgraph/files.json");
    let text = fs::read_to_string(&mark).unwrap();
    fs::write(&mark, text.replace("\"format\":1", "\"format\":2")).unwrap();
    check(&ours, TENANT, "its format is 2", "the newer opgraph");
    fs::write(&mark, &text[..text.len() / 2]).unwrap();
    check(&ours, TENANT, "files.json", "remove");
    fs::write(&mark, &text).unwrap();
    assert!(open(&ours).is_ok());
}

#[tokio::test]
async fn files_that_are_missing_damaged_or_somebody_elses_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let _ = upload(&open(dir.path()).unwrap(), &Feed::new(6), 0..6).await.unwrap();
    let whole = graph(dir.path());
    let check = |what: &str| {
        let (told, hint) = refusal(dir.path(), TENANT);
        assert!(told.contains(what) && hint.contains("reads everything again"), "{told}; {hint}");
        whole.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
        drop(open(dir.path()).unwrap());
    };
    for (path, bytes) in &whole {
        fs::remove_file(path).unwrap();
        check("records");
        for cut in [0, bytes.len() / 2, bytes.len() - 3] {
            fs::write(path, &bytes[..cut]).unwrap();
            check(path.file_name().unwrap().to_str().unwrap());
        }
    }
    // A copy holds every key twice, and has a name that a file may have.
    let events = whole.keys().find(|path| path.to_string_lossy().ends_with("event-000001.json")).unwrap();
    let copy = PathBuf::from(events.to_string_lossy().replace("000001", "000002"));
    fs::copy(events, &copy).unwrap();
    assert!(refusal(dir.path(), TENANT).0.contains("one key"));
    fs::remove_file(&copy).unwrap();
    // The SDK reads every file, whatever it is called.
    let foreign = events.with_file_name(".DS_Store");
    fs::write(&foreign, "").unwrap();
    assert!(refusal(dir.path(), TENANT).0.contains("opgraph has not written it"));
    fs::remove_file(&foreign).unwrap();
    drop(open(dir.path()).unwrap());
}

#[tokio::test]
async fn one_process_writes_to_a_folder_and_what_a_kill_left_unfinished_is_cleared_away() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap();
    let unfinished = dir.path().join(".j1-integration/opgraph/new/7");
    fs::write(&unfinished, "{\"entities\":[").unwrap();
    let waiting = dir.path().to_owned();
    let second = std::thread::spawn(move || open(&waiting).unwrap());
    assert!(unfinished.exists(), "nothing is touched while the first one has it");
    drop(first);
    drop(second.join().unwrap());
    assert!(!unfinished.exists());
    // A start that was killed before the folder was marked is made good.
    let fresh = tempfile::tempdir().unwrap();
    fs::create_dir_all(fresh.path().join(".j1-integration/opgraph")).unwrap();
    fs::write(fresh.path().join(".j1-integration/opgraph/files.json.new"), "{").unwrap();
    drop(open(fresh.path()).unwrap());
}

#[tokio::test]
async fn the_summary_says_in_the_sdks_words_how_each_part_ended() {
    let (files, _) = filled::<Files>().await;
    let dir = files.folder.path();
    let summary = || -> Value {
        serde_json::from_slice(&fs::read(dir.join(".j1-integration/summary.json")).unwrap()).unwrap()
    };
    let streams = vec![(Stream::AuditEvents, Ended::Failure), (Stream::ItemUsages, Ended::Success)];
    complete(dir, TENANT, &Outcome { streams, vaults: Ended::Success }).unwrap();
    let told = summary();
    let results = told["integrationStepResults"].as_array().unwrap();
    let ended: Vec<_> =
        results.iter().map(|step| (step["id"].as_str().unwrap(), step["status"].as_str().unwrap())).collect();
    assert_eq!(
        ended,
        [
            ("signinattempts", "disabled"),
            ("itemusages", "success"),
            ("auditevents", "failure"),
            ("vaults", "success")
        ]
    );
    let declared: usize = results.iter().map(|step| step["declaredTypes"].as_array().unwrap().len()).sum();
    assert_eq!(declared, 18, "each type belongs to one step");
    assert_eq!(results[3]["encounteredTypes"].as_array().unwrap().len(), 3);
    let partial = |told: &Value| -> Vec<String> {
        let types = told["metadata"]["partialDatasets"]["types"].as_array().unwrap();
        types.iter().map(|of| of.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(partial(&told).len(), 16);
    assert!(partial(&told).contains(&"one_password_vault".to_owned()));

    list(files.sink(), Default::default(), &["one_password_vault:W"]).await;
    complete(dir, TENANT, &Outcome { streams: Vec::new(), vaults: Ended::Success }).unwrap();
    assert!(!partial(&summary()).contains(&"one_password_vault".to_owned()), "a sync takes it out, too");
    complete(dir, TENANT, &Outcome { streams: Vec::new(), vaults: Ended::Failure }).unwrap();
    assert_eq!(partial(&summary()).len(), 18, "what was not listed whole deletes nothing");
}

#[test]
fn uploads_take_turns() {
    let UploadLimits { finishing, .. } = FilesSink::LIMITS;
    assert_eq!(finishing, 0, "pages wait until the files before them are durable");
}
