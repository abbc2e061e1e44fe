//! JupiterOne's sync-job API: jobs, uploads, and the graph they make.
//!
//! Source: JupiterOne docs, sync API reference, diff, patch and cross-scope pages; the SDK's captured traffic. Error
//! codes are theirs where a source shows one and ours elsewhere.

mod events;
mod fate;
mod graph;
mod jobs;
mod rules;
mod upload;
mod wire;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use self::{
    graph::{Graph, Keep},
    jobs::{Abort, Finish, Job, Mode, Start, Status, View},
    upload::Target,
};
use crate::{
    Comparison, Config, Endpoint, Finalize, JobEvent, Jobs, Received,
    answer::Answer,
    keys::Keys,
    mix::mix,
    oracle::{Comparer, Expectation},
};

/// An answer that says no, in JupiterOne's envelope `{"error":{"code","message"}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: u16,
    code: &'static str,
    message: String,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: &'static str, message: &str) -> Refusal {
        Refusal { status, code, message: message.to_owned() }
    }

    /// Returns the answer.
    pub(crate) fn answer(&self) -> Answer {
        Answer::value(self.status, &json!({"error": {"code": self.code, "message": self.message}}))
    }

    fn not_awaiting(view: &View) -> Refusal {
        Refusal::new(400, "JOB_NOT_AWAITING_UPLOADS", &format!("job {} is not awaiting uploads", view.id))
    }
}

/// One JupiterOne account.
#[derive(Debug)]
pub(crate) struct JupiterOne {
    keys: Arc<Keys>,
    seed: u64,
    instance: String,
    finalize: Finalize,
    honour_partial_datasets: bool,
    body_limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    jobs: BTreeMap<String, Job>,
    /// Ids in the order of their `finalize`, until their end.
    finalizing: Vec<String>,
    graph: Graph,
    received: Received,
    report: Jobs,
    events: u64,
}

impl JupiterOne {
    pub(crate) fn new(config: &Config, keys: Arc<Keys>, instance: &str) -> JupiterOne {
        JupiterOne {
            keys,
            seed: mix(config.seed ^ 0x6a31),
            instance: instance.to_owned(),
            finalize: config.finalize,
            honour_partial_datasets: config.honour_partial_datasets,
            body_limit: config.body_limit,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a job. `now` in milliseconds since the epoch; `lost` says that the client will not see the answer.
    pub(crate) fn start(&self, body: &[u8], now: i64, lost: bool) -> Result<Answer, Refusal> {
        let start: Start = read(body)?;
        let accepted = start.check(&self.instance)?;
        let scope = self.keys.owner(&accepted.source, jobs::scope_of(&accepted));
        let mut state = self.state();
        self.advance(&mut state, Instant::now());
        let open = state.jobs.values().any(|job| {
            job.view.status == Status::AwaitingUploads && !job.unknown && job.target.scope == scope
        });
        if open && accepted.instance.is_some() {
            state.report.concurrent_jobs += 1;
        }
        let writes = |job: &Job| match job.view.status {
            Status::AwaitingUploads => job.holds_records(),
            status => status.is_finalizing(),
        };
        if state.jobs.values().any(|job| job.target.scope == scope && writes(job)) {
            state.report.overlapping_jobs += 1;
        }
        state.report.started += 1;
        let id = uuid(mix(self.seed ^ state.report.started));
        let job = Job {
            number: state.report.started,
            view: View::new(id.clone(), &accepted, now),
            target: Target { source: accepted.source, scope, mode: accepted.mode },
            ignore_duplicates: accepted.ignore_duplicates,
            entities: Default::default(),
            relationships: Default::default(),
            duplicate: None,
            partial: Default::default(),
            finalized: None,
            polls: 0,
            unknown: lost,
            events: Vec::new(),
        };
        let answer = shown(&job.view);
        state.jobs.insert(id, job);
        Ok(answer)
    }

    /// Returns a job as it is now. Looking may move it on, where the configuration counts looks.
    pub(crate) fn status(&self, id: &str) -> Result<Answer, Refusal> {
        let mut state = self.state();
        if let Some(job) = state.jobs.get_mut(id) {
            job.polls += 1;
        }
        self.advance(&mut state, Instant::now());
        state.jobs.get(id).map(|job| shown(&job.view)).ok_or_else(|| no_job(id))
    }

    /// Takes an upload of `wire_bytes` bytes, `body` after gunzip. `swallow` pretends only.
    pub(crate) fn upload(
        &self,
        endpoint: Endpoint,
        id: &str,
        body: &[u8],
        wire_bytes: usize,
        swallow: bool,
    ) -> Result<Answer, Refusal> {
        let target = {
            let state = self.state();
            let job = state.jobs.get(id).ok_or_else(|| no_job(id))?;
            if job.view.status != Status::AwaitingUploads {
                return Err(Refusal::not_awaiting(&job.view));
            }
            job.target.clone()
        };
        // Reading takes the time, so nothing is locked meanwhile.
        let read = upload::read(&self.keys, &target, endpoint, body);
        let mut state = self.state();
        let State { jobs, received, .. } = &mut *state;
        let job = jobs.get_mut(id).ok_or_else(|| no_job(id))?;
        if job.view.status != Status::AwaitingUploads {
            return Err(Refusal::not_awaiting(&job.view));
        }
        let batch = read.map_err(|(refusal, broken)| {
            for rule in broken {
                received.refused.add(|| rule);
            }
            refusal
        })?;
        if swallow {
            return Ok(shown(&job.view));
        }
        received.uploads += 1;
        received.wire_bytes += wire_bytes as u64;
        received.body_bytes += body.len() as u64;
        received.entities += batch.entities.len() as u64;
        received.relationships += batch.relationships.len() as u64 + batch.mapped;
        received.mapped_relationships += batch.mapped;
        job.view.num_entities_uploaded += batch.entities.len() as u64;
        job.view.num_relationships_uploaded += batch.relationships.len() as u64 + batch.mapped;
        job.view.num_mapped_relationships_created += batch.mapped;
        let duplicate = upload::merge(&mut job.entities, batch.entities);
        let duplicate = upload::merge(&mut job.relationships, batch.relationships).or(duplicate);
        job.duplicate = job.duplicate.or(duplicate);
        Ok(shown(&job.view))
    }

    /// Returns the answer to a body over the size limit.
    pub(crate) fn too_large(&self) -> Refusal {
        self.state().received.too_large += 1;
        let message = format!("request entity is over {} bytes", self.body_limit);
        Refusal::new(413, "RequestEntityTooLargeException", &message)
    }

    /// Begins to make a job's records part of the graph.
    pub(crate) fn finalize(&self, id: &str, body: &[u8]) -> Result<Answer, Refusal> {
        let finish: Finish = if body.is_empty() { Finish::default() } else { read(body)? };
        let now = Instant::now();
        let mut state = self.state();
        self.advance(&mut state, now);
        let job = state.jobs.get_mut(id).ok_or_else(|| no_job(id))?;
        if job.view.status != Status::AwaitingUploads {
            return Err(Refusal::not_awaiting(&job.view));
        }
        if self.honour_partial_datasets {
            let types = finish.partial_datasets.unwrap_or_default().types;
            job.partial = types.iter().map(|type_| self.keys.type_id(type_)).collect();
        }
        job.view.status = Status::FinalizePending;
        job.finalized = Some(now);
        job.polls = 0;
        let answer = shown(&job.view);
        let scope = job.target.scope;
        // Jobs of one scope take effect in the order they were finalized in.
        for earlier in state.finalizing.clone() {
            if state.jobs.get(&earlier).is_some_and(|job| job.target.scope == scope) {
                self.move_to(&mut state, &earlier, Status::Finished);
            }
        }
        state.finalizing.push(id.to_owned());
        Ok(answer)
    }

    /// Gives a job up.
    pub(crate) fn abort(&self, id: &str, body: &[u8]) -> Result<Answer, Refusal> {
        let abort: Abort = if body.is_empty() { Abort::default() } else { read(body)? };
        let mut state = self.state();
        let job = state.jobs.get_mut(id).ok_or_else(|| no_job(id))?;
        if job.view.status != Status::AwaitingUploads {
            return Err(Refusal::not_awaiting(&job.view));
        }
        end(job, abort.status());
        let answer = shown(&job.view);
        state.report.aborted += 1;
        Ok(answer)
    }

    /// Takes events of a job, which people read in JupiterOne.
    pub(crate) fn events(&self, id: &str, body: &[u8], now: i64) -> Result<Answer, Refusal> {
        let mut state = self.state();
        let State { jobs, received, events: count, .. } = &mut *state;
        let job = jobs.get_mut(id).ok_or_else(|| no_job(id))?;
        let events = events::read(body, &job.view).inspect_err(|refusal| {
            received.refused.add(|| format!("{id}/events: {}", refusal.message));
        })?;
        let mut answers = Vec::new();
        for event in &events {
            *count += 1;
            let JobEvent { name, description } = event;
            answers.push(json!({
                "id": format!("e{count}"), "name": name, "description": description, "createDate": now,
            }));
        }
        job.events.extend(events);
        Ok(Answer::value(200, &json!({ "events": answers })))
    }

    /// Brings every finalizing job to its end.
    pub(crate) fn settle(&self) {
        let mut state = self.state();
        for id in std::mem::take(&mut state.finalizing) {
            self.move_to(&mut state, &id, Status::Finished);
        }
    }

    /// Returns what was received, what became of the jobs, and how the graph compares.
    pub(crate) fn report(&self, expectation: &Expectation) -> (Received, Jobs, Comparison) {
        let mut state = self.state();
        self.advance(&mut state, Instant::now());
        let mut report = state.report.clone();
        for job in state.jobs.values() {
            if job.view.status == Status::AwaitingUploads {
                report.open.add(|| format!("{} ({})", job.view.id, job.owner()));
                report.open_unknown += u64::from(job.unknown);
                report.open_with_records += u64::from(job.holds_records());
            }
        }
        report.finalizing = state.finalizing.len() as u64;
        report.deleted = state.graph.deleted.clone();
        let comparison = state.graph.show(Comparer::new(&self.keys, expectation));
        (state.received.clone(), report, comparison)
    }

    /// Moves every finalizing job to where it should be by now.
    fn advance(&self, state: &mut State, now: Instant) {
        for id in state.finalizing.clone() {
            if let Some(job) = state.jobs.get(&id) {
                let due = job.due(self.finalize, now);
                self.move_to(state, &id, due);
            }
        }
    }

    /// Moves a finalizing job on to `due`, doing what each step does: entities first, then relationships.
    fn move_to(&self, state: &mut State, id: &str, due: Status) {
        let State { jobs, graph, report, finalizing, .. } = state;
        let Some(job) = jobs.get_mut(id) else { return };
        while job.view.status.is_finalizing() && job.view.status < due {
            let keep = match job.target.mode {
                Mode::Diff => Keep::Types(&job.partial),
                Mode::Patch | Mode::CrossScope => Keep::All,
            };
            match job.view.status {
                Status::FinalizePending => match job.duplicate {
                    // "The synchronizer will not persist anything if it detects a duplicate key" (SDK, issue 140).
                    Some(key) if !job.ignore_duplicates => {
                        report.bad.add(|| format!("{id}: {}", self.keys.text(key)));
                        end(job, Status::ErrorBadData);
                    }
                    _ => job.view.status = Status::FinalizingEntities,
                },
                Status::FinalizingEntities => {
                    let outcome = graph.apply_entities(job.target.scope, &job.entities, keep, &self.keys);
                    job.view.num_entities_created += outcome.created;
                    job.view.num_entities_updated += outcome.updated;
                    job.view.num_entities_deleted += outcome.deleted;
                    job.view.status = Status::FinalizingRelationships;
                }
                _ => {
                    let outcome =
                        graph.apply_relationships(job.target.scope, &job.relationships, keep, &self.keys);
                    job.view.num_relationships_created += outcome.created;
                    job.view.num_relationships_updated += outcome.updated;
                    job.view.num_relationships_deleted += outcome.deleted;
                    job.view.num_relationship_create_errors += outcome.errors;
                    report.finished += 1;
                    end(job, Status::Finished);
                }
            }
        }
        if !job.view.status.is_finalizing() {
            finalizing.retain(|other| other != id);
        }
    }
}

/// Puts a job into its last state and forgets what it had collected.
fn end(job: &mut Job, status: Status) {
    job.view.status = status;
    job.view.done = true;
    job.entities = Default::default();
    job.relationships = Default::default();
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    // Serde would read an array as the fields in their order.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Refusal::new(400, "INVALID_BODY", "the body is not an object"));
    }
    serde_json::from_slice(body).map_err(|error| Refusal::new(400, "INVALID_BODY", &error.to_string()))
}

fn no_job(id: &str) -> Refusal {
    Refusal::new(404, "JOB_NOT_FOUND", &format!("there is no job {id}"))
}

/// Every answer but those to `events` shows the job, with its running counters.
fn shown(view: &View) -> Answer {
    Answer::value(200, &json!({ "job": view }))
}

/// Returns a uuid as JupiterOne writes them.
pub(crate) fn uuid(seed: u64) -> String {
    let (a, b) = (mix(seed), mix(seed ^ 0x5555));
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        a >> 32,
        a >> 16 & 0xffff,
        a & 0xfff,
        b >> 48 & 0xfff,
        b & 0xffff_ffff_ffff
    )
}
