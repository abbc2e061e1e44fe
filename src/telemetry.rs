//! What a tenant's pipeline counts while it works.
//!
//! The stages write, the progress display, the summary and `status` read.
//! Counters only grow and hold nothing that a crash could lose: what matters is
//! in the state.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
};

use opgraph_state::UnixMs;

use crate::{
    graph::{Counts, RecordType, Records},
    stream::Stream,
};

/// A number that grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds to it.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    /// Reads it.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that is replaced.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Replaces it.
    pub fn set(&self, now: u64) {
        self.0.store(now, Relaxed);
    }

    /// Reads it.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A point in time that is replaced.
#[derive(Debug)]
pub struct Moment(AtomicI64);

impl Default for Moment {
    fn default() -> Moment {
        Moment(AtomicI64::new(i64::MIN))
    }
}

impl Moment {
    /// Replaces it.
    pub fn set(&self, at: UnixMs) {
        self.0.store(at.0, Relaxed);
    }

    /// Replaces it if `at` is later.
    pub fn advance(&self, at: UnixMs) {
        self.0.fetch_max(at.0, Relaxed);
    }

    /// Reads it; `None` if it was never set.
    pub fn get(&self) -> Option<UnixMs> {
        Some(self.0.load(Relaxed)).filter(|at| *at != i64::MIN).map(UnixMs)
    }
}

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

/// A value that is replaced as a whole.
#[derive(Debug, Default)]
pub struct Latest<T>(Mutex<T>);

impl<T: Clone> Latest<T> {
    /// Replaces it.
    pub fn set(&self, value: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = value;
    }

    /// Reads it.
    pub fn get(&self) -> T {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What happened in one tenant since the process started, over all its runs.
#[derive(Debug, Default)]
pub struct Meter {
    streams: [StreamMeter; Stream::ALL.len()],
    records: [Count; RECORD_TYPES],
    /// What it is doing.
    pub state: Latest<TenantState>,
    /// Snapshots of vaults and items.
    pub snapshots: SnapshotMeter,
    /// Runs started.
    pub runs: Count,
    /// Uploads acknowledged.
    pub uploads: Count,
    /// Sync jobs opened at JupiterOne.
    pub jobs: Count,
    /// Requests made, to whomever, repeats included.
    pub requests: Count,
    /// Failed requests that were repeated.
    pub retries: Count,
    /// Bytes received in pages.
    pub bytes_in: Count,
    /// Bytes sent in uploads, as on the wire.
    pub bytes_out: Count,
    /// Commits made.
    pub commits: Count,
    /// Events and records set aside.
    pub quarantined: Count,
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
    /// Ids that dedup remembers.
    pub remembered: Gauge,
    /// Bytes that it takes for them.
    pub remembered_bytes: Gauge,
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
        self.streams.iter().for_each(|stream| stream.state.set(StreamState::Starting));
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
        for record in records.iter() {
            by_type[place(record.of)] += 1;
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
