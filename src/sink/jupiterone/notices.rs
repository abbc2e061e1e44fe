//! What people read of a sync job in JupiterOne: that it began and ended, of
//! what it holds how much, and what did not go well.
//!
//! JupiterOne calls them the job's events, and has them where a job belongs to
//! an integration (it has an `integrationJobId` then). Names and sentences are
//! those of its SDK. A name must not hold the word that marks a job as failed
//! there (`error`): the job that fails is aborted, and repeated.
//!
//! Nothing waits for a notice. They are sent one request after the other beside
//! the upload; one that fails is the last of its job, and one too many is dropped.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    time::timeout,
};
use tracing::{Instrument, debug};

use super::{
    api::Api,
    job::Job,
    pack::{Kind, Origin},
    report::Tally,
};
use crate::{http::Remedy, sink::SinkError};

/// Notices of one job that may wait.
const MOST_WAITING: usize = 32;

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// One notice: JupiterOne's `{"name","description"}`.
#[derive(Debug, Serialize)]
pub(super) struct Notice {
    name: &'static str,
    description: String,
}

/// The notices of one job. What is told before the job is open is kept until then.
#[derive(Debug, Default)]
pub(super) struct Notices {
    /// What the job holds of each origin, in the order in which they came.
    parts: Vec<(Origin, Tally)>,
    /// How many of them are known to have begun.
    begun: usize,
    out: Option<Sender<Notice>>,
}

impl Notices {
    /// Takes note of a record.
    pub(super) fn count(&mut self, kind: Kind, origin: Origin) {
        let one = Tally::of(kind, 1);
        // Records come in long runs of one origin.
        match self.parts.iter_mut().rev().find(|(of, _)| *of == origin) {
            Some((_, tally)) => *tally = tally.plus(one),
            None => {
                self.parts.push((origin, one));
                self.begin();
            }
        }
    }

    /// The job is open: tells what was kept, from now on at once.
    pub(super) fn open(&mut self, api: &Arc<Api>, job: &Job) {
        if !api.settings.job_events || !job.is_of_integration() {
            return;
        }
        let (out, waiting) = channel(MOST_WAITING);
        tokio::spawn(send(Arc::clone(api), job.id().to_owned(), waiting).in_current_span());
        self.out = Some(out);
        self.tell("sync_upload_start", "Uploading collected data for synchronization...".to_owned());
        self.begin();
    }

    /// Everything was taken; so many records were set aside.
    pub(super) fn end(&self, set_aside: usize) {
        for (origin, Tally { entities, relationships }) in &self.parts {
            let part = part(origin);
            let what =
                format!("Completed step \"{part}\" (entities: {entities}, relationships: {relationships}).");
            self.tell("step_end", what);
        }
        if set_aside > 0 {
            let what = format!(
                "{set_aside} records cannot be uploaded and were set aside: see `opgraph quarantine list`."
            );
            self.tell("warn_records_set_aside", what);
        }
        self.tell("sync_upload_end", "Upload complete.".to_owned());
    }

    /// The job came to nothing, or was not what it should be.
    pub(super) fn fail(&self, error: &SinkError) {
        let what = match &error.remedy {
            Remedy::Halt(halt) => format!("The upload was stopped, and needs a person: {}", halt.hint()),
            _ => "The upload was given up; what it held is uploaded again.".to_owned(),
        };
        self.tell("warn_upload_given_up", what);
    }

    fn begin(&mut self) {
        if self.out.is_none() {
            return;
        }
        for (origin, _) in &self.parts[self.begun..] {
            self.tell("step_start", format!("Starting step \"{}\"...", part(origin)));
        }
        self.begun = self.parts.len();
    }

    fn tell(&self, name: &'static str, description: String) {
        if let Some(out) = &self.out
            && out.try_send(Notice { name, description }).is_err()
        {
            debug!(notice = name, "a notice of a sync job was dropped");
        }
    }
}

/// How people call what has this origin.
fn part(origin: Origin) -> &'static str {
    match origin {
        "signinattempts" => "Sign-in attempts",
        "itemusages" => "Item usages",
        "auditevents" => "Audit events",
        _ => "Users, vaults and items",
    }
}

/// Sends what comes, as much at once as is waiting, until the job is over or a request fails.
async fn send(api: Arc<Api>, job: String, mut waiting: Receiver<Notice>) {
    let mut notices = Vec::new();
    while waiting.recv_many(&mut notices, MOST_WAITING).await > 0 {
        let sent = timeout(PATIENCE, api.tell(&job, &notices)).await;
        match sent {
            Ok(Ok(())) => notices.clear(),
            Ok(Err(failure)) => {
                debug!(job, error = %failure, "a sync job takes no notices");
                return;
            }
            Err(_late) => {
                debug!(job, "a sync job takes no notices in time");
                return;
            }
        }
    }
}
