//! Setting up: `init` writes what `check` passes, and `check` says what each credential can do.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Stdio},
    time::Duration,
};

use opgraph_simulator::{Config, Simulator};
use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, tcgetattr},
};

use crate::support::program::{Place, ended};

/// The arguments of a run, as flags of another command.
fn flags(place: &Place) -> Vec<std::ffi::OsString> {
    place.run_once().get_args().skip(3).map(ToOwned::to_owned).collect()
}

fn has(text: &str, all: &[&str]) {
    for said in all {
        assert!(text.contains(said), "`{said}` is not in:\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_what_each_credential_can_and_cannot_do() {
    let token_lifetime = Some(Duration::from_secs(5 * 86_400 + 60));
    let config = Config { events: 10, vaults: 3, items_per_vault: 2, token_lifetime, ..Config::default() };
    let simulator = Simulator::start(config).await.unwrap();
    let instance = simulator.integration_instance_id().to_owned();
    let place = Place::of(&simulator)
        .with_jupiterone(&simulator, ["--jupiterone-instance", &instance])
        .with_connect(&simulator);
    let mut check = place.program();
    check.args(["check", "--connect", "--canary"]).args(flags(&place));
    let answered = ended(check).await;
    assert_eq!(answered.code, Some(0), "{}\n{}", answered.stdout, answered.stderr);
    has(
        &answered.stdout,
        &[
            "default: requests to 1Password: 8,640 a day",
            "default: requests to Connect: 96 a day",
            "default: uploads to JupiterOne: at most 1,440 a day",
            "1Password: it can read signinattempts, itemusages, auditevents\n",
            "1Password: it cannot read vaults or items, and cannot change anything",
            "1Password: it is for account ",
            "1Password: it expires in 5d, on ",
            "Connect: it can see ",
            "Connect: it does not say when it expires",
            "JupiterOne: it can upload through instance ",
            "it opened and aborted a sync job",
            "canary: what a job does not mention is kept",
        ],
    );
    assert_eq!(simulator.report().jobs.open.count, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_goes_on_past_a_refused_token_and_fails_with_it() {
    let simulator = Simulator::start(Config { events: 10, ..Config::default() }).await.unwrap();
    let place = Place::of(&simulator).with_connect(&simulator);
    place.write_token("events", "eyJub25l.eyJub25l.bm9uZQ");
    let mut check = place.program();
    check.args(["check", "--connect"]).args(flags(&place));
    let answered = ended(check).await;
    assert_eq!(answered.code, Some(3), "{}\n{}", answered.stdout, answered.stderr);
    has(&answered.stdout, &["1Password: ", "Connect: it can see"]);
    assert!(!format!("{}{}", answered.stdout, answered.stderr).contains("bm9uZQ"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_init_writes_passes_check_and_runs() {
    let simulator = Simulator::start(Config { events: 100, ..Config::default() }).await.unwrap();
    let place = Place::of(&simulator).with_connect(&simulator);
    let mut init = place.program();
    init.args(["init", "--tenant-name", "acme", "--events-token-from", "file:events"]);
    init.args(["--events-url", &simulator.events_url(), "--connect-url", &simulator.connect_url()]);
    init.args(["--connect-token-from", "file:connect"]);
    let written = ended(init).await;
    assert_eq!(written.code, Some(0), "{}", written.stderr);
    has(&written.stdout, &["wrote opgraph.toml", "opgraph check --config opgraph.toml --connect"]);
    assert!(!written.stdout.contains("write the"), "both tokens are there: {}", written.stdout);
    for args in [&["check"][..], &["check", "--connect"], &["run", "--once"]] {
        let mut command = place.program();
        command.args(args).args(["--config", "opgraph.toml"]);
        let answered = ended(command).await;
        assert_eq!(answered.code, Some(0), "{args:?}: {}\n{}", answered.stdout, answered.stderr);
    }
    assert!(place.judged_by(&simulator).is_exact());
    let text = fs::read_to_string(place.path("opgraph.toml")).unwrap();
    for token in [simulator.events_token(), &simulator.connect_token()] {
        assert!(!text.contains(token), "the file holds a token");
    }
}

/// A person at a terminal.
struct Person {
    screen: File,
    child: Child,
    /// Since the last question.
    seen: String,
    /// From the beginning.
    shown: String,
}

impl Person {
    /// Starts a program whose standard input and standard error are a terminal.
    fn start(mut command: Command) -> Person {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let side = || OpenOptions::new().read(true).write(true).open(&name).unwrap();
        command.stdin(Stdio::from(side())).stderr(Stdio::from(side())).stdout(Stdio::null());
        let child = command.spawn().unwrap();
        Person { screen: File::from(master), child, seen: String::new(), shown: String::new() }
    }

    /// Reads until the program asks this, then types.
    fn asked(&mut self, question: &str, answer: &str) {
        while !self.seen.contains(question) {
            let mut bytes = [0; 1024];
            match self.screen.read(&mut bytes) {
                Ok(read) if read > 0 => self.seen.push_str(&String::from_utf8_lossy(&bytes[..read])),
                _ => panic!("`{question}` was never asked:\n{}", self.seen),
            }
        }
        // What comes next is a question of its own.
        let rest = self.seen.split_off(self.seen.find(question).unwrap() + question.len());
        self.shown.push_str(&std::mem::replace(&mut self.seen, rest));
        self.screen.write_all(answer.as_bytes()).unwrap();
    }

    /// Waits for the end; answers the exit code, all that was shown, and whether the terminal shows
    /// again what is typed.
    fn ended(mut self) -> (Option<i32>, String, bool) {
        let code = self.child.wait().unwrap().code();
        let shows = tcgetattr(&self.screen).unwrap().local_modes.contains(LocalModes::ECHO);
        let mut bytes = [0; 4096];
        // The other side is closed: a read fails once all was read.
        while let Ok(read @ 1..) = self.screen.read(&mut bytes) {
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
        (code, self.shown + &self.seen, shows)
    }
}

const INIT: [&str; 8] =
    ["init", "--tenant-name", "acme", "--region", "eu", "--events-token-from", "file:typed", "--graph=g.db"];

#[tokio::test(flavor = "multi_thread")]
async fn a_token_typed_at_the_hidden_prompt_is_in_its_file_and_on_no_screen() {
    let simulator = Simulator::start(Config { events: 10, ..Config::default() }).await.unwrap();
    let place = Place::of(&simulator);
    let token = simulator.events_token().to_owned();
    let mut init = place.program();
    init.args(INIT);
    let typed = token.clone();
    let (code, seen, shows) = tokio::task::spawn_blocking(move || {
        let mut person = Person::start(init);
        // With a slip, taken back.
        person.asked("Enter: you write it later.", &format!("{typed}x\u{7f}\r"));
        person.asked("Enter: none", "\r");
        person.asked("Enter: none, a local graph", "\r");
        person.ended()
    })
    .await
    .unwrap();
    assert_eq!((code, shows), (Some(0), true), "{seen}");
    assert!(!seen.contains(&token[..20]), "{seen}");
    let file = place.path("typed");
    assert_eq!(fs::read_to_string(&file).unwrap(), token);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let mut check = place.program();
    check.args(["check", "--config", "opgraph.toml"]);
    assert_eq!(ended(check).await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_breaks_off_at_the_hidden_prompt_has_a_terminal_and_no_files() {
    let simulator = Simulator::start(Config { events: 10, ..Config::default() }).await.unwrap();
    let place = Place::of(&simulator);
    let mut init = place.program();
    init.args(INIT);
    let ended = tokio::task::spawn_blocking(move || {
        let mut person = Person::start(init);
        person.asked("Enter: you write it later.", "eyJhbG\u{3}");
        person.ended()
    });
    let (code, seen, shows) = ended.await.unwrap();
    assert_eq!((code, shows), (Some(2), true), "{seen}");
    has(&seen, &["nothing was written"]);
    assert!(!seen.contains("eyJhbG"), "{seen}");
    assert!(!place.path("typed").exists() && !place.path("opgraph.toml").exists());
}
