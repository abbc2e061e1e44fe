//! `opgraph run`: all tenants, for ever or until they have caught up.

use std::{path::Path, sync::Arc, time::Duration};

use opgraph_state::{OpenOptions, SledStore};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info, warn};

use super::{
    args::Run,
    failed::{Exit, Failed},
    heal,
    logs::Screen,
    out, progress,
    signals::Signals,
    summary::Summary,
};
use crate::{
    clock::Clock,
    config::{self, Config},
    http::{Client, ClientSettings},
    pipeline::Drained,
    supervisor::{RunError, Shared},
    telemetry::Meter,
    tenant,
};

/// Runs the command.
pub(super) async fn run(run: Run, screen: Screen, quiet: bool) -> Result<(), Failed> {
    let mut config = Config::from_flags(&run.flags)?;
    config.check_tokens()?;
    let orders = Orders { once: run.once, stay: run.stay, drain: run.drain, watched: !quiet };
    let signals = Signals::listen(Some(run.flags.clone()))?;
    loop {
        let ended = tenants(config, &orders, &screen, Clock::system(), &signals).await?;
        if run.once && !quiet {
            for summary in &ended.summaries {
                if run.json { out::json(summary)? } else { out::print(summary) }
            }
        }
        match (signals.next(), ended.failed) {
            // Whoever sends SIGHUP starts again what has stopped, too.
            (Some(next), failed) => {
                failed.iter().for_each(out::error);
                config = next;
            }
            (None, failed) => return failed.map_or(Ok(()), Err),
        }
    }
}

/// How tenants are to be run.
pub(super) struct Orders {
    /// Until they have caught up.
    pub(super) once: bool,
    /// Not to end while only a person can go on.
    pub(super) stay: bool,
    /// How long a stop may take.
    pub(super) drain: Duration,
    /// Show progress.
    pub(super) watched: bool,
}

/// How all tenants ended.
pub(super) struct Ended {
    pub(super) summaries: Vec<Summary>,
    /// The first failure, in the order of the configuration.
    pub(super) failed: Option<Failed>,
}

/// Opens the state and runs every tenant, each on its own, until all have ended.
pub(super) async fn tenants(
    config: Config,
    orders: &Orders,
    screen: &Screen,
    clock: Clock,
    signals: &Signals,
) -> Result<Ended, Failed> {
    let store = heal::open(&config, &clock).await?;
    let client = Client::new(&ClientSettings::default())
        .map_err(|error| Failed::new(Exit::Other, "make an HTTP client").because(error))?;
    let closing = signals.closing();
    let shared =
        Shared { store, client, clock: clock.clone(), closing: closing.clone(), drain: orders.drain };

    let started = Instant::now();
    let mut running = JoinSet::new();
    let mut meters: Vec<(Arc<str>, Arc<Meter>)> = Vec::new();
    for tenant in config.tenants {
        let Some(pace) = tenant::pace(&tenant, orders.once) else {
            info!(tenant = %tenant.name, "polling is disabled: read only by `run --once`");
            continue;
        };
        let meter = Arc::new(Meter::default());
        meters.push((tenant.name.as_str().into(), meter.clone()));
        running.spawn(one(meters.len() - 1, tenant, pace, shared.clone(), meter));
    }
    if meters.is_empty() {
        return Err(Failed::text(
            Exit::Configuration,
            "there is no tenant to run: polling is disabled for all",
        )
        .hint("use `run --once`, or set `polling_interval`"));
    }

    let watching = progress::show(meters.clone(), clock, screen.clone(), orders);
    let watching = AbortOnDropHandle::new(tokio::spawn(watching));
    let mut ended: Vec<(usize, Result<Drained, RunError>)> = Vec::new();
    while let Some(result) = running.join_next().await {
        ended.push(result.map_err(|error| Failed::new(Exit::Other, "run a tenant").because(error))?);
    }
    drop(watching);
    ended.sort_by_key(|(number, _)| *number);
    let took = started.elapsed();
    let failed = ended.iter().find_map(|(number, result)| failure(&meters[*number].0, result));
    if let Some(failed) = failed.as_ref().filter(|failed| orders.stay && failed.is_for_a_person()) {
        error!(%failed, "stopped, and only a person can go on: waiting for SIGHUP or SIGTERM");
        closing.cancelled().await;
    }
    let summaries = meters.iter().map(|(name, meter)| Summary::of(name, meter, took)).collect();
    Ok(Ended { summaries, failed })
}

async fn one(
    number: usize,
    tenant: config::Tenant,
    pace: crate::source::Pace,
    shared: Shared<SledStore>,
    meter: Arc<Meter>,
) -> (usize, Result<Drained, RunError>) {
    (number, tenant::run(tenant, pace, shared, meter).await)
}

/// What is to be told of a tenant that did not end as it should.
fn failure(tenant: &str, result: &Result<Drained, RunError>) -> Option<Failed> {
    match result {
        Err(error) => Some(Failed::tenant(tenant, error)),
        Ok(drained) => {
            let stopped =
                drained.halted.first().map(|(of, failure)| Failed::stream(tenant, of.name(), failure));
            stopped.or_else(|| Some(Failed::snapshots(tenant, drained.snapshots.as_ref()?)))
        }
    }
}

/// Opens the state directory; says so if it went backwards.
pub(super) async fn open(dir: &Path) -> Result<SledStore, Failed> {
    let dir = dir.to_owned();
    let opened = tokio::task::spawn_blocking(move || SledStore::open(&dir, OpenOptions::default()));
    let store = opened.await.map_err(|error| Failed::new(Exit::State, "open the state").because(error))??;
    told_if_older(&store);
    Ok(store)
}

/// Says so if the state went backwards.
pub(super) fn told_if_older(store: &SledStore) {
    if let Some(report) = store.rolled_back() {
        warn!(report, "the state went backwards: reading again from what is left");
    }
}
