//! The fuzz target of pages.

use serde_json::value::RawValue;

use super::{Mapping, Read, Stream, read_page};
use crate::{
    fuzzing::members,
    graph::{Counts, RecordType, Records},
};

/// How deeply a record may be nested: SQLite reads a thousand levels, and
/// serde_json, which stands for whoever else reads them, 128.
const DEEPEST: usize = 128;

/// Answers of the Events API, read as a page of each stream and mapped: no item
/// is lost, the records are well-formed, and they depend on nothing but their event.
pub fn page(body: &[u8]) {
    for stream in Stream::ALL {
        let Ok(read) = read_page(*stream, body.to_vec()) else { continue };
        for mapping in [
            Mapping::default(),
            Mapping { raw_data: true, account_name: Some("Acme \"&\" Söhne\n".to_owned()) },
        ] {
            check(*stream, body, &read, &mapping);
        }
    }
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
    let (mut alone, mut counted, mut rejected) = (Vec::new(), Counts::default(), 0);
    for item in items {
        let body = format!(r#"{{"cursor":"c","has_more":false,"items":[{}]}}"#, item.get());
        let one = read_page(stream, body.into_bytes()).expect("a page of one item");
        let (records, counts) = mapped(&one, mapping);
        alone.extend(records);
        counted.add(counts);
        rejected += one.rejected.len();
    }
    assert_eq!(rejected, read.rejected.len());
    assert_eq!((alone, counted), (records, counts), "an event's records do not depend on its page");
}

/// The records of a page, each as its key and text, after a look at each.
fn mapped(read: &Read, mapping: &Mapping) -> (Vec<(String, String)>, Counts) {
    let mut records = Records::default();
    read.events.map(mapping, &mut records);
    let all = records.iter().map(|record| {
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
        (record.key.to_owned(), record.json.to_owned())
    });
    (all.collect(), records.counts)
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
