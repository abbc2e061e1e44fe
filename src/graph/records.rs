//! The records one page becomes, already as the JSON text that is sent.

use std::ops::Range;

use opgraph_state::{UnixMs, Version};

use super::{
    json,
    types::{EntityType, RecordType, RelationshipType, Sharing},
    written::Written,
};

/// The records of one page: JSON text in one buffer, and where each record lies in it.
///
/// A record's text is written once, when its event is mapped, and then copied
/// into request bodies or database rows as it is.
#[derive(Debug, Default)]
pub struct Records {
    json: String,
    /// Keys that are no part of the text as they are, because something in them is escaped there.
    keys: String,
    entries: Vec<Entry>,
    /// What was noticed while mapping.
    pub counts: Counts,
}

/// Things that are no errors and still worth counting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// User objects without any uuid: no entity, no relationship.
    pub users_without_uuid: u64,
    /// Values of an enumeration that the documentation does not list. They are kept as they are.
    pub unknown_values: u64,
    /// Times that cannot be read: the event has no `createdOn`.
    pub unreadable_times: u64,
    /// Latitudes or longitudes outside the globe: left out.
    pub bad_coordinates: u64,
    /// E-mail addresses that are none: `null` in the graph.
    pub bad_emails: u64,
    /// Events nested so deeply that nobody could read their record: kept without their raw data.
    pub raw_data_too_deep: u64,
}

impl Counts {
    /// Adds another page's counts.
    pub fn add(&mut self, other: Counts) {
        self.users_without_uuid += other.users_without_uuid;
        self.unknown_values += other.unknown_values;
        self.unreadable_times += other.unreadable_times;
        self.bad_coordinates += other.bad_coordinates;
        self.bad_emails += other.bad_emails;
        self.raw_data_too_deep += other.raw_data_too_deep;
    }
}

#[derive(Clone, Debug)]
struct Entry {
    of: RecordType,
    key: Range<usize>,
    /// Whether the key lies among `keys`.
    escaped: bool,
    /// Length of the from key, which starts a relationship's key.
    from: usize,
    json: Range<usize>,
    /// Where `,"_rawData":` starts within the record, if it has one.
    raw_at: Option<usize>,
    version: Version,
}

/// One entity or relationship, borrowed from its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its type.
    pub of: RecordType,
    /// Its `_key`.
    pub key: &'a str,
    /// The keys of both ends, for a relationship.
    pub ends: Option<(&'a str, &'a str)>,
    /// The whole record as a JSON object.
    pub json: &'a str,
    raw_at: Option<usize>,
    /// Which version of the record this is.
    pub version: Version,
}

impl Record<'_> {
    /// The record without its `_rawData`; `None` if it has none.
    pub fn without_raw_data(&self) -> Option<String> {
        let at = self.raw_at?;
        let mut bare = String::with_capacity(at + 1);
        bare.push_str(&self.json[..at]);
        bare.push('}');
        Some(bare)
    }
}

impl Records {
    /// Makes room for about `bytes` of JSON.
    pub fn with_capacity(bytes: usize) -> Records {
        Records { json: String::with_capacity(bytes), ..Records::default() }
    }

    /// Takes out all records and counts, and keeps the memory.
    pub fn clear(&mut self) {
        let Records { json, keys, entries, counts } = self;
        json.clear();
        keys.clear();
        entries.clear();
        *counts = Counts::default();
    }

    /// Bytes of JSON for which there is memory.
    pub fn capacity(&self) -> usize {
        self.json.capacity()
    }

    /// How many records there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of JSON.
    pub fn bytes(&self) -> usize {
        self.json.len()
    }

    /// The records in the order they were mapped. A shared record may come several times.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        self.entries.iter().map(|entry| self.record(entry))
    }

    /// The records of one sharing.
    pub fn of(&self, sharing: Sharing) -> impl Iterator<Item = Record<'_>> {
        let entries = self.entries.iter().filter(move |entry| entry.of.sharing() == sharing);
        entries.map(|entry| self.record(entry))
    }

    fn record(&self, entry: &Entry) -> Record<'_> {
        let keys = if entry.escaped { &self.keys } else { &self.json };
        let key = &keys[entry.key.clone()];
        let ends = match entry.of {
            RecordType::Entity(_) => None,
            RecordType::Relationship(of) => {
                Some((&key[..entry.from], &key[entry.from + of.verb().len() + 2..]))
            }
        };
        let json = &self.json[entry.json.clone()];
        Record { of: entry.of, key, ends, json, raw_at: entry.raw_at, version: entry.version }
    }

    // What follows is told a type that the compiler knows, mostly; inlined, the
    // names of it become part of the code.

    /// Starts an entity with the key `<_type>:<id>`; the record is complete
    /// when the returned [`Properties`] is closed.
    #[inline(always)]
    pub fn entity(&mut self, of: EntityType, id: &str, version: Version) -> Properties<'_> {
        let json = &mut self.json;
        let start = json.len();
        json.push_str("{\"_key\":\"");
        let key = json.len();
        json.push_str(of.name());
        json.push(':');
        json::push_escaped(json, id);
        let key = key..json.len();
        json.push_str("\",\"_type\":\"");
        json.push_str(of.name());
        json.push_str("\",\"_class\":[\"");
        json.push_str(of.class());
        json.push_str("\"],\"id\":");
        json::push_string(json, json::cut(id));

        let of = RecordType::Entity(of);
        let entry = Entry { of, key, escaped: false, from: 0, json: start..start, raw_at: None, version };
        let entry = self.with_key(entry, &[of.name(), ":", id]);
        Properties { records: self, entry }
    }

    /// Adds the relationship between the entities with these ids.
    #[inline(always)]
    pub fn relationship(&mut self, of: RelationshipType, from_id: &str, to_id: &str, at: UnixMs) {
        let json = &mut self.json;
        let start = json.len();
        json.push_str("{\"_key\":\"");
        let key = json.len();
        json.push_str(of.from().name());
        json.push(':');
        json::push_escaped(json, from_id);
        let from = json.len();
        json.push('|');
        json.push_str(of.action());
        json.push('|');
        let to = json.len();
        json.push_str(of.to().name());
        json.push(':');
        json::push_escaped(json, to_id);
        let end = json.len();
        for part in ["\",\"_type\":\"", of.name(), "\",\"_class\":\"", of.verb(), "\",\"_fromEntityKey\":\""]
        {
            json.push_str(part);
        }
        json.extend_from_within(key..from);
        json.push_str("\",\"_toEntityKey\":\"");
        json.extend_from_within(to..end);
        for part in ["\",\"displayName\":\"", of.verb(), "\"}"] {
            json.push_str(part);
        }

        let whole = [of.from().name(), ":", from_id, "|", of.action(), "|", of.to().name(), ":", to_id];
        let entry = Entry {
            of: RecordType::Relationship(of),
            key: key..end,
            escaped: false,
            from: of.from().name().len() + 1 + from_id.len(),
            json: start..json.len(),
            raw_at: None,
            version: Version { rank: FULL, at },
        };
        let entry = self.with_key(entry, &whole);
        self.entries.push(entry);
    }

    /// Keeps the key in these parts, if it is longer in the record's text: something in it was escaped.
    #[inline]
    fn with_key(&mut self, entry: Entry, parts: &[&str]) -> Entry {
        if entry.key.len() == parts.iter().map(|part| part.len()).sum::<usize>() {
            return entry;
        }
        let start = self.keys.len();
        self.keys.extend(parts.iter().copied());
        Entry { key: start..self.keys.len(), escaped: true, ..entry }
    }

    /// Notes that the record of this number was told of again in the same words, in this version.
    pub(crate) fn again(&mut self, number: usize, version: Version) {
        if let Some(entry) = self.entries.get_mut(number) {
            entry.version = entry.version.max(version);
        }
    }

    /// Takes a record that was written before, as it is.
    pub fn take(&mut self, written: &Written<'_>, json: &str, version: Version) {
        let (key, start) = (self.keys.len(), self.json.len());
        self.keys.push_str(&written.key);
        self.json.push_str(json);
        self.entries.push(Entry {
            of: written.of,
            key: key..self.keys.len(),
            escaped: true,
            from: written.ends.as_ref().map_or(0, |(from, _)| from.len()),
            json: start..self.json.len(),
            raw_at: raw_data_at(json),
            version,
        });
    }
}

/// Where `,"_rawData":` starts within a record, if it has one.
///
/// A search is exact here: inside a JSON string the quotes would be escaped,
/// and `_rawData` is the last property and the only one with anything nested.
fn raw_data_at(json: &str) -> Option<usize> {
    json.find(",\"_rawData\":")
}

/// The rank of a version that knows nothing but an id, such as a vault named by an audit event.
pub const STUB: u8 = 0;
/// The rank of a user version without name and e-mail.
pub const NAMELESS: u8 = 1;
/// The rank of a version that says all there is to say.
pub const FULL: u8 = 2;

/// Writes the properties of one entity.
///
/// An absent or empty source value gives no property, except where the
/// method's name says `or_null`.
#[must_use = "an entity is complete when it is closed"]
pub struct Properties<'a> {
    records: &'a mut Records,
    entry: Entry,
}

impl Properties<'_> {
    #[inline(always)]
    fn name(&mut self, name: &str) -> &mut String {
        let json = &mut self.records.json;
        json.push_str(",\"");
        json.push_str(name);
        json.push_str("\":");
        json
    }

    /// Writes a string, cut to what the search index holds.
    #[inline(always)]
    pub fn text(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            json::push_string(self.name(name), json::cut(value));
        }
    }

    /// Writes the string that these parts make together, cut likewise.
    pub fn joined(&mut self, name: &str, parts: &[&str]) {
        if parts.iter().map(|part| part.len()).sum::<usize>() > json::LONGEST_TEXT {
            return self.text(name, Some(&parts.concat()));
        }
        let json = self.name(name);
        json.push('"');
        parts.iter().filter(|part| !part.is_empty()).for_each(|part| json::push_escaped(json, part));
        json.push('"');
    }

    /// Writes a string, or `null` for an absent one: what a class demands.
    pub fn text_or_null(&mut self, name: &str, value: Option<&str>) {
        match value.filter(|value| !value.is_empty()) {
            Some(value) => json::push_string(self.name(name), json::cut(value)),
            None => self.name(name).push_str("null"),
        }
    }

    /// Writes an array of strings, empty ones left out; nothing if none is left.
    pub fn texts<T: AsRef<str>>(&mut self, name: &str, values: &[T]) {
        let mut filled = values.iter().map(AsRef::as_ref).filter(|value| !value.is_empty()).peekable();
        if filled.peek().is_none() {
            return;
        }
        let json = self.name(name);
        for (at, value) in filled.enumerate() {
            json.push(if at == 0 { '[' } else { ',' });
            json::push_string(json, json::cut(value));
        }
        json.push(']');
    }

    /// Writes an array of one string, or `null`: what a class demands.
    pub fn texts_or_null(&mut self, name: &str, value: Option<&str>) {
        match value.filter(|value| !value.is_empty()) {
            Some(value) => {
                let json = self.name(name);
                json.push('[');
                json::push_string(json, json::cut(value));
                json.push(']');
            }
            None => self.name(name).push_str("null"),
        }
    }

    /// Writes an integer.
    pub fn integer(&mut self, name: &str, value: Option<i64>) {
        if let Some(value) = value {
            json::push_integer(self.name(name), value);
        }
    }

    /// Writes a time as milliseconds since the epoch.
    pub fn time(&mut self, name: &str, value: Option<UnixMs>) {
        self.integer(name, value.map(|at| at.0));
    }

    /// Writes a number.
    pub fn number(&mut self, name: &str, value: Option<f64>) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            json::push_number(self.name(name), value);
        }
    }

    /// Writes true or false.
    pub fn boolean(&mut self, name: &str, value: Option<bool>) {
        if let Some(value) = value {
            self.name(name).push_str(if value { "true" } else { "false" });
        }
    }

    /// Counts on the page that the entity belongs to.
    pub fn counts(&mut self) -> &mut Counts {
        &mut self.records.counts
    }

    /// Writes the event as it was received. Has to be the last property.
    pub fn raw_data(&mut self, raw: &str) {
        self.entry.raw_at = Some(self.records.json.len() - self.entry.json.start);
        let json = self.name("_rawData");
        json.push_str("[{\"name\":\"default\",\"rawData\":");
        json.push_str(raw);
        json.push_str("}]");
    }

    /// Completes the entity.
    pub fn close(mut self) {
        self.records.json.push('}');
        self.entry.json.end = self.records.json.len();
        self.records.entries.push(self.entry);
    }
}
