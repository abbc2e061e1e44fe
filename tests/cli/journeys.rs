//! What a person does with the program when all is well.

use std::time::Duration;

use opgraph_simulator::{Config, Faults, Simulator};

use crate::support::program::{Place, ended};

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_ends_exact_with_faults_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut demo = std::process::Command::new(env!("CARGO_BIN_EXE_opgraph"));
    demo.args(["demo", "--events", "5000", "--json", "--dir"]).arg(dir.path().join("demo"));
    let answered = ended(demo).await;
    assert_eq!(answered.code, Some(0), "{}", answered.stderr);
    let findings: serde_json::Value = serde_json::from_str(&answered.stdout).unwrap();
    assert_eq!(findings["exact"], true);
    for graph in ["jupiterone", "graph"] {
        assert_eq!(findings[graph]["limits"]["excess"], 0);
        assert!(findings[graph]["graph"]["held"].as_u64().unwrap() > 5000);
    }
    // All of the data model is there: ten entity types and eight relationship types.
    assert_eq!(findings["summary"][0]["records"].as_object().unwrap().len(), 18);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_never_empties_a_folder_that_no_demo_made() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("thesis.txt"), "ten years of work").unwrap();
    let mut demo = std::process::Command::new(env!("CARGO_BIN_EXE_opgraph"));
    demo.args(["demo", "--events", "10", "--dir"]).arg(dir.path());
    let answered = ended(demo).await;
    assert_eq!(answered.code, Some(2));
    assert!(answered.stderr.contains("no demo made it"));
    assert!(dir.path().join("thesis.txt").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_reads_only_what_is_new() {
    let config = Config { events: 500, rate: 50.0, faults: Faults::none(), ..Config::default() };
    let simulator = Simulator::start(config).await.unwrap();
    let place = Place::of(&simulator);
    let first = ended(place.run_once()).await;
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let second = ended(place.run_once()).await;
    assert_eq!(second.code, Some(0), "{}", second.stderr);
    let repeated: u64 = simulator.report().streams.values().map(|stream| stream.repeated).sum();
    assert_eq!(repeated, 0, "nothing was asked for twice");
    assert!(place.judged_by(&simulator).is_exact());
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_cursors_show_and_move_what_was_committed() {
    let simulator = Simulator::start(Config { events: 1000, ..Config::default() }).await.unwrap();
    let place = Place::of(&simulator);
    assert_eq!(ended(place.run_once()).await.code, Some(0));
    let state = place.path("state");
    let ask = |args: &[&str]| {
        let mut command = place.program();
        command.args(args).arg("--state-dir").arg(&state);
        ended(command)
    };
    let status: serde_json::Value = serde_json::from_str(&ask(&["status", "--json"]).await.stdout).unwrap();
    assert_eq!(status["tenants"]["default"]["streams"]["itemusages"]["events"], 550);
    assert!(ask(&["status"]).await.stdout.contains("itemusages"));
    assert!(ask(&["cursors", "show"]).await.stdout.contains("default/auditevents"));

    let unasked = ask(&["cursors", "rewind", "default", "auditevents", "--by", "2d"]).await;
    assert_eq!(unasked.code, Some(2), "{}", unasked.stderr);
    assert!(unasked.stderr.contains("hint: say `--yes`"));
    let nobody = ask(&["cursors", "rewind", "acme", "auditevents", "--by", "2d", "--yes"]).await;
    assert!(nobody.stderr.contains("tenants in this state directory: default"), "{}", nobody.stderr);
    let moved = ask(&["cursors", "rewind", "default", "auditevents", "--by", "300d", "--yes"]).await;
    assert_eq!(moved.code, Some(0), "{}", moved.stderr);

    let again = ended(place.run_once()).await;
    let summary: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(summary["streams"]["auditevents"]["events"], 250);
    assert_eq!(summary["streams"]["auditevents"]["duplicates"], 250);
    assert!(place.judged_by(&simulator).is_exact());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_soon_is_warned_about_and_still_used() {
    let token_lifetime = Some(Duration::from_secs(5 * 86_400 + 60));
    let simulator =
        Simulator::start(Config { events: 10, token_lifetime, ..Config::default() }).await.unwrap();
    let place = Place::of(&simulator);
    let answered = ended(place.run_once()).await;
    assert_eq!(answered.code, Some(0), "{}", answered.stderr);
    let warning =
        answered.stderr.lines().find(|line| line.contains("the Events API token expires soon")).unwrap();
    let warning: serde_json::Value = serde_json::from_str(warning).unwrap();
    assert_eq!(warning["days"], 5);
    assert!(warning["spans"].to_string().contains("default"), "the line names the tenant: {warning}");
}
