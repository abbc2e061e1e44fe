//! SIGHUP, against the real binary: files of tenants come, go and change while it runs.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use opgraph_simulator::{Config, Endpoint, Report, Simulator};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::support::program::{Place, ended, held};

/// How long something that is to happen may take on a busy machine.
const TOO_LONG: Duration = Duration::from_secs(60);

/// A folder that is a configuration.
struct Folder {
    place: Place,
}

impl Folder {
    fn new(first: &Simulator) -> Folder {
        let place = Place::of(first);
        fs::create_dir(place.path("conf")).unwrap();
        fs::write(place.path("conf/opgraph.toml"), "state_dir = \"../state\"\n").unwrap();
        Folder { place }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.place.path(&format!("conf/{name}.toml"))
    }

    fn write(&self, name: &str, simulator: &Simulator, more: &str) {
        self.place.write_token(&format!("{name}.token"), simulator.events_token());
        self.tenant(name, simulator, more);
    }

    fn tenant(&self, name: &str, simulator: &Simulator, more: &str) {
        let text = format!(
            "[[tenant]]\nname = \"{name}\"\npolling_interval = \"1s\"\n{more}\n[tenant.events]\nbase_url = \"{}\"\n\
             token = {{ file = \"../{name}.token\" }}\n[tenant.graph]\npath = \"../{name}.db\"\n",
            simulator.events_url(),
        );
        fs::write(self.file(name), text).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.place.program();
        command.args(args).arg("--config").arg(self.place.path("conf"));
        command
    }

    fn report(&self, name: &str, simulator: &Simulator) -> Report {
        simulator.report_of(held(&self.place.path(&format!("{name}.db"))))
    }

    fn has_all(&self, name: &str, simulator: &Simulator) -> bool {
        self.report(name, simulator).is_exact()
    }

    fn is_exact(&self, name: &str, simulator: &Simulator) {
        let report = self.report(name, simulator);
        assert!(report.is_exact() && report.is_caught_up(), "{name}: {:#?}", report.graph);
    }
}

/// The running program and what it logs.
struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    fn start(folder: &Folder, args: &[&str]) -> Daemon {
        let log = folder.place.path("log");
        let mut command = folder.command(args);
        let child = command.stdout(Stdio::null()).stderr(File::create(&log).unwrap()).spawn().unwrap();
        Daemon { child, log }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn lines(&self) -> Vec<Value> {
        let log = fs::read_to_string(&self.log).unwrap();
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn count(&self, wanted: impl Fn(&Value) -> bool) -> usize {
        self.lines().iter().filter(|line| wanted(line)).count()
    }

    async fn until(&self, what: &str, enough: impl Fn(&Daemon) -> bool) {
        let start = Instant::now();
        while !enough(self) {
            assert!(start.elapsed() < TOO_LONG, "{what}: {}", fs::read_to_string(&self.log).unwrap());
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn says(&self, message: &str, times: usize) {
        self.until(message, |daemon| daemon.count(|line| line["message"] == message) >= times).await;
    }

    /// Waits until it has ended; answers the exit code.
    async fn code(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(start.elapsed() < TOO_LONG, "it does not end");
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn stop(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.code().await
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn started(tenant: &str) -> impl Fn(&Value) -> bool + '_ {
    move |line| line["message"] == "run started" && line["span"]["tenant"] == tenant
}

async fn simulators() -> Vec<Simulator> {
    let mut all = Vec::new();
    for seed in 1..=4 {
        all.push(Simulator::start(Config { seed, events: 300, ..Config::default() }).await.unwrap());
    }
    all
}

fn all_served(simulator: &Simulator) -> bool {
    simulator.report().is_caught_up()
}

const READ_AGAIN: &str = "the configuration was read again";

#[tokio::test(flavor = "multi_thread")]
async fn tenants_are_added_removed_and_changed_without_a_restart_of_the_rest() {
    let simulators = simulators().await;
    let [kept, removed, changed, added] = &simulators[..] else { unreachable!("four") };
    let folder = Folder::new(kept);
    for (name, simulator) in [("kept", kept), ("removed", removed), ("changed", changed)] {
        folder.write(name, simulator, "");
    }
    let mut daemon = Daemon::start(&folder, &["run"]);
    daemon.until("all start", |_| [kept, removed, changed].into_iter().all(all_served)).await;
    // What was served has to be in the graph before its tenant goes.
    daemon.until("all of it is in the graph", |_| folder.has_all("removed", removed)).await;

    fs::remove_file(folder.file("removed")).unwrap();
    folder.write("added", added, "");
    folder.tenant("changed", changed, "tag_account_name = true");
    daemon.signal(Signal::HUP);
    daemon.says(READ_AGAIN, 1).await;
    daemon.until("the added one starts", |_| all_served(added)).await;
    daemon.until("the changed one starts again", |daemon| daemon.count(started("changed")) == 2).await;
    let asked = |simulator: &Simulator| simulator.report().requests[&Endpoint::Introspect];
    daemon.until("the changed one asks what it may read", |_| asked(changed) == 2).await;
    daemon.says("tenant removed; its checkpoints stay, and its graph", 1).await;

    let told = daemon.lines().into_iter().find(|line| line["message"] == READ_AGAIN).unwrap();
    let counts =
        ["added", "removed", "changed", "restarted", "kept"].map(|what| told[what].as_u64().unwrap());
    assert_eq!(counts, [1, 1, 1, 0, 1]);
    // The kept one: one run, one epoch, one claim.
    assert_eq!(daemon.count(started("kept")), 1);
    assert_eq!((asked(kept), asked(changed)), (1, 2));
    // Its first page after the change is committed before the end.
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(daemon.stop().await, Some(0));
    for (name, simulator) in [("kept", kept), ("changed", changed), ("added", added), ("removed", removed)] {
        folder.is_exact(name, simulator);
    }
    // What was removed has only been let go of: it would go on where it was.
    let status = ended(folder.command(&["status", "--json"])).await;
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    assert!(
        status["tenants"]["removed"]["streams"]["auditevents"]["events"].as_u64().unwrap() > 0,
        "{status}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_with_a_problem_changes_nothing_and_says_the_same_as_check() {
    let simulators = simulators().await;
    let [one, two, three, _] = &simulators[..] else { unreachable!("four") };
    let folder = Folder::new(one);
    folder.write("one", one, "");
    folder.write("two", two, "");
    let mut daemon = Daemon::start(&folder, &["run"]);
    daemon.until("both start", |_| [one, two].into_iter().all(all_served)).await;

    folder.write("three", three, "colour = \"red\"");
    fs::write(folder.file("four"), "[[tenant").unwrap();
    fs::remove_file(folder.file("one")).unwrap();
    daemon.signal(Signal::HUP);
    daemon.says("SIGHUP: nothing was changed, everything runs on as it was", 1).await;
    let told: Vec<String> = daemon
        .lines()
        .into_iter()
        .filter(|line| line["message"] == "the configuration has a problem" && line["level"] == "ERROR")
        .map(|line| line["problem"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    let check = ended(folder.command(&["check"])).await;
    assert_eq!(check.code, Some(2));
    assert!(told.iter().all(|problem| check.stderr.contains(problem)), "{told:?}\n{}", check.stderr);

    fs::remove_file(folder.file("three")).unwrap();
    fs::remove_file(folder.file("four")).unwrap();
    fs::write(folder.place.path("conf/opgraph.toml"), "state_dir = \"../elsewhere\"\n").unwrap();
    daemon.signal(Signal::HUP);
    daemon.says("SIGHUP: nothing was changed, everything runs on as it was", 2).await;
    assert_eq!(daemon.count(|line| line["key"] == "state_dir" && line["level"] == "ERROR"), 1);
    assert_eq!(daemon.count(started("one")) + daemon.count(started("two")), 2);

    // Mended, it is read: `one` is no more.
    fs::write(folder.place.path("conf/opgraph.toml"), "state_dir = \"../state\"\n").unwrap();
    daemon.signal(Signal::HUP);
    daemon.says(READ_AGAIN, 1).await;
    daemon.says("tenant removed; its checkpoints stay, and its graph", 1).await;
    assert_eq!(daemon.stop().await, Some(0));
    assert_eq!(two.report().requests[&Endpoint::Introspect], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halted_tenant_waits_for_a_reload_as_long_as_another_runs_and_the_last_one_ends_the_process() {
    let simulators = simulators().await;
    let [well, ill, ..] = &simulators[..] else { unreachable!("four") };
    let folder = Folder::new(well);
    folder.write("well", well, "");
    folder.write("ill", ill, "");
    ill.revoke_tokens(true);
    let mut daemon = Daemon::start(&folder, &["run"]);
    let halted =
        "tenant halted: the others run on; it starts again when its token file is replaced or on SIGHUP";
    daemon.says(halted, 1).await;
    daemon.until("the other one runs", |_| all_served(well)).await;
    ill.revoke_tokens(false);
    daemon.signal(Signal::HUP);
    daemon.until("it is revived", |_| all_served(ill)).await;
    assert_eq!(daemon.count(started("well")), 1);

    ill.revoke_tokens(true);
    daemon.says(halted, 2).await;
    well.revoke_tokens(true);
    assert_eq!(daemon.code().await, Some(3), "nobody is left");

    // A token that is missing stops nobody else; when nobody has one, nothing begins.
    well.revoke_tokens(false);
    fs::remove_file(folder.place.path("ill.token")).unwrap();
    let mut daemon = Daemon::start(&folder, &["run"]);
    daemon.says(halted, 1).await;
    daemon.until("the other one runs", |daemon| daemon.count(started("well")) == 1).await;
    let problem = |line: &Value| line["problem"].as_str().is_some_and(|text| text.contains("tenant `ill`"));
    assert_eq!(daemon.count(problem), 1);
    assert_eq!(daemon.stop().await, Some(2), "a tenant that has halted is told at the end");
    fs::remove_file(folder.place.path("well.token")).unwrap();
    let both = ended(folder.command(&["run"])).await;
    assert_eq!(both.code, Some(2));
    assert!(both.stderr.contains("tenant `ill`") && both.stderr.contains("tenant `well`"), "{}", both.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_ends_by_itself_ignores_a_hangup_and_says_so() {
    let simulators = simulators().await;
    let slow = opgraph_simulator::Fault::Slow { ms: 3000 };
    simulators[0].script(opgraph_simulator::Script::next(Endpoint::Introspect, slow));
    let folder = Folder::new(&simulators[0]);
    folder.write("one", &simulators[0], "");
    let mut daemon = Daemon::start(&folder, &["run", "--once"]);
    daemon.until("it starts", |daemon| daemon.count(started("one")) == 1).await;
    daemon.signal(Signal::HUP);
    daemon
        .until("it says so", |daemon| {
            daemon
                .count(|line| line["message"].as_str().is_some_and(|text| text.starts_with("SIGHUP ignored")))
                == 1
        })
        .await;
    assert_eq!(daemon.code().await, Some(0));
    folder.is_exact("one", &simulators[0]);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn as_many_open_files_are_allowed_as_the_system_allows_and_too_few_are_told() {
    let simulators = simulators().await;
    let folder = Folder::new(&simulators[0]);
    for name in ["a", "b", "c", "d", "e"] {
        folder.write(name, &simulators[0], "");
    }
    let run = |limits: &str| {
        let log = folder.place.path("log");
        let mut command = folder.place.program();
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &format!("{limits}; exec \"$0\" \"$@\"")]).arg(command.get_program());
        shell.args(["run", "--config"]).arg(folder.place.path("conf"));
        command = shell;
        command.env_clear().env("HOME", folder.place.dir.path()).stdin(Stdio::null()).stdout(Stdio::null());
        Daemon { child: command.stderr(File::create(&log).unwrap()).spawn().unwrap(), log }
    };
    let warned =
        |line: &Value| line["message"].as_str().is_some_and(|text| text.starts_with("few open files"));
    for (limits, hard, warnings) in
        [("ulimit -Sn 100; ulimit -Hn 2000", "2000", 0), ("ulimit -n 120", "120", 1)]
    {
        let mut daemon = run(limits);
        daemon.until("one starts", |daemon| daemon.count(|line| line["message"] == "run started") > 0).await;
        let told = fs::read_to_string(format!("/proc/{}/limits", daemon.child.id())).unwrap();
        let files = told.lines().find(|line| line.starts_with("Max open files")).unwrap();
        assert_eq!(files.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), [hard, hard]);
        assert_eq!(daemon.count(warned), warnings);
        daemon.stop().await;
    }
}
