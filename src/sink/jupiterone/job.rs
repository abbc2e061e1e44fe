//! One sync job, from its start to FINISHED.

use std::{sync::Arc, time::Duration};

use opgraph_state::{Quarantined, die_at};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep},
};
use tracing::{Instrument, warn};

use super::{
    api::{Api, GIVE_UP_AFTER, Target},
    ending::Ending,
    failed,
    over::{closed, gone, wait_until_over},
    pack::{Kind, Packed, Smaller, TOO_LARGE},
    report::{State, Tally},
    verdict::{Doubt, Refusal, doubt, pause, refusal},
};
use crate::{
    clock::Clock,
    http::{Failure, Halt, Remedy},
    sink::SinkError,
    telemetry::Held,
};

/// How often counters that do not agree are read before they are believed: an
/// answer may come from a copy that has not seen the last upload yet.
const READINGS: u32 = 3;

/// Records that one job may set aside because JupiterOne refuses them. More of
/// them are no poison: then something about all of them is wrong, and the
/// tenant halts.
const MOST_REFUSED: usize = 100;

/// A job that takes uploads.
///
/// Dropping it stops what is in flight and leaves the job open; the note in
/// the state makes the next run abort it.
pub(super) struct Job {
    api: Arc<Api>,
    clock: Clock,
    id: String,
    /// Counts the job among those that are uploading or finalizing.
    stands: Held,
    of_integration: bool,
    /// Bodies in flight, over all jobs of the tenant.
    slots: Arc<Semaphore>,
    flying: JoinSet<Landed>,
    /// What JupiterOne acknowledged.
    taken: Tally,
    too_large: Vec<Packed>,
    invalid: Vec<(Packed, Failure)>,
    doubtful: Vec<(Packed, Failure)>,
    doubting: Option<Doubting>,
    set_aside: Vec<Quarantined>,
}

struct Landed {
    body: Packed,
    result: Result<(), Failure>,
}

/// Since when answers have been getting lost, with none in between that was not.
#[derive(Clone, Copy)]
struct Doubting {
    since: Instant,
    rounds: u32,
}

impl Job {
    /// Starts a job.
    pub(super) async fn start(
        api: Arc<Api>,
        clock: Clock,
        slots: Arc<Semaphore>,
        target: &Target,
    ) -> Result<Job, SinkError> {
        let started = api.start(target).await.map_err(not_started)?;
        Ok(Job {
            clock,
            id: started.id,
            of_integration: started.integration_job_id.is_some(),
            stands: api.meter.jobs_uploading.hold(),
            api,
            slots,
            flying: JoinSet::new(),
            taken: Tally::default(),
            too_large: Vec::new(),
            invalid: Vec::new(),
            doubtful: Vec::new(),
            doubting: None,
            set_aside: Vec::new(),
        })
    }

    /// JupiterOne's id of the job.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Whether people can read of it in JupiterOne.
    pub(super) fn is_of_integration(&self) -> bool {
        self.of_integration
    }

    /// Sends a body. Waits for a slot; returns while it is in flight.
    pub(super) async fn send(&mut self, body: Packed) -> Result<(), SinkError> {
        self.launch(body).await;
        while let Some(landed) = self.flying.try_join_next() {
            self.land(landed)?;
        }
        let settled = self.too_large.is_empty() && self.invalid.is_empty() && self.doubtful.is_empty();
        if settled { Ok(()) } else { self.drain().await }
    }

    /// Returns once everything sent was taken, or set aside for good.
    pub(super) async fn drain(&mut self) -> Result<(), SinkError> {
        loop {
            while let Some(landed) = self.flying.join_next().await {
                self.land(landed)?;
            }
            if !self.doubtful.is_empty() {
                self.settle().await?;
            } else if let Some(body) = self.too_large.pop() {
                self.shrink(body, TOO_LARGE).await;
            } else if let Some((body, failure)) = self.invalid.pop() {
                if self.set_aside.len() >= MOST_REFUSED {
                    return Err(failed(failure));
                }
                let why = format!("JupiterOne refuses it: {}", failure.cause);
                self.shrink(body, &why).await;
            } else {
                return Ok(());
            }
        }
    }

    /// What was refused at any size.
    pub(super) fn take_set_aside(&mut self) -> Vec<Quarantined> {
        std::mem::take(&mut self.set_aside)
    }

    async fn launch(&mut self, body: Packed) {
        // Never closed. Whoever holds a slot is a request that ends by itself.
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let share = self.api.settings.flying.take(body.len()).await;
        let (api, id) = (Arc::clone(&self.api), self.id.clone());
        let flight = async move {
            let result = upload(&api, &id, &body).await;
            drop((slot, share));
            Landed { body, result }
        };
        self.flying.spawn(flight.in_current_span());
    }

    fn land(&mut self, landed: Result<Landed, tokio::task::JoinError>) -> Result<(), SinkError> {
        let Landed { body, result } = landed.map_err(|error| self.fails("upload to", error))?;
        let Err(failure) = result else {
            self.taken = self.taken.plus(Tally::of(body.kind, body.records()));
            self.doubting = None;
            if let Some(memory) = body.emptied() {
                self.api.settings.packing.put(memory);
            }
            return Ok(());
        };
        match refusal(&failure) {
            Refusal::TooLarge => self.too_large.push(body),
            Refusal::Invalid => self.invalid.push((body, failure)),
            Refusal::Unknown => self.doubtful.push((body, failure)),
            // A new job from the last ack: the run starts again.
            Refusal::Closed => return Err(SinkError { remedy: Remedy::RETRY, ..failed(failure) }),
            Refusal::Other => return Err(failed(failure)),
        }
        Ok(())
    }

    async fn shrink(&mut self, body: Packed, why: &str) {
        match body.smaller(why, self.clock.now()) {
            Smaller::Halves(left, right) => {
                self.launch(left).await;
                self.launch(right).await;
            }
            Smaller::Bare(bare) => {
                self.api.meter.raw_data_dropped.add(1);
                self.launch(bare).await;
            }
            // Should this be an entity, its relationships name something that
            // is not there: JupiterOne counts them as errors, and so do we.
            Smaller::Never(record) => self.set_aside.push(record),
        }
    }

    /// Finds out whether the bodies whose answers were lost were taken. Nothing
    /// else is in flight, so the job's counters can tell.
    async fn settle(&mut self) -> Result<(), SinkError> {
        let doubtful = std::mem::take(&mut self.doubtful);
        let mut doubting = self.doubting.unwrap_or(Doubting { since: Instant::now(), rounds: 0 });
        let asked = doubtful.iter().filter_map(|(_, failure)| asked_pause(failure)).max();
        // Also gives JupiterOne the time to finish with what it may have taken.
        sleep(pause(self.api.settings.poll, doubting.rounds).max(asked.unwrap_or_default())).await;
        doubting.rounds += 1;
        self.doubting = Some(doubting);

        let unknown = doubtful
            .iter()
            .fold(Tally::default(), |sum, (body, _)| sum.plus(Tally::of(body.kind, body.records())));
        let counted = self.counted(self.taken.plus(unknown)).await?;
        let entities = doubt(self.taken.entities, unknown.entities, counted.entities);
        let relationships = doubt(self.taken.relationships, unknown.relationships, counted.relationships);
        if entities == Doubt::Unclear || relationships == Doubt::Unclear {
            return Err(self.abandon("the answer to an upload was lost, and", counted).await);
        }
        for (body, failure) in doubtful {
            let kind = Tally::of(body.kind, body.records());
            let of_kind = if kind.entities > 0 { entities } else { relationships };
            if of_kind == Doubt::Taken {
                self.taken = self.taken.plus(kind);
            } else if doubting.since.elapsed() > GIVE_UP_AFTER {
                return Err(failed(failure));
            } else {
                self.api.meter.retries.add(1);
                self.launch(body).await;
            }
        }
        Ok(())
    }

    /// Reads the job's counters, a few times if they do not yet say `expected`.
    async fn counted(&self, expected: Tally) -> Result<Tally, SinkError> {
        let mut round = 0;
        loop {
            let report = self.api.status(&self.id).await.map_err(gone)?;
            if report.state != State::AwaitingUploads {
                return Err(self.fails("complete", closed(&report)));
            }
            round += 1;
            if report.uploaded() == expected || round == READINGS {
                return Ok(report.uploaded());
            }
            sleep(pause(self.api.settings.poll, round - 1)).await;
        }
    }

    /// Finalizes the job and returns once all of it is in the graph.
    ///
    /// The gate in front: JupiterOne has to have counted exactly what it
    /// acknowledged, or the job is aborted and the run starts again.
    pub(super) async fn finish(mut self, ending: &Ending) -> Result<(), SinkError> {
        self.drain().await?;
        let counted = self.counted(self.taken).await?;
        if counted != self.taken {
            return Err(self.abandon("before it was finalized", counted).await);
        }
        self.stands = self.api.meter.jobs_finalizing.hold();
        die_at!("finalize.before");
        self.finalize(ending).await?;
        die_at!("finalize.after");
        let report = wait_until_over(&self.api, &self.id, ending.may_delete()).await?;
        self.still_counts(report.uploaded()).await?;
        self.api.meter.jobs_finished.add(1);
        Ok(())
    }

    /// The gate behind: what was taken before the end must still be counted
    /// after it, or nobody knows what of it is in the graph.
    async fn still_counts(&self, mut counted: Tally) -> Result<(), SinkError> {
        for round in 1..READINGS {
            if counted == self.taken {
                return Ok(());
            }
            sleep(pause(self.api.settings.poll, round - 1)).await;
            counted = self.api.status(&self.id).await.map_err(gone)?.uploaded();
        }
        if counted == self.taken { Ok(()) } else { Err(self.counts_otherwise("FINISHED,", counted)) }
    }

    /// Asks for the finalization. A lost answer is settled by asking how the
    /// job is: one that was finalized refuses to be finalized again.
    async fn finalize(&self, ending: &Ending) -> Result<(), SinkError> {
        let since = Instant::now();
        for round in 0.. {
            let Err(failure) = self.api.finalize(&self.id, ending.stays()).await else { return Ok(()) };
            if !matches!(refusal(&failure), Refusal::Unknown | Refusal::Closed) {
                return Err(failed(failure));
            }
            let asked = asked_pause(&failure).unwrap_or_default();
            sleep(pause(self.api.settings.poll, round).max(asked)).await;
            let report = self.api.status(&self.id).await.map_err(gone)?;
            // Only we know the id, so whatever else it is, our request made it so.
            if report.state != State::AwaitingUploads {
                return Ok(());
            }
            if since.elapsed() > GIVE_UP_AFTER {
                return Err(SinkError { remedy: Remedy::RETRY, ..failed(failure) });
            }
        }
        Ok(())
    }

    /// Aborts the job, whose counters are wrong, and answers the error.
    async fn abandon(&self, when: &str, counted: Tally) -> SinkError {
        let Tally { entities, relationships } = self.taken;
        warn!(
            job = self.id,
            entities,
            relationships,
            counted_entities = counted.entities,
            counted_relationships = counted.relationships,
            "sync job counts something else than was sent, aborted"
        );
        if let Err(failure) = self.api.abort(&self.id, "the counters differ from what was sent").await {
            // The note is still there: the next run aborts it.
            warn!(job = self.id, error = %failure, "sync job could not be aborted");
        }
        self.counts_otherwise(when, counted)
    }

    fn counts_otherwise(&self, when: &str, counted: Tally) -> SinkError {
        let Tally { entities, relationships } = self.taken;
        self.fails(
            "complete",
            format!(
                "{when} it counted {} entities and {} relationships where {entities} and {relationships} \
                 had been acknowledged",
                counted.entities, counted.relationships,
            ),
        )
    }

    fn fails(&self, what: &str, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SinkError {
        SinkError {
            doing: format!("{what} sync job {}", self.id),
            remedy: Remedy::RETRY,
            cause: cause.into(),
        }
    }
}

/// Uploads one body.
async fn upload(api: &Api, job: &str, packed: &Packed) -> Result<(), Failure> {
    match packed.kind {
        Kind::Entities => die_at!("entities.before"),
        Kind::Relationships => die_at!("relationships.before"),
    }
    let taken = api.upload(job, packed.kind, packed.body.clone(), &packed.correlation).await;
    match packed.kind {
        Kind::Entities => die_at!("entities.after"),
        Kind::Relationships => die_at!("relationships.after"),
    }
    taken
}

/// A job that could not be started; with an instance that does not exist the
/// API's answer says so.
fn not_started(failure: Failure) -> SinkError {
    if failure.code.as_deref() == Some("SYNC_JOB_INVALID_INTEGRATION_INSTANCE") {
        let hint = "check `integration_instance_id` and `source`".to_owned();
        let remedy = Remedy::Halt(Halt::Configuration { hint });
        return SinkError { remedy, ..failed(failure) };
    }
    failed(failure)
}

fn asked_pause(failure: &Failure) -> Option<Duration> {
    match failure.remedy {
        Remedy::Retry { after } => after,
        _ => None,
    }
}
