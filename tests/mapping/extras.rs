//! What the configuration adds: the event as received, and the account's name.

use opgraph::stream::{Mapping, Stream};
use serde_json::{Value, json};

use super::{Mapped, event_type, is_entity, map, parsed};

/// Events that give every kind of record, spelled as no writer of ours would.
const SPELLED: &[(Stream, &str)] = &[
    (
        Stream::AuditEvents,
        r#"{ "uuid" :"A1","object_type":"uva",  "object_uuid":"v1", "actor_uuid":"U1",
             "aux_details":{"uuid":"U2"}, "object_details":{"uuid":"U3"}, "n":[1.0,1e2,-0,10000000000000000001] }"#,
    ),
    (
        Stream::ItemUsages,
        "{\"user\":{\"uuid\":\"U\\u0031\",\"name\":\"\\ud83d\\ude00 \\/ \\\"x\\\"\"},\t\"uuid\":\"\\u0041\\u0031\",\"_rawData\":[{}]}",
    ),
    (
        Stream::SignInAttempts,
        "{\"uuid\":\"A1\",\r\n\"target_user\":{\"uuid\":\"U1\"},\"x\":1,\"x\":\",\\\"_rawData\\\":\"}",
    ),
];

fn mapped(stream: Stream, event: &str, raw_data: bool, account_name: Option<&str>) -> Mapped {
    map(stream, &[event], &Mapping { raw_data, account_name: account_name.map(str::to_owned) })
}

#[test]
fn raw_data_is_the_event_as_received_byte_for_byte_on_event_entities_alone() {
    for (stream, event) in SPELLED {
        let mapped = mapped(*stream, event, true, None);
        assert!(mapped.records.len() > 1);
        for record in mapped.records.iter() {
            let value = parsed(&record);
            if value["_type"] == event_type(*stream) {
                let expect = json!([{
                    "name": "default",
                    "rawData": serde_json::from_str::<Value>(event).expect("the event"),
                }]);
                assert_eq!(value["_rawData"], expect);
                let verbatim = format!(r#""_rawData":[{{"name":"default","rawData":{event}}}]"#);
                assert_eq!(record.json.matches(&verbatim).count(), 1, "{}", record.json);
            } else {
                assert_eq!(value.get("_rawData"), None, "{}", record.json);
                assert_eq!(record.without_raw_data(), None);
            }
        }
    }
}

#[test]
fn without_raw_data_a_record_is_what_it_is_when_raw_data_is_off() {
    for (stream, event) in SPELLED {
        for account in [None, Some("fjord")] {
            let (with, without) =
                (mapped(*stream, event, true, account), mapped(*stream, event, false, account));
            assert_eq!(with.records.len(), without.records.len());
            for (with, without) in with.records.iter().zip(without.records.iter()) {
                let bare = with.without_raw_data().unwrap_or_else(|| with.json.to_owned());
                assert_eq!(bare, without.json);
                assert!(!parsed(&without).as_object().expect("an object").contains_key("_rawData"));
                assert_eq!(without.without_raw_data(), None);

                let mut value = parsed(&with);
                value.as_object_mut().expect("an object").remove("_rawData");
                assert_eq!(serde_json::from_str::<Value>(&bare).expect("valid JSON"), value);
            }
        }
    }
}

#[test]
fn the_account_name_is_on_every_entity_and_no_relationship() {
    for (stream, event) in SPELLED {
        let (tagged, plain) =
            (mapped(*stream, event, true, Some("Fjord \"HQ\"")), mapped(*stream, event, true, None));
        assert_eq!(tagged.records.len(), plain.records.len());
        for (tagged, plain) in tagged.records.iter().zip(plain.records.iter()) {
            let (mut with, without) = (parsed(&tagged), parsed(&plain));
            assert_eq!(without.get("tag.AccountName"), None);
            let tag = with.as_object_mut().expect("an object").remove("tag.AccountName");
            assert_eq!(tag, is_entity(&tagged).then(|| json!("Fjord \"HQ\"")), "{}", tagged.json);
            assert_eq!(with, without);
        }
    }
}
