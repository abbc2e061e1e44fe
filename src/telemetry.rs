//! What a tenant's pipeline counts while it works.
//!
//! The stages write, the progress display, the summary and `status` read.
//! Counters only grow and hold nothing that a crash could lose: what matters is
//! in the state. Each of them has a row in the table of `admin/metrics.rs`.

mod instruments;

use std::sync::Arc;

pub use self::instruments::{Count, Gauge, Held, Latest, Level, Moment, Queue, Queues, Spread, Times};
use crate::{
    graph::{Counts, RecordType, Records},
    http::{Budget, Limits},
    stream::Stream,
};

/// What a stream is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StreamState {
    /// Nothing has been read yet.
    #[default]
    Starting,
    /// More is waiting.
    Reading,
    /// Nothing more is waiting, and no window is left.
    CaughtUp,
    /// The token may not read it. The text is for a person.
    Parked(String),
    /// It needs a person. The text says why.
    Halted(String),
}

/// What a tenant is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TenantState {
    /// Its first run has not started.
    #[default]
    Starting,
    /// A run is under way.
    Running,
    /// A run failed; the next one starts after a pause. The text says why.
    Pausing(String),
    /// It has caught up once, or was told to close, and is committed.
    Done,
    /// It needs a person. The text says why.
    Stopped(String),
}

/// What a tenant is configured to be, as far as it is shown.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// What it is for.
    pub description: Option<String>,
    /// Where its records go.
    pub sinks: Vec<&'static str>,
    /// Its account's limits.
    pub limits: Limits,
}

/// What happened in one tenant since the process started, over all its runs.
#[derive(Debug, Default)]
pub struct Meter {
    streams: [StreamMeter; Stream::ALL.len()],
    records: [Count; RECORD_TYPES],
    /// What it is configured to be.
    pub about: Latest<About>,
    /// What it is doing.
    pub state: Latest<TenantState>,
    /// What waits between its stages.
    pub queues: Queues,
    /// The account's rate budget, once a run has made it.
    pub budget: Latest<Option<Arc<Budget>>>,
    /// Snapshots of vaults and items.
    pub snapshots: SnapshotMeter,
    /// Ids that dedup remembers.
    pub remembered: Gauge,
    /// Bytes that it takes for them.
    pub remembered_bytes: Gauge,
    /// Runs started.
    pub runs: Count,
    /// Runs that failed and were followed by another.
    pub restarts: Count,
    /// Uploads acknowledged.
    pub uploads: Count,
    /// Uploads that are being filled or finished.
    pub uploads_open: Level,
    /// How long an upload took, from its first page to its ack.
    pub upload_times: Times,
    /// Sync jobs opened at JupiterOne.
    pub jobs: Count,
    /// Sync jobs that JupiterOne has finished.
    pub jobs_finished: Count,
    /// Sync jobs that take uploads.
    pub jobs_uploading: Level,
    /// Sync jobs that are being finalized.
    pub jobs_finalizing: Level,
    /// Requests made, to whomever, repeats included.
    pub requests: Count,
    /// Those among them that took from the rate budget.
    pub budgeted: Count,
    /// Answers that said that the account has no budget left.
    pub throttled: Count,
    /// Failed requests that were repeated.
    pub retries: Count,
    /// Streams that were parked.
    pub parks: Count,
    /// Streams, snapshots and tenants that were halted.
    pub halts: Count,
    /// Bytes received in pages.
    pub bytes_in: Count,
    /// Bytes sent in uploads, as on the wire.
    pub bytes_out: Count,
    /// Commits made.
    pub commits: Count,
    /// How long a commit took to be durable.
    pub commit_times: Times,
    /// When the last ack was committed.
    pub acked_at: Moment,
    /// Events and records set aside.
    pub quarantined: Count,
    /// Entries that are in quarantine.
    pub in_quarantine: Gauge,
    /// Records whose raw data was dropped: to fit a request, or because nobody could read it.
    pub raw_data_dropped: Count,
    /// Records that JupiterOne took and reported it could not store, such as
    /// relationships of which an end was not found.
    pub not_stored: Count,
    /// User objects without any uuid.
    pub users_without_uuid: Count,
    /// Enumeration values that the documentation does not list.
    pub unknown_values: Count,
    /// Times that cannot be read.
    pub unreadable_times: Count,
    /// Coordinates outside the globe.
    pub bad_coordinates: Count,
    /// E-mail addresses that are none.
    pub bad_emails: Count,
}

/// What happened in one stream.
#[derive(Debug, Default)]
pub struct StreamMeter {
    /// Above zero if a run is to read it.
    pub wanted: Gauge,
    /// What it is doing.
    pub state: Latest<StreamState>,
    /// Pages read.
    pub pages: Count,
    /// Events read, duplicates included.
    pub events: Count,
    /// Events dropped because they had been seen.
    pub duplicates: Count,
    /// Events committed.
    pub committed: Count,
    /// Rewinds made.
    pub rewinds: Count,
    /// Windows that the past was cut into, as far as this process knows of them.
    pub windows: Gauge,
    /// Those of them that are read to their end.
    pub windows_done: Gauge,
    /// Milliseconds of the past that lay in windows when this run began, or were split off since.
    pub past: Gauge,
    /// Milliseconds of it that are read; of a window that is being read, up to its newest event.
    pub past_read: Gauge,
    /// The newest event time read by the live cursor.
    pub newest_event: Moment,
    /// When the last page was read.
    pub read_at: Moment,
    /// When the cursor last moved in the state.
    pub committed_at: Moment,
    /// When it was last known that nothing more was waiting, in no window either.
    pub caught_up_at: Moment,
}

/// What happened in the snapshots of vaults and items.
#[derive(Debug, Default)]
pub struct SnapshotMeter {
    /// What they are doing; `Starting` for ever where none are made.
    pub state: Latest<StreamState>,
    /// Snapshots made whole.
    pub done: Count,
    /// When the last of them was.
    pub done_at: Moment,
    /// Snapshots that failed, or were not whole.
    pub failed: Count,
    /// Vaults named by the lists.
    pub vaults: Count,
    /// Active items named by the lists.
    pub items: Count,
    /// Items opened for their labels.
    pub details: Count,
    /// Records removed because what they tell of is no more.
    pub removed: Count,
}

const RECORD_TYPES: usize = 18;

impl Meter {
    /// The tenant is started, again perhaps: what halted or was parked is so no more.
    pub fn begin(&self) {
        self.state.set(TenantState::Starting);
        for stream in &self.streams {
            stream.state.set(StreamState::Starting);
            stream.wanted.set(0);
        }
        self.snapshots.state.set(StreamState::Starting);
    }

    /// Whether a stream or the snapshots have halted.
    pub fn has_halted(&self) -> bool {
        let states = self.streams.iter().map(|stream| &stream.state).chain([&self.snapshots.state]);
        states.into_iter().any(|state| matches!(state.get(), StreamState::Halted(_)))
    }

    /// The counters of one stream.
    pub fn stream(&self, stream: Stream) -> &StreamMeter {
        &self.streams[stream as usize]
    }

    /// Counts the records of a mapped page and what was noticed in it.
    pub fn mapped(&self, records: &Records) {
        let mut by_type = [0; RECORD_TYPES];
        for of in records.types() {
            by_type[place(of)] += 1;
        }
        for (count, more) in self.records.iter().zip(by_type) {
            count.add(more);
        }
        let Counts {
            users_without_uuid,
            unknown_values,
            unreadable_times,
            bad_coordinates,
            bad_emails,
            raw_data_too_deep,
        } = records.counts;
        self.users_without_uuid.add(users_without_uuid);
        self.unknown_values.add(unknown_values);
        self.unreadable_times.add(unreadable_times);
        self.bad_coordinates.add(bad_coordinates);
        self.bad_emails.add(bad_emails);
        self.raw_data_dropped.add(raw_data_too_deep);
    }

    /// How many records of each type were mapped, repeats of shared ones included.
    pub fn records(&self) -> impl Iterator<Item = (RecordType, u64)> {
        RecordType::all().zip(&self.records).map(|(of, count)| (of, count.get()))
    }
}

/// Where a type stands in [`RecordType::all`].
fn place(of: RecordType) -> usize {
    match of {
        RecordType::Entity(of) => of as usize,
        RecordType::Relationship(of) => crate::graph::EntityType::ALL.len() + of as usize,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_type_has_a_counter_of_its_own() {
        let places: Vec<usize> = RecordType::all().map(place).collect();
        assert_eq!(places, (0..RECORD_TYPES).collect::<Vec<_>>());
    }
}
