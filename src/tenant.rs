//! From a configured tenant to a supervised one.

use std::{hash::BuildHasher, path::PathBuf, sync::Arc, thread, time::Duration};

use opgraph_state::{Cursor, Epoch, QuarantineId, Store, UploadNote};
use tokio::sync::oneshot;

use crate::{
    clock::Clock,
    config::{self, Polling, SHORTEST_POLLING_INTERVAL},
    http::{Client, Failure, Halt, Outcome, Patience, Remedy},
    memory::Memory,
    pipeline::{self, Drained, Stopped, retry::Retry, snapshot},
    secret::{Claims, SecretError},
    sink::{
        Sink, SinkError, UploadLimits,
        both::Both,
        files::{self, FilesSink},
        graph::GraphSink,
        jupiterone::{Home, JupiterOne, JupiterOneSettings, Plan},
    },
    source::{
        Pace,
        connect::{Connect, ConnectSettings},
    },
    stream::{Mapping, Stream},
    supervisor::{Access, Outside, RunError, Shared, Tenant, supervise},
    telemetry::{About, Meter, StreamState},
};

/// Supervises a configured tenant: with one sink, or with both.
///
/// # Errors
///
/// As for [`supervise`].
pub async fn run<T: Store + Clone>(
    configured: config::Tenant,
    pace: Pace,
    shared: Shared<T>,
    meter: Arc<Meter>,
) -> Result<Drained, RunError> {
    let tenant = resolve(&configured, pace, &shared.memory);
    let (events, connect) = (configured.events.clone(), configured.connect.clone());
    let (name, files) = (configured.name.clone(), configured.files.clone());
    let runs = Runs { tenant, events, connect, shared: shared.clone(), meter: meter.clone() };
    let drained = with_sinks(configured, &shared, &meter, runs).await?;
    if let Some(dir) = files {
        let outcome = outcome(&meter);
        if outcome.vaults == files::Ended::Success {
            files::settle(&dir, &name, &shared.store).await.map_err(Stopped::from)?;
        }
        let complete = tokio::task::spawn_blocking(move || files::complete(&dir, &name, &outcome));
        complete.await.map_err(Stopped::Panic)?.map_err(Stopped::from)?;
    }
    Ok(drained)
}

/// How each part of a run ended, for the summary of its files.
fn outcome(meter: &Meter) -> files::Outcome {
    let ended = |state: StreamState| match state {
        StreamState::CaughtUp => files::Ended::Success,
        StreamState::Starting | StreamState::Parked(_) => files::Ended::Disabled,
        StreamState::Reading | StreamState::Halted(_) => files::Ended::Failure,
    };
    let streams = Stream::ALL.iter().map(|stream| (*stream, ended(meter.stream(*stream).state.get())));
    files::Outcome { streams: streams.collect(), vaults: ended(meter.snapshots.state.get()) }
}

/// Delivers entries of a tenant's quarantine again, to all its sinks; each is
/// named once. One that fails again stays, with its newest reason.
///
/// # Errors
///
/// The store or a sink failed. What was not delivered is still in quarantine.
pub async fn retry<T: Store + Clone>(
    configured: config::Tenant,
    entries: Vec<QuarantineId>,
    shared: Shared<T>,
    meter: Arc<Meter>,
) -> Result<(), RunError> {
    let tenant = resolve(&configured, Pace::Once, &shared.memory);
    with_sinks(configured, &shared.clone(), &meter.clone(), Retries { tenant, entries, shared, meter }).await
}

/// What is done with a tenant once its sinks are known.
trait Task {
    type Answer;

    fn with(self, sinks: impl MakeSink) -> impl Future<Output = Self::Answer> + Send;
}

async fn with_sinks<T: Store + Clone, J: Task>(
    configured: config::Tenant,
    shared: &Shared<T>,
    meter: &Arc<Meter>,
    task: J,
) -> J::Answer {
    let config::Tenant { name, jupiterone, graph, files, .. } = configured;
    if let Some(dir) = files {
        return task.with(MakeFiles { dir, tenant: name }).await;
    }
    let jupiterone = jupiterone.map(|settings| MakeJupiterOne {
        settings,
        tenant: name.as_str().into(),
        store: shared.store.clone(),
        client: shared.client.clone(),
        memory: shared.memory.clone(),
        clock: shared.clock.clone(),
        meter: meter.clone(),
    });
    // Beside JupiterOne, the graph keeps to JupiterOne's uploads.
    let limits = jupiterone.as_ref().map_or(GraphSink::LIMITS, |jupiterone| jupiterone.settings.upload);
    let limits = shared.memory.keep(limits);
    let graph = graph.map(|graph| MakeGraph { path: graph.path, limits });
    match (jupiterone, graph) {
        (Some(jupiterone), Some(graph)) => task.with(MakeBoth(jupiterone, graph)).await,
        (Some(sinks), None) => task.with(sinks).await,
        (None, Some(sinks)) => task.with(sinks).await,
        (None, None) => unreachable!("a tenant without JupiterOne has a graph: config::Tenant"),
    }
}

/// Runs, until the tenant has caught up or is told to close.
struct Runs<T> {
    tenant: Tenant,
    events: config::Events,
    connect: Option<config::Connect>,
    shared: Shared<T>,
    meter: Arc<Meter>,
}

impl<T: Store + Clone> Task for Runs<T> {
    type Answer = Result<Drained, RunError>;

    async fn with(self, sinks: impl MakeSink) -> Self::Answer {
        let Runs { tenant, events, connect, shared, meter } = self;
        let outside = Configured { events, connect, sinks, meter: meter.clone() };
        supervise(tenant, outside, shared, meter).await
    }
}

/// One run that reads no source but the quarantine.
struct Retries<T> {
    tenant: Tenant,
    entries: Vec<QuarantineId>,
    shared: Shared<T>,
    meter: Arc<Meter>,
}

impl<T: Store + Clone> Task for Retries<T> {
    type Answer = Result<(), RunError>;

    /// Claims the tenant as every run does. It makes no requests to 1Password,
    /// so it neither renews nor releases. The next run takes it for one that
    /// may have made some until its claim: too careful, never too little.
    async fn with(self, sinks: impl MakeSink) -> Self::Answer {
        let Retries { tenant, entries, shared: Shared { store, clock, .. }, meter } = self;
        let stored = store.checkpoints().await?.remove(&*tenant.name).unwrap_or_default();
        let known: Vec<(String, Cursor)> =
            stored.into_iter().map(|(stream, checkpoint)| (stream, checkpoint.cursor)).collect();
        let claim = store.claim(&tenant.name, &known, clock.now()).await?;
        let epoch = claim.epoch;
        let sink = sinks.make(epoch, claim.unsettled).await.map_err(Stopped::from)?;
        let named = claim.checkpoints.into_iter();
        let retry = Retry {
            tenant: tenant.name,
            epoch,
            sink: Arc::new(sink),
            store,
            streams: named.filter_map(|(name, at)| Some((Stream::named(&name)?, at))).collect(),
            entries,
            mapping: tenant.mapping,
            limits: tenant.limits,
            clock,
            meter,
        };
        Ok(pipeline::retry::run(retry).await?)
    }
}

/// What does not change from run to run.
fn resolve(configured: &config::Tenant, pace: Pace, memory: &Memory) -> Tenant {
    let account_name = configured.tag_account_name.then(|| configured.name.clone());
    Tenant {
        name: configured.name.as_str().into(),
        streams: configured.events.streams.clone(),
        rate: configured.events.limits,
        start: configured.start,
        pace,
        patience: match pace {
            Pace::Every(_) => Patience::ENDLESS,
            // Somebody waits for the end.
            Pace::Once => Patience { give_up_after: Some(Duration::from_secs(300)), ..Patience::ENDLESS },
        },
        mapping: Mapping { raw_data: configured.raw_data, account_name },
        limits: pipeline::Limits {
            readers: configured.events.readers.unwrap_or(memory.readers()),
            ..memory.limits()
        },
        snapshots: configured.connect.as_ref().map(|connect| snapshot::Settings {
            interval: connect.interval,
            details: connect.item_details,
            at_once: connect.connections,
        }),
    }
}

/// What is shown of a configured tenant.
pub fn about(configured: &config::Tenant) -> About {
    let sinks = [
        (configured.jupiterone.is_some(), "JupiterOne"),
        (configured.graph.is_some(), "local graph"),
        (configured.files.is_some(), "files"),
    ];
    About {
        description: configured.description.clone(),
        sinks: sinks.into_iter().filter(|(there, _)| *there).map(|(_, name)| name).collect(),
        limits: configured.events.limits,
    }
}

/// How a tenant is read: for ever, or until it has caught up. `None` when it
/// is to be read for ever and polling is disabled.
pub fn pace(configured: &config::Tenant, once: bool) -> Option<Pace> {
    match (once, configured.polling_interval) {
        (true, _) => Some(Pace::Once),
        (false, Polling::Every(interval)) => Some(Pace::Every(spread(interval, &configured.name))),
        (false, Polling::Disabled) => None,
    }
}

/// The interval less up to a tenth, by the tenant's name: tenants that once ask
/// in step, after an outage perhaps, do not stay so.
fn spread(interval: Duration, name: &str) -> Duration {
    let share = foldhash::quality::FixedState::with_seed(0).hash_one(name) as f64 / u64::MAX as f64;
    interval.mul_f64(1.0 - share / 10.0).max(SHORTEST_POLLING_INTERVAL)
}

/// Reads a tenant's token, and decides where it goes.
///
/// # Errors
///
/// The token cannot be read.
pub async fn access(events: &config::Events) -> Result<Access, SecretError> {
    let token = events.token.read().await?;
    let claims = Claims::read(&token);
    let base_url = events.resolve_base_url(claims.as_ref());
    let (expires, account) = claims.map_or((None, None), |claims| (claims.expires, claims.account));
    Ok(Access { base_url, token, expires, account })
}

/// Reads the token of a Connect server, and puts its settings together.
///
/// # Errors
///
/// The token cannot be read.
pub async fn connect(settings: &config::Connect) -> Result<ConnectSettings, SecretError> {
    let token = settings.token.read().await?;
    let connections = settings.connections;
    Ok(ConnectSettings { connections, ..ConnectSettings::new(settings.base_url.clone(), token) })
}

/// Reads the key of a place in JupiterOne, and puts its settings together.
///
/// # Errors
///
/// The key cannot be read.
pub async fn jupiterone(settings: &config::JupiterOne) -> Result<JupiterOneSettings, SecretError> {
    let token = settings.token.read().await?;
    let plan = match &settings.plan {
        config::Plan::Instance { id, source } => {
            Plan::Instance { id: id.clone(), source: source.name().to_owned() }
        }
        config::Plan::Scope { prefix } => Plan::Scope { prefix: prefix.clone() },
    };
    let base_url = settings.base_url.clone();
    let resolved = JupiterOneSettings::new(base_url, settings.account.clone(), token, plan);
    let config::JupiterOne { gzip, job_events, upload: limits, .. } = *settings;
    Ok(JupiterOneSettings { gzip, job_events, limits, ..resolved })
}

/// A token that cannot be read is for a person to mend.
fn no_token(error: &SecretError) -> Remedy {
    Remedy::Halt(Halt::Configuration { hint: error.hint().to_owned() })
}

/// Makes the sink of each run.
trait MakeSink: Send + Sync + 'static {
    type Sink: Sink;

    fn make(
        &self,
        epoch: Epoch,
        unsettled: Vec<UploadNote>,
    ) -> impl Future<Output = Result<Self::Sink, SinkError>> + Send;
}

/// What a tenant's runs are given, as it was configured.
struct Configured<M> {
    events: config::Events,
    connect: Option<config::Connect>,
    sinks: M,
    meter: Arc<Meter>,
}

impl<M: MakeSink> Outside for Configured<M> {
    type Sink = M::Sink;
    type Lister = Connect;

    async fn access(&self) -> Result<Access, RunError> {
        let access = access(&self.events).await;
        access.map_err(|error| RunError::Setup { what: error.to_string(), remedy: no_token(&error) })
    }

    async fn sink(&self, epoch: Epoch, unsettled: Vec<UploadNote>) -> Result<M::Sink, SinkError> {
        self.sinks.make(epoch, unsettled).await
    }

    async fn lister(&self) -> Result<Connect, Failure> {
        let failed = |remedy, cause: Box<dyn std::error::Error + Send + Sync>| Failure {
            doing: "read the Connect token".to_owned(),
            status: None,
            code: None,
            outcome: Outcome::NotDone,
            remedy,
            cause,
        };
        let Some(settings) = &self.connect else {
            let hint = "give the tenant a section `[tenant.connect]`";
            return Err(failed(Remedy::halt(hint), "it has no Connect server".into()));
        };
        let settings = connect(settings).await;
        let settings = settings.map_err(|error| failed(no_token(&error), error.into()))?;
        Connect::new(settings, self.meter.clone())
    }
}

struct MakeJupiterOne<T> {
    settings: config::JupiterOne,
    tenant: Arc<str>,
    store: T,
    client: Client,
    memory: Memory,
    clock: Clock,
    meter: Arc<Meter>,
}

impl<T: Store + Clone> MakeSink for MakeJupiterOne<T> {
    type Sink = JupiterOne<T>;

    async fn make(&self, epoch: Epoch, unsettled: Vec<UploadNote>) -> Result<JupiterOne<T>, SinkError> {
        let settings = jupiterone(&self.settings).await.map_err(|error| SinkError {
            doing: "read the JupiterOne API key".to_owned(),
            remedy: no_token(&error),
            cause: error.into(),
        })?;
        let memory = &self.memory;
        let limits = memory.keep(settings.limits);
        let (flying, waiting) = (memory.flying(), memory.waiting());
        let packing = memory.packing();
        let settings = JupiterOneSettings { limits, packing, flying, waiting, ..settings };
        let (store, tenant, clock) = (self.store.clone(), self.tenant.clone(), self.clock.clone());
        let home = Home { store, tenant, epoch, clock };
        JupiterOne::start(self.client.clone(), Arc::new(settings), home, unsettled, self.meter.clone()).await
    }
}

struct MakeGraph {
    path: PathBuf,
    limits: UploadLimits,
}

impl MakeSink for MakeGraph {
    type Sink = GraphSink;

    async fn make(&self, _epoch: Epoch, _unsettled: Vec<UploadNote>) -> Result<GraphSink, SinkError> {
        let (path, limits) = (self.path.clone(), self.limits);
        let failed = |cause: Box<dyn std::error::Error + Send + Sync>| SinkError {
            doing: "open the graph".to_owned(),
            remedy: Remedy::RETRY,
            cause,
        };
        // A thread of its own: a file that is locked, or a disk that hangs, must
        // not keep one of the few threads that compress for everybody.
        let (done, opened) = oneshot::channel();
        let open = move || drop(done.send(GraphSink::open(&path, limits)));
        thread::Builder::new()
            .name("opgraph-open".to_owned())
            .spawn(open)
            .map_err(|error| failed(error.into()))?;
        opened.await.unwrap_or_else(|error| Err(failed(error.into())))
    }
}

struct MakeFiles {
    dir: PathBuf,
    tenant: String,
}

impl MakeSink for MakeFiles {
    type Sink = FilesSink;

    async fn make(&self, _epoch: Epoch, _unsettled: Vec<UploadNote>) -> Result<FilesSink, SinkError> {
        let (dir, tenant) = (self.dir.clone(), self.tenant.clone());
        let open = move || FilesSink::open(&dir, &tenant, FilesSink::LIMITS);
        let opened = tokio::task::spawn_blocking(open).await;
        opened.unwrap_or_else(|error| {
            Err(SinkError { doing: "open the files".to_owned(), remedy: Remedy::RETRY, cause: error.into() })
        })
    }
}

struct MakeBoth<A, B>(A, B);

impl<A: MakeSink, B: MakeSink> MakeSink for MakeBoth<A, B> {
    type Sink = Both<A::Sink, B::Sink>;

    async fn make(&self, epoch: Epoch, unsettled: Vec<UploadNote>) -> Result<Self::Sink, SinkError> {
        let first = self.0.make(epoch, unsettled.clone()).await?;
        let second = self.1.make(epoch, unsettled).await?;
        Ok(Both::new(first, second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_do_not_poll_in_step_and_none_later_than_configured() {
        let interval = Duration::from_secs(30);
        let mut pauses: Vec<Duration> = (0..200).map(|n| spread(interval, &format!("tenant-{n}"))).collect();
        pauses.sort();
        assert!(pauses[0] >= interval.mul_f64(0.9) && pauses[199] <= interval, "{pauses:?}");
        // They are spread over the whole tenth: no half of it holds nearly all.
        let early = pauses.iter().filter(|pause| **pause < interval.mul_f64(0.95)).count();
        assert!((60..140).contains(&early), "{early}");
        assert_eq!(spread(interval, "acme"), spread(interval, "acme"));
        assert_eq!(spread(Duration::from_secs(1), "acme"), Duration::from_secs(1));
    }
}
