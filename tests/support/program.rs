//! The real binary, against a simulator.

use std::{
    fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use opgraph::{cli::judge, sink::graph::GraphReader};
use opgraph_simulator::{HeldInFull, Report, Simulator};
use tempfile::TempDir;

/// A folder with tokens, state and graph, and the flags that name them.
pub(crate) struct Place {
    pub(crate) dir: TempDir,
    events_url: String,
    jupiterone: Option<Vec<String>>,
    connect: Option<Vec<String>>,
}

/// What the program answered.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    /// A place whose token is the simulator's, with the local graph as its sink.
    pub(crate) fn of(simulator: &Simulator) -> Place {
        Place::at(simulator, simulator.events_url())
    }

    /// The same, with something between it and the simulator.
    pub(crate) fn at(simulator: &Simulator, events_url: String) -> Place {
        let place = Place { dir: tempfile::tempdir().unwrap(), events_url, jupiterone: None, connect: None };
        place.write_token("events", simulator.events_token());
        place.write_token("jupiterone", simulator.jupiterone_token());
        place
    }

    /// Also delivers to the simulated JupiterOne; `plan` are the flags that choose the plan.
    pub(crate) fn with_jupiterone(mut self, simulator: &Simulator, plan: [&str; 2]) -> Place {
        let mut flags = vec!["--jupiterone-url".to_owned(), simulator.jupiterone_url()];
        flags.extend(["--jupiterone-account".to_owned(), simulator.jupiterone_account().to_owned()]);
        flags.extend(plan.map(str::to_owned));
        flags.extend(["--jupiterone-key-file".to_owned(), self.path("jupiterone").display().to_string()]);
        self.jupiterone = Some(flags);
        self
    }

    /// Also lists the vaults and items of the simulated Connect server.
    pub(crate) fn with_connect(mut self, simulator: &Simulator) -> Place {
        self.write_token("connect", &simulator.connect_token());
        let token = self.path("connect").display().to_string();
        let flags = ["--connect-url", &simulator.connect_url(), "--connect-token-file", &token];
        self.connect = Some(flags.map(str::to_owned).into());
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write_token(&self, name: &str, token: &str) {
        let path = self.path(name);
        fs::write(&path, token).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// The program, with nothing of this environment but what it needs.
    pub(crate) fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_opgraph"));
        command.env_clear().env("HOME", self.dir.path()).current_dir(self.dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// `opgraph run --once` with the flags of this place.
    pub(crate) fn run_once(&self) -> Command {
        let mut command = self.program();
        command.args(["run", "--once", "--json"]);
        self.name_all(&mut command);
        command
    }

    /// `opgraph run` with the flags of this place.
    pub(crate) fn run(&self) -> Command {
        let mut command = self.program();
        command.arg("run");
        self.name_all(&mut command);
        command
    }

    fn name_all(&self, command: &mut Command) {
        command.args(["--events-url", &self.events_url]);
        command.arg("--events-token-file").arg(self.path("events"));
        command.arg("--state-dir").arg(self.path("state"));
        command.arg("--graph").arg(self.path("graph.db"));
        command.args(self.jupiterone.iter().flatten());
        command.args(self.connect.iter().flatten());
    }

    /// The local graph, as the simulator's oracle judges it.
    pub(crate) fn judged_by(&self, simulator: &Simulator) -> Report {
        judge::judge(simulator, &self.path("graph.db")).unwrap()
    }
}

/// Every record of a graph, in the oracle's words: vaults and secrets with their properties.
pub(crate) fn held(graph: &Path) -> Vec<HeldInFull> {
    let mut records = Vec::new();
    GraphReader::open(graph).unwrap().each(|record| records.push(judge::held(record))).unwrap();
    records
}

/// Runs a command to its end, without blocking the simulator.
pub(crate) async fn ended(mut command: Command) -> Ended {
    tokio::task::spawn_blocking(move || {
        let output = command.output().unwrap();
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    })
    .await
    .unwrap()
}

/// Waits for a child that was started, without blocking the simulator.
pub(crate) async fn wait(mut child: Child) -> (ExitStatus, String) {
    tokio::task::spawn_blocking(move || {
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (child.wait().unwrap(), stderr)
    })
    .await
    .unwrap()
}
