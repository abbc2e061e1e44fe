//! One run of one tenant: claim, introspect, run the pipeline, release.

use std::{sync::Arc, time::Duration};

use opgraph_state::{Claim, Cursor, Epoch, Store, StoreError, UnixMs, die_at};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::{Access, Outside, RunError, Shared, Tenant, budgets::Asking};
use crate::{
    clock::Clock,
    http::{self, Failure, Halt, Remedy},
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
    pub(super) async fn run(&self) -> Result<Drained, RunError> {
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
        self.meter.in_quarantine.set(store.quarantine_len(name).await?);
        let pipeline = self.pipeline(claim, access, wanted, first);
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
    ) -> Result<Drained, RunError> {
        let Shared { store, client, memory, clock, budgets, closing, .. } = self.shared;
        let name = &self.tenant.name;
        self.warn_of_expiry(&access);

        // Whose requests these are is told by the token, else by what it read
        // before; for certain by the first answer.
        let stored = claim.checkpoints.values().find_map(|checkpoint| checkpoint.source.account.clone());
        let told = access.account.or(stored);
        let asking = Asking {
            tenant: name,
            account: told.as_deref(),
            limits: self.tenant.rate,
            active_until: claim.active_until,
            now: clock.now(),
        };
        let budget = budgets.join(asking);
        self.meter.budget.set(Some(budget.clone()));
        let made = budget.granted();
        let api = EventsApi::new(
            client.clone(),
            access.base_url,
            access.token,
            budget.clone(),
            self.tenant.patience,
            self.meter.clone(),
        )
        .of_tenant(name.clone());
        let introspection = tokio::select! {
            introspection = api.introspect() => introspection?,
            () = closing.cancelled() => return Ok(Drained::default()),
        };
        die_at!("introspect.after");
        let account = introspection.account_uuid.clone();
        let api = match account.as_deref().filter(|account| told.as_deref() != Some(*account)) {
            None => api,
            Some(_) => {
                let whole = budgets.join(Asking { account: account.as_deref(), ..asking });
                self.meter.budget.set(Some(whole.clone()));
                // What was asked before anybody knew whose budget it takes is paid for now.
                tokio::select! {
                    () = whole.pay(budget.granted() - made) => (),
                    () = closing.cancelled() => return Ok(Drained::default()),
                }
                api.from_budget(whole)
            }
        };
        let (mut streams, mut drained) = (Vec::new(), Drained::default());
        for stream in wanted {
            self.meter.stream(stream).wanted.set(1);
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
        let room = memory.room();
        let api =
            api.of_account(account).with_texts(memory.texts()).within(memory.page_size(), room.pages.clone());
        let run = Run {
            tenant: name.clone(),
            epoch: claim.epoch,
            source: Arc::new(api),
            snapshots,
            sink: Arc::new(sink),
            store: store.clone(),
            streams,
            first,
            pace: self.tenant.pace,
            mapping: self.tenant.mapping.clone(),
            limits: self.tenant.limits,
            room: Some(room),
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
        self.meter.parks.add(1);
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

/// Says again and again that the run is alive, until it is not the tenant's newest any more.
///
/// All tenants do so at the same moments of the clock, so that they share the
/// syncs: otherwise a thousand idle ones cost fifty commits a second.
async fn stay_alive<T: Store>(store: &T, tenant: &str, epoch: Epoch, clock: &Clock) -> StoreError {
    loop {
        sleep(until_the_beat(clock.now())).await;
        if let Err(error) = store.renew(tenant, epoch, clock.now().plus(LEASE)).await {
            return error;
        }
    }
}

/// How long it is until the next moment at which all tenants renew, or the one
/// after that if it is near: between a half and one and a half of the usual
/// pause, whatever the clock says.
fn until_the_beat(now: UnixMs) -> Duration {
    let every = RENEW_EVERY.as_millis() as u64;
    let since = now.0.rem_euclid(every as i64).unsigned_abs();
    let until = every - since;
    Duration::from_millis(if until < every / 2 { until + every } else { until })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_tenants_renew_at_the_same_moments_and_well_within_the_lease() {
        for now in (-70_000..70_000).step_by(7) {
            let pause = until_the_beat(UnixMs(now));
            assert_eq!((now + pause.as_millis() as i64).rem_euclid(20_000), 0, "{now}");
            assert!(pause >= RENEW_EVERY / 2 && pause * 3 / 2 < LEASE, "{now}: {pause:?}");
        }
    }
}
