//! The real binary against a simulator, with its files on a disk of the test's own.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use opgraph_simulator::{Config, Limits, Report, Simulator};
use opgraph_state::{OpenOptions, SledStore, Store};

use super::journal::Entry;
use crate::support::program::{Ended, Place, ended, held};

/// A simulator, and a place whose tokens it takes.
pub(super) struct Scene {
    pub(super) simulator: Simulator,
    place: Place,
    jupiterone: bool,
    /// Asks as often as the program would by itself.
    paced: bool,
}

/// Many small pages. The rate of a restart is not what is tested here, so the limits are high.
pub(super) fn small(seed: u64) -> Config {
    Config {
        seed,
        events: 600,
        page_cap: 30,
        users: 12,
        limits: Limits { per_minute: 1_000_000, per_hour: 50_000_000 },
        ..Config::default()
    }
}

impl Scene {
    pub(super) async fn of(config: Config) -> Scene {
        let simulator = Simulator::start(config).await.unwrap();
        Scene { place: Place::of(&simulator), simulator, jupiterone: false, paced: false }
    }

    /// Also delivers to JupiterOne, a few pages a sync job.
    pub(super) fn with_jupiterone(mut self) -> Scene {
        self.jupiterone = true;
        self
    }

    /// Delivers to the graph alone from now on.
    pub(super) fn without_jupiterone(mut self) -> Scene {
        self.jupiterone = false;
        self
    }

    /// The program keeps to the limits that 1Password documents, which takes its time.
    pub(super) fn within_the_documented_limits(mut self) -> Scene {
        self.paced = true;
        self
    }

    /// A folder for files of the test's own: the disk, the journal.
    pub(super) fn dir(&self) -> PathBuf {
        fs::canonicalize(self.place.dir.path()).unwrap()
    }

    /// An empty disk.
    pub(super) fn disk(&self, name: &str) -> PathBuf {
        let disk = self.dir().join(name);
        fs::create_dir(&disk).unwrap();
        disk
    }

    /// `opgraph run --once` with state and graph on this disk; it says every checkpoint it moves.
    pub(super) fn run_once(&self, disk: &Path) -> Command {
        let (dir, at) = (self.dir().display().to_string(), disk.display());
        let url = self.simulator.events_url();
        let limits = if self.paced { "" } else { "limits = { per_minute = 600000, per_hour = 30000000 }" };
        let mut text = format!(
            r#"state_dir = "{at}/state"
[[tenant]]
name = "acme"
[tenant.events]
base_url = "{url}"
token = {{ file = "{dir}/events" }}
{limits}
[tenant.graph]
path = "{at}/graph.db"
"#
        );
        if self.jupiterone {
            let account = self.simulator.jupiterone_account();
            let instance = self.simulator.integration_instance_id();
            text.push_str(&format!(
                "[tenant.jupiterone]\nbase_url = \"{url}\"\naccount = \"{account}\"\ntoken = {{ file = \"{dir}/jupiterone\" }}\n\
                 integration_instance_id = \"{instance}\"\nupload_age = \"1s\"\nupload_events = 120\n"
            ));
        }
        let file = disk.with_extension("toml");
        fs::write(&file, text).unwrap();
        let mut command = self.place.program();
        command.args(["run", "--once", "--json", "-v", "--config"]).arg(&file);
        command
    }

    /// Runs to the end on a disk that is well again, and has the oracle judge.
    pub(super) async fn ends_exact(&self, disk: &Path, what: &str) -> Ended {
        let ended = ended(self.run_once(disk)).await;
        assert_eq!(ended.code, Some(0), "{what}: {}", ended.stderr);
        assert!(!ended.stderr.contains("went backwards"), "{what}: {}", ended.stderr);
        let report = self.judged(disk);
        assert!(report.is_exact() && report.served() >= 600, "{what}: {:#?}", report.graph);
        if self.jupiterone {
            self.simulator.settle();
            let report = self.simulator.report();
            assert!(report.is_exact(), "{what}: {:#?}", report.graph);
        }
        ended
    }

    /// The graph of a disk, as the oracle judges it.
    pub(super) fn judged(&self, disk: &Path) -> Report {
        self.simulator.report_of(held(&disk.join("graph.db")))
    }
}

/// Events of each stream that were acknowledged: the lines that say so, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Acknowledged(BTreeMap<String, u64>);

impl Acknowledged {
    pub(super) fn hear(&mut self, entry: &Entry) {
        let Entry::Said(text) = entry else { return };
        for line in text.lines().filter(|line| line.contains("checkpoint moved")) {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let stream = line["stream"].as_str().unwrap().to_owned();
            *self.0.entry(stream).or_default() += line["events"].as_u64().unwrap();
        }
    }

    pub(super) fn in_all(&self) -> u64 {
        self.0.values().sum()
    }

    /// Opens the state of a disk and asserts that all of it is there.
    pub(super) async fn stands_in(&self, disk: &Path, what: &str) {
        let store = SledStore::open(&disk.join("state"), OpenOptions::default())
            .unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert_eq!(store.rolled_back(), None, "{what}");
        let tenants = store.checkpoints().await.unwrap();
        for (stream, events) in &self.0 {
            let stands = tenants.get("acme").and_then(|streams| streams.get(stream));
            let stands = stands.map_or(0, |checkpoint| checkpoint.events);
            assert!(stands >= *events, "{what}: {stands} of {events} acknowledged events of {stream}");
        }
    }
}
