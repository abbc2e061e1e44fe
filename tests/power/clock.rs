//! The wall clock jumps while the real binary runs, and between two runs.
//!
//! libfaketime (Debian: `apt-get install faketime`) moves the wall clock of one
//! process; the monotonic clock is left alone, as in a real jump.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use opgraph_simulator::{Config, Limits};

use super::scene::{Scene, small};
use crate::support::program::{Ended, ended};

/// Where Debian and its kin keep the library; `None` if it is not there, which is said on standard error.
#[expect(clippy::print_stderr, reason = "a test that was skipped has to say so")]
fn faketime() -> Option<PathBuf> {
    let inside = |dir: PathBuf| dir.join("faketime/libfaketime.so.1");
    let multiarch =
        fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| inside(entry.path()));
    let found = multiarch.chain([inside("/usr/lib".into())]).find(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: libfaketime is not installed (Debian: `apt-get install faketime`)");
    }
    found
}

/// Runs with the wall clock `offset` (such as `-2h`) away, and at once with `then` when that is given.
async fn run(
    scene: &Scene,
    faketime: &Path,
    disk: &Path,
    offset: &str,
    then: Option<(&str, Duration)>,
) -> Ended {
    let file = scene.dir().join("clock");
    fs::write(&file, format!("{offset}\n")).unwrap();
    let mut command: Command = scene.run_once(disk);
    command.env("LD_PRELOAD", faketime).env("FAKETIME_TIMESTAMP_FILE", &file);
    command
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1");
    let jump = async {
        if let Some((offset, after)) = then {
            tokio::time::sleep(after).await;
            // Put in its place whole: the process reads it all the time.
            let new = file.with_extension("new");
            fs::write(&new, format!("{offset}\n")).unwrap();
            fs::rename(new, &file).unwrap();
        }
    };
    tokio::join!(ended(command), jump).0
}

/// The clock that the process saw did jump: its log lines say their times.
fn jumped(ended: &Ended) -> bool {
    let times: Vec<jiff::Timestamp> = ended
        .stderr
        .lines()
        .filter_map(|line| {
            serde_json::from_str::<serde_json::Value>(line).ok()?["timestamp"].as_str()?.parse().ok()
        })
        .collect();
    times.windows(2).any(|pair| pair[1].duration_since(pair[0]).as_secs().abs() > 3_000)
}

/// What must hold whatever the clock did: an exact graph, soon, without a rewind and within the limits.
fn is_well(scene: &Scene, disk: &Path, ended: &Ended, started: Instant, what: &str) {
    assert_eq!(ended.code, Some(0), "{what}: {}", ended.stderr);
    let report = scene.judged(disk);
    assert!(report.is_exact() && report.is_caught_up(), "{what}: {:#?}", report.graph);
    assert_eq!(report.limits.excess, 0, "{what}: {:?}", report.limits);
    assert!(started.elapsed() < Duration::from_secs(120), "{what}: took {:?}", started.elapsed());
    let summary: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    for (stream, counted) in summary["streams"].as_object().unwrap() {
        assert_eq!(counted["rewinds"], 0, "{what}: {stream}");
        assert_eq!(counted["state"], "caught up", "{what}: {stream}");
    }
}

/// Slow enough for a jump in the middle: the documented limits, and more pages
/// than may be asked for at once.
fn slow(seed: u64) -> Config {
    Config { events: 900, page_cap: 10, limits: Limits::default(), ..small(seed) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wall_clock_that_jumps_in_a_run_changes_nothing() {
    let Some(faketime) = faketime() else { return };
    for (seed, offset, then) in [(31, "+0", "+1h"), (32, "+0", "-2h"), (33, "+1h", "+0")] {
        let scene = Scene::of(slow(seed)).await.within_the_documented_limits();
        let (disk, started) = (scene.disk("disk"), Instant::now());
        let jumps = Some((then, Duration::from_millis(2_500)));
        let ended = run(&scene, &faketime, &disk, offset, jumps).await;
        assert!(jumped(&ended), "from {offset} to {then}: {}", ended.stderr);
        is_well(&scene, &disk, &ended, started, &format!("from {offset} to {then}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wall_clock_that_jumps_between_runs_changes_nothing() {
    let Some(faketime) = faketime() else { return };
    // The lease of the run before ends two hours from now, or ended an hour ago.
    for (seed, then) in [(34, "-2h"), (35, "+1h")] {
        let config = Config { rate: 20.0, ..slow(seed) };
        let scene = Scene::of(Config { events: 200, ..config }).await.within_the_documented_limits();
        let (disk, started) = (scene.disk("disk"), Instant::now());
        for offset in ["+0", then, "+0"] {
            let ended = run(&scene, &faketime, &disk, offset, None).await;
            assert_eq!(ended.code, Some(0), "{then}, {offset}: {}", ended.stderr);
            let report = scene.judged(&disk);
            assert!(report.is_exact(), "{then}, {offset}: {:?} {:#?}", report.limits, report.graph);
            let repeated: u64 = report.streams.values().map(|stream| stream.repeated).sum();
            assert_eq!(repeated, 0, "{then}, {offset}: nothing is read again");
        }
        assert!(started.elapsed() < Duration::from_secs(120), "{then}: took {:?}", started.elapsed());
    }
}
