//! The tenants of the process: started, told to end, started again, each on its own.
//!
//! What a configuration wants is compared with what runs, and only what
//! differs is touched.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use opgraph_state::Store;
use tokio::{
    task::{Id, JoinSet},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::{
    config,
    pipeline::Drained,
    secret::Stamp,
    source::Pace,
    supervisor::{RunError, Shared, chain},
    telemetry::{Meter, TenantState},
    tenant,
};

/// The pause between the starts of two tenants: two hundred of them are under
/// way after four seconds, and do not ask in step from then on.
const STAGGER: Duration = Duration::from_millis(20);

/// How often the token files of halted tenants are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(30);

/// How a tenant's runs ended.
pub type End = Result<Drained, RunError>;

/// The tenants that there are, for whoever shows them. Clones share the list.
#[derive(Clone, Debug, Default)]
pub struct Roster(Arc<Mutex<Vec<(Arc<str>, Arc<Meter>)>>>);

impl Roster {
    /// Every tenant with its counters, in the order of the configuration; one
    /// that is on its way out is at the end.
    pub fn list(&self) -> Vec<(Arc<str>, Arc<Meter>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A list that nothing changes.
    pub fn of(tenants: Vec<(Arc<str>, Arc<Meter>)>) -> Roster {
        Roster(Arc::new(Mutex::new(tenants)))
    }

    fn set(&self, tenants: Vec<(Arc<str>, Arc<Meter>)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = tenants;
    }
}

/// What a new configuration meant for the tenants, by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// They were not there before.
    pub added: Vec<String>,
    /// They drain and end. Their checkpoints and graphs stay.
    pub removed: Vec<String>,
    /// They drain, and start again as they are configured now.
    pub changed: Vec<String>,
    /// They are configured as before, and start again: they or one of their
    /// streams had halted, or a token file was replaced.
    pub restarted: Vec<String>,
    /// They run on, untouched.
    pub kept: Vec<String>,
}

/// All tenants of the process. Dropping it ends them at once.
#[derive(Debug)]
pub struct Tenants<T> {
    shared: Shared<T>,
    once: bool,
    /// What is to run, in the order of the configuration.
    wanted: Vec<config::Tenant>,
    running: BTreeMap<Arc<str>, Running>,
    meters: BTreeMap<Arc<str>, Arc<Meter>>,
    tasks: JoinSet<End>,
    names: HashMap<Id, Arc<str>>,
    roster: Roster,
}

/// A tenant that was started.
#[derive(Debug)]
struct Running {
    configured: config::Tenant,
    /// What its token files were when it started.
    tokens: Vec<Option<Stamp>>,
    closing: CancellationToken,
    /// It was told to end, and another may be waiting for its place.
    leaving: bool,
    /// How it ended by itself. It stays so until somebody does something about it.
    ended: Option<End>,
}

impl<T: Store + Clone> Tenants<T> {
    /// Makes an empty set. `once`: each tenant ends when it has caught up.
    pub fn new(shared: Shared<T>, once: bool) -> Tenants<T> {
        Tenants {
            shared,
            once,
            wanted: Vec::new(),
            running: BTreeMap::new(),
            meters: BTreeMap::new(),
            tasks: JoinSet::new(),
            names: HashMap::new(),
            roster: Roster::default(),
        }
    }

    /// The list of them.
    pub fn roster(&self) -> Roster {
        self.roster.clone()
    }

    /// Has exactly these tenants run from now on; those whose polling is
    /// disabled only if they run once.
    ///
    /// A name, a file or an instance may pass from one tenant to another: so
    /// nothing starts before all that is to end has drained. The others run on.
    pub fn want(&mut self, tenants: Vec<config::Tenant>) -> Changes {
        let mut changes = Changes::default();
        let (wanted, disabled): (Vec<_>, Vec<_>) =
            tenants.into_iter().partition(|tenant| tenant::pace(tenant, self.once).is_some());
        for tenant in disabled {
            info!(tenant = tenant.name, "polling is disabled: read only by `run --once`");
        }
        for tenant in &wanted {
            let name = tenant.name.clone();
            let place = match self.running.get_mut(name.as_str()) {
                None => &mut changes.added,
                Some(running) if running.configured != *tenant => {
                    running.leave();
                    &mut changes.changed
                }
                Some(running)
                    if running.leaving || running.is_to_start_again(self.meters.get(name.as_str())) =>
                {
                    running.leave();
                    &mut changes.restarted
                }
                Some(_) => &mut changes.kept,
            };
            place.push(name);
        }
        let names: BTreeSet<&str> = wanted.iter().map(|tenant| tenant.name.as_str()).collect();
        for (name, running) in self.running.iter_mut().filter(|(name, _)| !names.contains(&***name)) {
            running.leave();
            changes.removed.push(name.to_string());
        }
        self.shared.memory.seat(wanted.len());
        self.wanted = wanted;
        self.settle();
        changes
    }

    /// Starts halted tenants again whose token file was replaced.
    pub fn look_again(&mut self) {
        for (name, running) in &mut self.running {
            if running.ended.is_some() && running.tokens != stamps(&running.configured) {
                info!(tenant = %name, "its token file was replaced: starting again");
                running.leave();
            }
        }
        self.settle();
    }

    /// Waits until a tenant has ended. `false`: none is running any more.
    pub async fn next(&mut self) -> bool {
        let Some(ended) = self.tasks.join_next_with_id().await else { return false };
        let (id, end) = match ended {
            Ok((id, end)) => (id, Some(end)),
            // The supervisor itself failed: its tenant has halted, the others have not.
            Err(error) => {
                error!(error = %chain(&error), "a tenant ended unexpectedly");
                (error.id(), None)
            }
        };
        let Some(name) = self.names.remove(&id) else { return true };
        let end = end.unwrap_or_else(|| Err(RunError::unexpected()));
        if let Some(running) = self.running.get_mut(&name) {
            if !running.leaving && !self.once && !self.shared.closing.is_cancelled() {
                tell(&name, &end, self.meters.get(&name));
            }
            running.ended = Some(end);
        }
        self.settle();
        !self.tasks.is_empty()
    }

    /// How those ended that have ended by themselves so far.
    pub fn ended(&self) -> impl Iterator<Item = (&str, &End)> {
        self.running.iter().filter_map(|(name, running)| Some((&**name, running.ended.as_ref()?)))
    }

    /// Whether any of them runs.
    pub fn is_running(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// How all of them ended, in the order of the configuration.
    pub fn ends(mut self) -> Vec<(Arc<str>, Arc<Meter>, End)> {
        let mut end = |name: &Arc<str>| self.running.remove(name)?.ended;
        let listed = self.roster.list().into_iter();
        listed.filter_map(|(name, meter)| end(&name).map(|end| (name, meter, end))).collect()
    }

    /// Lets go of what has left; when nothing is leaving any more, starts what
    /// is wanted and does not run.
    fn settle(&mut self) {
        let wanted: BTreeSet<&str> = self.wanted.iter().map(|tenant| tenant.name.as_str()).collect();
        let (meters, budgets) = (&mut self.meters, &self.shared.budgets);
        self.running.retain(|name, running| {
            let gone = running.leaving && running.ended.is_some();
            if gone && !wanted.contains(&**name) {
                info!(tenant = %name, "tenant removed; its checkpoints stay, and its graph");
                meters.remove(name);
                budgets.leave(name);
            }
            !gone
        });
        if !self.shared.closing.is_cancelled() && self.running.values().all(|running| !running.leaving) {
            let missing =
                self.wanted.iter().filter(|tenant| !self.running.contains_key(tenant.name.as_str()));
            for (turn, tenant) in missing.cloned().collect::<Vec<_>>().into_iter().enumerate() {
                self.start(tenant, STAGGER * turn as u32);
            }
        }
        let known =
            |name: &str| self.meters.get_key_value(name).map(|(name, meter)| (name.clone(), meter.clone()));
        let mut list: Vec<_> = self.wanted.iter().filter_map(|tenant| known(&tenant.name)).collect();
        let rest = self.running.keys().filter(|name| !list.iter().any(|(listed, _)| listed == *name));
        list.extend(rest.filter_map(|name| known(name)).collect::<Vec<_>>());
        self.roster.set(list);
    }

    fn start(&mut self, tenant: config::Tenant, after: Duration) {
        let Some(pace) = tenant::pace(&tenant, self.once) else { return };
        let name: Arc<str> = tenant.name.as_str().into();
        let meter = self.meters.entry(name.clone()).or_default().clone();
        meter.begin();
        meter.about.set(tenant::about(&tenant));
        let closing = self.shared.closing.child_token();
        let shared = Shared { closing: closing.clone(), ..self.shared.clone() };
        let tokens = stamps(&tenant);
        let task = self.tasks.spawn(run(tenant.clone(), pace, shared, meter, after));
        self.names.insert(task.id(), name.clone());
        let running = Running { configured: tenant, tokens, closing, leaving: false, ended: None };
        self.running.insert(name, running);
    }
}

impl Running {
    /// Tells it to drain and end.
    fn leave(&mut self) {
        self.closing.cancel();
        self.leaving = true;
    }

    /// Whether somebody who has the configuration read again expects more of it than to go on.
    fn is_to_start_again(&self, meter: Option<&Arc<Meter>>) -> bool {
        self.ended.is_some()
            || self.tokens != stamps(&self.configured)
            || meter.is_some_and(|meter| meter.has_halted())
    }
}

async fn run<T: Store + Clone>(
    tenant: config::Tenant,
    pace: Pace,
    shared: Shared<T>,
    meter: Arc<Meter>,
    after: Duration,
) -> End {
    if !after.is_zero() {
        tokio::select! {
            () = sleep(after) => (),
            () = shared.closing.cancelled() => return Ok(Drained::default()),
        }
    }
    tenant::run(tenant, pace, shared, meter).await
}

/// Says that a tenant has halted, and how it goes on.
fn tell(name: &Arc<str>, end: &End, meter: Option<&Arc<Meter>>) {
    let why = match end {
        Err(error) => error.said(),
        Ok(drained) => match drained.halted.first() {
            Some((stream, failure)) => format!("`{}`: {}", stream.name(), chain(failure)),
            None => "none of its streams is read any more".to_owned(),
        },
    };
    if let Some(meter) = meter {
        meter.state.set(TenantState::Stopped(why));
    }
    error!(
        tenant = %name,
        "tenant halted: the others run on; it starts again when its token file is replaced or on SIGHUP"
    );
}

/// What the token files of a tenant are now.
fn stamps(tenant: &config::Tenant) -> Vec<Option<Stamp>> {
    tenant.tokens().map(|(_, token)| token.stamp()).collect()
}
