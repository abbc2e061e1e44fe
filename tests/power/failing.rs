//! The disk fails, or is full, while the real binary runs.

use std::fs;

use super::{
    Error, Failure, Orders,
    disk::{Disk, Left},
    journal,
    journal::Entry,
    library,
    scene::{Acknowledged, Scene, small},
    thorough, watch,
};
use crate::support::program::ended;

/// What a failure must bring about: the exit code, and a word of the hint.
struct Expected {
    code: i32,
    hint: &'static str,
}

/// Runs with `failure`, and holds what came of it against what was acknowledged:
/// on the disk as it is, and on the one a power cut would leave.
///
/// Answers false if the run ended before anything failed.
async fn fails(failure: Failure, expected: &Expected) -> bool {
    let what = format!("{failure:?}");
    let Some(library) = library() else { return false };
    let scene = Scene::of(small(failure.at as u64)).await;
    let (root, journal) = (scene.disk("disk"), scene.dir().join("journal"));
    let mut run = scene.run_once(&root);
    watch(&mut run, library, &root, &journal, &Orders { cut_at: None, failure: Some(failure) });
    let run = ended(run).await;
    if run.code == Some(0) {
        return false;
    }
    assert_eq!(run.code, Some(expected.code), "{what}: {}", run.stderr);
    let (_, said) = run.stderr.rsplit_once("error: ").unwrap_or_else(|| panic!("{what}: {}", run.stderr));
    let (_, hint) = said.split_once("hint: ").unwrap_or_else(|| panic!("{what}: no hint in {said}"));
    assert!(hint.contains(expected.hint), "{what}: {said}");

    let (mut disk, mut acknowledged) = (Disk::empty(&root), Acknowledged::default());
    let mut before = None;
    for entry in journal::read(&journal) {
        disk.apply(&entry);
        acknowledged.hear(&entry);
        if matches!(entry, Entry::Sync { failed: true, .. }) {
            before.get_or_insert(acknowledged.clone());
        }
    }
    // A sync that failed is never made up for by a later one that does not.
    if let (Some(before), "state") = (before, failure.within) {
        assert_eq!(acknowledged, before, "{what}: acknowledged after a sync had failed");
    }
    let image = scene.disk("image");
    disk.restore(Left::Nothing, &root, &image);
    for disk in [&image, &root] {
        acknowledged.stands_in(disk, &what).await;
        scene.ends_exact(disk, &what).await;
        fs::remove_dir_all(disk).unwrap();
    }
    true
}

/// Fails at every `every`-th call until a run ends before its failure.
async fn sweep(failure: Failure, expected: Expected, every: usize) {
    if library().is_none() {
        return;
    }
    let every = if thorough() { every.div_ceil(10) } else { every };
    let mut at = failure.at;
    while fails(Failure { at, ..failure }, &expected).await {
        at += every;
    }
    assert!(at > failure.at, "{failure:?} never came about");
}

const FAILURE: Failure = Failure { at: 1, error: Error::Io, once: false, syncs: false, within: "" };

#[tokio::test(flavor = "multi_thread")]
async fn a_state_whose_disk_fails_ends_the_run_and_loses_nothing() {
    let expected = Expected { code: 4, hint: "check the disk" };
    sweep(Failure { within: "state", ..FAILURE }, expected, 61).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_sync_that_failed_once_nothing_is_acknowledged() {
    let expected = Expected { code: 4, hint: "check the disk" };
    sweep(Failure { within: "state", syncs: true, once: true, ..FAILURE }, expected, 73).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_whose_disk_is_full_ends_the_run_says_so_and_goes_on_when_there_is_room() {
    for once in [false, true] {
        let expected = Expected { code: 4, hint: "free some space" };
        sweep(Failure { within: "state", error: Error::NoSpace, once, ..FAILURE }, expected, 89).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graph_whose_disk_fails_ends_the_run_and_loses_nothing() {
    for once in [false, true] {
        let expected = Expected { code: 1, hint: "check the disk" };
        sweep(Failure { within: "graph.db", once, syncs: once, ..FAILURE }, expected, 97).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graph_whose_disk_is_full_ends_the_run_says_so_and_goes_on_when_there_is_room() {
    let expected = Expected { code: 1, hint: "free some space" };
    sweep(Failure { within: "graph.db", error: Error::NoSpace, ..FAILURE }, expected, 97).await;
}
