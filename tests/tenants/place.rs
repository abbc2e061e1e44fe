//! Tenants with a simulated account each, in one thread and in virtual time: the real supervisors, the real
//! JupiterOne sink, one store and one client for all.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};

use opgraph::{
    clock::Clock,
    config::{self, InstanceSource, Plan, Polling, Start},
    http::{Client, ClientSettings, Limits},
    memory::Memory,
    secret::TokenSource,
    sink::jupiterone::JupiterOneSettings,
    supervisor::{Budgets, Shared},
    telemetry::Meter,
    tenants::Tenants,
};
use opgraph_simulator::{Config, Finalize, Simulator};
use opgraph_state::{MemoryStore, UnixMs};
use tempfile::TempDir;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// When the simulated accounts are looked at first.
pub(super) const NOW: &str = "2026-03-01T12:00:00Z";

/// A small account of which new events arrive, five a minute.
pub(super) fn world(seed: u64) -> Config {
    Config {
        seed,
        events: 60,
        rate: 5.0 / 60.0,
        users: 8,
        vaults: 2,
        items_per_vault: 4,
        finalize: Finalize::After(Duration::ZERO),
        now: Some(NOW.parse().unwrap()),
        ..Config::default()
    }
}

thread_local! {
    /// A client reads the machine's certificates, which takes longer than a story; each test has a thread of its own.
    static CLIENT: Client = Client::new(&ClientSettings::default()).unwrap();
}

/// What outlives a process: the state, the tokens, the time.
pub(super) struct Place {
    dir: TempDir,
    pub(super) store: MemoryStore,
    clock: Clock,
    client: Client,
}

impl Place {
    pub(super) fn new() -> Place {
        let now: jiff::Timestamp = NOW.parse().unwrap();
        Place {
            dir: tempfile::tempdir().unwrap(),
            store: MemoryStore::default(),
            clock: Clock::starting_at(UnixMs(now.as_millisecond())),
            client: CLIENT.with(Client::clone),
        }
    }

    /// A process that knows what earlier ones left.
    pub(super) async fn process(&self) -> Process {
        let shared = self.shared().await;
        Process { closing: shared.closing.clone(), tenants: Tenants::new(shared, false) }
    }

    /// What all tenants of a process share.
    pub(super) async fn shared(&self) -> Shared<MemoryStore> {
        Shared {
            store: self.store.clone(),
            client: self.client.clone(),
            budgets: Budgets::after_earlier_runs(&self.store).await.unwrap(),
            memory: Memory::default(),
            clock: self.clock.clone(),
            closing: CancellationToken::new(),
            drain: Duration::from_secs(30),
        }
    }

    /// Writes a token where the tenant reads it; answers the file.
    pub(super) fn token(&self, name: &str, token: &str) -> std::path::PathBuf {
        private(&self.dir.path().join(name), token)
    }

    /// The tenant of a simulated account. It polls every half a minute.
    pub(super) fn tenant(&self, name: &str, simulator: &Simulator) -> config::Tenant {
        let file = |what: &str, token: &str| TokenSource::File(self.token(&format!("{name}.{what}"), token));
        config::Tenant {
            name: name.to_owned(),
            description: None,
            tag_account_name: false,
            raw_data: true,
            polling_interval: Polling::Every(Duration::from_secs(30)),
            start: Start::Ago(config::START),
            events: config::Events {
                base_url: Some(simulator.events_url().parse().unwrap()),
                token: file("events", simulator.events_token()),
                readers: None,
                streams: None,
                limits: Limits::default(),
            },
            connect: None,
            jupiterone: Some(config::JupiterOne {
                base_url: simulator.jupiterone_url().parse().unwrap(),
                account: simulator.jupiterone_account().to_owned(),
                token: file("jupiterone", simulator.jupiterone_token()),
                plan: Plan::Instance {
                    id: simulator.integration_instance_id().to_owned(),
                    source: InstanceSource::External,
                },
                // It would leave the thread, and with it virtual time.
                gzip: false,
                job_events: false,
                upload: JupiterOneSettings::LIMITS,
            }),
            graph: None,
            files: None,
        }
    }
}

fn private(path: &Path, text: &str) -> std::path::PathBuf {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    path.to_owned()
}

/// One life of the program. Dropping it kills it.
pub(super) struct Process {
    pub(super) tenants: Tenants<MemoryStore>,
    closing: CancellationToken,
}

impl Process {
    /// Lets it run for this long, or until nobody runs any more.
    pub(super) async fn lasts(&mut self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            tokio::select! {
                more = self.tenants.next() => if !more { return },
                () = sleep_until(end) => return,
            }
        }
    }

    /// Tells it to end, and waits until it has drained.
    pub(super) async fn ends(mut self) -> Vec<(Arc<str>, Arc<Meter>, opgraph::tenants::End)> {
        self.closing.cancel();
        while self.tenants.next().await {}
        self.tenants.ends()
    }

    pub(super) fn meter(&self, name: &str) -> Arc<Meter> {
        let list = self.tenants.roster().list();
        list.into_iter().find(|(of, _)| &**of == name).unwrap().1
    }
}
