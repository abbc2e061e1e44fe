//! The text of a graph file, as the SDK reads it: one object with one array.

use std::{
    borrow::Cow,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use opgraph_state::{Entry, UnixMs, Version};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{folder::kind, trouble::Trouble};
use crate::graph::RecordType;

/// What ends the array and the object.
pub(super) const END: &str = "]}\n";

/// What stands between two records: a line each, for people and their tools.
const BETWEEN: &str = ",\n";

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Text {
    text: String,
    empty: bool,
}

impl Text {
    /// Begins a file for records of a type.
    pub(super) fn new(of: RecordType) -> Text {
        Text { text: format!("{{\"{}\":[\n", kind(of)), empty: true }
    }

    /// Goes on with a file that has been written before, and holds at least one record.
    pub(super) fn after(path: PathBuf) -> Result<Text, Trouble> {
        let mut text = fs::read_to_string(&path)?;
        match text.strip_suffix(END).map(str::len) {
            Some(length) => text.truncate(length),
            None => return Err(Trouble::Damaged(path, "it does not end as it should".to_owned())),
        }
        Ok(Text { text, empty: false })
    }

    /// Adds a record.
    pub(super) fn push(&mut self, json: &str) {
        if !self.empty {
            self.text.push_str(BETWEEN);
        }
        self.text.push_str(json);
        self.empty = false;
    }

    /// Bytes so far: those of the file without its end.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// Completes the file.
    pub(super) fn close(mut self) -> String {
        self.text.push_str(END);
        self.text
    }

    /// Completes a file of shared records, and says how new each of them is.
    /// The SDK takes the array it knows and leaves the other one.
    pub(super) fn close_with<'e>(mut self, entries: impl Iterator<Item = &'e Entry>) -> String {
        self.text.push_str("],\"versions\":[");
        for (at, Version { rank, at: UnixMs(time) }) in entries.map(|entry| entry.version).enumerate() {
            let comma = if at == 0 { "" } else { "," };
            self.text.push_str(&format!("{comma}[{rank},{time}]"));
        }
        self.text.push_str(END);
        self.text
    }
}

/// A file as it is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    #[serde(borrow)]
    entities: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    relationships: Option<Vec<&'a RawValue>>,
    #[serde(default)]
    versions: Vec<(u8, i64)>,
}

/// Visits the records of a file of this type: key, text, and version if it is a file of shared records.
pub(super) fn each(
    path: &Path,
    of: RecordType,
    mut visit: impl FnMut(Cow<'_, str>, &str, Option<Version>),
) -> Result<(), Trouble> {
    let damaged = |what: &dyn fmt::Display| Trouble::Damaged(path.to_owned(), what.to_string());
    let text = fs::read_to_string(path).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => damaged(&error),
        _ => error.into(),
    })?;
    let wire: Wire<'_> = serde_json::from_str(&text).map_err(|error| damaged(&error))?;
    let (records, other) = match of {
        RecordType::Entity(_) => (wire.entities, wire.relationships),
        RecordType::Relationship(_) => (wire.relationships, wire.entities),
    };
    let (Some(records), None) = (records, other) else {
        return Err(damaged(&format_args!("it is no file of {}", kind(of))));
    };
    let versions = wire.versions;
    if !versions.is_empty() && versions.len() != records.len() {
        return Err(damaged(&"not every record has a version"));
    }
    for (number, record) in records.iter().enumerate() {
        let key = key_of(record.get()).ok_or_else(|| damaged(&"a record has no key"))?;
        let version = versions.get(number).map(|(rank, at)| Version { rank: *rank, at: UnixMs(*at) });
        visit(key, record.get(), version);
    }
    Ok(())
}

/// Reads the key of a record: its first property.
fn key_of(json: &str) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Key<'a>(#[serde(borrow)] Cow<'a, str>);
    let rest = json.strip_prefix("{\"_key\":")?;
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Key<'_>>();
    values.next()?.ok().map(|Key(key)| key)
}
