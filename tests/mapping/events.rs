//! Events that cannot be mapped: set aside whole, with a reason, and the others kept.

use opgraph::{
    graph::Records,
    stream::{Mapping, Stream, read_page},
};
use serde_json::{Value, json};

use super::{event_type, map, page};

/// Every field of the three streams and the kind of value it has to hold.
const FIELDS: &[(Stream, &[(&str, Kind)])] = &[
    (
        Stream::AuditEvents,
        &[
            ("uuid", Kind::Text),
            ("timestamp", Kind::Text),
            ("actor_uuid", Kind::Text),
            ("actor_details", USER),
            ("actor_type", Kind::Text),
            ("actor_account_uuid", Kind::Text),
            ("account_uuid", Kind::Text),
            ("action", Kind::Text),
            ("object_type", Kind::Text),
            ("object_uuid", Kind::Text),
            ("object_details", USER),
            ("aux_id", Kind::Integer),
            ("aux_uuid", Kind::Text),
            ("aux_details", USER),
            ("aux_info", Kind::Text),
            ("session", Kind::Object(&["uuid", "login_time", "device_uuid", "ip"])),
            ("location", Kind::Object(&["country", "region", "city"])),
        ],
    ),
    (
        Stream::ItemUsages,
        &[
            ("uuid", Kind::Text),
            ("timestamp", Kind::Text),
            ("used_version", Kind::Integer),
            ("vault_uuid", Kind::Text),
            ("item_uuid", Kind::Text),
            ("action", Kind::Text),
            ("user", USER),
            ("client", CLIENT),
            ("location", Kind::Object(&["country", "region", "city"])),
            ("account_uuid", Kind::Text),
        ],
    ),
    (
        Stream::SignInAttempts,
        &[
            ("uuid", Kind::Text),
            ("session_uuid", Kind::Text),
            ("timestamp", Kind::Text),
            ("category", Kind::Text),
            ("type", Kind::Text),
            ("country", Kind::Text),
            ("details", Kind::Object(&["value"])),
            ("target_user", USER),
            ("client", CLIENT),
            ("location", Kind::Object(&["country", "region", "city"])),
            ("account_uuid", Kind::Text),
        ],
    ),
];

const USER: Kind = Kind::Object(&["uuid", "name", "email", "user_type", "user_account_uuid"]);
const CLIENT: Kind = Kind::Object(&[
    "app_name",
    "app_version",
    "platform_name",
    "platform_version",
    "os_name",
    "os_version",
    "ip_address",
]);

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Integer,
    /// An object of texts.
    Object(&'static [&'static str]),
}

/// Values that are no text, no integer, no number, no object.
const NO_TEXT: &[&str] =
    &["1", "1.5", "true", "false", "[]", "[\"x\"]", "{}", r#""\ud800""#, r#""\udc00\ud800""#];
const NO_INTEGER: &[&str] = &[
    "\"1\"",
    "\"\"",
    "1.5",
    "1.0",
    "1e3",
    "true",
    "[]",
    "{}",
    "9223372036854775808",
    "-9223372036854775809",
];
const NO_NUMBER: &[&str] = &["\"1\"", "\"\"", "true", "[]", "[1]", "{}", "1e999"];
const NO_OBJECT: &[&str] = &["1", "1.5", "true", "\"\"", "\"x\"", "[]", "[\"x\",\"y\"]", "[{}]"];

/// Checks that an event with this text for a field is rejected, and its neighbours are not.
fn rejected(stream: Stream, field: &str, value: &str) {
    let body = if field == "uuid" {
        format!(r#"{{"uuid":{value}}}"#)
    } else {
        format!(r#"{{"uuid":"BAD", "{field}":{value}}}"#)
    };
    let mapped = map(stream, &[r#"{"uuid":"G1"}"#, &body, r#"{"uuid":"G2"}"#], &Mapping::default());
    let ids: Vec<Value> = mapped.of(event_type(stream)).iter().map(|event| event["id"].clone()).collect();
    assert_eq!(ids, ["G1", "G2"], "{field}: {value}");
    assert_eq!(mapped.rejected.len(), 1, "{field}: {value}");
    assert_eq!(mapped.rejected[0].body, body);
    assert!(!mapped.rejected[0].reason.is_empty());
}

#[test]
fn a_field_of_a_wrong_type_sets_its_event_aside() {
    for (stream, fields) in FIELDS {
        for (field, kind) in *fields {
            let wrong = match kind {
                Kind::Text => NO_TEXT,
                Kind::Integer => NO_INTEGER,
                Kind::Object(_) => NO_OBJECT,
            };
            for value in wrong {
                rejected(*stream, field, value);
            }
            if let Kind::Object(inner) = kind {
                for (name, value) in
                    inner.iter().flat_map(|name| NO_TEXT.iter().map(move |value| (name, value)))
                {
                    rejected(*stream, field, &format!(r#"{{"{name}":{value}}}"#));
                }
            }
        }
        for value in NO_NUMBER {
            for name in ["latitude", "longitude"] {
                rejected(*stream, "location", &format!(r#"{{"{name}":{value}}}"#));
            }
        }
    }
}

#[test]
fn an_object_given_as_a_list_of_its_fields_is_of_a_wrong_type() {
    // A derived decoder takes these, field by field.
    let rows = [
        (Stream::SignInAttempts, "details", r#"["Norway"]"#),
        (Stream::SignInAttempts, "target_user", r#"["U1","Maja","m@x.example","user","A1"]"#),
        (Stream::ItemUsages, "user", r#"["U1","Maja","m@x.example","user","A1"]"#),
        (Stream::ItemUsages, "client", r#"["1","2","3","4","5","6","7"]"#),
        (Stream::ItemUsages, "location", r#"["NO","Vestland","Bergen",60.4,5.3]"#),
        (Stream::AuditEvents, "actor_details", r#"["U1","Maja","m@x.example","user","A1"]"#),
        (Stream::AuditEvents, "session", r#"["S1","2025-01-02T03:04:05Z","D1","::1"]"#),
    ];
    for (stream, field, value) in rows {
        rejected(stream, field, value);
    }
    let whole = r#"["U1","2025-01-02T03:04:05Z",1,"v","i","fill",null,null,null,"A1"]"#;
    let mapped = map(Stream::ItemUsages, &[whole], &Mapping::default());
    assert!(mapped.records.is_empty());
    assert_eq!(mapped.rejected[0].body, whole);
}

#[test]
fn an_event_without_uuid_is_set_aside() {
    for stream in Stream::ALL {
        for body in [r#"{}"#, r#"{"uuid":null}"#, r#"{"uuid":""}"#, r#"{"UUID":"A","id":"B","action":"x"}"#] {
            let mapped = map(*stream, &[body], &Mapping::default());
            assert!(mapped.records.is_empty());
            assert_eq!(mapped.rejected.len(), 1);
            assert_eq!(mapped.rejected[0].body, body);
            assert!(mapped.rejected[0].reason.contains("uuid"), "{}", mapped.rejected[0].reason);
        }
    }
}

#[test]
fn an_item_that_is_no_object_is_set_aside() {
    for stream in Stream::ALL {
        for body in ["null", "1", "true", "\"uuid\"", "[]", "[\"U1\"]", "[{\"uuid\":\"A\"}]"] {
            let mapped = map(*stream, &[body], &Mapping::default());
            assert!(mapped.records.is_empty(), "{body}");
            assert_eq!(mapped.rejected[0].body, body);
        }
    }
}

#[test]
fn a_field_given_twice_sets_its_event_aside() {
    for stream in Stream::ALL {
        let bodies = [
            r#"{"uuid":"A","uuid":"A"}"#,
            r#"{"uuid":"A","timestamp":null,"timestamp":null}"#,
            r#"{"uuid":"A","location":{"city":"x","city":"y"}}"#,
        ];
        let mapped = map(*stream, &bodies, &Mapping::default());
        assert!(mapped.records.is_empty());
        let rejected: Vec<&str> = mapped.rejected.iter().map(|rejected| rejected.body.as_str()).collect();
        assert_eq!(rejected, bodies);
    }
}

#[test]
fn the_good_events_among_many_bad_ones_keep_their_order() {
    for stream in Stream::ALL {
        let items: Vec<String> = (0..60)
            .map(|at| match at % 3 {
                0 => json!({"uuid": format!("E{at}")}).to_string(),
                1 => json!({"at": at}).to_string(),
                _ => json!({"uuid": at}).to_string(),
            })
            .collect();
        let mapped = map(*stream, &items, &Mapping::default());
        let ids: Vec<Value> =
            mapped.of(event_type(*stream)).iter().map(|event| event["id"].clone()).collect();
        let expect: Vec<Value> = (0..60).step_by(3).map(|at| json!(format!("E{at}"))).collect();
        assert_eq!(ids, expect);
        let rejected: Vec<&String> = mapped.rejected.iter().map(|rejected| &rejected.body).collect();
        let expect: Vec<&String> =
            items.iter().enumerate().filter(|(at, _)| at % 3 != 0).map(|(_, item)| item).collect();
        assert_eq!(rejected, expect);
    }
}

#[test]
fn a_rejected_event_is_kept_as_received() {
    let body = "{ \"uuid\" : 7,\r\n\t\"name\":\"\\ud83d\\ude00 \\/ é\", \"n\":1.0e+2 }";
    let mapped = map(Stream::ItemUsages, &[body], &Mapping::default());
    assert_eq!(mapped.rejected[0].body, body);
}

#[test]
fn nesting_without_end_in_an_unknown_field_is_skipped() {
    const DEEP: usize = 100_000;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(DEEP), close.repeat(DEEP));
        let event = format!(r#"{{"uuid":"A","deep":{deep}}}"#);
        let read = read_page(Stream::AuditEvents, page(&[event])).expect("a page");
        assert_eq!((read.events.len(), read.rejected.len()), (1, 0));
        for (raw_data, left_out) in [(true, 1), (false, 0)] {
            let mut records = Records::default();
            read.events.map(&Mapping { raw_data, account_name: None }, &mut records);
            assert!(records.iter().all(|record| !record.json.contains("_rawData")), "nobody could read it");
            assert_eq!(records.counts.raw_data_too_deep, left_out);
        }
        let wrong = format!(r#"{{"uuid":{deep}}}"#);
        let read = read_page(Stream::AuditEvents, page(&[wrong])).expect("a page");
        assert_eq!((read.events.len(), read.rejected.len()), (0, 1));
    }
}
