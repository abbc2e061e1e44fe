//! What a person does about events that were set aside.

use opgraph::sink::graph::GraphReader;
use opgraph_simulator::{Config, Simulator};
use opgraph_state::{Commit, OpenOptions, Quarantined, SledStore, Store, UnixMs};
use serde_json::Value;

use crate::support::program::{Ended, Place, ended};

async fn ask(place: &Place, args: &[&str]) -> Ended {
    let mut command = place.program();
    command.args(args).arg("--state-dir").arg(place.path("state"));
    ended(command).await
}

/// The flags that a run of this place is told, for `quarantine retry`.
async fn retry(place: &Place, args: &[&str]) -> Ended {
    let run = place.run_once();
    let mut command = place.program();
    command.args(["quarantine", "retry"]).args(args).args(run.get_args().skip(3));
    ended(command).await
}

#[track_caller]
fn said(ended: &Ended, code: i32, stdout: &[&str], stderr: &[&str]) {
    assert_eq!(ended.code, Some(code), "{}\n{}", ended.stdout, ended.stderr);
    for text in stdout {
        assert!(ended.stdout.contains(text), "`{text}` is not in: {}", ended.stdout);
    }
    for text in stderr {
        assert!(ended.stderr.contains(text), "`{text}` is not in: {}", ended.stderr);
    }
}

fn json(ended: &Ended) -> Value {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap()
}

/// Sets an event aside, as a version that could not read it would have.
async fn set_aside(place: &Place, stream: &str, body: &str) -> String {
    let store = SledStore::open(&place.path("state"), OpenOptions::default()).unwrap();
    let epoch = store.claim("default", &[], UnixMs(0)).await.unwrap().epoch;
    let (stream, body, reason) = (stream.to_owned(), body.to_owned(), "of old".to_owned());
    let entry = Quarantined { stream, reason, body, at: UnixMs(1_780_000_000_000) };
    let id = entry.id().to_string();
    let mut commit = Commit {
        tenant: "default".to_owned(),
        epoch,
        at: UnixMs(0),
        steps: Vec::new(),
        removed: Vec::new(),
        inventory: Vec::new(),
        directory: Vec::new(),
        released: Vec::new(),
        quarantined: Vec::new(),
        settled: Vec::new(),
    };
    commit.quarantined.push(entry);
    store.commit(commit).await.unwrap();
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_is_listed_shown_retried_and_dropped_and_nothing_else_is_touched() {
    let config = Config { events: 2000, poison: 0.02, ..Config::default() };
    let simulator = Simulator::start(config).await.unwrap();
    let instance = simulator.integration_instance_id().to_owned();
    let place = Place::of(&simulator).with_jupiterone(&simulator, ["--jupiterone-instance", &instance]);
    let tokens = [simulator.events_token(), simulator.jupiterone_token()].map(str::to_owned);
    let run = ended(place.run_once()).await;
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(place.judged_by(&simulator).is_exact() && simulator.report().is_exact());

    let listed = json(&ask(&place, &["quarantine", "list", "--json"]).await);
    let entries = listed.as_array().unwrap().clone();
    assert!(entries.len() > 5, "{listed}");
    let status = ask(&place, &["status"]).await;
    let count = format!("{} in quarantine", entries.len());
    said(&status, 0, &[&count, "opgraph quarantine list --tenant default", "the event has no uuid"], &[]);
    let status = json(&ask(&place, &["status", "--json"]).await);
    assert_eq!(status["tenants"]["default"]["quarantined"], entries.len());
    let counted = status["tenants"]["default"]["reasons"].as_array().unwrap().iter();
    let counted: u64 = counted.map(|reason| reason["entries"].as_u64().unwrap()).sum();
    assert!(counted > 0 && counted <= entries.len() as u64);

    let id = entries[0]["id"].as_str().unwrap().to_owned();
    let list = ask(&place, &["quarantine", "list", "--tenant", "default"]).await;
    said(&list, 0, &[&id[..8], "opgraph quarantine show ID", entries[0]["stream"].as_str().unwrap()], &[]);
    let shown = json(&ask(&place, &["quarantine", "show", &id[..8], "--json"]).await);
    assert_eq!((&shown["id"], &shown["reason"]), (&entries[0]["id"], &entries[0]["reason"]));
    assert_eq!(shown["kind"], "event");
    let body = shown["body"].as_str().unwrap();
    let whole = ask(&place, &["quarantine", "show", &id]).await;
    said(&whole, 0, &[&id, body, shown["reason"].as_str().unwrap()], &[]);
    // Nowhere else is a body printed.
    for other in [&list, &ask(&place, &["status"]).await] {
        assert!(body.len() < 10 || !other.stdout.contains(body));
    }

    let again = json(&retry(&place, &["--json"]).await);
    assert_eq!((&again["delivered"], again["stay"].as_array().unwrap().len()), (&0.into(), entries.len()));
    let good = r#"{"uuid":"OUTOFQUARANTINE","timestamp":"2026-05-01T00:00:00Z","action":"fill"}"#;
    let good_id = set_aside(&place, "itemusages", good).await;
    let one = retry(&place, &[&good_id[..10], &id[..10], &good_id]).await;
    said(&one, 0, &["default: delivered 1 entry, 1 stay in quarantine", &id[..8]], &[]);
    let graph = GraphReader::open(&place.path("graph.db")).unwrap().records().unwrap();
    let record = &graph["one_password_item_usage_event:OUTOFQUARANTINE"];
    assert!(record.json.contains("2026-05-01T00:00:00Z"), "with its raw data: {}", record.json);
    let foreign = simulator.report().graph.unexpected;
    assert_eq!(foreign.count, 1, "JupiterOne has it too: {foreign:?}");

    let gone = ask(&place, &["quarantine", "show", &good_id]).await;
    said(&gone, 1, &[], &["no entry in quarantine", "hint: see them with `opgraph quarantine list`"]);
    let unasked = ask(&place, &["quarantine", "drop", &id]).await;
    said(&unasked, 2, &[], &["nobody is there to be asked", "hint: say `--yes`"]);
    said(&ask(&place, &["quarantine", "drop", "--yes"]).await, 2, &[], &["required"]);
    said(&ask(&place, &["quarantine", "drop", &id[..8], "--yes"]).await, 0, &["dropped 1 entry"], &[]);
    let rest = format!("dropped {} entries", entries.len() - 1);
    said(&ask(&place, &["quarantine", "drop", "--all", "--yes"]).await, 0, &[&rest], &[]);
    said(&ask(&place, &["quarantine", "list"]).await, 0, &["nothing is in quarantine"], &[]);
    said(&retry(&place, &[]).await, 0, &["nothing is in quarantine"], &[]);
    let status = json(&ask(&place, &["status", "--json"]).await);
    assert_eq!(status["tenants"]["default"]["quarantined"], 0);
    // The streams stand where they stood.
    let summary = json(&ended(place.run_once()).await);
    assert!(summary["streams"].as_object().unwrap().values().all(|stream| stream["events"] == 0));

    for output in [run, list, whole, one, gone, unasked, retry(&place, &["-vv"]).await] {
        for token in &tokens {
            let signature = token.rsplit('.').next().unwrap();
            assert!(!output.stdout.contains(signature) && !output.stderr.contains(signature));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_fits_nothing_or_too_much_is_refused_with_a_hint() {
    let simulator = Simulator::start(Config { events: 50, ..Config::default() }).await.unwrap();
    let place = Place::of(&simulator);
    assert_eq!(ended(place.run_once()).await.code, Some(0));
    let mut ids = Vec::new();
    for number in 0..17 {
        ids.push(set_aside(&place, "auditevents", &format!("[{number}]")).await);
    }
    // Of seventeen ids two start with the same digit.
    let first = |id: &String| id[..1].to_owned();
    let shared = ids.iter().map(first).find(|digit| ids.iter().filter(|id| first(id) == *digit).count() > 1);
    let shared = shared.unwrap();
    for command in [&["show"][..], &["drop", "--yes"]] {
        let mut args = vec!["quarantine"];
        args.extend(command);
        args.push(&shared);
        said(&ask(&place, &args).await, 1, &[], &["more than one entry", "hint: write more of it"]);
    }
    let nobody = ask(&place, &["quarantine", "list", "--tenant", "acme"]).await;
    said(&nobody, 1, &[], &["there is no tenant `acme`", "tenants in this state directory: default"]);
    // One bad name among good ones: nothing is dropped.
    let mixed = ask(&place, &["quarantine", "drop", &ids[0], "zz", "--yes"]).await;
    said(&mixed, 1, &[], &["no entry in quarantine has an id like `zz`"]);
    let other = retry(&place, &["--tenant-name", "other"]).await;
    said(&other, 2, &[], &["`default` has entries in quarantine and is not configured", "hint:"]);
    let held = json(&ask(&place, &["quarantine", "list", "--json"]).await);
    assert_eq!(held.as_array().unwrap().len(), 17);

    let _running = SledStore::open(&place.path("state"), OpenOptions::default()).unwrap();
    for args in [vec!["list"], vec!["show", "a"], vec!["drop", "--all", "--yes"]] {
        let busy = ask(&place, &[vec!["quarantine"], args].concat()).await;
        said(&busy, 4, &[], &["is in use by another process", "hint: stop the other opgraph"]);
    }
    said(
        &retry(&place, &[]).await,
        4,
        &[],
        &["is in use by another process", "hint: stop the other opgraph"],
    );
}
