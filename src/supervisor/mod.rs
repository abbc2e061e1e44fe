//! One tenant, run after run: start, restart with backoff, shutdown.
//!
//! The only loop in the program that restarts anything.

pub mod error;

mod budgets;

mod life;

use std::{sync::Arc, time::Duration};

use backoff::{ExponentialBackoff, ExponentialBackoffBuilder, backoff::Backoff};
use opgraph_state::{Epoch, Store, UnixMs, UploadNote};
use secrecy::SecretString;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, error_span, warn};
use url::Url;

use self::life::{LEASE, Life};
pub use self::{
    budgets::{Budgets, idle},
    error::{RunError, chain, store_remedy},
};
use crate::{
    clock::Clock,
    http::{self, Client, Failure, Patience, Remedy},
    memory::Memory,
    pipeline::{self, Drained, snapshot},
    sink::{Sink, SinkError},
    source::{Lister, Pace},
    stream::{Mapping, Stream},
    telemetry::{Meter, TenantState},
};

/// How long a tenant that is to catch up once starts again without having
/// committed anything: somebody waits for its end.
const ONCE_GIVES_UP_AFTER: Duration = Duration::from_secs(15 * 60);

/// What a tenant is, resolved from the configuration. Tokens are read anew for each run.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Its name.
    pub name: Arc<str>,
    /// The streams to read; `None` is all that the token may read.
    pub streams: Option<Vec<Stream>>,
    /// The account's limits.
    pub rate: http::Limits,
    /// How far back the first run reads.
    pub start: Start,
    /// What happens when a stream has caught up.
    pub pace: Pace,
    /// How long a request that fails is repeated.
    pub patience: Patience,
    /// How events are mapped.
    pub mapping: Mapping,
    /// How much may be in flight.
    pub limits: pipeline::Limits,
    /// How vaults and items are listed; `None` if they are not.
    pub snapshots: Option<snapshot::Settings>,
}

/// How far back the first run reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// This long before now.
    Ago(Duration),
    /// From this instant on.
    At(UnixMs),
}

impl Start {
    /// The instant that this means.
    pub(crate) fn from(self, now: UnixMs) -> UnixMs {
        match self {
            Start::Ago(ago) => now.minus(ago),
            Start::At(at) => at,
        }
    }
}

/// Where a run's events come from: a token and the host it is for.
#[derive(Clone, Debug)]
pub struct Access {
    /// The Events API's base URL.
    pub base_url: Url,
    /// The bearer token.
    pub token: SecretString,
    /// When the token ends, if it says so.
    pub expires: Option<UnixMs>,
    /// The uuid of the account it is for, if it says so. Nobody has verified that.
    pub account: Option<String>,
}

/// What a tenant's runs are given from outside.
pub trait Outside: Send + Sync + 'static {
    /// Where records go.
    type Sink: Sink;
    /// What lists vaults and items.
    type Lister: Lister;

    /// Reads the token, which may have been replaced since the last run.
    fn access(&self) -> impl Future<Output = Result<Access, RunError>> + Send;

    /// Makes the sink of one run. `unsettled` are the uploads that earlier runs left open.
    fn sink(
        &self,
        epoch: Epoch,
        unsettled: Vec<UploadNote>,
    ) -> impl Future<Output = Result<Self::Sink, SinkError>> + Send;

    /// Makes the lister of one run; asked only of a tenant whose vaults are
    /// listed. A failure ends the snapshots and leaves the streams running.
    fn lister(&self) -> impl Future<Output = Result<Self::Lister, Failure>> + Send;
}

/// What all tenants of the process share.
#[derive(Clone, Debug)]
pub struct Shared<T> {
    /// What survives a crash.
    pub store: T,
    /// Connections.
    pub client: Client,
    /// The accounts' budgets.
    pub budgets: Budgets,
    /// What all of them may take.
    pub memory: Memory,
    /// The wall clock.
    pub clock: Clock,
    /// Cancelled to end the runs: fetchers close, the rest drains. A child of
    /// it ends one tenant's.
    pub closing: CancellationToken,
    /// How long draining may take.
    pub drain: Duration,
}

/// Runs a tenant until it has caught up (pace `Once`), is told to close, or needs a person.
///
/// A failure that may pass starts the next run after a pause that grows; every
/// run starts from the checkpoints and nothing else. The pause is never shorter
/// than what the other side asked for.
///
/// # Errors
///
/// The failure that only a person can mend; with pace `Once` also one that may
/// pass, when nothing was committed for a quarter of an hour. Other tenants are
/// not affected.
pub async fn supervise<O: Outside, T: Store + Clone>(
    tenant: Tenant,
    outside: O,
    shared: Shared<T>,
    meter: Arc<Meter>,
) -> Result<Drained, RunError> {
    // At every level: whatever is logged has to say of whom.
    let span = error_span!("tenant", tenant = %tenant.name);
    let counts = meter.clone();
    let ended = run_after_run(tenant, outside, shared, meter).instrument(span).await;
    counts.state.set(match &ended {
        Ok(_) => TenantState::Done,
        Err(error) => TenantState::Stopped(error.said()),
    });
    ended
}

/// The pauses between a tenant's runs: a second at first, a minute later, give or take a half.
pub fn pauses() -> ExponentialBackoff {
    ExponentialBackoffBuilder::new()
        .with_initial_interval(Duration::from_secs(1))
        .with_max_interval(Duration::from_secs(60))
        .with_randomization_factor(0.5)
        .with_max_elapsed_time(None)
        .build()
}

async fn run_after_run<O: Outside, T: Store + Clone>(
    tenant: Tenant,
    outside: O,
    shared: Shared<T>,
    meter: Arc<Meter>,
) -> Result<Drained, RunError> {
    let mut backoff = pauses();
    let mut moved = Instant::now();
    loop {
        let commits = meter.commits.get();
        meter.runs.add(1);
        meter.state.set(TenantState::Running);
        let life = Life { tenant: &tenant, outside: &outside, shared: &shared, meter: &meter };
        let error = match life.run().await {
            Ok(drained) => return Ok(drained),
            Err(error) => error,
        };
        let remedy = error.remedy();
        // A run that got somewhere is not the next failure in a row.
        if meter.commits.get() > commits {
            backoff.reset();
            moved = Instant::now();
        }
        let Remedy::Retry { after } = &remedy else { return Err(stopped(error, &remedy, &meter)) };
        let pause = backoff.next_backoff().unwrap_or(LEASE).max(after.unwrap_or_default());
        // Requests that were repeated for as long as anybody waits are not begun all over again.
        let gave_up = matches!(error, RunError::Source(_)) && tenant.patience.give_up_after.is_some();
        let enough = gave_up || tenant.pace == Pace::Once && moved.elapsed() + pause > ONCE_GIVES_UP_AFTER;
        if enough || shared.closing.is_cancelled() {
            return Err(stopped(error, &remedy, &meter));
        }
        warn!(error = %chain(&error), ?pause, "run failed, starting again from the checkpoints");
        meter.restarts.add(1);
        meter.state.set(TenantState::Pausing(chain(&error)));
        tokio::select! {
            () = sleep(pause) => (),
            () = shared.closing.cancelled() => return Ok(Drained::default()),
        }
    }
}

fn stopped(error: RunError, remedy: &Remedy, meter: &Meter) -> RunError {
    meter.halts.add(1);
    error!(error = %chain(&error), hint = remedy.hint().unwrap_or_default(), "tenant stopped");
    error
}
