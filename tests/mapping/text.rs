//! Any text in any string comes out as it went in, up to 4,096 characters.

use opgraph::{
    graph::json::LONGEST_TEXT,
    stream::{Mapping, Stream},
};
use serde_json::{Value, json};

use super::{map, map_one};

/// Texts that a careless writer breaks.
const ODD: &[&str] = &[
    "\"quoted\"",
    "back\\slash\\",
    "\\u0041 is not an A",
    "a\0b",
    "\u{1}\u{8}\t\n\u{b}\u{c}\r\u{1f}\u{7f}",
    "é ü ß Ø",
    "👩‍👩‍👧 🇳🇴 𝕌",
    "\u{2028}\u{2029}\u{feff}\u{202e}",
    "\u{e000}\u{ffff}\u{10ffff}",
    "</script><!--",
    "|performed|one_password_vault:x",
    "'; DROP TABLE entities; --",
    "NaN",
    "null",
    " ",
];

/// The text as JSON with every UTF-16 unit spelled `\uXXXX`.
fn spelled(text: &str) -> String {
    let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    format!("\"{units}\"")
}

#[test]
fn any_text_in_a_name_or_uuid_comes_out_as_it_went_in() {
    for odd in ODD {
        for literal in [serde_json::to_string(odd).expect("a string"), spelled(odd)] {
            let event = format!(
                r#"{{"uuid":{literal},"actor_uuid":{literal},"actor_details":{{"name":{literal}}},
                    "object_type":"vault","object_uuid":{literal},"aux_info":{literal}}}"#
            );
            let mapped = map(Stream::AuditEvents, &[event], &Mapping::default());
            let entity = mapped.the("one_password_audit_event");
            assert_eq!(entity["_key"], format!("one_password_audit_event:{odd}"));
            for name in ["id", "actorUUID", "objectUUID", "auxInfo"] {
                assert_eq!(entity[name], *odd, "{name}");
            }
            assert_eq!(entity["displayName"], format!("{odd} vault"));
            let actor = mapped.the("one_password_audit_event_actor_details");
            assert_eq!((&actor["id"], &actor["name"]), (&json!(odd), &json!(odd)));
            let performed = mapped.the("one_password_audit_event_actor_details_performed_vault");
            let (from, to) = (
                format!("one_password_audit_event_actor_details:{odd}"),
                format!("one_password_vault:{odd}"),
            );
            assert_eq!(performed["_key"], format!("{from}|performed|{to}"));
            assert_eq!(
                (&performed["_fromEntityKey"], &performed["_toEntityKey"]),
                (&json!(from), &json!(to))
            );
        }
    }
}

#[test]
fn a_records_key_and_ends_are_those_of_its_text() {
    for odd in ODD {
        let event = json!({"uuid": odd, "user": {"uuid": odd}});
        let mapped = map_one(Stream::ItemUsages, &event);
        for (record, value) in mapped.records.iter().zip(mapped.values()) {
            assert_eq!(value["_key"], record.key);
            let ends = record.ends.map(|(from, to)| (json!(from), json!(to)));
            let written =
                value.get("_fromEntityKey").map(|from| (from.clone(), value["_toEntityKey"].clone()));
            assert_eq!(ends, written);
        }
    }
}

/// Checks that of `characters` repetitions of `character` at most 4,096 are kept, in every kind of text.
fn check_length(character: char, characters: usize) {
    let long: String = std::iter::repeat_n(character, characters).collect();
    let kept: String = long.chars().take(4096).collect();

    let event = json!({
        "uuid": "E1", "action": long, "aux_info": long, "session": {"ip": long},
        "actor_details": {"uuid": "U1", "name": long},
    });
    let mapped = map_one(Stream::AuditEvents, &event);
    let entity = mapped.the("one_password_audit_event");
    for name in ["name", "displayName", "action", "auxInfo", "sessionIP"] {
        let text = entity[name].as_str().expect("a string");
        assert_eq!(text.chars().count(), characters.min(4096) + added(name, characters), "{name}");
        assert!(text.starts_with(&kept), "{name}");
    }
    let actor = mapped.the("one_password_audit_event_actor_details");
    for name in ["name", "displayName", "firstName"] {
        assert_eq!(actor[name], kept.as_str(), "{name}");
    }

    let event = json!({"uuid": "E1", "details": {"value": long}, "client": {"os_name": long}});
    let entity = map_one(Stream::SignInAttempts, &event).the("one_password_signin_attempt_event");
    assert_eq!((&entity["details"], &entity["osName"]), (&json!(kept), &json!(kept)));

    let tagged = Mapping { raw_data: true, account_name: Some(long.clone()) };
    let event = json!({"uuid": "E1", "item_uuid": long}).to_string();
    let entity = map(Stream::ItemUsages, &[&event], &tagged).the("one_password_item_usage_event");
    assert_eq!(entity["tag.AccountName"], kept.as_str());
    // The event as received is not ours to cut.
    assert_eq!(entity["_rawData"][0]["rawData"]["item_uuid"], long.as_str());
}

/// How many characters `displayName` (`<name>: <action>`) still has room for.
fn added(name: &str, characters: usize) -> usize {
    if name == "displayName" { (2 + characters).min(4096 - characters.min(4096)) } else { 0 }
}

#[test]
fn a_text_over_4096_characters_is_cut_at_a_character_and_no_other() {
    assert_eq!(LONGEST_TEXT, 4096);
    for character in ['a', 'é', '界', '😀', '"', '\u{1}'] {
        for characters in [1365, 4095, 4096, 4097, 9000] {
            check_length(character, characters);
        }
    }
}

#[test]
fn a_name_made_of_parts_is_cut_as_a_whole() {
    let who = "w".repeat(4090);
    let event = json!({"uuid": "E1", "actor_details": {"name": who}, "action": "join", "object_type": "gm"});
    let entity = map_one(Stream::AuditEvents, &event).the("one_password_audit_event");
    assert_eq!(entity["displayName"], format!("{who}: join"));
    assert_eq!(entity["name"], "join gm");
}

#[test]
fn keys_of_long_ids_stay_whole_so_that_they_stay_different() {
    let (one, other) = (format!("{}1", "u".repeat(5000)), format!("{}2", "u".repeat(5000)));
    let events = [&one, &other].map(|uuid| json!({"uuid": uuid}).to_string());
    let mapped = map(Stream::ItemUsages, &events, &Mapping::default());
    let keys: Vec<Value> = mapped.values().iter().map(|record| record["_key"].clone()).collect();
    let expect = [one, other].map(|uuid| json!(format!("one_password_item_usage_event:{uuid}")));
    assert_eq!(keys, expect);
}
