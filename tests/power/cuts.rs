//! The power fails while the real binary runs.

use std::{fs, path::Path};

use opgraph_simulator::Config;

use super::{
    Orders,
    disk::{Disk, Left},
    journal,
    journal::Entry,
    library,
    scene::{Acknowledged, Scene, small},
    thorough, watch,
};
use crate::support::program::ended;

/// Three runs, one after the other, in one journal: new files, a state that was
/// there before, a graph that was closed.
async fn three_runs(scene: &Scene, library: &Path, disk: &Path) -> Vec<Entry> {
    let journal = scene.dir().join("journal");
    for _ in 0..3 {
        let mut run = scene.run_once(disk);
        watch(&mut run, library, disk, &journal, &Orders::default());
        let run = ended(run).await;
        assert_eq!(run.code, Some(0), "{}", run.stderr);
    }
    journal::read(&journal)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_power_cut_loses_or_doubles_anything() {
    let Some(library) = library() else { return };
    // Events keep arriving, so that every run has something to commit.
    // Beside JupiterOne uploads are small: the graph stays open behind most commits.
    let scene = Scene::of(Config { rate: 40.0, ..small(21) }).await.with_jupiterone();
    let root = scene.disk("disk");
    let entries = three_runs(&scene, library, &root).await;
    let scene = scene.without_jupiterone();
    // The journal tells everything: played back to its end it is the disk.
    let mut disk = Disk::empty(&root);
    entries.iter().for_each(|entry| disk.apply(entry));
    assert_same(&disk, &root);

    let (mut disk, mut acknowledged, mut calls) = (Disk::empty(&root), Acknowledged::default(), 0);
    let (mut told, every) = (0, if thorough() { 1 } else { 29 });
    for entry in &entries {
        disk.apply(entry);
        acknowledged.hear(entry);
        calls += usize::from(entry.is_call());
        // The most telling places are those just behind an acknowledgement,
        // before anything else is asked of the disk.
        let just_told = acknowledged.in_all() > told;
        told = acknowledged.in_all();
        let in_turn = entry.is_call() && calls.is_multiple_of(every);
        if !just_told && !in_turn {
            continue;
        }
        // Lost whole or in part, by turns; all of both where time does not matter.
        let lefts = [Left::Nothing, Left::Some(calls as u64), Left::Some(1 << 32 | calls as u64)];
        let lefts = match just_told {
            _ if thorough() => &lefts[..],
            true => &lefts[..1],
            false => &lefts[calls / every % 2..][..1],
        };
        for left in lefts {
            let what = format!("cut after call {calls}, {left:?} left");
            let image = scene.disk("image");
            disk.restore(*left, &root, &image);
            acknowledged.stands_in(&image, &what).await;
            scene.ends_exact(&image, &what).await;
            fs::remove_dir_all(&image).unwrap();
        }
    }
    assert!(calls > 150 && acknowledged.in_all() > 600, "{calls} calls, {acknowledged:?}");
}

/// Every file but those that are mapped into memory, byte for byte.
fn assert_same(disk: &Disk, root: &Path) {
    let expected = disk.after_cut(Left::Everything);
    let is = Disk::of(root).after_cut(Left::Nothing);
    assert_eq!(expected.keys().collect::<Vec<_>>(), is.keys().collect::<Vec<_>>());
    for (path, content) in &is {
        assert!(*content == expected[path] || path.ends_with("graph.db-shm"), "{}", path.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_power_cut_in_the_middle_of_sync_jobs_loses_or_doubles_anything() {
    let Some(library) = library() else { return };
    // The other side remembers what reached it before the cut, so every cut is a run of its own.
    let every = if thorough() { 3 } else { 149 };
    for at in (1..).map(|turn| turn * every) {
        let scene = Scene::of(small(at as u64)).await.with_jupiterone();
        let (root, journal) = (scene.disk("disk"), scene.dir().join("journal"));
        let mut run = scene.run_once(&root);
        watch(&mut run, library, &root, &journal, &Orders { cut_at: Some(at), failure: None });
        let run = ended(run).await;
        if run.code == Some(0) {
            assert!(at > 100, "the run made only {at} calls");
            break;
        }
        assert_eq!(run.code, None, "killed: {}", run.stderr);
        let (mut disk, mut acknowledged) = (Disk::empty(&root), Acknowledged::default());
        for entry in journal::read(&journal) {
            disk.apply(&entry);
            acknowledged.hear(&entry);
        }
        let left = if at % 2 == 0 { Left::Nothing } else { Left::Some(at as u64) };
        let what = format!("cut at call {at}, {left:?} left");
        let image = scene.disk("image");
        disk.restore(left, &root, &image);
        acknowledged.stands_in(&image, &what).await;
        scene.ends_exact(&image, &what).await;
    }
}
