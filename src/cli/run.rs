//! `opgraph run`: all tenants, for ever or until they have caught up.

use std::{path::Path, sync::Arc, time::Duration};

use opgraph_state::{OpenOptions, SledStore};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::{info, warn};

use super::{
    args::Run,
    failed::{Exit, Failed},
    heal,
    logs::Screen,
    out, progress,
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
    let config = Config::from_flags(&run.flags)?;
    config.check_tokens()?;
    let orders = Orders { once: run.once, drain: run.drain, watched: !quiet };
    let mut ended = tenants(config.clone(), &orders, &screen, Clock::system()).await?;
    if let Some(damage) = &ended.damage {
        // An open leaves the ids out; the next one reads everything, and heals.
        warn!(damage, "the state was found damaged behind its start: starting again");
        ended = tenants(config, &orders, &screen, Clock::system()).await?;
    }
    if run.once && !quiet {
        for summary in &ended.summaries {
            if run.json { out::json(summary)? } else { out::print(summary) }
        }
    }
    ended.failed.map_or(Ok(()), Err)
}

/// How tenants are to be run.
pub(super) struct Orders {
    /// Until they have caught up.
    pub(super) once: bool,
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
    /// What was found damaged of the state, unless somebody wanted it all to end.
    pub(super) damage: Option<String>,
}

/// Opens the state and runs every tenant, each on its own, until all have ended.
pub(super) async fn tenants(
    config: Config,
    orders: &Orders,
    screen: &Screen,
    clock: Clock,
) -> Result<Ended, Failed> {
    let store = heal::open(&config, &clock).await?;
    let client = Client::new(&ClientSettings::default())
        .map_err(|error| Failed::new(Exit::Other, "make an HTTP client").because(error))?;
    let closing = CancellationToken::new();
    let _signals = AbortOnDropHandle::new(tokio::spawn(on_signals(closing.clone())?));
    let (state, closed) = (store.clone(), closing.clone());
    let shared = Shared { store, client, clock: clock.clone(), closing, drain: orders.drain };

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
    let summaries = meters.iter().map(|(name, meter)| Summary::of(name, meter, took)).collect();
    let damage = state.damage().filter(|_| !closed.is_cancelled());
    Ok(Ended { summaries, failed, damage })
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

/// The first SIGTERM or SIGINT closes and drains, the second ends the process
/// at once. Both are safe: what is not committed is read again.
fn on_signals(closing: CancellationToken) -> Result<impl Future<Output = ()>, Failed> {
    let listen =
        |kind| signal(kind).map_err(|error| Failed::new(Exit::Other, "listen for signals").because(error));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        for first in [true, false] {
            tokio::select! {
                _ = terminate.recv() => (),
                _ = interrupt.recv() => (),
            }
            if first {
                info!("stopping: finishing what is in flight; a second signal stops at once");
                closing.cancel();
            }
        }
        std::process::exit(Exit::Other as i32);
    })
}
