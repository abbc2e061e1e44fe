//! `run --stay`, for who is restarted whatever the exit code.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, ChildStderr, Command},
};

use opgraph_simulator::{Config, Faults, Simulator};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::program::{Place, ended};

/// A running program, and what it says.
struct Running {
    child: Child,
    lines: BufReader<ChildStderr>,
}

impl Running {
    fn start(mut command: Command) -> Running {
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Running { child, lines }
    }

    fn tell(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Reads on until a line holds all of these.
    fn says(&mut self, parts: &[&str]) {
        let mut all = String::new();
        loop {
            let before = all.len();
            assert!(self.lines.read_line(&mut all).unwrap() > 0, "{parts:?} was never said:\n{all}");
            if parts.iter().all(|part| all[before..].contains(part)) {
                return;
            }
        }
    }
}

fn tenant(name: &str, simulator: &Simulator) -> String {
    format!(
        "[[tenant]]\nname = \"{name}\"\npolling_interval = \"1s\"\n[tenant.events]\nbase_url = \"{}\"\n\
         token = {{ file = \"events\" }}\n[tenant.graph]\npath = \"{name}.db\"\n",
        simulator.events_url(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stays_does_not_walk_past_a_stop_and_goes_on_when_told() {
    let config = Config { events: 50, faults: Faults::none(), ..Config::default() };
    let simulator = Simulator::start(config).await.unwrap();
    let place = Place::of(&simulator);
    let (file, token) = (place.path("opgraph.toml"), place.path("events"));
    fs::write(&file, tenant("acme", &simulator)).unwrap();
    place.write_token("events", "eyJub25l.eyJub25l.bm9uZQ");
    let good = simulator.events_token().to_owned();
    let mut command = place.program();
    command.args(["run", "--stay", "--config"]).arg(&file);
    let code = tokio::task::spawn_blocking(move || {
        let mut running = Running::start(command);
        running.says(&["only a person can go on"]);
        fs::write(&token, good).unwrap();
        assert!(running.child.try_wait().unwrap().is_none(), "it is still there");
        running.tell(Signal::HUP);
        running.says(&["run started", "acme"]);
        running.tell(Signal::TERM);
        running.child.wait().unwrap().code()
    });
    assert_eq!(code.await.unwrap(), Some(0));
    // Without it, the exit code tells who restarts programs not to.
    place.write_token("events", "eyJub25l.eyJub25l.bm9uZQ");
    let mut command = place.program();
    command.args(["run", "--config"]).arg(place.path("opgraph.toml"));
    assert_eq!(ended(command).await.code, Some(3));
}
