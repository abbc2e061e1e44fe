//! Where records go. One file or folder here per destination.

use std::{collections::HashSet, future::Future, sync::Arc, time::Duration};

use opgraph_state::{Commit, Epoch, Quarantined, Step, UnixMs};

use crate::{
    allowance::Share,
    graph::Records,
    http::Remedy,
    page::{Coverage, Page, Trail},
};

pub mod jupiterone;

pub mod graph;

pub mod files;

pub mod both;

pub mod memory;

/// A destination that can say "I have it".
///
/// At least once: after a crash the same pages come again, perhaps cut into
/// uploads differently, and part of them may have arrived the first time. Keys
/// make that harmless, and a sink has to keep it so.
pub trait Sink: Send + Sync + 'static {
    /// One session, covering whole pages.
    type Upload: Upload;

    /// How large and how old an upload may become before it is finished.
    fn limits(&self) -> UploadLimits;

    /// Starts an upload. Contacts nobody: a sink opens its session when there
    /// is something to send.
    fn open(&self) -> Self::Upload;
}

/// One session of a sink, from the first page to the ack.
///
/// Dropping it abandons it: what was sent may stay or go, and nothing is acked.
pub trait Upload: Send + 'static {
    /// Takes the event records of a page ([`Sharing::Event`]; the shared ones
    /// come with [`Upload::finish`], newest version only).
    ///
    /// Ok means that the sink has taken the page in, not that it is durable.
    /// Waits while the destination is slow: this is where backpressure starts.
    ///
    /// [`Sharing::Event`]: crate::graph::Sharing::Event
    fn write(&mut self, page: Arc<Page<Records>>) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Takes out what is no more ([`Coverage::removed`]), sends the shared records
    /// and the rest, and returns once all the coverage names is durable at the
    /// destination. A key may be in both: then it is what is shared.
    ///
    /// An upload that removes is alone: everything before it is committed, and
    /// nothing else is sent until it is.
    fn finish(self, coverage: Coverage) -> impl Future<Output = Result<Ack, SinkError>> + Send;
}

/// When an upload is finished and the next one started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadLimits {
    /// Time since the first page.
    pub age: Duration,
    /// Events in it.
    pub events: u64,
    /// Bytes of JSON in it.
    pub bytes: usize,
    /// Uploads that may be finishing while the next one is filled.
    pub finishing: usize,
}

/// Proof that a destination durably holds everything one upload covers.
///
/// Only code under `src/sink/` can make one, and [`crate::pipeline::commit`]
/// accepts nothing else. That is how a cursor can never pass its records.
#[must_use = "an unused Ack is a cursor that never moves"]
#[derive(Debug)]
pub struct Ack {
    coverage: Box<Coverage>,
    settled: Vec<String>,
    /// The coverage's share of the tenant's memory.
    room: Vec<Share>,
}

impl Ack {
    /// Acknowledges all that `coverage` names. `settled` are the upload notes
    /// that the commit may remove.
    fn durable(coverage: Coverage, settled: Vec<String>) -> Ack {
        Ack { coverage: Box::new(coverage), settled, room: Vec::new() }
    }

    /// Joins the acks of two sinks for the same pages: what either set aside
    /// is set aside, what either settled is settled.
    fn and(mut self, other: Ack) -> Ack {
        let known: HashSet<_> = self.coverage.quarantined().iter().map(Quarantined::id).collect();
        for record in other.coverage.quarantined() {
            if !known.contains(&record.id()) {
                self.coverage.quarantine(record.clone());
            }
        }
        self.settled.extend(other.settled);
        self
    }

    /// Gives the coverage its share of the tenant's memory.
    pub fn within(self, room: Vec<Share>) -> Ack {
        Ack { room, ..self }
    }

    /// Takes out the share of memory: it is given back once the commit is durable.
    pub fn take_room(&mut self) -> Vec<Share> {
        std::mem::take(&mut self.room)
    }

    /// The step of each stream.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = &Step> {
        self.coverage.steps().map(|(_, step)| step)
    }

    /// How many events and records were set aside.
    pub fn quarantined(&self) -> usize {
        self.coverage.quarantined().len()
    }

    /// How many quarantined entries were among it and leave the quarantine, if
    /// they were not set aside again.
    pub fn released(&self) -> usize {
        self.coverage.released()
    }

    /// Takes out what is dropped once the commit is durable.
    pub fn take_trails(&mut self) -> Vec<Trail> {
        self.coverage.take_trails()
    }

    /// Turns the ack into the commit it allows.
    pub fn into_commit(self, tenant: &str, epoch: Epoch, at: UnixMs) -> Commit {
        self.coverage.allowed(tenant, epoch, at, self.settled)
    }
}

/// Why an upload was not acknowledged. Nothing was committed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}")]
pub struct SinkError {
    /// What could not be done, such as `finalize sync job f445…`.
    pub doing: String,
    /// What to do about it.
    pub remedy: Remedy,
    /// Why.
    #[source]
    pub cause: Box<dyn std::error::Error + Send + Sync>,
}
