//! Whatever comes: the same records in any order and grouping, and only such as the graph takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use opgraph::{
    graph::{Counts, EntityType, Kind, RecordType, Records, Sharing},
    stream::{Mapping, Stream, read_page},
};
use opgraph_state::Version;
use proptest::{prelude::*, test_runner::Config};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

use super::{arbitrary::events, page, parsed};

/// Everything that came of a list of pages, in an order of its own.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    /// Each with its newest version: a page need not tell twice of what is shared.
    records: BTreeMap<String, Version>,
    /// How many records are an event's own.
    own: usize,
    rejected: Vec<String>,
    counts: Counts,
}

/// Maps the events in pages of these sizes, each into records of its own.
fn outcome(stream: Stream, events: &[String], size: usize, mapping: &Mapping) -> Outcome {
    let mut outcome =
        Outcome { records: BTreeMap::new(), own: 0, rejected: Vec::new(), counts: Counts::default() };
    for events in events.chunks(size) {
        let read = read_page(stream, page(events)).expect("a page");
        let mut records = Records::default();
        read.events.map(mapping, &mut records);
        for record in records.iter() {
            let known = outcome.records.entry(record.json.to_owned()).or_insert(record.version);
            *known = record.version.max(*known);
        }
        outcome.own += records.of(Sharing::Event).count();
        outcome.rejected.extend(read.rejected.into_iter().map(|rejected| rejected.body));
        outcome.counts.add(records.counts);
    }
    outcome.rejected.sort_unstable();
    outcome
}

fn mappings() -> impl Strategy<Value = Mapping> {
    (any::<bool>(), prop::option::of(".{0,9}"))
        .prop_map(|(raw_data, account_name)| Mapping { raw_data, account_name })
}

fn config() -> Config {
    Config { cases: 128, failure_persistence: None, ..Config::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_same_events_give_the_same_records_in_any_order_and_grouping(
        ((stream, events), shuffled) in events(12).prop_flat_map(|(stream, events)| {
            (Just((stream, events.clone())), Just(events).prop_shuffle())
        }),
        size in 1usize..=12,
        mapping in mappings(),
    ) {
        let expect = outcome(stream, &events, 12, &mapping);
        prop_assert_eq!(&outcome(stream, &events, 12, &mapping), &expect, "again");
        prop_assert_eq!(&outcome(stream, &events, size, &mapping), &expect, "in smaller pages");
        prop_assert_eq!(&outcome(stream, &shuffled, size, &mapping), &expect, "in another order");
        prop_assert_eq!(expect.records.keys().filter(|record| record.is_empty()).count(), 0);
    }

    #[test]
    fn what_is_read_in_one_look_is_what_serde_json_reads((stream, events) in events(6)) {
        opgraph::fuzzing::page(&page(&events));
        // As another writer might: with white space, and in another order.
        let items: Vec<Value> = events.iter().map(|event| serde_json::from_str(event).expect("JSON")).collect();
        let body = serde_json::json!({ "items": items, "has_more": true, "cursor": stream.name() });
        opgraph::fuzzing::page(serde_json::to_string_pretty(&body).expect("JSON").as_bytes());
    }

    #[test]
    fn a_page_tells_of_nobody_twice_in_the_same_words((stream, events) in events(6), mapping in mappings()) {
        let maps = |events: &[&String]| {
            let read = read_page(stream, page(events)).expect("a page");
            let mut records = Records::default();
            read.events.map(&mapping, &mut records);
            records
        };
        for event in &events {
            let (alone, again) = (maps(&[event]), maps(&[event, event, event]));
            let shared = |records: &Records| {
                records.of(Sharing::Shared).filter(|record| record.ends.is_none()).count()
            };
            prop_assert_eq!(shared(&alone), shared(&again), "{}", event);
            prop_assert_eq!(alone.of(Sharing::Event).count() * 3, again.of(Sharing::Event).count());
        }
    }

    #[test]
    fn mapping_twice_into_the_same_records_appends_the_same_again(
        (stream, events) in events(6),
        mapping in mappings(),
    ) {
        let read = read_page(stream, page(&events)).expect("a page");
        let mut records = Records::default();
        read.events.map(&mapping, &mut records);
        let once: Vec<String> = records.iter().map(|record| record.json.to_owned()).collect();
        read.events.map(&mapping, &mut records);
        let twice: Vec<&str> = records.iter().map(|record| record.json).collect();
        prop_assert_eq!(&twice[..once.len()], &once);
        prop_assert_eq!(&twice[once.len()..], &once);
    }

    #[test]
    fn every_record_is_one_that_the_graph_takes((stream, events) in events(8), mapping in mappings()) {
        let read = read_page(stream, page(&events)).expect("a page");
        let mut records = Records::default();
        read.events.map(&mapping, &mut records);
        prop_assert!(records.len() >= read.events.len());

        let keys: BTreeSet<&str> = records.iter().map(|record| record.key).collect();
        for record in records.iter() {
            let text = record.json;
            let members: Members = serde_json::from_str(text).expect("a record is a JSON object");
            prop_assert!(members.repeated.is_none(), "{:?} twice in {text}", members.repeated);
            let value = parsed(&record);
            prop_assert_eq!(&value["_key"], record.key);
            prop_assert_eq!(&value["_type"], record.of.name());
            for name in value.as_object().expect("an object").keys() {
                prop_assert!(is_property_name(name), "{name:?} in {text}");
            }
            match record.of {
                RecordType::Entity(of) => check_entity(of, record.key, &value, &mapping)?,
                RecordType::Relationship(of) => {
                    let (from, to) = record.ends.expect("a relationship has ends");
                    prop_assert!(keys.contains(from) && keys.contains(to), "dangles: {text}");
                    prop_assert!(is_key_of(of.from(), from) && is_key_of(of.to(), to), "ends of {text}");
                    let verb = of.verb();
                    let expect = serde_json::json!({
                        "_key": format!("{from}|{}|{to}", verb.to_lowercase()),
                        "_type": of.name(), "_class": verb,
                        "_fromEntityKey": from, "_toEntityKey": to, "displayName": verb,
                    });
                    prop_assert_eq!(value, expect);
                }
            }
        }
    }

    #[test]
    fn a_record_without_raw_data_is_the_same_record_with_nothing_else_gone(
        (stream, events) in events(6),
        account_name in prop::option::of(".{0,9}"),
    ) {
        let read = read_page(stream, page(&events)).expect("a page");
        let (mut with, mut without) = (Records::default(), Records::default());
        read.events.map(&Mapping { raw_data: true, account_name: account_name.clone() }, &mut with);
        read.events.map(&Mapping { raw_data: false, account_name }, &mut without);
        prop_assert_eq!(with.len(), without.len());
        for (with, without) in with.iter().zip(without.iter()) {
            prop_assert_eq!(with.without_raw_data().unwrap_or_else(|| with.json.to_owned()), without.json);
            prop_assert_eq!((with.key, with.ends, with.version), (without.key, without.ends, without.version));
        }
    }

    #[test]
    fn raw_data_holds_each_event_verbatim((stream, events) in events(6)) {
        let read = read_page(stream, page(&events)).expect("a page");
        let mut records = Records::default();
        read.events.map(&Mapping { raw_data: true, account_name: None }, &mut records);
        let rejected: Vec<&str> = read.rejected.iter().map(|rejected| rejected.body.as_str()).collect();
        let raw: Vec<&str> = records.iter().filter_map(|record| {
            let (_, raw) = record.json.split_once(r#","_rawData":[{"name":"default","rawData":"#)?;
            raw.strip_suffix("}]}")
        }).collect();
        // In the order of the page, and nothing lost between the two.
        let mut rejected = rejected.into_iter().peekable();
        let mut raw = raw.into_iter().peekable();
        for event in &events {
            let found = raw.next_if_eq(&event.as_str()).or_else(|| rejected.next_if_eq(&event.as_str()));
            prop_assert!(found.is_some(), "{event}");
        }
        prop_assert!(raw.next().is_none() && rejected.next().is_none());
    }

    #[test]
    fn no_body_makes_reading_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
        for stream in Stream::ALL {
            _ = read_page(*stream, body.clone());
        }
    }
}

/// Whether the key is `<_type>:<id>` with an id.
fn is_key_of(of: EntityType, key: &str) -> bool {
    key.strip_prefix(of.name()).and_then(|rest| rest.strip_prefix(':')).is_some_and(|id| !id.is_empty())
}

/// Checks that an entity is one the graph takes.
fn check_entity(of: EntityType, key: &str, value: &Value, mapping: &Mapping) -> Result<(), TestCaseError> {
    let members = value.as_object().expect("an object");
    prop_assert_eq!(&value["_class"], &serde_json::json!([of.class()]));
    prop_assert!(is_key_of(of, key), "key {key}");
    let id = value["id"].as_str().expect("an id");
    let cut: String = key[of.name().len() + 1..].chars().take(4096).collect();
    prop_assert_eq!(id, cut);
    for name in ["name", "displayName"] {
        prop_assert!(value[name].as_str().is_some_and(|text| !text.is_empty()), "{name} in {value}");
    }
    if of.class() == "User" {
        for name in ["email", "username", "shortLoginId", "firstName", "lastName"] {
            prop_assert!(members.contains_key(name), "the class demands {name}: {value}");
        }
    }
    let is_event = of.class() == "Record";
    for (name, value) in members {
        match name.as_str() {
            "_key" | "_type" | "_class" => continue,
            "_rawData" => {
                prop_assert!(is_event && mapping.raw_data);
                continue;
            }
            "tag.AccountName" => {
                prop_assert!(mapping.account_name.is_some());
                continue;
            }
            _ => (),
        }
        let Some(property) = of.properties().iter().find(|property| property.name == name) else {
            return Err(TestCaseError::fail(format!("{} has no property {name}", of.name())));
        };
        let fits = match (property.kind, value) {
            (_, Value::Null) => of.class() == "User",
            (Kind::Text, Value::String(text)) => !text.is_empty() && text.chars().count() <= 4096,
            (Kind::Texts, Value::Array(texts)) => {
                texts.len() == 1 && texts[0].as_str().is_some_and(|text| !text.is_empty())
            }
            (Kind::Number, Value::Number(number)) => number.as_f64().is_some_and(f64::is_finite),
            (Kind::Time, Value::Number(number)) => number.is_i64(),
            _ => false,
        };
        prop_assert!(fits, "{name} is {value}");
    }
    prop_assert_eq!(members.contains_key("_rawData"), is_event && mapping.raw_data);
    let tagged = mapping.account_name.as_ref().is_some_and(|name| !name.is_empty());
    prop_assert_eq!(members.contains_key("tag.AccountName"), tagged);
    Ok(())
}

/// `^(_|tag\.)?[A-Za-z0-9. -]+$`: what the API takes for the name of a property.
fn is_property_name(name: &str) -> bool {
    let bare = name.strip_prefix('_').or(name.strip_prefix("tag.")).unwrap_or(name);
    !bare.is_empty() && bare.chars().all(|c| c.is_ascii_alphanumeric() || ". -".contains(c))
}

/// The members of an object, to see one that comes twice.
struct Members {
    repeated: Option<String>,
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let (mut seen, mut repeated) = (BTreeSet::new(), None);
                while let Some(name) = map.next_key::<String>()? {
                    map.next_value::<serde::de::IgnoredAny>()?;
                    if !seen.insert(name.clone()) {
                        repeated = Some(name);
                    }
                }
                Ok(Members { repeated })
            }
        }

        deserializer.deserialize_map(Names)
    }
}
