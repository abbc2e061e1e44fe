//! `opgraph run`: all tenants, for ever or until they have caught up.

use std::{net::SocketAddr, path::Path, time::Duration};

use opgraph_state::{OpenOptions, SledStore};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    task::spawn_blocking,
    time::{Instant, interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::{error, info, warn};

use super::{
    args::Run,
    descriptors, destination, doors,
    failed::{Exit, Failed},
    heal,
    logs::Screen,
    memory, out, progress, reload,
    summary::Summary,
};
use crate::{
    admin::{Site, Warnings},
    clock::Clock,
    config::{Config, Flags},
    http::{Client, ClientSettings},
    memory::Memory,
    supervisor::{Budgets, Shared},
    tenants::{Changes, End, LOOK_EVERY, Tenants},
};

/// How long the tasks of a run may take to let go of the state when it is over.
const MOST_TO_CLOSE: Duration = Duration::from_secs(10);

/// Runs the command.
pub(super) async fn run(run: Run, screen: Screen, quiet: bool, warnings: Warnings) -> Result<(), Failed> {
    if run.destination.sink.is_some() && !run.once {
        let text = "files are written until everything is read: `--sink files` goes with `--once`";
        return Err(Failed::text(Exit::Configuration, text).hint("add `--once`"));
    }
    let config = Config::from_flags(&run.flags)?.with_admin(run.admin, &|name| std::env::var_os(name))?;
    let config = destination::of(config, run.destination, run.tenant.as_deref(), &run.flags.file).await?;
    if run.once {
        config.check_tokens()?;
    } else {
        config.check_admin_token()?;
        reload::tokens(&config)?;
        reload::somebody(&config)?;
    }
    let reload = (!run.once).then_some((run.flags, run.admin));
    let orders =
        Orders { once: run.once, stay: run.stay, drain: run.drain, watched: !quiet, reload, warnings };
    let mut ended = tenants(config.clone(), &orders, &screen, Clock::system()).await?;
    if let Some(damage) = &ended.damage {
        // An open leaves the ids out; the next one reads everything, and heals.
        warn!(damage, "the state was found damaged behind its start: starting again");
        let newest = orders.reload.as_ref().and_then(|from| reload::again(from, &config));
        let config = Config { tenants: newest.unwrap_or_else(|| config.tenants.clone()), ..config };
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
    /// Not to end while only a person can go on.
    pub(super) stay: bool,
    /// How long a stop may take.
    pub(super) drain: Duration,
    /// Show progress.
    pub(super) watched: bool,
    /// Where the configuration is read again on SIGHUP, and the address that a flag
    /// put in place of its own; it is not read again if `None`.
    pub(super) reload: Option<(Flags, Option<SocketAddr>)>,
    /// What has gone wrong of late.
    pub(super) warnings: Warnings,
}

/// How all tenants ended.
pub(super) struct Ended {
    pub(super) summaries: Vec<Summary>,
    /// The first failure, in the order of the configuration.
    pub(super) failed: Option<Failed>,
    /// What was found damaged of the state, unless somebody wanted it all to end.
    pub(super) damage: Option<String>,
}

/// Opens the state and runs every tenant, each on its own, until all have
/// ended: one that has halted waits for a person as long as another runs.
pub(super) async fn tenants(
    config: Config,
    orders: &Orders,
    screen: &Screen,
    clock: Clock,
) -> Result<Ended, Failed> {
    descriptors::allow(config.tenants.len());
    let memory = Memory::divide(config.max_memory, config.tenants.len())
        .map_err(|error| Failed::new(Exit::Configuration, "divide the memory").because(error))?;
    let store = heal::open(&config, &memory, &clock).await?;
    let budgets = Budgets::after_earlier_runs(&store).await?;
    let client = Client::new(&ClientSettings::default())
        .map_err(|error| Failed::new(Exit::Other, "make an HTTP client").because(error))?;
    let closing = CancellationToken::new();
    let _signals = AbortOnDropHandle::new(tokio::spawn(on_signals(closing.clone())?));
    let (wanted, mut wishes) = mpsc::channel(1);
    let _hangups = AbortOnDropHandle::new(match orders.reload.clone() {
        Some(flags) => tokio::spawn(reload::on_hangup(flags, config.clone(), wanted)?),
        None => tokio::spawn(reload::ignored()?),
    });
    let told_to_end = closing.clone();
    let (site_store, state) = (store.clone(), store.clone());
    let (clock_too, drain) = (clock.clone(), orders.drain);
    let shared = Shared { store, client, budgets, memory, clock: clock_too, closing, drain };

    let started = Instant::now();
    let mut tenants = Tenants::new(shared, orders.once);
    let roster = tenants.roster();
    let site = Site::new(roster.clone(), site_store, orders.warnings.clone(), clock.clone());
    // Before anything is read: an address that is taken is told at once.
    let doors = doors::open(config.admin, &config.state_dir, site).await?;
    tenants.want(config.tenants);
    let watching = progress::show(roster, clock, screen.clone(), orders);
    let watching = AbortOnDropHandle::new(tokio::spawn(watching));
    let mut looks = interval(LOOK_EVERY);
    let mut staying = false;
    loop {
        tokio::select! {
            more = tenants.next(), if !staying => if !more {
                let on_its_own = told_to_end.is_cancelled() || state.damage().is_some();
                staying = orders.stay && !on_its_own && needs_a_person(&tenants);
                if !staying {
                    break;
                }
                error!("nothing runs any more, and only a person can go on: waiting for SIGHUP or SIGTERM");
            },
            Some(wish) = wishes.recv() => {
                tell(&tenants.want(wish));
                staying = false;
            }
            _ = looks.tick() => {
                tenants.look_again();
                drop(spawn_blocking(memory::give_freed_memory_back));
                staying = staying && !tenants.is_running();
            }
            () = told_to_end.cancelled(), if staying => break,
        }
    }
    drop(watching);
    let took = started.elapsed();
    let ends = tenants.ends();
    let failed = ends.iter().find_map(|(name, _, end)| failure(name, end));
    let summaries = ends.iter().map(|(name, meter, _)| Summary::of(name, meter, took)).collect();
    let damage = state.damage().filter(|_| !told_to_end.is_cancelled());
    // Where the streams stand is written when the state is closed, and whoever opens it next waits for nobody.
    drop(doors);
    if timeout(MOST_TO_CLOSE, state.closed()).await.is_err() {
        warn!("the state is still in use; it is closed with the process");
    }
    Ok(Ended { summaries, failed, damage })
}

/// Whether starting again, as it is, would be of no use or walk past a guard.
fn needs_a_person(tenants: &Tenants<SledStore>) -> bool {
    tenants.ended().any(|(name, end)| failure(name, end).is_some_and(|failed| failed.is_for_a_person()))
}

/// Says what a new configuration meant.
fn tell(changes: &Changes) {
    let Changes { added, removed, changed, restarted, kept } = changes;
    for (what, names) in
        [("added", added), ("removed", removed), ("changed", changed), ("started again", restarted)]
    {
        for tenant in names {
            info!(%tenant, "tenant {what}");
        }
    }
    info!(
        added = added.len(),
        removed = removed.len(),
        changed = changed.len(),
        restarted = restarted.len(),
        kept = kept.len(),
        "the configuration was read again"
    );
}

/// What is to be told of a tenant that did not end as it should.
fn failure(tenant: &str, end: &End) -> Option<Failed> {
    match end {
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
