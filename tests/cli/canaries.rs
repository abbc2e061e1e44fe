//! No secret value leaves the process or stays in its memory: items full of canaries are opened by the real binary
//! at its loudest, and then every byte is searched.

use std::{fs, io::ErrorKind, os::unix::fs::PermissionsExt, path::Path, process::Child, time::Duration};

use opgraph_simulator::{Config, Endpoint, Fault, Script, Simulator};

use super::leaks::walk;
use crate::support::{mappings::each_writable, program::Place};

/// Items that are opened, in each of all vaults but the last, which is empty.
const ITEMS: u32 = 20;
const VAULTS: u32 = 4;

/// A run that stays alive once it has opened all items, with what it says in files.
fn start(place: &Place, failpoints: &str) -> Child {
    let mut run = place.run();
    let file = |name: &str| fs::File::create(place.path(name)).unwrap();
    run.stdout(file("stdout")).stderr(file("stderr"));
    run.env("OPGRAPH_LOG", "trace").env("RUST_BACKTRACE", "1").env("FAILPOINTS", failpoints).spawn().unwrap()
}

async fn until(simulator: &Simulator, what: impl Fn(&opgraph_simulator::Report) -> bool) {
    for _ in 0..600 {
        if what(&simulator.report()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never came so far: {:?}", simulator.report().connect);
}

/// The first canary in these bytes, with what follows it.
fn found(bytes: &[u8], canaries: &[String]) -> Option<String> {
    // Canaries are ASCII, so what is lost in this conversion is no part of one.
    let text = String::from_utf8_lossy(bytes);
    let at = canaries.iter().find_map(|canary| text.find(canary))?;
    Some(text[at..].chars().take(100).collect())
}

/// The writable mappings in which a canary is; `None` where this user may not
/// look into the process, which is undumpable.
fn in_memory(process: u32, canaries: &[String]) -> Option<Vec<String>> {
    let mut all = Vec::new();
    let searched = each_writable(process, |map, bytes| {
        all.extend(found(bytes, canaries).map(|around| format!("{map}: {around}")));
    });
    let searched = match searched {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return None,
        searched => searched.unwrap(),
    };
    assert!(searched > 4 << 20, "only {searched} bytes were searched");
    Some(all)
}

/// What the process wrote, and where a canary is in it.
fn in_files(dir: &Path, canaries: &[String]) -> Vec<String> {
    let files = walk(dir).into_iter();
    let of_file = |file: std::path::PathBuf| Some((found(&fs::read(&file).unwrap(), canaries)?, file));
    files.filter_map(of_file).map(|(around, file)| format!("{}: {around}", file.display())).collect()
}

/// Runs until all items are opened, and searches while the process lives.
#[expect(clippy::print_stderr, reason = "a test that was skipped has to say so")]
async fn searched(failpoints: &str, opened: u64) {
    let config = Config {
        events: 100,
        users: 8,
        vaults: VAULTS,
        items_per_vault: ITEMS,
        poison: 0.1,
        ..Config::default()
    };
    let simulator = Simulator::start(config).await.unwrap();
    // Answers that break off within an item, or are none.
    for (nth, fault) in [(2, Fault::Truncated), (5, Fault::Malformed), (9, Fault::ResetWithin)] {
        simulator.script(Script::nth(Endpoint::ConnectItem, nth, fault));
    }
    let instance = simulator.integration_instance_id().to_owned();
    let place = Place::of(&simulator)
        .with_connect(&simulator)
        .with_jupiterone(&simulator, ["--jupiterone-instance", &instance]);
    let canaries = simulator.secret_canaries();
    let mut child = start(&place, failpoints);
    until(&simulator, |report| {
        let all = failpoints.is_empty();
        report.connect.details >= opened && (!all || report.jobs.finished >= 1 && report.graph.is_exact())
    })
    .await;
    // Connections over which items were opened are closed by now.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert!(child.try_wait().unwrap().is_none(), "it lives");
    let dir = place.dir.path().to_owned();
    let (memory, files) = tokio::task::spawn_blocking(move || {
        let found = (in_memory(child.id(), &canaries), in_files(&dir, &canaries));
        child.kill().unwrap();
        child.wait().unwrap();
        // The search finds what is there.
        fs::write(dir.join("leak"), format!("a leak of {}", canaries[0])).unwrap();
        assert_eq!(in_files(&dir, &canaries).len(), 1 + found.1.len());
        found
    })
    .await
    .unwrap();
    match memory {
        Some(memory) => assert!(memory.is_empty(), "{memory:#?}"),
        None => eprintln!("the memory was not searched: the system keeps it from this user"),
    }
    assert!(files.is_empty(), "{files:#?}");
    for written in ["graph.db", "state", "stderr"] {
        assert!(place.path(written).exists(), "{written} was searched");
    }
    assert_eq!(fs::metadata(place.path("state")).unwrap().permissions().mode() & 0o77, 0);
    let said = fs::read_to_string(place.path("stderr")).unwrap();
    assert!(said.contains("TRACE"), "the loudest level: {} bytes", said.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_any_output_or_in_memory_once_items_were_opened() {
    // Three requests are made again.
    searched("", u64::from(ITEMS * (VAULTS - 1)) + 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_any_output_or_in_memory_between_two_items() {
    searched("connect.labels=20*off->pause", 20).await;
}
