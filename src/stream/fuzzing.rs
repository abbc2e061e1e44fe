//! The fuzz target of pages.

use std::collections::BTreeMap;

use opgraph_state::Version;
use serde_json::value::RawValue;

use super::{
    Mapping, Read, Stream,
    decode::{quickly, thoroughly},
    read_page,
};
use crate::{
    fuzzing::members,
    graph::{Counts, RecordType, Records},
};

/// How deeply a record may be nested: SQLite reads a thousand levels, and
/// serde_json, which stands for whoever else reads them, 128.
const DEEPEST: usize = 128;

/// Answers of the Events API, read as a page of each stream and mapped: no item
/// is lost, the records are well-formed, and they depend on nothing but their
/// event. Read quickly it is what it is read thoroughly, or not read.
pub fn page(body: &[u8]) {
    for stream in Stream::ALL {
        if let Ok(text) = std::str::from_utf8(body) {
            both_ways(*stream, text);
        }
        let Ok(read) = read_page(*stream, body.to_vec()) else { continue };
        for mapping in [
            Mapping::default(),
            Mapping { raw_data: true, account_name: Some("Acme \"&\" Söhne\n".to_owned()) },
        ] {
            check(*stream, body, &read, &mapping);
        }
    }
}

fn both_ways(stream: Stream, text: &str) {
    let mut rejected = [Vec::new(), Vec::new()];
    let Ok((next, events)) = quickly(stream, text, None, &mut rejected[0]) else { return };
    let thorough = thoroughly(stream, text, &mut rejected[1]);
    let (thorough_next, thorough_events) = thorough.expect("what was read quickly can be read");
    assert_eq!(next, thorough_next);
    // Told in words, because a zero below zero equals another.
    assert_eq!(format!("{events:?}"), format!("{thorough_events:?}"));
    assert_eq!(rejected[0], rejected[1]);
}

fn check(stream: Stream, body: &[u8], read: &Read, mapping: &Mapping) {
    let envelope = members(std::str::from_utf8(body).expect("a page is UTF-8"));
    let items =
        envelope.get("items").map(|items| serde_json::from_str::<Option<Vec<&RawValue>>>(items.get()));
    let items = items.transpose().expect("items are a list").flatten().unwrap_or_default();
    assert_eq!(items.len(), read.events.len() + read.rejected.len(), "items are events or set aside");
    assert!(read.rejected.iter().all(|rejected| !rejected.reason.is_empty()));

    let (records, counts) = mapped(read, mapping);
    let again = read_page(stream, body.to_vec()).expect("the same page again");
    assert_eq!((&records, counts), (&mapped(&again, mapping).0, counts), "the same page, the same records");

    // Each item on a page of its own.
    let (mut alone, mut counted, mut rejected) = (BTreeMap::new(), Counts::default(), 0);
    for item in items {
        let body = format!(r#"{{"cursor":"c","has_more":false,"items":[{}]}}"#, item.get());
        let one = read_page(stream, body.into_bytes()).expect("a page of one item");
        let (records, counts) = mapped(&one, mapping);
        records.into_iter().for_each(|(record, version)| newest(&mut alone, record, version));
        counted.add(counts);
        rejected += one.rejected.len();
    }
    assert_eq!(rejected, read.rejected.len());
    assert_eq!((alone, counted), (records, counts), "an event's records do not depend on its page");
}

/// The records of a page, each as its key and text in its newest version: a page need not tell twice
/// of what is shared.
type Found = BTreeMap<(String, String), Version>;

fn newest(found: &mut Found, record: (String, String), version: Version) {
    let known = found.entry(record).or_insert(version);
    *known = version.max(*known);
}

/// The records of a page, after a look at each.
fn mapped(read: &Read, mapping: &Mapping) -> (Found, Counts) {
    let mut records = Records::default();
    read.events.map(mapping, &mut records);
    let mut all = Found::new();
    for record in records.iter() {
        let found = members(record.json);
        let text = |name: &str| serde_json::from_str::<String>(found[name].get()).expect(name);
        assert_eq!(text("_key"), record.key);
        assert_eq!(text("_type"), record.of.name());
        match (record.of, record.ends) {
            (RecordType::Entity(of), None) => {
                assert!(record.key.starts_with(of.name()) && record.key.len() > of.name().len() + 1);
                assert!(!text("name").is_empty() && !text("displayName").is_empty());
            }
            (RecordType::Relationship(of), Some((from, to))) => {
                assert_eq!((text("_fromEntityKey").as_str(), text("_toEntityKey").as_str()), (from, to));
                assert_eq!(record.key, format!("{from}|{}|{to}", of.verb().to_lowercase()));
            }
            (of, ends) => panic!("{of:?} with {ends:?}"),
        }
        assert!(depth(record.json) <= DEEPEST, "nested more deeply than whoever reads it can");
        if let Some(bare) = record.without_raw_data() {
            assert!(mapping.raw_data && !members(&bare).contains_key("_rawData"));
            assert_eq!(members(&bare).len() + 1, found.len());
        }
        newest(&mut all, (record.key.to_owned(), record.json.to_owned()), record.version);
    }
    (all, records.counts)
}

/// The deepest nesting in a JSON text.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth -= 1,
            _ => (),
        }
        deepest = deepest.max(depth);
    }
    deepest
}
