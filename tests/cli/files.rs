//! `run --once --sink files --out DIR`, as a person uses it.

use std::{fs, process::Command, time::Duration};

use opgraph_simulator::{Config, Endpoint, Fault, Script, Simulator};
use serde_json::Value;

use crate::support::{
    files::held,
    program::{Place, ended},
};

/// `opgraph run --once --sink files` into the folder `out` of the place, where
/// state and graph would be as well if they were not with the files.
fn fill(place: &Place, simulator: &Simulator) -> Command {
    let mut command = place.program();
    command.args(["run", "--once", "--json", "--sink", "files", "--out", "out"]);
    command.args(["--events-url", &simulator.events_url(), "--events-token-file", "events"]);
    command.args(["--connect-url", &simulator.connect_url(), "--connect-token-file", "connect"]);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_folder_is_filled_and_an_older_one_is_gone_on_with() {
    let config = Config { events: 500, vaults: 4, items_per_vault: 3, rate: 50.0, ..Config::default() };
    let simulator = Simulator::start(config).await.unwrap();
    let place = Place::of(&simulator).with_connect(&simulator);
    let out = place.path("out");
    for _ in 0..3 {
        let answered = ended(fill(&place, &simulator)).await;
        assert_eq!(answered.code, Some(0), "{}", answered.stderr);
        let judged = simulator.report_of(held(&out));
        assert!(judged.is_exact(), "{:?}", judged.graph);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let repeated: u64 = simulator.report().streams.values().map(|stream| stream.repeated).sum();
    assert_eq!(repeated, 0, "nothing was asked for twice");
    let summary = fs::read_to_string(out.join(".j1-integration/summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    let results = summary["integrationStepResults"].as_array().unwrap();
    assert!(results.iter().all(|step| step["status"] == "success"), "{results:#?}");
    for elsewhere in ["opgraph-state", "state", "graph.db"] {
        assert!(!place.path(elsewhere).exists(), "`{elsewhere}` belongs to other destinations");
    }
    // Another new folder is read from the start, and holds the same.
    let mut other = fill(&place, &simulator);
    other.args(["--out", "other"]);
    let answered = ended(other).await;
    assert!(answered.stderr.contains("cannot be used multiple times"), "{}", answered.stderr);
    fs::rename(&out, place.path("moved")).unwrap();
    assert_eq!(ended(fill(&place, &simulator)).await.code, Some(0));
    let judged = simulator.report_of(held(&out));
    assert!(judged.is_exact(), "{:?}", judged.graph);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_was_not_read_is_no_success_and_a_sync_deletes_nothing_of_it() {
    let simulator = Simulator::start(Config { events: 60, ..Config::default() }).await.unwrap();
    simulator.script(Script::nth(Endpoint::Auditevents, 1, Fault::Status { code: 403, retry_after: None }));
    let place = Place::of(&simulator);
    place.write_token("events", &simulator.token_with_features(&["itemusages", "auditevents"]));
    let mut without_connect = place.program();
    without_connect.args(["run", "--once", "--sink", "files", "--out", "out"]);
    without_connect.args(["--events-url", &simulator.events_url(), "--events-token-file", "events"]);
    let answered = ended(without_connect).await;
    assert_eq!(answered.code, Some(3), "{}", answered.stderr);
    let summary = fs::read_to_string(place.path("out/.j1-integration/summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    let ended = |n: usize| summary["integrationStepResults"][n]["status"].as_str().unwrap();
    assert_eq!([ended(0), ended(1), ended(2), ended(3)], ["disabled", "success", "failure", "disabled"]);
    assert_eq!(summary["metadata"]["partialDatasets"]["types"].as_array().unwrap().len(), 18);
}

#[tokio::test(flavor = "multi_thread")]
async fn combinations_that_make_no_sense_are_refused_with_a_hint() {
    let simulator = Simulator::start(Config { events: 10, ..Config::default() }).await.unwrap();
    let place = Place::of(&simulator).with_connect(&simulator);
    let tenant = |name: &str| {
        format!(
            "[[tenant]]\nname = \"{name}\"\n[tenant.events]\ntoken = {{ file = \"events\" }}\n[tenant.graph]\npath = \"{name}.db\"\n"
        )
    };
    fs::write(place.path("two.toml"), tenant("acme") + &tenant("globex")).unwrap();
    fs::create_dir(place.path("full")).unwrap();
    fs::write(place.path("full/thesis.txt"), "ten years of work").unwrap();
    let check = async |args: &[&str], code: i32, said: &[&str]| {
        let mut command = place.program();
        command.arg("run").args(args);
        let answered = ended(command).await;
        assert_eq!(answered.code, Some(code), "{args:?}: {}", answered.stderr);
        for text in said {
            assert!(answered.stderr.contains(text), "{args:?}: `{text}` is not in {}", answered.stderr);
        }
    };
    let files = ["--once", "--sink", "files", "--out"];
    check(&["--sink", "files", "--out", "out"], 2, &["goes with `--once`", "hint: add `--once`"]).await;
    check(&["--once", "--sink", "files"], 2, &["--out"]).await;
    check(&["--once", "--out", "out"], 2, &["--sink"]).await;
    let flags = ["--events-token-file", "events"];
    let with = |more: &[&'static str]| [&files[..], more, &flags[..]].concat();
    check(&with(&["full"]), 2, &["it is not empty", "hint: name a new or an empty folder"]).await;
    check(&with(&["out/.j1-integration"]), 2, &["inside a folder", "hint: name the folder that is to hold"])
        .await;
    check(&with(&["out", "--state-dir", "s"]), 2, &["`--state-dir` does not go with", "hint: leave"]).await;
    let of_two = |more: &[&'static str]| [&files[..], &["out", "--config", "two.toml"], more].concat();
    check(&of_two(&[]), 2, &["there are 2", "hint: say which, as in `--tenant acme`"]).await;
    check(&of_two(&["--tenant", "initech"]), 2, &["no tenant `initech`", "acme, globex"]).await;
    let state =
        ["--once", "--state-dir", "out/.j1-integration/opgraph/state", "--events-token-file", "events"];
    check(&state, 2, &["belongs to the files in out", "hint: say `--sink files --out out`"]).await;
    for made in ["out", "s", "opgraph-state", "graph.db"] {
        assert!(!place.path(made).exists(), "`{made}` was made");
    }
    assert_eq!(fs::read_dir(place.path("full")).unwrap().count(), 1);
}
