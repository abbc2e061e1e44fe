//! One tenant, run after run: start, restart with backoff, shutdown.
//!
//! The only loop in the program that restarts anything.

use std::{sync::Arc, time::Duration};

use backoff::{ExponentialBackoff, ExponentialBackoffBuilder, backoff::Backoff};
use opgraph_state::{Claim, Cursor, Epoch, Refused, Store, StoreError, UnixMs, UploadNote, die_at};
use secrecy::SecretString;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span, warn};
use url::Url;

use crate::{
    clock::Clock,
    http::{self, Budget, Client, Failure, Halt, Patience, Remedy},
    pipeline::{self, Drained, Run, Stopped},
    sink::{Sink, SinkError},
    source::{
        Pace,
        events_api::{EventsApi, not_allowed},
    },
    stream::{Mapping, Stream},
    telemetry::{Meter, StreamState},
};

/// How often a run says that it is alive.
const RENEW_EVERY: Duration = Duration::from_secs(20);
/// How long a run that says nothing may still be making requests.
const LEASE: Duration = Duration::from_secs(60);
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
}

/// What a tenant's runs are given from outside.
pub trait Outside: Send + Sync + 'static {
    /// Where records go.
    type Sink: Sink;

    /// Reads the token, which may have been replaced since the last run.
    fn access(&self) -> impl Future<Output = Result<Access, RunError>> + Send;

    /// Makes the sink of one run. `unsettled` are the uploads that earlier runs left open.
    fn sink(
        &self,
        epoch: Epoch,
        unsettled: Vec<UploadNote>,
    ) -> impl Future<Output = Result<Self::Sink, SinkError>> + Send;
}

/// What all tenants of the process share.
#[derive(Clone, Debug)]
pub struct Shared<T> {
    /// What survives a crash.
    pub store: T,
    /// Connections.
    pub client: Client,
    /// The wall clock.
    pub clock: Clock,
    /// Cancelled to end all runs: fetchers close, the rest drains.
    pub closing: CancellationToken,
    /// How long draining may take.
    pub drain: Duration,
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// 1Password's API failed.
    #[error(transparent)]
    Source(#[from] Failure),
    /// The pipeline stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The token could not be read, or belongs to another account.
    #[error("{what}")]
    Setup {
        /// What is wrong.
        what: String,
        /// What to do about it.
        remedy: Remedy,
    },
    /// The pages in flight were not committed within the deadline. Nothing is lost: the next run reads them again.
    #[error("the pipeline did not drain within {0:?}")]
    NotDrained(Duration),
}

impl RunError {
    /// What to do about it.
    pub fn remedy(&self) -> Remedy {
        match self {
            RunError::Source(failure) => failure.remedy.clone(),
            RunError::Stopped(stopped) => stopped.remedy(),
            RunError::Setup { remedy, .. } => remedy.clone(),
            RunError::NotDrained(_) => {
                Remedy::halt("start again: the next run reads what was in flight once more")
            }
        }
    }
}

impl From<StoreError> for RunError {
    fn from(error: StoreError) -> RunError {
        RunError::Stopped(error.into())
    }
}

/// What to do about a failed store.
pub fn store_remedy(error: &StoreError) -> Remedy {
    let hint = match error {
        StoreError::Refused(Refused::Fenced { .. }) => {
            "another run has taken this tenant over: run it in one place only"
        }
        StoreError::Refused(Refused::NotInQuarantine { .. }) => {
            return Remedy::halt("nothing was changed: see what is there with `opgraph quarantine list`");
        }
        // A page went missing between two others: start again from the checkpoint.
        StoreError::Refused(Refused::NotChained { .. }) => return Remedy::RETRY,
        StoreError::Refused(Refused::HasCheckpoints { .. }) => {
            "say `--force` to replace them: the next run reads again from the imported ones"
        }
        StoreError::InUse { .. } => "stop the other opgraph, or give this one a `state_dir` of its own",
        StoreError::TooNew { .. } => "run the newer opgraph that wrote it",
        StoreError::Damaged { .. } => {
            "start `opgraph run`: it moves a damaged state directory aside and reads again with overlap; `opgraph state verify` says what is damaged"
        }
        StoreError::Io { .. } if error.is_disk_full() => {
            "free some space on the disk of the state directory, then start again; nothing is lost"
        }
        StoreError::Io { .. } => "check the disk (space, permissions, health), then start again",
    };
    Remedy::Halt(Halt::State { hint: hint.to_owned() })
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
    let span = info_span!("tenant", tenant = %tenant.name);
    run_after_run(tenant, outside, shared, meter).instrument(span).await
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
    let mut budget = None;
    let mut moved = Instant::now();
    loop {
        let commits = meter.commits.get();
        meter.runs.add(1);
        let life = Life { tenant: &tenant, outside: &outside, shared: &shared, meter: &meter };
        let error = match life.run(&mut budget).await {
            Ok(drained) => return Ok(drained),
            Err(error) => error,
        };
        let remedy = error.remedy();
        // A run that got somewhere is not the next failure in a row.
        if meter.commits.get() > commits {
            backoff.reset();
            moved = Instant::now();
        }
        let Remedy::Retry { after } = &remedy else { return Err(stopped(error, &remedy)) };
        let pause = backoff.next_backoff().unwrap_or(LEASE).max(after.unwrap_or_default());
        // Requests that were repeated for as long as anybody waits are not begun all over again.
        let gave_up = matches!(error, RunError::Source(_)) && tenant.patience.give_up_after.is_some();
        let enough = gave_up || tenant.pace == Pace::Once && moved.elapsed() + pause > ONCE_GIVES_UP_AFTER;
        if enough || shared.closing.is_cancelled() {
            return Err(stopped(error, &remedy));
        }
        warn!(error = %chain(&error), ?pause, "run failed, starting again from the checkpoints");
        tokio::select! {
            () = sleep(pause) => (),
            () = shared.closing.cancelled() => return Ok(Drained::default()),
        }
    }
}

fn stopped(error: RunError, remedy: &Remedy) -> RunError {
    error!(error = %chain(&error), hint = remedy.hint().unwrap_or_default(), "tenant stopped");
    error
}

/// One run of one tenant.
struct Life<'a, O, T> {
    tenant: &'a Tenant,
    outside: &'a O,
    shared: &'a Shared<T>,
    meter: &'a Arc<Meter>,
}

impl<O: Outside, T: Store + Clone> Life<'_, O, T> {
    /// Claims the tenant, runs its pipeline, releases it.
    async fn run(&self, budget: &mut Option<Arc<Budget>>) -> Result<Drained, RunError> {
        let Shared { store, clock, .. } = self.shared;
        let name = &self.tenant.name;
        let wanted = self.tenant.streams.clone().unwrap_or_else(|| Stream::ALL.to_vec());
        die_at!("run.start");
        let access = self.outside.access().await?;

        let now = clock.now();
        let first = self.tenant.start.from(now);
        let starts: Vec<_> =
            wanted.iter().map(|stream| (stream.name().to_owned(), Cursor::Since(first))).collect();
        let claim = store.claim(name, &starts, now).await?;
        die_at!("claim.after");
        let epoch = claim.epoch;
        info!(epoch = epoch.0, "run started");
        store.renew(name, epoch, now.plus(LEASE)).await?;
        die_at!("renew.after");
        let budget = budget
            .get_or_insert_with(|| Arc::new(Budget::new(self.tenant.rate, idle(claim.active_until, now))));

        let pipeline = self.pipeline(claim, access, wanted, first, budget.clone());
        let result = tokio::select! {
            result = self.drained_in_time(pipeline) => result,
            error = stay_alive(store, name, epoch, clock) => Err(error.into()),
        };
        die_at!("release.before");
        // A fenced run may not release what is no longer its own.
        if let Err(error) = store.release(name, epoch, clock.now()).await {
            warn!(error = %error, "could not release the tenant");
        }
        die_at!("run.end");
        result
    }

    /// Everything after the claim.
    async fn pipeline(
        &self,
        claim: Claim,
        access: Access,
        wanted: Vec<Stream>,
        first: UnixMs,
        budget: Arc<Budget>,
    ) -> Result<Drained, RunError> {
        let Shared { store, client, clock, closing, .. } = self.shared;
        let name = &self.tenant.name;
        self.warn_of_expiry(&access);

        let api = EventsApi::new(
            client.clone(),
            access.base_url,
            access.token,
            budget,
            self.tenant.patience,
            self.meter.clone(),
        );
        let introspection = tokio::select! {
            introspection = api.introspect() => introspection?,
            () = closing.cancelled() => return Ok(Drained::default()),
        };
        die_at!("introspect.after");
        let account = introspection.account_uuid.clone();
        let (mut streams, mut drained) = (Vec::new(), Drained::default());
        for stream in wanted {
            let Some(checkpoint) = claim.checkpoints.get(stream.name()).cloned() else { continue };
            same_account(checkpoint.source.account.as_deref(), account.as_deref(), name)?;
            if introspection.may_read(stream) {
                streams.push((stream, checkpoint));
            } else if self.tenant.streams.is_some() {
                drained.halted.push((stream, self.park(stream)));
            } else {
                self.park(stream);
            }
        }
        if streams.is_empty() {
            return Err(RunError::Setup {
                what: "the token may read none of the streams".to_owned(),
                remedy: Remedy::Halt(Halt::Credentials {
                    hint:
                        "issue an Events Reporting token with sign-in attempts, item usages or audit events"
                            .to_owned(),
                }),
            });
        }
        let sink = self.outside.sink(claim.epoch, claim.unsettled).await.map_err(Stopped::from)?;
        let run = Run {
            tenant: name.clone(),
            epoch: claim.epoch,
            source: Arc::new(api.of_account(account)),
            sink: Arc::new(sink),
            store: store.clone(),
            streams,
            first,
            pace: self.tenant.pace,
            mapping: self.tenant.mapping.clone(),
            limits: self.tenant.limits,
            clock: clock.clone(),
            meter: self.meter.clone(),
            closing: closing.clone(),
        };
        drained.halted.extend(pipeline::run(run).await?.halted);
        Ok(drained)
    }

    /// Once the tenant is told to close, gives the pipeline its time to drain.
    async fn drained_in_time(
        &self,
        run: impl Future<Output = Result<Drained, RunError>>,
    ) -> Result<Drained, RunError> {
        let Shared { closing, drain, .. } = self.shared;
        let mut run = std::pin::pin!(run);
        tokio::select! {
            result = &mut run => return result,
            () = closing.cancelled() => (),
        }
        timeout(*drain, run).await.unwrap_or(Err(RunError::NotDrained(*drain)))
    }

    /// Leaves out a stream that the token may not read.
    fn park(&self, stream: Stream) -> Failure {
        let remedy = not_allowed(stream);
        let hint = remedy.hint().unwrap_or_default().to_owned();
        warn!(stream = stream.name(), hint, "stream parked");
        self.meter.stream(stream).state.set(StreamState::Parked(hint));
        Failure {
            doing: format!("read `{}`", stream.name()),
            status: None,
            code: None,
            outcome: http::Outcome::NotDone,
            remedy,
            cause: "the token lacks the feature".into(),
        }
    }

    /// Warns while there is still time to issue a new token.
    fn warn_of_expiry(&self, access: &Access) {
        const AHEAD: Duration = Duration::from_secs(14 * 24 * 3600);
        let now = self.shared.clock.now();
        if let Some(expires) = access.expires.filter(|expires| *expires < now.plus(AHEAD)) {
            let days = expires.since(now).as_secs() / 86_400;
            warn!(days, "the Events API token expires soon: issue a new one in 1Password");
        }
    }
}

/// A cursor is only ever used for the account it was issued by.
fn same_account(stored: Option<&str>, now: Option<&str>, tenant: &str) -> Result<(), RunError> {
    match (stored, now) {
        (Some(stored), Some(now)) if stored != now => Err(RunError::Setup {
            what: format!(
                "the token belongs to account {now}, the checkpoints of `{tenant}` to account {stored}"
            ),
            remedy: Remedy::Halt(Halt::Configuration {
                hint: "give the account a tenant name of its own, or put the right token back".to_owned(),
            }),
        }),
        _ => Ok(()),
    }
}

/// How long the account has certainly made no request, as [`Budget::new`] wants it.
///
/// | earlier runs were active | answer                                          |
/// |--------------------------|-------------------------------------------------|
/// | never                    | none: a full budget                             |
/// | until some time ago      | that time: what has been refilled since         |
/// | until some time to come  | zero: an empty budget, which refills at once    |
///
/// The last is a run that was killed within its lease, or a clock that was set
/// back, by however much: the budget itself never asks the wall clock.
pub fn idle(active_until: Option<UnixMs>, now: UnixMs) -> Option<Duration> {
    active_until.map(|until| now.since(until))
}

/// Says again and again that the run is alive, until it is not the tenant's newest any more.
async fn stay_alive<T: Store>(store: &T, tenant: &str, epoch: Epoch, clock: &Clock) -> StoreError {
    loop {
        sleep(RENEW_EVERY).await;
        if let Err(error) = store.renew(tenant, epoch, clock.now().plus(LEASE)).await {
            return error;
        }
    }
}

/// An error with its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
