//! A sink that remembers, for tests and benches.

use std::{
    collections::{BTreeMap, VecDeque, btree_map},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use opgraph_state::{Entry, Version};

use super::{Ack, Sink, SinkError, Upload, UploadLimits, shared};
use crate::{
    graph::{RecordType, Records, Sharing},
    http::Remedy,
    page::{Coverage, Page},
};

/// What goes wrong with the end of one upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is kept, and nothing acknowledged.
    Reject,
    /// Everything is kept, but nothing acknowledged: the answer was lost.
    FailAfterWrite,
    /// It takes this long, by tokio's clock, and then succeeds.
    Slow(Duration),
}

/// A sink in memory. Clones share what it holds.
///
/// Keeps an upload's records aside until it is finished, then merges them as
/// every sink has to: by key, newest version.
#[derive(Clone, Debug)]
pub struct MemorySink {
    held: Arc<Mutex<Held>>,
    limits: UploadLimits,
}

/// What a [`MemorySink`] holds and has counted.
#[derive(Debug, Default)]
pub struct Held {
    /// The newest version of every record, by key.
    pub records: BTreeMap<String, Kept>,
    /// What goes wrong with the next finishes, one each; nothing when it is empty.
    pub faults: VecDeque<Fault>,
    /// Pages written.
    pub pages: u64,
    /// Uploads finished, whatever came of it.
    pub finished: u64,
    /// Uploads acknowledged.
    pub acked: u64,
    /// Events' own records that were there already when they came.
    pub repeated: u64,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its type.
    pub of: RecordType,
    /// Which version it is.
    pub version: Version,
    /// The whole record.
    pub json: String,
}

impl MemorySink {
    /// Makes an empty sink.
    pub fn new(limits: UploadLimits) -> MemorySink {
        MemorySink { held: Arc::default(), limits }
    }

    /// What it holds. Nothing can be written while the guard lives.
    pub fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Scripts what goes wrong next, after what is scripted already.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.held().faults.extend(faults);
    }
}

impl Default for MemorySink {
    /// Uploads of one second, 20,000 events or 64 MB, one after the other.
    fn default() -> MemorySink {
        let age = Duration::from_secs(1);
        MemorySink::new(UploadLimits { age, events: 20_000, bytes: 64_000_000, finishing: 0 })
    }
}

impl Held {
    fn keep(&mut self, key: String, new: Kept) {
        match self.records.entry(key) {
            btree_map::Entry::Vacant(place) => {
                place.insert(new);
            }
            btree_map::Entry::Occupied(mut place) => {
                let known = place.get_mut();
                self.repeated += u64::from(new.of.sharing() == Sharing::Event);
                if (new.version, &new.json) > (known.version, &known.json) {
                    *known = new;
                }
            }
        }
    }
}

impl Sink for MemorySink {
    type Upload = MemoryUpload;

    fn limits(&self) -> UploadLimits {
        self.limits
    }

    fn open(&self) -> MemoryUpload {
        MemoryUpload { sink: self.clone(), aside: Vec::new() }
    }
}

/// One upload into memory.
#[derive(Debug)]
pub struct MemoryUpload {
    sink: MemorySink,
    aside: Vec<(String, Kept)>,
}

impl Upload for MemoryUpload {
    async fn write(&mut self, page: Arc<Page<Records>>) -> Result<(), SinkError> {
        self.sink.held().pages += 1;
        self.aside.extend(page.items.of(Sharing::Event).map(|record| {
            let kept = Kept { of: record.of, version: record.version, json: record.json.to_owned() };
            (record.key.to_owned(), kept)
        }));
        Ok(())
    }

    async fn finish(mut self, coverage: Coverage) -> Result<Ack, SinkError> {
        let fault = self.sink.held().faults.pop_front();
        if let Some(Fault::Slow(time)) = fault {
            tokio::time::sleep(time).await;
        }
        for entry in coverage.shared() {
            self.aside.push((entry.key.clone(), kept(entry)?));
        }
        let mut held = self.sink.held();
        held.finished += 1;
        if fault == Some(Fault::Reject) {
            return Err(failed("it was told to reject the upload"));
        }
        for key in coverage.removed() {
            held.records.remove(key);
        }
        for (key, new) in self.aside {
            held.keep(key, new);
        }
        if fault == Some(Fault::FailAfterWrite) {
            return Err(failed("it was told to lose the answer"));
        }
        held.acked += 1;
        Ok(Ack::durable(coverage, Vec::new()))
    }
}

fn kept(entry: &Entry) -> Result<Kept, SinkError> {
    let head = shared::head(entry).map_err(failed)?;
    Ok(Kept { of: head.of, version: entry.version, json: entry.record.clone() })
}

fn failed(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SinkError {
    let cause = io::Error::other(cause);
    SinkError { doing: "finish an upload into memory".to_owned(), remedy: Remedy::RETRY, cause: cause.into() }
}
