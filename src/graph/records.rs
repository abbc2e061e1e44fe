//! The records one page becomes, already as the JSON text that is sent.

use std::ops::Range;

use opgraph_state::{UnixMs, Version};

use super::{
    lots::Lot,
    properties::{Properties, push_cut, push_inside},
    text::Textual,
    types::{EntityType, RecordType, RelationshipType, Sharing},
    written::Written,
};

/// The records of one page: their JSON text, and where each record lies in it.
///
/// A record's text is written once, when its event is mapped, and then copied
/// into request bodies or database rows as it is.
#[derive(Debug, Default)]
pub struct Records {
    /// The text of each lot: its records one behind the other, a comma before each.
    pub(super) lots: [String; Lot::ALL],
    /// Keys that are no part of the text as they are, because something in them is escaped there.
    keys: String,
    pub(super) entries: Vec<Entry>,
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
pub(super) struct Entry {
    of: RecordType,
    key: Range<usize>,
    /// Whether the key lies among `keys`.
    escaped: bool,
    /// Length of the from key, which starts a relationship's key.
    from: usize,
    /// Where the record lies in the text of its lot.
    pub(super) json: Range<usize>,
    /// Where `,"_rawData":` starts within the record, if it has one.
    pub(super) raw_at: Option<usize>,
    version: Version,
}

/// Bytes before the key of a record.
const OPENING: usize = "{\"_key\":\"".len();

impl Entry {
    /// Keeps the key in these parts: it is another one in the record's text, where something in it is escaped.
    #[cold]
    fn with_key(self, keys: &mut String, parts: &[&str]) -> Entry {
        let start = keys.len();
        keys.extend(parts.iter().copied());
        Entry { key: start..keys.len(), escaped: true, ..self }
    }

    pub(super) fn is_of(&self, lot: Lot) -> bool {
        Lot::of(self.of) == lot
    }
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
        // As pages have them; memory that nothing is written to is none.
        let lots = [bytes / 3 * 2, bytes / 5 * 2, bytes / 5].map(String::with_capacity);
        Records { lots, ..Records::default() }
    }

    /// Takes out all records and counts, and keeps the memory.
    pub fn clear(&mut self) {
        let Records { lots, keys, entries, counts } = self;
        lots.iter_mut().for_each(String::clear);
        keys.clear();
        entries.clear();
        *counts = Counts::default();
    }

    /// Bytes of JSON for which there is memory.
    pub fn capacity(&self) -> usize {
        self.lots.iter().map(String::capacity).sum()
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
        // There is a comma before each.
        self.lots.iter().map(String::len).sum::<usize>() - self.len()
    }

    /// The records in the order they were mapped. A shared record may come several times.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        self.entries.iter().map(|entry| self.record(entry))
    }

    /// The types of the records, in their order.
    pub fn types(&self) -> impl ExactSizeIterator<Item = RecordType> {
        self.entries.iter().map(|entry| entry.of)
    }

    /// The records of one sharing.
    pub fn of(&self, sharing: Sharing) -> impl Iterator<Item = Record<'_>> {
        let entries = self.entries.iter().filter(move |entry| entry.of.sharing() == sharing);
        entries.map(|entry| self.record(entry))
    }

    pub(super) fn record(&self, entry: &Entry) -> Record<'_> {
        let lot = &self.lots[Lot::of(entry.of) as usize];
        let keys = if entry.escaped { &self.keys } else { lot };
        let key = &keys[entry.key.clone()];
        let ends = match entry.of {
            RecordType::Entity(_) => None,
            RecordType::Relationship(of) => {
                Some((&key[..entry.from], &key[entry.from + of.verb().len() + 2..]))
            }
        };
        let json = &lot[entry.json.clone()];
        Record { of: entry.of, key, ends, json, raw_at: entry.raw_at, version: entry.version }
    }

    // What follows is told a type that the compiler knows, mostly; inlined, the
    // names of it become part of the code.

    /// Starts an entity with the key `<_type>:<id>`; the record is complete
    /// when the returned [`Properties`] is closed.
    #[inline(always)]
    pub fn entity(&mut self, of: EntityType, id: impl Textual, version: Version) -> Properties<'_> {
        let Records { lots, keys, entries, counts } = self;
        let json = &mut lots[Lot::of(RecordType::Entity(of)) as usize];
        let key = json.len() + 1 + OPENING;
        json.push_str(of.before_id());
        let is_said = push_inside(json, &id);
        let mut entry = Entry {
            of: RecordType::Entity(of),
            key: key..json.len(),
            escaped: false,
            from: 0,
            json: key - OPENING..key,
            raw_at: None,
            version,
        };
        if !is_said {
            entry = entry.with_key(keys, &[of.name(), ":", &id.says()]);
        }
        json.push_str(of.behind_id());
        push_cut(json, id);
        Properties { json, entries, counts, entry }
    }

    /// Adds the relationship between the entities with these ids.
    #[inline(always)]
    pub fn relationship(
        &mut self,
        of: RelationshipType,
        from_id: impl Textual,
        to_id: impl Textual,
        at: UnixMs,
    ) {
        let Records { lots, keys, entries, .. } = self;
        let json = &mut lots[Lot::of(RecordType::Relationship(of)) as usize];
        let key = json.len() + 1 + OPENING;
        json.push_str(of.from().before_id());
        let mut is_said = push_inside(json, &from_id);
        let from = json.len();
        json.push('|');
        json.push_str(of.action());
        json.push('|');
        let to = json.len();
        json.push_str(of.to().name());
        json.push(':');
        is_said &= push_inside(json, &to_id);
        let end = json.len();
        json.push_str(of.behind_key());
        json.extend_from_within(key..from);
        json.push_str("\",\"_toEntityKey\":\"");
        json.extend_from_within(to..end);
        json.push_str(of.behind_end());

        let mut entry = Entry {
            of: RecordType::Relationship(of),
            key: key..end,
            escaped: false,
            from: from - key,
            json: key - OPENING..json.len(),
            raw_at: None,
            version: Version { rank: FULL, at },
        };
        if !is_said {
            let (from_id, to_id) = (from_id.says(), to_id.says());
            entry.from = of.from().name().len() + 1 + from_id.len();
            let (from, to) = (of.from().name(), of.to().name());
            entry = entry.with_key(keys, &[from, ":", &from_id, "|", of.action(), "|", to, ":", &to_id]);
        }
        entries.push(entry);
    }

    /// Notes that the record of this number was told of again in the same words, in this version.
    pub(crate) fn again(&mut self, number: usize, version: Version) {
        if let Some(entry) = self.entries.get_mut(number) {
            entry.version = entry.version.max(version);
        }
    }

    /// Takes a record that was written before, as it is.
    pub fn take(&mut self, written: &Written<'_>, json: &str, version: Version) {
        let text = &mut self.lots[Lot::of(written.of) as usize];
        text.push(',');
        let (key, start) = (self.keys.len(), text.len());
        self.keys.push_str(&written.key);
        text.push_str(json);
        self.entries.push(Entry {
            of: written.of,
            key: key..self.keys.len(),
            escaped: true,
            from: written.ends.as_ref().map_or(0, |(from, _)| from.len()),
            json: start..text.len(),
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
