//! A damaged state: found, told in words, moved aside, read again with overlap.

use std::{fs, path::PathBuf};

use opgraph_simulator::{Config, Simulator};

use crate::support::program::{Ended, Place, ended};

async fn simulator() -> Simulator {
    Simulator::start(Config { events: 600, ..Config::default() }).await.unwrap()
}

#[track_caller]
fn check(ended: &Ended, code: i32, said: &[&str]) {
    assert_eq!(ended.code, Some(code), "{}\n{}", ended.stdout, ended.stderr);
    for said in said {
        let found = ended.stderr.contains(said) || ended.stdout.contains(said);
        assert!(found, "`{said}` is not in: {}\n{}", ended.stdout, ended.stderr);
    }
}

/// A command about the state of a place.
async fn about(place: &Place, words: &[&str]) -> Ended {
    let mut command = place.program();
    command.args(words).arg("--state-dir").arg(place.path("state"));
    ended(command).await
}

/// The directories that were moved aside.
fn aside(place: &Place) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.dir.path()).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.display().to_string().contains("state.damaged-")).collect()
}

fn flip(path: PathBuf) {
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.iter().rposition(|byte| *byte != 0).unwrap() / 2;
    bytes[middle..middle + 4096].fill(0x5A);
    fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_state_is_told_and_moved_aside_and_the_graph_ends_exact() {
    let simulator = simulator().await;
    let place = Place::of(&simulator);
    check(&ended(place.run_once()).await, 0, &[]);
    check(&about(&place, &["state", "verify"]).await, 0, &["checkpoints", "whole, as commit"]);
    let served = simulator.report().served();
    fs::write(place.path("state/db"), "").unwrap();

    // Commands that only look tell it, and leave everything where it is.
    let hint = "hint: start `opgraph run`: it moves";
    check(&about(&place, &["status"]).await, 4, &["missing or empty", hint]);
    check(&about(&place, &["state", "verify"]).await, 4, &["missing or empty", hint]);
    assert_eq!(aside(&place), Vec::<PathBuf>::new());

    check(&ended(place.run_once()).await, 0, &["the state was damaged: moved aside", "state.damaged-"]);
    assert_eq!(aside(&place).len(), 1);
    assert_eq!(fs::read(aside(&place)[0].join("db")).unwrap(), b"");
    let report = place.judged_by(&simulator);
    assert!(report.is_exact() && report.is_caught_up(), "{:#?}", report.graph);
    let repeated: u64 = simulator.report().streams.values().map(|stream| stream.repeated).sum();
    assert!(repeated > 0 && repeated < served, "{repeated} of {served}: 48 hours, not 120 days");
    check(&about(&place, &["state", "verify", "--json"]).await, 0, &["\"missing\":null"]);
    check(&ended(place.run_once()).await, 0, &[]);
    assert_eq!(aside(&place).len(), 1);
}

/// The open leaves the ids out; whoever reads them misses those that are lost.
#[tokio::test(flavor = "multi_thread")]
async fn ids_that_are_lost_are_missed_behind_the_start_and_healed_without_a_person() {
    let simulator = simulator().await;
    let place = Place::of(&simulator);
    check(&ended(place.run_once()).await, 0, &[]);
    opgraph_state::lose_ids(&place.path("state")).unwrap();
    // It does not wait for the ids; on a busy machine they may be read before it is done.
    let status = about(&place, &["status"]).await;
    let missed: &[&str] = if status.code == Some(0) { &[] } else { &["rows are left of it"] };
    check(&status, if missed.is_empty() { 0 } else { 4 }, missed);
    check(&about(&place, &["state", "verify"]).await, 4, &["tree `seen`, hour", "rows are left of it"]);

    // Found behind the start, unless one of the commands before has found it already.
    check(&ended(place.run_once()).await, 0, &["the state was damaged: moved aside"]);
    assert_eq!(aside(&place).len(), 1);
    let report = place.judged_by(&simulator);
    assert!(report.is_exact() && report.is_caught_up(), "{:#?}", report.graph);
    check(&about(&place, &["state", "verify"]).await, 0, &["whole"]);
    check(&ended(place.run_once()).await, 0, &[]);
    assert_eq!(aside(&place).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn bent_bytes_in_the_database_end_in_an_exact_graph_and_are_never_silent() {
    let simulator = simulator().await;
    let place = Place::of(&simulator);
    check(&ended(place.run_once()).await, 0, &[]);
    flip(place.path("state/db"));
    let again = ended(place.run_once()).await;
    check(&again, 0, &[]);
    let told = again.stderr.contains("the state was damaged") || again.stderr.contains("went backwards");
    assert!(told, "{}", again.stderr);
    assert_eq!(aside(&place).len(), usize::from(again.stderr.contains("the state was damaged")));
    let report = place.judged_by(&simulator);
    assert!(report.is_exact() && report.is_caught_up(), "{:#?}", report.graph);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_of_a_newer_version_is_refused_and_left_where_it_is() {
    let simulator = simulator().await;
    let place = Place::of(&simulator);
    check(&ended(place.run_once()).await, 0, &[]);
    fs::write(place.path("state/commit.json"), r#"{"format":9}"#).unwrap();
    let said = ["has format 9", "hint: run the newer opgraph that wrote it"];
    check(&ended(place.run_once()).await, 4, &said);
    check(&about(&place, &["state", "verify"]).await, 4, &said);
    assert_eq!(aside(&place), Vec::<PathBuf>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_state_goes_on_where_it_was() {
    let simulator = simulator().await;
    let place = Place::of(&simulator);
    check(&ended(place.run_once()).await, 0, &[]);
    check(&about(&place, &["state", "compact"]).await, 0, &["MB before", "MB after"]);
    check(&about(&place, &["state", "verify"]).await, 0, &["whole"]);
    check(&ended(place.run_once()).await, 0, &[]);
    let report = place.judged_by(&simulator);
    let repeated: u64 = simulator.report().streams.values().map(|stream| stream.repeated).sum();
    assert!(report.is_exact() && report.is_caught_up() && repeated == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_move_a_tenant_to_another_machine() {
    let simulator = simulator().await;
    let (old, new) = (Place::of(&simulator), Place::of(&simulator));
    check(&ended(old.run_once()).await, 0, &[]);
    let file = old.path("cursors.json").display().to_string();
    check(&about(&old, &["cursors", "export", "--out", &file]).await, 0, &["cursors of 3 streams"]);
    check(
        &about(&old, &["cursors", "export", "--out", &file]).await,
        1,
        &["exists", "hint: name a new file"],
    );
    check(&about(&old, &["cursors", "export", "--tenant", "acne"]).await, 1, &["hint: tenants", "default"]);
    let printed = about(&old, &["cursors", "export"]).await;
    assert_eq!(printed.stdout, fs::read_to_string(&file).unwrap());
    // The graph goes along.
    fs::copy(old.path("graph.db"), new.path("graph.db")).unwrap();

    check(&about(&new, &["cursors", "import", &file]).await, 0, &["3 streams of `default`"]);
    let refused = about(&new, &["cursors", "import", &file]).await;
    check(&refused, 4, &["`default` has checkpoints already", "hint: say `--force`"]);
    check(&about(&new, &["cursors", "import", &file, "--force"]).await, 0, &[]);
    let before = simulator.report().served();
    check(&ended(new.run_once()).await, 0, &[]);
    let report = new.judged_by(&simulator);
    assert!(report.is_exact() && report.is_caught_up(), "{:#?}", report.graph);
    let again = simulator.report().streams.values().map(|stream| stream.repeated).sum::<u64>();
    assert!(again > 0 && again < before, "{again} of {before}: the overlap, not everything");

    let text = fs::read_to_string(&file).unwrap();
    for (bent, said) in [
        (text.replace("\"version\":1", "\"version\":9"), "version 9"),
        (text.replace("default", "defaults"), "checksum is wrong"),
        ("{}".to_owned(), "no cursors file"),
    ] {
        let path = new.path("bent.json");
        fs::write(&path, bent).unwrap();
        let path = path.display().to_string();
        check(&about(&new, &["cursors", "import", &path, "--force"]).await, 2, &[said, "hint: "]);
    }
}
