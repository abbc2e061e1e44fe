//! No token leaves the process: every kind of failure, at the loudest level, and then every byte is searched.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use opgraph::{
    http::{Asked, Request},
    sink::jupiterone::{JupiterOneSettings, Plan},
    supervisor::Access,
};
use opgraph_simulator::{Config, Endpoint, Fault, Script, Simulator};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::support::program::{Ended, Place, ended, wait};

/// The texts of which no byte sequence outside of the token files may hold one.
pub(super) struct Canaries(Vec<String>);

impl Canaries {
    /// A token is told by any of its parts but the first: that one says only which algorithm signed it.
    pub(super) fn of(tokens: &[&str]) -> Canaries {
        let parts = tokens.iter().flat_map(|token| match token.split_once('.') {
            Some((_, rest)) => rest.split('.').map(str::to_owned).collect(),
            None => vec![(*token).to_owned()],
        });
        let parts: Vec<String> = parts.collect();
        assert!(parts.iter().all(|part| part.len() >= 16), "{parts:?}");
        Canaries(parts)
    }

    fn are_in(&self, bytes: &[u8]) -> bool {
        // Canaries are ASCII, so what is lost in this conversion is no part of one.
        let text = String::from_utf8_lossy(bytes);
        self.0.iter().any(|canary| text.contains(canary))
    }

    #[track_caller]
    pub(super) fn are_not_in(&self, text: &str, of: &str) {
        assert!(!self.are_in(text.as_bytes()), "{of} shows a token: {text}");
    }

    /// The files below `dir` that hold a canary.
    pub(super) fn files(&self, dir: &Path) -> Vec<PathBuf> {
        let mut files = walk(dir);
        files.retain(|file| self.are_in(&fs::read(file).unwrap()));
        files.sort();
        files
    }
}

pub(super) fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        // A killed process leaves its socket, which holds nothing.
        if path.is_dir() {
            found.extend(walk(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found
}

/// Says all there is to say, other crates included.
pub(super) fn loud(mut command: Command) -> Command {
    command.env("OPGRAPH_LOG", "trace").env("RUST_BACKTRACE", "1");
    command
}

async fn small(config: Config) -> Simulator {
    Simulator::start(Config { events: 200, page_cap: 20, users: 8, ..config }).await.unwrap()
}

fn instance(place: Place, simulator: &Simulator) -> Place {
    let instance = simulator.integration_instance_id().to_owned();
    place.with_jupiterone(simulator, ["--jupiterone-instance", &instance])
}

/// A server that gives back, in a page of HTML, the credentials it was sent.
pub(super) async fn echo(status: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = vec![0; 16_384];
            let read = connection.read(&mut request).await.unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..read]).into_owned();
            let token = request
                .lines()
                .find_map(|line| line.strip_prefix("authorization: Bearer "))
                .unwrap_or("no token came")
                .to_owned();
            let page = format!(
                "<html><body>{token} is not welcome. {{\"Error\":{{\"Message\":\"{token}\"}}}}</body></html>"
            );
            let answer = format!(
                "HTTP/1.1 {status}\r\nx-token: {token}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{page}",
                page.len()
            );
            let _ = connection.write_all(answer.as_bytes()).await;
        }
    });
    url
}

/// Runs against an API that nobody can use: until it complains, then it is told to stop.
async fn until_it_complains(mut command: Command, log: &Path) -> Ended {
    command.stderr(fs::File::create(log).unwrap());
    let mut child = command.spawn().unwrap();
    for _ in 0..1_000 {
        if fs::read_to_string(log).unwrap().contains("request failed") || child.try_wait().unwrap().is_some()
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let pid = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    let output = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
    let stderr = fs::read_to_string(log).unwrap();
    Ended { code: output.status.code(), stdout: String::from_utf8(output.stdout).unwrap(), stderr }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_appears_in_any_output() {
    let (simulator, faulty) =
        (small(Config::default()).await, small(Config { seed: 2, ..Config::default() }).await);
    let place = instance(Place::of(&simulator), &simulator);
    let troubled = instance(Place::of(&faulty), &faulty);
    let wrong = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmVkLWJ5LWEtY2FuYXJ5";
    place.write_token("wrong", wrong);
    let canaries = Canaries::of(&[
        simulator.events_token(),
        simulator.jupiterone_token(),
        faulty.events_token(),
        faulty.jupiterone_token(),
        wrong,
    ]);
    let token_files = ["events", "jupiterone", "wrong"].map(|name| place.path(name));
    assert_eq!(canaries.files(place.dir.path()), token_files, "the sweep finds what is there to be found");

    let mut outputs: Vec<(String, Ended)> = Vec::new();
    // What the network does, on both sides, and a token that is revoked in the middle.
    for fault in [
        Fault::Status { code: 503, retry_after: None },
        Fault::Reset,
        Fault::Truncated,
        Fault::Malformed,
        Fault::RefusedCursor,
        Fault::RevokeToken,
    ] {
        for endpoint in [Endpoint::Introspect, Endpoint::Auditevents, Endpoint::Entities, Endpoint::Finalize]
        {
            if endpoint.is_events_api() || !matches!(fault, Fault::RefusedCursor | Fault::RevokeToken) {
                faulty.script(Script::next(endpoint, fault.clone()));
            }
        }
        outputs.push((format!("{fault:?}"), ended(loud(troubled.run_once())).await));
        faulty.revoke_tokens(false);
    }
    assert_eq!(canaries.files(troubled.dir.path()), ["events", "jupiterone"].map(|name| troubled.path(name)));
    outputs.push(("all is well".to_owned(), ended(loud(place.run_once())).await));
    // Deaths: by signal, and by panic, with its message and backtrace.
    for (name, failpoints) in [
        ("a kill", "map.after=return"),
        ("a panic", "fetch.decoded=1*panic(a test panics);map.after=1*panic"),
    ] {
        let fresh = Place::of(&simulator);
        let mut run = loud(fresh.run_once());
        run.env("FAILPOINTS", failpoints);
        let output = ended(run).await;
        assert!(name == "a kill" || output.stderr.contains("a test panics"), "{}", output.stderr);
        outputs.push((name.to_owned(), output));
        assert!(canaries.files(&fresh.path("state")).is_empty());
    }
    // Credentials that are refused, and servers that say them aloud.
    let mut refused = loud(place.run_once());
    refused.arg("--events-token-file").arg(place.path("wrong"));
    let args: Vec<_> = refused.get_args().map(ToOwned::to_owned).collect();
    let first = args.iter().position(|arg| arg == "--events-token-file").unwrap();
    let mut refused = loud(place.program());
    refused.args(args[..first].iter().chain(&args[first + 2..]));
    let output = ended(refused).await;
    assert_eq!(output.code, Some(3), "{}", output.stderr);
    outputs.push(("a wrong token".to_owned(), output));
    for status in ["200 OK", "400 Bad Request", "401 Unauthorized", "404 Not Found", "500 Oh No"] {
        let url = echo(status).await;
        for jupiterone in [false, true] {
            let fresh = Place::of(&simulator);
            let mut run = loud(fresh.program());
            run.args(["run", "--once", "--json", "--drain", "0", "--events-token-file"])
                .arg(place.path("events"));
            run.arg("--state-dir").arg(fresh.path("state")).arg("--graph").arg(fresh.path("graph.db"));
            if jupiterone {
                run.args(["--events-url", &simulator.events_url(), "--jupiterone-url", &url]);
                run.args(["--jupiterone-account", "a", "--jupiterone-instance", "i"]);
                run.arg("--jupiterone-key-file").arg(place.path("jupiterone"));
            } else {
                run.args(["--events-url", &url]);
            }
            let output = until_it_complains(run, &fresh.path("log")).await;
            assert!(
                output.stderr.contains("cannot") || output.stderr.contains("failed"),
                "{}",
                output.stderr
            );
            outputs.push((format!("an echo with {status}, JupiterOne's: {jupiterone}"), output));
            assert!(canaries.files(&fresh.path("state")).is_empty());
        }
    }
    let mut nobody = loud(place.program());
    nobody.args(["run", "--events-url", "http://127.0.0.1:9", "--events-token-file"]);
    nobody.arg(place.path("events")).arg("--state-dir").arg(place.path("unreachable"));
    let output = until_it_complains(nobody, &place.path("log")).await;
    assert!(output.stderr.contains("request failed"), "{}", output.stderr);
    outputs.push(("nobody there".to_owned(), output));
    // Tokens where the configuration wants something else.
    for (number, line) in [
        format!("token = \"{wrong}\""),
        format!("token = {{ env = \"{wrong}\" }}"),
        format!("token = {{ file = \"{wrong}\" }}"),
        format!("token = {{ op = \"{wrong}\" }}"),
        format!("token = {{ tokn = \"{wrong}\" }}"),
        format!("base_url = \"https://{wrong}@events.1password.com\"\ntoken = {{ env = \"T\" }}"),
    ]
    .iter()
    .enumerate()
    {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), format!("[[tenant]]\nname = \"acme\"\n[tenant.events]\n{line}\n")).unwrap();
        for command in [vec!["run"], vec!["check"], vec!["check", "--connect"]] {
            let mut run = loud(place.program());
            run.args(command).arg("--config").arg(file.path());
            let output = ended(run).await;
            assert_eq!(output.code, Some(2), "{number}: {}", output.stderr);
            outputs.push((format!("configuration {number}"), output));
        }
    }
    // What only looks; and a state that is damaged.
    for args in [vec!["check", "--connect"], vec!["check"]] {
        let mut check = loud(place.program());
        check.args(args).args([
            "--events-url",
            &simulator.events_url(),
            "--jupiterone-url",
            &simulator.jupiterone_url(),
        ]);
        check.args(["--jupiterone-account", simulator.jupiterone_account(), "--jupiterone-instance"]);
        check.arg(simulator.integration_instance_id());
        // From the environment this time.
        check.env("OP_EVENTS_TOKEN", simulator.events_token());
        check.env("JUPITERONE_API_KEY", simulator.jupiterone_token());
        let output = ended(check).await;
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        outputs.push(("check".to_owned(), output));
    }
    for args in
        [vec!["status"], vec!["status", "--json"], vec!["cursors", "show"], vec!["cursors", "show", "--json"]]
    {
        let mut look = loud(place.program());
        look.args(&args).arg("--state-dir").arg(place.path("state"));
        let output = ended(look).await;
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        outputs.push((args.join(" "), output));
    }
    let copy = Place::of(&simulator);
    assert_eq!(ended(copy.run_once()).await.code, Some(0));
    fs::write(copy.path("state/db"), vec![0xa5; 4096]).unwrap();
    let mut look = loud(copy.program());
    look.args(["state", "verify", "--state-dir"]).arg(copy.path("state"));
    for (what, command, code) in
        [("a damaged state", look, 4), ("a run that heals it", loud(copy.run_once()), 0)]
    {
        let output = ended(command).await;
        assert_eq!(output.code, Some(code), "{what}: {}", output.stderr);
        outputs.push((what.to_owned(), output));
    }

    for (of, Ended { stdout, stderr, .. }) in &outputs {
        canaries.are_not_in(stdout, of);
        canaries.are_not_in(stderr, of);
    }
    let trace = outputs.iter().filter(|(_, output)| output.stderr.contains("TRACE")).count();
    assert!(outputs.len() > 40 && trace > 20, "{trace} of {} were loud", outputs.len());
    // State, graph and logs, every byte of them: nothing but the three token files.
    assert!(walk(&place.path("state")).len() > 2 && place.path("graph.db").exists());
    assert_eq!(canaries.files(place.dir.path()), token_files);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_appears_when_the_delete_guard_stops_a_tenant() {
    let simulator = small(Config { honour_partial_datasets: false, rate: 100.0, ..Config::default() }).await;
    let place = instance(Place::of(&simulator), &simulator);
    let canaries = Canaries::of(&[simulator.events_token(), simulator.jupiterone_token()]);
    let mut stopped = false;
    for _ in 0..20 {
        let output = ended(loud(place.run_once())).await;
        canaries.are_not_in(&output.stdout, "the summary");
        canaries.are_not_in(&output.stderr, "the log");
        stopped = output.code == Some(5);
        if stopped {
            break;
        }
    }
    assert!(stopped, "a graph that loses what a job does not mention stops the tenant");
    assert_eq!(canaries.files(place.dir.path()), ["events", "jupiterone"].map(|name| place.path(name)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_process_shows_no_token_of_a_file_and_its_files_are_its_owners_alone() {
    let simulator = small(Config::default()).await;
    let place = instance(Place::of(&simulator), &simulator);
    let canaries = Canaries::of(&[simulator.events_token(), simulator.jupiterone_token()]);
    // A umask that would let everybody read and write.
    let once = place.run_once();
    let mut run = Command::new("sh");
    run.args(["-c", "umask 0; exec \"$0\" \"$@\""]).arg(once.get_program());
    run.args(once.get_args().filter(|arg| *arg != "--once"));
    run.env_clear().env("HOME", place.dir.path()).current_dir(place.dir.path());
    let child = run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let caught_up = || simulator.report().is_caught_up() && place.path("graph.db-wal").exists();
    for _ in 0..1_000 {
        if caught_up() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(caught_up(), "the process is in the middle of its work");
    let of_process = |name: &str| fs::read(format!("/proc/{}/{name}", child.id())).unwrap();
    for name in ["cmdline", "environ", "comm", "status"] {
        let bytes = of_process(name);
        assert!(name == "environ" || !bytes.is_empty());
        assert!(!canaries.are_in(&bytes), "/proc shows a token in {name}");
    }
    let limits = String::from_utf8(of_process("limits")).unwrap();
    let core: Vec<_> = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(core[4..6], ["0", "0"], "{limits}");

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place.path("state")), 0o700);
    let files = walk(&place.path("state"));
    assert!(files.len() > 2, "{files:?}");
    for file in
        files.into_iter().chain(["graph.db", "graph.db-wal", "graph.db-shm"].map(|name| place.path(name)))
    {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    let pid = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let (status, said) = wait(child).await;
    assert_eq!(status.code(), Some(0), "{said}");
    canaries.are_not_in(&said, "the log");
}

#[test]
fn no_token_is_shown_by_what_holds_one() {
    let token = "a-canary-that-nobody-may-see";
    let canaries = Canaries::of(&[token]);
    let url: url::Url = "https://events.1password.com".parse().unwrap();
    let plan = Plan::Scope { prefix: "p".to_owned() };
    let settings = JupiterOneSettings::new(url.clone(), "account".to_owned(), token.into(), plan);
    let access = Access { base_url: url.clone(), token: token.into(), expires: None, account: None };
    let request = Request {
        doing: "ask".to_owned(),
        asked: Asked::Introspection,
        method: reqwest::Method::GET,
        url,
        token: token.into(),
        headers: Vec::new(),
        body: None,
    };
    canaries.are_not_in(&format!("{settings:?} {settings:#?}"), "the settings");
    canaries.are_not_in(&format!("{access:?} {access:#?}"), "the access");
    canaries.are_not_in(&format!("{request:?} {request:#?}"), "the request");
}
