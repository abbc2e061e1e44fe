//! JupiterOne: uploads become sync jobs, and an upload is acknowledged when
//! its jobs are FINISHED.
//!
//! Two plans keep an append-only stream in a graph whose jobs replace what
//! they do not mention: [`Plan::Instance`] relies on `partialDatasets`,
//! [`Plan::Scope`] on scopes of our own. Guards for both: counters are compared
//! before a job is finalized, jobs are waited for, a lost answer is settled by
//! asking for the job, a job that deleted something stops the tenant, and a
//! job that a crash left open is aborted by the next run.

mod api;

mod report;

mod packing;

mod pack;

mod verdict;

mod ending;

mod job;

mod over;

mod feed;

mod notices;

mod notes;

mod left;

mod directory;

mod removal;

mod present;

mod instance;

mod scope;

mod shards;

mod vaults;

mod canary;

mod probe;

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;

#[cfg(feature = "bench")]
pub(crate) mod bench;

use std::{fmt, sync::Arc, time::Duration};

use opgraph_state::{Epoch, Store, StoreError, UploadNote};
use secrecy::SecretString;
use tokio::sync::{Mutex, Semaphore};
use url::Url;

pub use canary::canary;
pub use packing::{EmptiedBodies, Packing};
pub use probe::probe;

use self::{
    api::Api, directory::Directory, instance::InstanceUpload, left::Left, notes::Note, scope::ScopeUpload,
};
use super::{Ack, Sink, SinkError, Upload, UploadLimits};
use crate::{
    allowance::Allowance,
    clock::Clock,
    graph::{RecordType, Records, Sharing},
    http::{Client, Failure, Halt, Remedy},
    page::{Coverage, Page},
    telemetry::Meter,
};

/// Where and how to upload. [`JupiterOneSettings::new`] has the defaults.
#[derive(Clone, Debug)]
pub struct JupiterOneSettings {
    /// Such as `https://api.us.jupiterone.io`.
    pub base_url: Url,
    /// The account's id.
    pub account: String,
    /// An API key that may do `persister:Synchronize`.
    pub token: SecretString,
    /// How the graph keeps what a job does not mention.
    pub plan: Plan,
    /// Compress request bodies.
    pub gzip: bool,
    /// Tell people in JupiterOne how the jobs of an integration go.
    pub job_events: bool,
    /// Request bodies in flight, over all jobs. Each takes up to 1 MB of memory,
    /// or what a larger record does.
    pub in_flight: usize,
    /// How large bodies become, and in whose memory.
    pub packing: Packing,
    /// Bytes of bodies in flight.
    pub flying: Allowance,
    /// Bytes of bodies that wait for a job to be opened, while the last one is
    /// being finalized.
    pub waiting: Allowance,
    /// When an upload is finished.
    pub limits: UploadLimits,
    /// Pauses between attempts at one request.
    pub retry: Pauses,
    /// Pauses between questions about one job.
    pub poll: Pauses,
    /// How long a job may take from being finalized to FINISHED before the run starts again.
    pub finalize_deadline: Duration,
}

impl JupiterOneSettings {
    /// When an upload is finished: after a minute, or when a job would grow unwieldy.
    pub const LIMITS: UploadLimits =
        UploadLimits { age: Duration::from_secs(60), events: 100_000, bytes: 200_000_000, finishing: 1 };

    /// The settings that fit most accounts.
    pub fn new(base_url: Url, account: String, token: SecretString, plan: Plan) -> JupiterOneSettings {
        JupiterOneSettings {
            base_url,
            account,
            token,
            plan,
            gzip: true,
            job_events: true,
            in_flight: 4,
            packing: Packing::default(),
            flying: Allowance::alone(4 << 20),
            waiting: Allowance::alone(2 << 20),
            limits: JupiterOneSettings::LIMITS,
            retry: Pauses { first: Duration::from_millis(500), longest: Duration::from_secs(60) },
            poll: Pauses { first: Duration::from_millis(100), longest: Duration::from_secs(30) },
            finalize_deadline: Duration::from_secs(30 * 60),
        }
    }
}

/// Pauses that double from the first to the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pauses {
    /// The first.
    pub first: Duration,
    /// None is longer.
    pub longest: Duration,
}

/// How the graph keeps what a job does not mention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// An integration instance, one job at a time, each finalized with every
    /// type as a partial dataset: what was not seen again stays.
    Instance {
        /// The instance's id.
        id: String,
        /// `integration-external` or `integration-managed`.
        source: String,
    },
    /// `source: api` with scopes of our own, which rests on documented
    /// behaviour alone: one scope for the events of a stream from a cursor on,
    /// and the shared records in 256 scopes that each hold all they ever held.
    Scope {
        /// What every scope starts with, such as `1password/acme`.
        prefix: String,
    },
}

/// Whose uploads these are, and where notes about them are kept.
#[derive(Clone, Debug)]
pub struct Home<S> {
    /// The state.
    pub store: S,
    /// The tenant's name.
    pub tenant: Arc<str>,
    /// The run.
    pub epoch: Epoch,
    /// What time it is.
    pub clock: Clock,
}

impl<S: Store> Home<S> {
    async fn note(&self, note: &Note) -> Result<(), SinkError> {
        let noted = self.store.note_upload(&self.tenant, self.epoch, note.named()).await;
        noted.map_err(|error| self.failed("note a sync job in the state", error))
    }

    /// Notes that a stop by the delete guard has been told, so that the next
    /// run, which a person has started knowing it, does not stop over it again.
    async fn told(&self, note: &Note, error: &SinkError) -> Result<(), SinkError> {
        let mut note = note.clone();
        match (&mut note, &error.remedy) {
            (Note::Job { told, .. }, Remedy::Halt(Halt::Guard { .. })) => *told = true,
            _ => return Ok(()),
        }
        self.note(&note).await
    }

    fn failed(&self, doing: &str, error: StoreError) -> SinkError {
        let remedy = crate::supervisor::store_remedy(&error);
        SinkError { doing: doing.to_owned(), remedy, cause: error.into() }
    }
}

/// What all uploads of a run share.
struct Link<S> {
    api: Arc<Api>,
    home: Home<S>,
    /// Bodies in flight.
    slots: Arc<Semaphore>,
    /// Whose turn it is to have a job open, in plan `instance`.
    turns: Arc<Semaphore>,
    left: Left,
    /// In plan `scope` it is locked while directory scopes are written: each
    /// has one writer at a time.
    directory: Mutex<Directory>,
}

/// The sink. Lives as long as one run.
pub struct JupiterOne<S> {
    link: Arc<Link<S>>,
}

impl<S: Store> JupiterOne<S> {
    /// Ends the jobs that earlier runs left open (`unsettled` is the claim's),
    /// and is ready.
    ///
    /// # Errors
    ///
    /// [`SinkError`] if one of these jobs cannot be ended, or has deleted what
    /// it should not have.
    pub async fn start(
        client: Client,
        settings: Arc<JupiterOneSettings>,
        home: Home<S>,
        unsettled: Vec<UploadNote>,
        meter: Arc<Meter>,
    ) -> Result<JupiterOne<S>, SinkError> {
        let api = Arc::new(Api { client, settings, meter });
        let left = Left::settle(&api, &home, &unsettled).await?;
        let whole = match &api.settings.plan {
            Plan::Scope { .. } => scope::is_whole(&api.settings, &home, &unsettled).await?,
            Plan::Instance { .. } => true,
        };
        let link = Link {
            slots: Arc::new(Semaphore::new(api.settings.in_flight.max(1))),
            turns: Arc::new(Semaphore::new(1)),
            directory: Mutex::new(Directory::new(whole)),
            left,
            home,
            api,
        };
        Ok(JupiterOne { link: Arc::new(link) })
    }
}

impl<S: Store> Sink for JupiterOne<S> {
    type Upload = JupiterOneUpload<S>;

    fn limits(&self) -> UploadLimits {
        self.link.api.settings.limits
    }

    fn open(&self) -> JupiterOneUpload<S> {
        let link = Arc::clone(&self.link);
        JupiterOneUpload(match &self.link.api.settings.plan {
            Plan::Instance { id, source } => Inner::Instance(Box::new(InstanceUpload::new(link, source, id))),
            Plan::Scope { prefix } => Inner::Scope(ScopeUpload::new(link, prefix)),
        })
    }
}

impl<S> fmt::Debug for JupiterOne<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JupiterOne").field("plan", &self.link.api.settings.plan).finish_non_exhaustive()
    }
}

/// One upload. Its jobs are opened when there is something to send.
///
/// Dropped before it is finished, its jobs stay open; their notes make the
/// next run abort them.
pub struct JupiterOneUpload<S>(Inner<S>);

enum Inner<S> {
    Instance(Box<InstanceUpload<S>>),
    Scope(ScopeUpload<S>),
}

impl<S: Store> Upload for JupiterOneUpload<S> {
    async fn write(&mut self, page: Arc<Page<Records>>) -> Result<(), SinkError> {
        match &mut self.0 {
            Inner::Instance(upload) => upload.write(&page).await,
            Inner::Scope(upload) => upload.write(&page).await,
        }
    }

    async fn finish(self, coverage: Coverage) -> Result<Ack, SinkError> {
        match self.0 {
            Inner::Instance(upload) => upload.finish(coverage).await,
            Inner::Scope(upload) => upload.finish(coverage).await,
        }
    }
}

impl<S> fmt::Debug for JupiterOneUpload<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JupiterOneUpload").finish_non_exhaustive()
    }
}

/// A failed request, as the failure of an upload.
fn failed(failure: Failure) -> SinkError {
    SinkError { doing: failure.doing, remedy: failure.remedy, cause: failure.cause }
}

/// Every `_type` there is.
fn every_type() -> Vec<&'static str> {
    RecordType::all().map(RecordType::name).collect()
}

/// Every `_type` of shared records.
fn shared_types() -> Vec<&'static str> {
    let shared = RecordType::all().filter(|of| of.sharing() == Sharing::Shared);
    shared.map(RecordType::name).collect()
}
