//! One simulated JupiterOne, one state, and as many runs as it takes.

use std::{cell::RefCell, collections::HashMap, sync::Arc, time::Duration};

use opgraph::{
    clock::Clock,
    http::{Budget, Client, ClientSettings, Halt, Limits, Patience, Remedy},
    pipeline::{self, Run, Stopped, snapshot::Snapshots},
    sink::{
        UploadLimits,
        jupiterone::{Home, JupiterOne, JupiterOneSettings, Pauses, Plan},
    },
    source::{NoLister, Pace, events_api::EventsApi},
    stream::{Mapping, Stream},
    supervisor::chain,
    telemetry::Meter,
};
use opgraph_simulator::{Config, Endpoint, Finalize, Report, Simulator};
use opgraph_state::{Cursor, Store, UnixMs};
use tokio_util::sync::CancellationToken;

use super::watched::Watched;

pub(super) const TENANT: &str = "acme";

/// What every API key of the simulator begins with, and nothing else does.
pub(super) const CANARY: &str = "jupiterone-key-";

/// Which of the two plans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Which {
    Instance,
    Scope,
}

/// The settings that can be changed before the first run.
pub(super) struct Bench {
    pub(super) simulator: Arc<Simulator>,
    pub(super) store: Watched,
    pub(super) settings: JupiterOneSettings,
    pub(super) meter: Arc<Meter>,
    /// How long a request may take.
    pub(super) timeout: Duration,
    /// Jobs that were started and never noted: nobody ends them, and they are sent nothing.
    pub(super) orphans: u64,
}

/// What was asked of JupiterOne.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    /// Requests of all kinds.
    pub(super) requests: u64,
    /// Requests among them that ask how a job is.
    pub(super) questions: u64,
    /// Jobs started.
    pub(super) jobs: u64,
}

impl Cost {
    pub(super) fn since(self, start: Cost) -> Cost {
        Cost {
            requests: self.requests - start.requests,
            questions: self.questions - start.questions,
            jobs: self.jobs - start.jobs,
        }
    }
}

thread_local! {
    /// By time-out. A client reads the machine's certificates, which takes longer than a whole case; each test
    /// has a thread of its own.
    static CLIENTS: RefCell<HashMap<Duration, Client>> = RefCell::default();
}

fn client(timeout: Duration) -> Client {
    let make = || Client::new(&ClientSettings { timeout, ..ClientSettings::default() }).unwrap();
    CLIENTS.with_borrow_mut(|clients| clients.entry(timeout).or_insert_with(make).clone())
}

/// Why a run ended before it was done.
pub(super) struct Ended {
    pub(super) remedy: Remedy,
    /// The error and its causes.
    pub(super) text: String,
}

/// A small account: five pages at most, and all that happened is old.
pub(super) fn world() -> Config {
    Config {
        events: 10,
        users: 8,
        vaults: 2,
        items_per_vault: 4,
        page_cap: 3,
        finalize: Finalize::After(Duration::ZERO),
        now: Some("2026-03-01T12:00:00Z".parse().unwrap()),
        ..Config::default()
    }
}

impl Bench {
    pub(super) async fn new(which: Which, world: Config) -> Bench {
        let simulator = Arc::new(Simulator::start(world).await.unwrap());
        let plan = match which {
            Which::Instance => Plan::Instance {
                id: simulator.integration_instance_id().to_owned(),
                source: "integration-external".to_owned(),
            },
            Which::Scope => Plan::Scope { prefix: "1p/acme".to_owned() },
        };
        let pauses = |longest| Pauses { first: Duration::from_millis(1), longest };
        let settings = JupiterOneSettings {
            gzip: false,
            retry: pauses(Duration::from_millis(6)),
            poll: pauses(Duration::from_millis(3)),
            finalize_deadline: Duration::from_secs(5),
            // One upload, which ends when the pages do.
            limits: UploadLimits {
                age: Duration::from_secs(600),
                events: 1 << 40,
                bytes: 1 << 30,
                finishing: 1,
            },
            ..JupiterOneSettings::new(
                simulator.jupiterone_url().parse().unwrap(),
                simulator.jupiterone_account().to_owned(),
                simulator.jupiterone_token().to_owned().into(),
                plan,
            )
        };
        let store = Watched::new(Arc::clone(&simulator));
        let timeout = Duration::from_secs(20);
        Bench { simulator, store, settings, meter: Arc::default(), timeout, orphans: 0 }
    }

    /// One run of all streams, from the claim until they have caught up.
    pub(super) async fn run(&self) -> Result<(), Ended> {
        self.run_of(Stream::ALL).await
    }

    /// One run of some streams.
    pub(super) async fn run_of(&self, streams: &[Stream]) -> Result<(), Ended> {
        self.run_or_stop(streams).await.map_err(|stopped| {
            let told = [chain(&stopped), format!("{stopped:?}")];
            assert!(told.iter().all(|text| !text.contains(CANARY)), "the API key is in an error: {told:?}");
            let [text, _] = told;
            Ended { remedy: stopped.remedy(), text }
        })
    }

    async fn run_or_stop(&self, streams: &[Stream]) -> Result<(), Stopped> {
        let start = UnixMs(1_700_000_000_000);
        let first: Vec<_> =
            streams.iter().map(|stream| (stream.name().to_owned(), Cursor::Since(start))).collect();
        let claim = self.store.claim(TENANT, &first, start).await?;
        assert!(claim.unsettled.iter().all(|note| !note.note.contains(CANARY)));
        let clock = Clock::starting_at(UnixMs(1_772_366_400_000));
        let client = client(self.timeout);
        let home = Home {
            store: self.store.clone(),
            tenant: TENANT.into(),
            epoch: claim.epoch,
            clock: clock.clone(),
        };
        let (settings, meter) = (Arc::new(self.settings.clone()), Arc::clone(&self.meter));
        let sink =
            JupiterOne::start(client.clone(), settings, home, claim.unsettled.clone(), meter.clone()).await?;
        let api = EventsApi::new(
            client,
            self.simulator.events_url().parse().unwrap(),
            self.simulator.events_token().to_owned().into(),
            Arc::new(Budget::new(Limits::default(), None)),
            Patience::ENDLESS,
            meter.clone(),
        );
        let checkpoints = &claim.checkpoints;
        let run = Run {
            tenant: TENANT.into(),
            epoch: claim.epoch,
            source: Arc::new(api),
            snapshots: None::<Snapshots<NoLister>>,
            sink: Arc::new(sink),
            store: self.store.clone(),
            streams: streams.iter().map(|of| (*of, checkpoints[of.name()].clone())).collect(),
            first: start,
            pace: Pace::Once,
            mapping: Mapping { raw_data: true, account_name: None },
            room: None,
            limits: pipeline::Limits::default(),
            clock,
            meter,
            closing: CancellationToken::new(),
        };
        let drained = pipeline::run(run).await?;
        assert!(drained.halted.is_empty(), "no stream is troubled here: {:?}", drained.halted);
        Ok(())
    }

    /// Events behind the checkpoints.
    pub(super) fn committed(&self) -> u64 {
        self.store.seen(|seen| seen.committed)
    }

    /// What was asked of JupiterOne so far.
    pub(super) fn cost(&self) -> Cost {
        let report = self.simulator.report();
        let of_jupiterone = report.requests.iter().filter(|(on, _)| !on.is_events_api() && !on.is_connect());
        Cost {
            requests: of_jupiterone.map(|(_, requests)| requests).sum(),
            questions: report.requests.get(&Endpoint::Status).copied().unwrap_or(0),
            jobs: report.jobs.started,
        }
    }

    /// What holds at every moment, whatever went wrong.
    pub(super) fn is_sound(&self) -> Result<Report, String> {
        let report = self.simulator.report();
        self.store.seen(|seen| if seen.wrong.is_empty() { Ok(()) } else { Err(seen.wrong.join("; ")) })?;
        let jobs = &report.jobs;
        let wrong = [
            ("jobs side by side in one instance", jobs.concurrent_jobs.saturating_sub(self.orphans)),
            ("two writers of one scope", jobs.overlapping_jobs),
            ("records against the rules", report.received.refused.count),
            ("jobs with duplicate keys", jobs.bad.count),
            ("requests over the rate limit", report.limits.excess),
            ("records held twice", report.graph.duplicated.count),
            ("records nobody sent", report.graph.unexpected.count),
        ];
        match wrong.iter().find(|(_, count)| *count > 0) {
            Some((what, count)) => Err(format!("{what}: {count}")),
            None => Ok(report),
        }
    }

    /// What holds once a run has ended well: everything is there, once, and nothing is left behind.
    pub(super) async fn is_exact(&self) -> Result<(), String> {
        let report = self.is_sound()?;
        if !report.is_exact() || !report.is_caught_up() {
            return Err(format!("the graph is not exact: {:?}", report.graph));
        }
        if self.committed() != report.served() {
            return Err(format!("{} of {} events committed", self.committed(), report.served()));
        }
        if report.jobs.open_with_records + report.jobs.finalizing > 0 {
            return Err(format!("a job is left behind: {:?}", report.jobs.open));
        }
        let notes = self.store.claim(TENANT, &[], UnixMs(0)).await.unwrap().unsettled;
        match notes.iter().find(|note| note.name.starts_with("jupiterone/job/")) {
            Some(note) => Err(format!("{} is noted for ever", note.name)),
            None => Ok(()),
        }
    }
}

/// The exit code that the command line makes of a remedy (`cli/failed.rs`).
pub(super) fn exit(remedy: &Remedy) -> u8 {
    match remedy {
        Remedy::Halt(Halt::Configuration { .. }) => 2,
        Remedy::Halt(Halt::Credentials { .. }) | Remedy::Park { .. } => 3,
        Remedy::Halt(Halt::State { .. }) => 4,
        Remedy::Halt(Halt::Guard { .. }) => 5,
        _ => 1,
    }
}
