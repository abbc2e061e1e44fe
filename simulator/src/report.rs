//! What the simulator has seen, and how the graph compares with what it served.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Endpoint, Stream};

/// The most example keys a [`Finding`] keeps.
pub const EXAMPLES: usize = 20;

/// Everything `GET /report` tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What each stream had and what it served.
    pub streams: BTreeMap<Stream, Served>,
    /// Requests by endpoint. `GET /heartbeat` and `GET /health` are none.
    pub requests: BTreeMap<Endpoint, u64>,
    /// Injected faults by name.
    pub faults: BTreeMap<String, u64>,
    /// The rate limits, and whether they were kept.
    pub limits: LimitReport,
    /// What JupiterOne was sent.
    pub received: Received,
    /// What became of the sync jobs.
    pub jobs: Jobs,
    /// What Connect was asked.
    #[serde(default)]
    pub connect: ConnectReport,
    /// The held graph against what the served events must have become.
    pub graph: Comparison,
}

impl Report {
    /// Whether the graph is exactly what the served events must have become, and no rate limit was exceeded.
    pub fn is_exact(&self) -> bool {
        self.graph.is_exact() && self.limits.excess == 0
    }

    /// Whether every event that has arrived so far was served. Events that a cursor's start or end time
    /// filtered out were not.
    pub fn is_caught_up(&self) -> bool {
        self.streams.values().all(|stream| stream.served == stream.arrived)
    }

    /// Returns how many different events were served, over all streams.
    pub fn served(&self) -> u64 {
        self.streams.values().map(|stream| stream.served).sum()
    }
}

/// One stream's side of the report. Events count as served when their whole page was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// Events that have arrived so far, served or not.
    pub arrived: u64,
    /// Different events served.
    pub served: u64,
    /// Events served again, each time counted.
    pub repeated: u64,
    /// Served events that cannot be mapped; nothing is expected of them.
    pub poison: u64,
    /// Pages served.
    pub pages: u64,
    /// Pages among them without events.
    pub empty_pages: u64,
    /// Requests answered 400 (not by fault injection).
    pub refused: u64,
}

/// The Events API's two sliding windows. Refusals by fault injection are not counted here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitReport {
    /// Requests counted.
    pub requests: u64,
    /// Requests over a limit, answered 429.
    pub excess: u64,
    /// The most requests in any 60 seconds.
    pub largest_minute: u64,
    /// The most requests in any hour.
    pub largest_hour: u64,
}

/// What Connect was asked, whatever it answered, and how often its account changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectReport {
    /// Changes of vaults and items so far.
    pub changes: u64,
    /// Lists of vaults.
    pub vault_lists: u64,
    /// Single vaults.
    pub vaults: u64,
    /// Lists of items.
    pub item_lists: u64,
    /// Items in full.
    pub details: u64,
    /// Lists of items, by the vault's id as it was asked for.
    pub item_lists_by_vault: BTreeMap<String, u64>,
    /// Items in full, by the vault's id as it was asked for.
    pub details_by_vault: BTreeMap<String, u64>,
}

/// What JupiterOne was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// Upload bodies accepted.
    pub uploads: u64,
    /// Bytes of upload bodies on the wire.
    pub wire_bytes: u64,
    /// Bytes of upload bodies after gunzip.
    pub body_bytes: u64,
    /// Entities accepted.
    pub entities: u64,
    /// Relationships accepted.
    pub relationships: u64,
    /// Relationships among them that carry `_mapping`; JupiterOne's mapper takes these, the graph here does not.
    pub mapped_relationships: u64,
    /// Bodies over the size limit, answered 413.
    pub too_large: u64,
    /// Records against the rules, each as `key: rule`; their whole upload was answered 400.
    pub refused: Finding,
}

/// What became of the sync jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jobs {
    /// Jobs started.
    pub started: u64,
    /// Jobs that reached `FINISHED`.
    pub finished: u64,
    /// Jobs aborted by the client.
    pub aborted: u64,
    /// Jobs closed by a [`Fault::CloseJob`](crate::Fault::CloseJob) or a [`Fault::EndJob`](crate::Fault::EndJob).
    pub closed: u64,
    /// Jobs that ended in `ERROR_BAD_DATA`, each as `job id: first duplicate key`. They persisted nothing.
    pub bad: Finding,
    /// Jobs between `finalize` and their end.
    pub finalizing: u64,
    /// Jobs still in `AWAITING_UPLOADS`, each as `job id (source:scope)`: one that nobody finalizes or
    /// aborts never reaches the graph.
    pub open: Finding,
    /// Open jobs among them whose start answer was lost to an injected fault: no client knows them.
    pub open_unknown: u64,
    /// Jobs among them that were sent records: an upload that nobody brings to an end.
    pub open_with_records: u64,
    /// Jobs started while another one of the same integration instance was open and known to its client.
    pub concurrent_jobs: u64,
    /// Jobs started while another one of the same source and scope held records and was open, or was being
    /// finalized.
    pub overlapping_jobs: u64,
    /// Things deleted by finalizing, over all jobs.
    pub deleted: Finding,
}

/// One sync job, as [`Simulator::jobs`](crate::Simulator::jobs) shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSeen {
    /// Its id.
    pub id: String,
    /// `source:scope`, or `source:instance`.
    pub owner: String,
    /// The state, as the API writes it.
    pub state: String,
    /// Entities uploaded.
    pub entities: u64,
    /// Relationships uploaded.
    pub relationships: u64,
    /// What people were told of it, in the order in which it came.
    pub events: Vec<JobEvent>,
}

/// One event of a sync job, as people see it in JupiterOne.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobEvent {
    /// Such as `step_start`. One that holds `error` marks the job as failed.
    pub name: String,
    /// A sentence.
    pub description: String,
}

/// The held graph against what the served events must have become.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// Records the graph must hold.
    pub expected: u64,
    /// Records the graph holds, each copy counted.
    pub held: u64,
    /// Expected and not held.
    pub missing: Finding,
    /// Held and not expected.
    pub unexpected: Finding,
    /// Held twice, or in two scopes.
    pub duplicated: Finding,
    /// Relationships with an end that is not held, or that JupiterOne could not create for want of one.
    pub dangling: Finding,
    /// Held with another type, class, end, name, time or property than they must have, each as `key: what`.
    pub wrong: Finding,
}

impl Comparison {
    /// Whether nothing is missing, unexpected, duplicated, dangling or wrong.
    pub fn is_exact(&self) -> bool {
        [&self.missing, &self.unexpected, &self.duplicated, &self.dangling, &self.wrong]
            .iter()
            .all(|finding| finding.count == 0)
    }
}

/// A count, with up to [`EXAMPLES`] of what was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How many.
    pub count: u64,
    /// The first few.
    pub examples: Vec<String>,
}

impl Finding {
    /// Counts one, and keeps it as an example while there is room.
    pub(crate) fn add(&mut self, example: impl FnOnce() -> String) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(example());
        }
    }
}
