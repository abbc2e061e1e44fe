//! One run of one tenant: claim, introspect, run the pipeline, release.

use std::{sync::Arc, time::Duration};

use opgraph_state::{Claim, Cursor, Epoch, Store, StoreError, UnixMs, die_at};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::{Access, Outside, RunError, Shared, Tenant};
use crate::{
    clock::Clock,
    http::{self, Budget, Failure, Halt, Remedy},
    pipeline::{self, Drained, Run, Stopped, snapshot::Snapshots},
    source::events_api::{EventsApi, not_allowed},
    stream::Stream,
    telemetry::{Meter, StreamState},
};

/// How often a run says that it is alive.
const RENEW_EVERY: Duration = Duration::from_secs(20);
/// How long a run that says nothing may still be making requests.
pub(super) const LEASE: Duration = Duration::from_secs(60);

/// One run of one tenant.
pub(super) struct Life<'a, O, T> {
    pub(super) tenant: &'a Tenant,
    pub(super) outside: &'a O,
    pub(super) shared: &'a Shared<T>,
    pub(super) meter: &'a Arc<Meter>,
}

impl<O: Outside, T: Store + Clone> Life<'_, O, T> {
    /// Claims the tenant, runs its pipeline, releases it.
    pub(super) async fn run(&self, budget: &mut Option<Arc<Budget>>) -> Result<Drained, RunError> {
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
        let Shared { store, client, memory, clock, closing, .. } = self.shared;
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
        let mut snapshots = None;
        if let Some(settings) = self.tenant.snapshots {
            match self.outside.lister().await {
                Ok(lister) => snapshots = Some(Snapshots { lister, settings }),
                Err(failure) => {
                    pipeline::snapshot::report(&failure, self.meter);
                    drained.snapshots = Some(failure);
                }
            }
        }
        let run = Run {
            tenant: name.clone(),
            epoch: claim.epoch,
            source: Arc::new(api.of_account(account).with_texts(memory.texts())),
            snapshots,
            sink: Arc::new(sink),
            store: store.clone(),
            streams,
            first,
            pace: self.tenant.pace,
            mapping: self.tenant.mapping.clone(),
            limits: self.tenant.limits,
            allowance: Some(memory.pages()),
            clock: clock.clone(),
            meter: self.meter.clone(),
            closing: closing.clone(),
        };
        let Drained { halted, snapshots } = pipeline::run(run).await?;
        drained.halted.extend(halted);
        drained.snapshots = drained.snapshots.or(snapshots);
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
///
/// All tenants do so at the same moments of the clock, so that they share the
/// syncs: otherwise a thousand idle ones cost fifty commits a second.
async fn stay_alive<T: Store>(store: &T, tenant: &str, epoch: Epoch, clock: &Clock) -> StoreError {
    loop {
        let every = RENEW_EVERY.as_millis() as i64;
        let left = every - clock.now().0.rem_euclid(every);
        sleep(Duration::from_millis(left as u64)).await;
        if let Err(error) = store.renew(tenant, epoch, clock.now().plus(LEASE)).await {
            return error;
        }
    }
}
