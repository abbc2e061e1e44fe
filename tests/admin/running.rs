//! The real program while it runs: its socket, its address, what it refuses to start with.

use std::{
    fs,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::UnixListener,
    },
    path::Path,
    process::Command,
    time::Duration,
};

use opgraph_simulator::{Config, Simulator};

use super::Shown;
use crate::support::program::{Ended, Place, ended};

const SOCKET: &str = "state/opgraph.sock";

/// A past so short that it is not read in windows, each of which costs a request.
const HISTORY: Duration = Duration::from_secs(40 * 3600);
const START: [&str; 2] = ["--start", "47h"];

/// A run of the place for ever, over its short past.
fn run(place: &Place) -> Command {
    let mut run = place.run();
    run.args(START);
    run
}

async fn small() -> Simulator {
    Simulator::start(Config { events: 300, page_cap: 50, history: HISTORY, ..Config::default() })
        .await
        .unwrap()
}

fn status(place: &Place, state: &Path, args: &[&str]) -> Command {
    let mut command = place.program();
    command.arg("status").args(args).arg("--state-dir").arg(state);
    command
}

fn json(ended: &Ended) -> serde_json::Value {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap()
}

/// Item usages that are committed; some of those that happened arrive later.
fn committed(status: &serde_json::Value) -> u64 {
    status["tenants"]["default"]["streams"]["itemusages"]["events"].as_u64().unwrap_or(0)
}

fn signal(shown: &Shown, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(shown.child.id() as i32).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_opgraph_answers_for_itself_and_its_store_is_not_opened() {
    let simulator = small().await;
    let place = Place::of(&simulator).with_connect(&simulator);
    let mut shown = Shown::start(run(&place), place.path("log")).await;
    let caught_up = |_, body: &str| {
        let status: serde_json::Value = serde_json::from_str(body).unwrap();
        let tenant = &status["tenants"]["default"];
        let streams = tenant["streams"].as_object().unwrap();
        let all = streams.len() == 3 && streams.values().all(|stream| stream["state"] == "caught up");
        // What is read from the state may be seconds old.
        let listed = tenant["snapshots"]["state"] == "caught up" && tenant["snapshots"]["vaults"] == 60;
        all && listed && committed(&status) > 100
    };
    shown.until("/api/status", caught_up).await;
    let mode = fs::metadata(place.path(SOCKET)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let state = place.path("state");
    let said = json(&ended(status(&place, &state, &["--json"])).await);
    assert_eq!(said["running"], true);
    let tenant = &said["tenants"]["default"];
    assert_eq!((&tenant["state"], &tenant["sinks"][0]), (&"running".into(), &"local graph".into()));
    let usages = committed(&said);
    assert!(usages > 100, "{tenant}");
    assert_eq!(tenant["streams"]["itemusages"]["metrics"]["opgraph_events_committed_total"], usages as f64);
    assert_eq!(tenant["snapshots"]["vaults"], 60);
    assert!(tenant["budget"]["minute"]["used"].as_u64().unwrap() > 3, "{tenant}");
    let text = ended(status(&place, &state, &[])).await.stdout;
    for words in [
        "opgraph 0.",
        "running",
        "default: running, to local graph",
        "itemusages       caught up",
        "vaults and items caught up",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }

    let (code, _, metrics) = shown.get("/metrics", "").await;
    assert_eq!(code, 200);
    let line = format!("opgraph_events_committed_total{{tenant=\"default\",stream=\"itemusages\"}} {usages}");
    assert!(metrics.lines().any(|found| found == line), "{metrics}");
    assert_eq!(shown.get("/readyz", "").await.0, 200);
    assert_eq!(shown.get("/", "host: evil.example\r\n").await.0, 421);

    // Reading the configuration again leaves the address as the flag said.
    signal(&shown, rustix::process::Signal::HUP);
    let log = place.path("log");
    let told = async || {
        for _ in 0..200 {
            if fs::read_to_string(&log).unwrap().contains("the configuration was read again") {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    };
    assert!(told().await, "{}", fs::read_to_string(&log).unwrap());
    assert_eq!(shown.get("/readyz", "").await.0, 200);

    // Somebody keeps a connection open, as browsers do.
    let _kept = tokio::net::TcpStream::connect(&shown.address).await.unwrap();
    assert_eq!(shown.get("/readyz", "").await.0, 200);
    signal(&shown, rustix::process::Signal::TERM);
    let code = tokio::task::spawn_blocking(move || shown.child.wait().unwrap().code()).await.unwrap();
    assert_eq!(code, Some(0));
    let said = fs::read_to_string(&log).unwrap();
    assert!(!said.contains("the state is still in use"), "{said}");
    assert!(!place.path(SOCKET).exists(), "whoever stops takes the socket along");
    let after = json(&ended(status(&place, &state, &["--json"])).await);
    assert_eq!((&after["running"], committed(&after)), (&false.into(), usages));
    let vaults = &after["tenants"]["default"]["snapshots"]["vaults"];
    assert_eq!(vaults, &tenant["snapshots"]["vaults"], "the inventory is shown without a process too");
    let text = ended(status(&place, &state, &[])).await.stdout;
    assert!(text.contains("no opgraph runs") && text.contains("vaults known"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_a_killed_run_has_left_confuses_nobody() {
    let simulator = small().await;
    let place = Place::of(&simulator);
    // The system takes no longer path for a socket than 107 bytes.
    let state = place.path(&format!("{}/state", "long".repeat(40)));
    fs::create_dir_all(state.parent().unwrap()).unwrap();
    let run = || {
        let mut run = place.program();
        run.args(["run", "--events-url", &simulator.events_url(), "--events-token-file"])
            .arg(place.path("events"));
        run.arg("--state-dir").arg(&state).arg("--graph").arg(place.path("graph.db")).args(START);
        run
    };
    let enough = |_, body: &str| committed(&serde_json::from_str(body).unwrap()) > 100;
    let first = Shown::start(run(), place.path("log")).await;
    first.until("/api/status", enough).await;
    drop(first);
    let socket = state.join("opgraph.sock");
    assert!(fs::symlink_metadata(&socket).unwrap().file_type().is_socket(), "killed, it left its socket");

    let alone = json(&ended(status(&place, &state, &["--json"])).await);
    assert_eq!(alone["running"], false);
    assert!(committed(&alone) > 100, "{alone}");
    let mut verify = place.program();
    verify.args(["state", "verify", "--state-dir"]).arg(&state);
    assert_eq!(ended(verify).await.code, Some(0));

    let second = Shown::start(run(), place.path("log")).await;
    let running = json(&ended(status(&place, &state, &["--json"])).await);
    assert_eq!(running["running"], true, "{running}");
    drop(second);

    // Somebody who listens and says something else, or nothing for ever.
    fs::remove_file(&socket).unwrap();
    let short = place.path("other");
    fs::create_dir(&short).unwrap();
    let listener = UnixListener::bind(short.join("opgraph.sock")).unwrap();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut connection, _) = listener.accept().unwrap();
        let _ = connection.read(&mut [0; 1024]);
        connection.write_all(b"HTTP/1.0 200 OK\r\n\r\nnot what was asked for").unwrap();
    });
    let strange = ended(status(&place, &short, &[])).await;
    assert_eq!(strange.code, Some(4), "{}", strange.stderr);
    assert!(strange.stderr.contains("hint: it may be stopping"), "{}", strange.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_is_watched_is_shown_again() {
    let simulator =
        Simulator::start(Config { events: 300, rate: 50.0, history: HISTORY, ..Config::default() })
            .await
            .unwrap();
    let place = Place::of(&simulator);
    let mut run = run(&place);
    run.args(["--polling-interval", "1s"]);
    let shown = Shown::start(run, place.path("log")).await;
    let mut watch = status(&place, &place.path("state"), &["--watch", "--json"]);
    let out = place.path("watched");
    let mut child = watch.stdout(fs::File::create(&out).unwrap()).spawn().unwrap();
    let mut events = Vec::new();
    for _ in 0..300 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let lines = fs::read_to_string(&out).unwrap();
        let read = |line: &str| {
            let status: serde_json::Value = serde_json::from_str(line).ok()?;
            status["tenants"]["default"]["streams"]["itemusages"]["metrics"]["opgraph_events_read_total"]
                .as_f64()
        };
        events = lines.lines().filter_map(read).collect::<Vec<_>>();
        if events.len() > 1 && events.last() > events.first() {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(events.len() > 1 && events.last() > events.first(), "{events:?}");
    drop(shown);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_not_start_where_anybody_could_look_or_nobody_can() {
    let simulator = small().await;
    let place = Place::of(&simulator);
    let check = async |admin: &str, token: Option<&str>, words: &[&str]| {
        let mut run = place.run_once();
        run.args(["--admin", admin]);
        if let Some(token) = token {
            run.env("OPGRAPH_ADMIN_TOKEN", token);
        }
        let ended = ended(run).await;
        assert_eq!(ended.code, Some(2), "{admin}: {}", ended.stderr);
        for words in words {
            assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
        }
        assert!(token.is_none_or(|token| !ended.stderr.contains(token)));
    };
    check(
        "0.0.0.0:0",
        None,
        &["other machines reach `0.0.0.0:0`", "hint: set the variable OPGRAPH_ADMIN_TOKEN"],
    )
    .await;
    check(
        "0.0.0.0:0",
        Some("too-short"),
        &["fewer than 16 characters", "hint: make one with `openssl rand -hex 32`"],
    )
    .await;
    check("9184", None, &["write it like `127.0.0.1:9184`"]).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    check(&address, None, &[&format!("cannot show the status at {address}"), "hint: choose another port"])
        .await;
}

/// Prometheus's own checker with these arguments and this input; `None` where there is none.
fn promtool(args: &[&str], input: &str) -> Option<std::process::Output> {
    use std::{io::Write, process::Stdio};
    let mut tool = Command::new("promtool");
    tool.args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
    let mut tool = tool.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().ok()?;
    tool.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Some(tool.wait_with_output().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_says_and_what_is_made_of_it_is_what_prometheus_reads() {
    let simulator = small().await;
    let place = Place::of(&simulator).with_connect(&simulator);
    let shown = Shown::start(run(&place), place.path("log")).await;
    let none = "opgraph_uploads_total{tenant=\"default\"} 0\n";
    let metrics = shown.until("/metrics", |_, body| !body.contains(none) && body.contains("_bucket{")).await;
    for (args, input) in [
        (["check", "metrics"].as_slice(), metrics.as_str()),
        (&["check", "rules", "deploy/prometheus/opgraph.rules.yaml"], ""),
        (&["test", "rules", "deploy/prometheus/opgraph.rules.test.yaml"], ""),
    ] {
        let Some(output) = promtool(args, input) else {
            eprintln!("metrics and alerts were not checked: there is no promtool (Debian: prometheus)");
            return;
        };
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{args:?}: {said}");
    }
}
