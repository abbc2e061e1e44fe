//! What 1Password's events become: every rule of the graph's contract.
//!
//! Events go in as the text of a page and come out as the text of records. The
//! fixtures under `tests/fixtures/mapping` hold whole records; the files here
//! hold the rules one at a time.

mod fixtures;

mod names;

mod users;

mod fields;

mod vaults;

mod text;

mod extras;

mod events;

mod pages;

mod missing;

mod arbitrary;

mod purity;

use opgraph::{
    graph::{Counts, Record, RecordType, Records},
    stream::{Mapping, Rejected, Stream, read_page},
};
use serde_json::Value;

/// The uuid of every event in the tables.
const UUID: &str = "EVNT7QWZ5RNM2TVH4JYLPD6CGA";

/// The body of a page with these items.
fn page<T: AsRef<str>>(items: &[T]) -> Vec<u8> {
    let items: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
    format!(r#"{{"cursor":"next","has_more":false,"items":[{}]}}"#, items.join(",")).into_bytes()
}

/// What came of one page.
struct Mapped {
    records: Records,
    rejected: Vec<Rejected>,
}

/// Reads a page of these items and maps its events.
fn map<T: AsRef<str>>(stream: Stream, items: &[T], mapping: &Mapping) -> Mapped {
    let read = read_page(stream, page(items)).expect("a well-formed page");
    let mut records = Records::default();
    read.events.map(mapping, &mut records);
    assert_eq!(read.events.len() + read.rejected.len(), items.len(), "every item is an event or rejected");
    Mapped { records, rejected: read.rejected }
}

/// Maps one event, without raw data and tag.
fn map_one(stream: Stream, event: &Value) -> Mapped {
    map(stream, &[event.to_string()], &Mapping::default())
}

impl Mapped {
    /// Every record, parsed.
    fn values(&self) -> Vec<Value> {
        self.records.iter().map(|record| parsed(&record)).collect()
    }

    /// The records of this `_type`, parsed.
    fn of(&self, kind: &str) -> Vec<Value> {
        self.values().into_iter().filter(|record| record["_type"] == kind).collect()
    }

    /// The one record of this `_type`, parsed.
    fn the(&self, kind: &str) -> Value {
        let mut found = self.of(kind);
        assert_eq!(found.len(), 1, "records of type {kind} among {:#?}", self.values());
        found.remove(0)
    }

    /// What was noticed while mapping.
    fn counts(&self) -> Counts {
        self.records.counts
    }
}

/// A record's text as a value.
fn parsed(record: &Record<'_>) -> Value {
    serde_json::from_str(record.json).expect("a record is valid JSON")
}

/// Whether a record is an entity.
fn is_entity(record: &Record<'_>) -> bool {
    matches!(record.of, RecordType::Entity(_))
}

/// The `_type` of a stream's event entity.
fn event_type(stream: Stream) -> &'static str {
    match stream {
        Stream::SignInAttempts => "one_password_signin_attempt_event",
        Stream::ItemUsages => "one_password_item_usage_event",
        Stream::AuditEvents => "one_password_audit_event",
    }
}
