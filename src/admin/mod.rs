//! What a running opgraph shows of itself: a page, its JSON, Prometheus's metrics, health.
//!
//! Everything is read from the tenants' counters and the state when somebody
//! asks; only the plot of the last hour is kept, in memory and bounded. It can
//! be looked at and nothing else: no request changes anything.

// What there is to show.
mod process;

pub mod metrics;

mod prometheus;

mod history;

mod warnings;

mod stored;

mod status;

// How it is shown, and to whom.
pub(crate) mod words;

mod page;

mod guard;

mod answer;

mod server;

pub mod socket;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use opgraph_state::{Store, UnixMs};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::warn;

pub(crate) use self::stored::{read as stored, short_reason};
pub use self::{
    guard::Door,
    history::Plot,
    server::{Listening, listen},
    status::{BudgetStatus, QueueStatus, SnapshotStatus, Status, StreamStatus, TenantStatus, Window},
    stored::{Committed, Reason},
    warnings::{Collect, Warning, Warnings},
};
use self::{
    history::{History, LOOK_EVERY},
    process::Process,
    stored::StoredTenant,
};
use crate::{
    clock::Clock,
    telemetry::{Meter, TenantState},
    tenants::Roster,
};

/// How old what was read from the state may be when it is shown.
const FRESH: Duration = Duration::from_secs(5);

/// What all answers are made from.
pub struct Site {
    tenants: Roster,
    histories: Mutex<HashMap<Arc<str>, History>>,
    warnings: Warnings,
    clock: Clock,
    started_at: UnixMs,
    state: State,
}

/// The state as it was read last. Whoever asks while it is being read waits, so
/// that however many look, it is read once.
struct State {
    read: Box<dyn Fn() -> BoxFuture<'static, BTreeMap<String, StoredTenant>> + Send + Sync>,
    last: tokio::sync::Mutex<Option<(Instant, BTreeMap<String, StoredTenant>)>>,
}

impl Site {
    /// Shows these tenants, whose state is in `store`.
    pub fn new<T: Store + Clone>(tenants: Roster, store: T, warnings: Warnings, clock: Clock) -> Arc<Site> {
        let read = move || -> BoxFuture<'static, _> {
            let store = store.clone();
            Box::pin(async move {
                stored(&store).await.unwrap_or_else(|error| {
                    // Whoever commits will say so too, and stop.
                    warn!(error = %error, "the state cannot be read for the status");
                    BTreeMap::new()
                })
            })
        };
        Arc::new(Site {
            tenants,
            histories: Mutex::default(),
            warnings,
            started_at: clock.now(),
            clock,
            state: State { read: Box::new(read), last: tokio::sync::Mutex::default() },
        })
    }

    /// Looks at every tenant now and then, for the plot of the last hour; never ends.
    pub async fn watch(&self) {
        let mut ticks = interval(LOOK_EVERY);
        // After a suspended night, one look: not one for every two seconds of it.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let (now, tenants) = (self.clock.now(), self.tenants.list());
            let mut histories = self.histories();
            histories.retain(|known, _| tenants.iter().any(|(name, _)| name == known));
            for (name, meter) in tenants {
                histories.entry(name).or_default().look(&meter, now);
            }
        }
    }

    /// Everything there is to show.
    pub async fn status(&self) -> Status {
        let mut stored = self.state().await;
        let now = self.clock.now();
        let mut tenants = BTreeMap::new();
        let histories = self.histories();
        let none = History::default();
        for (name, meter) in self.tenants.list() {
            let stored = stored.remove(&*name).unwrap_or_default();
            let history = histories.get(&name).unwrap_or(&none);
            tenants.insert(name.to_string(), TenantStatus::of(&meter, history, stored, now));
        }
        Status {
            running: true,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now,
            started_at: Some(self.started_at),
            metrics: prometheus::of_process(&self.process()),
            tenants,
            warnings: self.warnings.newest(),
        }
    }

    /// Every metric, in Prometheus's text format.
    pub fn metrics(&self) -> String {
        prometheus::text(&self.process(), &self.tenants.list(), self.clock.now())
    }

    /// How many tenants are not at work, and of how many: before their first
    /// run, or stopped until a person acts. One that pauses is at work.
    pub fn idle(&self) -> (usize, usize) {
        let tenants = self.tenants.list();
        let idle =
            |meter: &Meter| matches!(meter.state.get(), TenantState::Starting | TenantState::Stopped(_));
        (tenants.iter().filter(|(_, meter)| idle(meter)).count(), tenants.len())
    }

    fn process(&self) -> Process {
        Process::look(self.started_at, self.warnings.counts())
    }

    async fn state(&self) -> BTreeMap<String, StoredTenant> {
        let mut last = self.state.last.lock().await;
        match &*last {
            Some((at, stored)) if at.elapsed() < FRESH => stored.clone(),
            _ => {
                let stored = (self.state.read)().await;
                *last = Some((Instant::now(), stored.clone()));
                stored
            }
        }
    }

    fn histories(&self) -> MutexGuard<'_, HashMap<Arc<str>, History>> {
        self.histories.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Site").field("tenants", &self.tenants).finish_non_exhaustive()
    }
}
