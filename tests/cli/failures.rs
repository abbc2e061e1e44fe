//! What a person is told when something is wrong: exit code, sentence, hint.

use std::{fs, os::unix::fs::PermissionsExt, process::Stdio, time::Duration};

use opgraph_simulator::{Config, Endpoint, Fault, Script, Simulator};

use crate::support::program::{Ended, Place, ended, wait};

async fn simulator(events: u64) -> Simulator {
    Simulator::start(Config { events, ..Config::default() }).await.unwrap()
}

#[track_caller]
fn check(ended: &Ended, code: i32, said: &[&str]) {
    assert_eq!(ended.code, Some(code), "{}\n{}", ended.stdout, ended.stderr);
    for said in said {
        assert!(ended.stderr.contains(said), "`{said}` is not in: {}", ended.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_ends_with_code_3_and_a_hint() {
    let simulator = simulator(10).await;
    let place = Place::of(&simulator);
    place.write_token("events", "eyJhbGciOiJFUzI1NiJ9.e30.wrong");
    check(&ended(place.run_once()).await, 3, &["401", "hint: issue a new Events Reporting token"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_stops_a_run_in_the_middle_with_code_3_and_keeps_what_was_read() {
    let simulator =
        Simulator::start(Config { events: 3000, page_cap: 50, ..Config::default() }).await.unwrap();
    simulator.script(Script::nth(Endpoint::Itemusages, 5, Fault::RevokeToken));
    let place = Place::of(&simulator);
    check(&ended(place.run_once()).await, 3, &["hint: issue a new Events Reporting token"]);
    simulator.revoke_tokens(false);
    check(&ended(place.run_once()).await, 0, &[]);
    let report = place.judged_by(&simulator);
    assert!(report.is_exact() && report.is_caught_up(), "{:#?}", report.graph);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_account_is_refused_before_anything_is_read() {
    let (first, other) =
        (simulator(10).await, Simulator::start(Config { seed: 2, ..Config::default() }).await.unwrap());
    let place = Place::of(&first);
    check(&ended(place.run_once()).await, 0, &[]);
    let mut again = place.program();
    again.args(["run", "--once", "--events-url", &other.events_url(), "--events-token-file"]);
    place.write_token("other", other.events_token());
    again.arg(place.path("other")).arg("--state-dir").arg(place.path("state"));
    again.arg("--graph").arg(place.path("graph.db"));
    check(
        &ended(again).await,
        2,
        &["the token belongs to account", "hint: give the account a tenant name of its own"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_the_token_may_not_read_is_parked_and_the_others_are_read() {
    let simulator = simulator(300).await;
    let place = Place::of(&simulator);
    place.write_token("events", &simulator.token_with_features(&["itemusages", "auditevents"]));
    let all = ended(place.run_once()).await;
    check(&all, 0, &[]);
    let summary: serde_json::Value = serde_json::from_str(&all.stdout).unwrap();
    assert_eq!(summary["streams"]["signinattempts"]["state"], "parked");
    assert_eq!(summary["streams"]["itemusages"]["state"], "caught up");
    assert!(summary["streams"]["auditevents"]["committed"].as_u64().unwrap() > 0);

    let mut asked_for = place.run_once();
    asked_for.args(["--streams", "signinattempts,auditevents"]);
    check(&ended(asked_for).await, 3, &["`signinattempts`", "hint: the token may not read `signinattempts`"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_page_is_asked_for_again_and_then_halts_its_stream_alone() {
    let simulator = simulator(300).await;
    let place = Place::of(&simulator);
    simulator.script(Script { times: 4, ..Script::next(Endpoint::Auditevents, Fault::Malformed) });
    check(&ended(place.run_once()).await, 0, &[]);

    let place = Place::of(&simulator);
    simulator.script(Script { times: 5, ..Script::next(Endpoint::Auditevents, Fault::Malformed) });
    let halted = ended(place.run_once()).await;
    check(&halted, 1, &["stream `auditevents` of tenant `default`", "hint: nothing was skipped"]);
    let summary: serde_json::Value = serde_json::from_str(&halted.stdout).unwrap();
    assert_eq!(summary["streams"]["auditevents"]["committed"], 0);
    assert_eq!(summary["streams"]["auditevents"]["state"], "halted");
    assert_eq!(summary["streams"]["itemusages"]["state"], "caught up");
    check(&ended(place.run_once()).await, 0, &[]);
    assert!(place.judged_by(&simulator).is_exact());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_state_ends_with_code_4_at_once() {
    let simulator = simulator(10).await;
    let place = Place::of(&simulator);
    let mut first = place.run_once();
    // For ever: without `--once`.
    let args: Vec<_> = first.get_args().filter(|arg| *arg != "--once").map(ToOwned::to_owned).collect();
    first = place.program();
    first.args(args);
    let mut child = first.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let held = wait_until(|| place.path("graph.db").exists()).await;
    assert!(held, "the first process has started");
    check(
        &ended(place.run_once()).await,
        4,
        &["is in use by another process", "hint: stop the other opgraph"],
    );
    let mut verify = place.program();
    verify.args(["state", "verify", "--state-dir"]).arg(place.path("state"));
    check(&ended(verify).await, 4, &["is in use"]);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Asks again and again until it is so, for ten seconds at most.
async fn wait_until(mut so: impl FnMut() -> bool) -> bool {
    for _ in 0..1000 {
        if so() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_drains_and_ends_with_code_0() {
    let simulator =
        Simulator::start(Config { events: 20_000, page_cap: 100, ..Config::default() }).await.unwrap();
    let place = Place::of(&simulator);
    let child = place.run_once().spawn().unwrap();
    assert!(wait_until(|| simulator.report().served() > 500).await);
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(child.id() as i32).unwrap(),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    let (status, stderr) = wait(child).await;
    assert_eq!(status.code(), Some(0), "{stderr}");
    // Everything that was served is committed: nothing is read twice after.
    check(&ended(place.run_once()).await, 0, &[]);
    let report = place.judged_by(&simulator);
    assert!(report.is_exact() && report.is_caught_up());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_stops_at_once_and_loses_nothing() {
    let simulator = simulator(300).await;
    let instance = simulator.integration_instance_id().to_owned();
    let place = Place::of(&simulator).with_jupiterone(&simulator, ["--jupiterone-instance", &instance]);
    let slow = Fault::Slow { ms: 60_000 };
    simulator.script(Script::next(Endpoint::Finalize, slow));
    let child = place.run_once().spawn().unwrap();
    assert!(wait_until(|| simulator.report().received.uploads > 1).await);
    let pid = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let waiting = tokio::spawn(wait(child));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished(), "the first signal waits for what is in flight");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let ended_at_once = tokio::time::timeout(Duration::from_secs(10), waiting).await;
    assert_eq!(ended_at_once.unwrap().unwrap().0.code(), Some(1));
    check(&ended(place.run_once()).await, 0, &[]);
    simulator.settle();
    let report = simulator.report();
    assert!(report.is_exact() && place.judged_by(&simulator).is_exact(), "{:#?}", report.graph);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_configuration_ends_with_code_2_and_says_what_to_write_instead() {
    let simulator = simulator(10).await;
    let place = Place::of(&simulator);
    let cases = [
        ("unknown key", "polling_intervall = \"30s\"", "polling_interval`"),
        ("bad duration", "start = \"soon\"", "write it like `120d`"),
    ];
    for (name, line, said) in cases {
        let file = place.path("opgraph.toml");
        let text = format!(
            "[[tenant]]\nname = \"acme\"\n{line}\n[tenant.events]\nbase_url = \"{}\"\ntoken = {{ env = \"NONE\" }}\n",
            simulator.events_url()
        );
        fs::write(&file, text).unwrap();
        let mut run = place.program();
        run.args(["run", "--config"]).arg(&file);
        let answered = ended(run).await;
        check(&answered, 2, &[said, "opgraph.toml:3:"]);
        assert!(!answered.stderr.contains("thread"), "{name}");
    }

    let mut foreign = place.program();
    foreign
        .args(["run", "--events-url", "http://example.com", "--events-token-file"])
        .arg(place.path("events"));
    check(
        &ended(foreign).await,
        2,
        &["would send the token unencrypted", "hint: write `https://example.com`"],
    );

    fs::set_permissions(place.path("events"), fs::Permissions::from_mode(0o644)).unwrap();
    check(&ended(place.run_once()).await, 2, &["may be read by others (mode 644)", "chmod 600"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_stops_a_tenant_ends_with_code_5() {
    // A JupiterOne that does not honour partial datasets deletes yesterday's events.
    let config = Config { events: 400, honour_partial_datasets: false, rate: 200.0, ..Config::default() };
    let simulator = Simulator::start(config).await.unwrap();
    let instance = simulator.integration_instance_id().to_owned();
    let place = Place::of(&simulator).with_jupiterone(&simulator, ["--jupiterone-instance", &instance]);
    check(&ended(place.run_once()).await, 0, &[]);
    assert!(
        wait_until(|| simulator.report().streams.values().any(|stream| stream.arrived > stream.served)).await
    );
    let stopped = ended(place.run_once()).await;
    check(&stopped, 5, &["hint:", "7 days"]);
}
