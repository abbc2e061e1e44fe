//! The rules of single fields: countries, details, coordinates, times, numbers, enumerations.

use opgraph::stream::Stream;
use serde_json::{Value, json};

use super::{Mapped, UUID, event_type, map, map_one};

/// Checks these properties of the event entity; `null` stands for no property at all.
fn check(stream: Stream, mut event: Value, expect: &[(&str, Value)]) -> Mapped {
    event["uuid"] = UUID.into();
    let mapped = map_one(stream, &event);
    let entity = mapped.the(event_type(stream));
    for (name, value) in expect {
        assert_eq!(entity.get(name).unwrap_or(&Value::Null), value, "{name} of {event}");
        assert_eq!(entity.get(name).is_some(), !value.is_null(), "{name} of {event}");
    }
    mapped
}

#[test]
fn a_sign_in_keeps_both_countries_only_where_they_differ() {
    let missing = [json!({}), json!({"country": null}), json!({"country": ""})];
    let both = |country: Value, located: Value| [("country", country), ("locationCountry", located)];
    for none in &missing {
        // Only the attempt's own; only the location's; neither.
        check(
            Stream::SignInAttempts,
            json!({"country": "FR", "location": none}),
            &both(json!("FR"), json!(null)),
        );
        let mut event = none.clone();
        event["location"] = json!({"country": "Canada"});
        check(Stream::SignInAttempts, event, &both(json!("Canada"), json!(null)));
        let mut event = none.clone();
        event["location"] = none.clone();
        check(Stream::SignInAttempts, event, &both(json!(null), json!(null)));
    }
    let event = json!({"country": "FR", "location": {"country": "FR"}});
    check(Stream::SignInAttempts, event, &both(json!("FR"), json!(null)));
    let event = json!({"country": "France", "location": {"country": "Canada"}});
    check(Stream::SignInAttempts, event, &both(json!("France"), json!("Canada")));
    let event = json!({"country": "fr", "location": {"country": "FR"}});
    check(Stream::SignInAttempts, event, &both(json!("fr"), json!("FR")));
    let event = json!({"country": "FR", "location": null});
    check(Stream::SignInAttempts, event, &both(json!("FR"), json!(null)));
}

#[test]
fn only_a_sign_in_has_a_country_of_its_own() {
    for stream in [Stream::ItemUsages, Stream::AuditEvents] {
        let expect = [("country", json!("NO")), ("locationCountry", json!(null))];
        check(stream, json!({"country": "FR", "location": {"country": "NO"}}), &expect);
        check(stream, json!({"country": "FR"}), &[("country", json!(null))]);
    }
}

#[test]
fn details_are_an_object_or_null_or_absent() {
    let rows = [
        (json!({"details": {"value": "Europe"}}), json!("Europe")),
        (json!({"details": {"value": "Europe", "more": {"x": 1}}}), json!("Europe")),
        (json!({"details": {"value": ""}}), json!(null)),
        (json!({"details": {"value": null}}), json!(null)),
        (json!({"details": {}}), json!(null)),
        (json!({"details": null}), json!(null)),
        (json!({}), json!(null)),
    ];
    for (event, details) in rows {
        check(Stream::SignInAttempts, event, &[("details", details)]);
    }
}

#[test]
fn a_coordinate_outside_the_globe_is_dropped_and_counted() {
    let rows = [
        // As sent; as kept; counted
        (json!([43.64, -79.433]), json!([43.64, -79.433]), 0),
        // Swapped, as in the official example, and still on the globe: kept as they are.
        (json!([-79.433, 43.64]), json!([-79.433, 43.64]), 0),
        // Swapped and off the globe.
        (json!([103.85, 1.29]), json!([null, 1.29]), 1),
        (json!([90.0, 180.0]), json!([90.0, 180.0]), 0),
        (json!([-90.0, -180.0]), json!([-90.0, -180.0]), 0),
        (json!([90.000_1, 180.000_1]), json!([null, null]), 2),
        (json!([-90.000_1, -180.000_1]), json!([null, null]), 2),
        (json!([1e300, 5.0]), json!([null, 5.0]), 1),
        (json!([0, 0]), json!([0.0, 0.0]), 0),
        (json!([60, 5]), json!([60.0, 5.0]), 0),
        (json!([null, 5.5]), json!([null, 5.5]), 0),
        (json!([null, null]), json!([null, null]), 0),
    ];
    for (sent, kept, counted) in rows {
        for stream in Stream::ALL {
            let event = json!({"location": {"latitude": sent[0], "longitude": sent[1]}});
            let expect = [("latitude", kept[0].clone()), ("longitude", kept[1].clone())];
            let mapped = check(*stream, event, &expect);
            assert_eq!(mapped.counts().bad_coordinates, counted, "{sent}");
        }
    }
}

#[test]
fn a_time_becomes_milliseconds_whatever_its_digits_and_offset() {
    const SECOND: i64 = 1_735_787_045_000; // 2025-01-02T03:04:05Z
    let rows = [
        ("2025-01-02T03:04:05Z", SECOND),
        ("2025-01-02T03:04:05.9Z", SECOND + 900),
        ("2025-01-02T03:04:05.98Z", SECOND + 980),
        ("2025-01-02T03:04:05.987Z", SECOND + 987),
        ("2025-01-02T03:04:05.9876Z", SECOND + 987),
        ("2025-01-02T03:04:05.98765Z", SECOND + 987),
        ("2025-01-02T03:04:05.987654Z", SECOND + 987),
        ("2025-01-02T03:04:05.9876543Z", SECOND + 987),
        ("2025-01-02T03:04:05.98765432Z", SECOND + 987),
        ("2025-01-02T03:04:05.987654321Z", SECOND + 987),
        ("2025-01-02T03:04:05.999999999Z", SECOND + 999),
        ("2025-01-02T00:04:05-03:00", SECOND),
        ("2025-01-02T08:49:05.5+05:45", SECOND + 500),
        ("2025-01-02T03:04:05+00:00", SECOND),
        ("1970-01-01T00:00:00Z", 0),
        ("1969-12-31T23:59:59Z", -1000),
        ("1969-12-31T23:59:59.250Z", -750),
        ("2140-05-06T00:00:00Z", 5_375_548_800_000),
    ];
    for (timestamp, expect) in rows {
        for stream in Stream::ALL {
            let mapped = check(*stream, json!({"timestamp": timestamp}), &[("createdOn", json!(expect))]);
            assert_eq!(mapped.counts().unreadable_times, 0, "{timestamp}");
        }
    }
}

#[test]
fn a_time_that_cannot_be_read_is_counted_and_the_event_kept() {
    for timestamp in
        ["yesterday", "2025-01-02", "2025-01-02T03:04:05", "1735787045", "2025-13-02T03:04:05Z", " "]
    {
        for stream in Stream::ALL {
            let mapped = check(*stream, json!({"timestamp": timestamp}), &[("createdOn", json!(null))]);
            assert_eq!(mapped.counts().unreadable_times, 1, "{timestamp:?}");
        }
    }
    // An absent one was not unreadable.
    for event in [json!({}), json!({"timestamp": null}), json!({"timestamp": ""})] {
        for stream in Stream::ALL {
            let mapped = check(*stream, event.clone(), &[("createdOn", json!(null))]);
            assert_eq!(mapped.counts().unreadable_times, 0, "{event}");
        }
    }
}

#[test]
fn an_aux_id_is_the_decimal_text_of_any_64_bit_integer() {
    let rows = [0, 1, -1, -41_300_217, 2_147_483_648, 4_294_967_296, i64::MAX, i64::MIN];
    for aux_id in rows {
        let expect = [("auxId", json!(aux_id.to_string()))];
        check(Stream::AuditEvents, json!({"aux_id": aux_id}), &expect);
    }
    check(Stream::AuditEvents, json!({"aux_id": null}), &[("auxId", json!(null))]);
}

#[test]
fn a_used_version_of_zero_is_kept() {
    for version in [0, 1, 4_294_967_296_i64] {
        check(Stream::ItemUsages, json!({"used_version": version}), &[("usedVersion", json!(version))]);
    }
    check(Stream::ItemUsages, json!({"used_version": null}), &[("usedVersion", json!(null))]);
}

#[test]
fn an_unknown_value_is_kept_and_counted() {
    let rows = [
        (Stream::AuditEvents, "action", "action", "suspend", "target.attribute.verb"),
        (Stream::AuditEvents, "object_type", "objectType", "user", "passkey"),
        (Stream::ItemUsages, "action", "action", "reveal", "Reveal"),
        (Stream::SignInAttempts, "category", "category", "firewall_reported_success", "passkey_failed"),
        (Stream::SignInAttempts, "type", "type", "federated", "quantum_bad"),
        (Stream::SignInAttempts, "type", "type", "u2f_timout", "u2f_timeoutt"),
        (Stream::SignInAttempts, "type", "type", "u2f_timeout", "u2f-timeout"),
    ];
    for (stream, field, property, known, unknown) in rows {
        for (value, counted) in [(known, 0), (unknown, 1)] {
            let mapped = check(stream, json!({field: value}), &[(property, json!(value))]);
            assert_eq!(mapped.counts().unknown_values, counted, "{field} {value}");
        }
        for none in [json!(null), json!("")] {
            let mapped = check(stream, json!({field: none}), &[(property, json!(null))]);
            assert_eq!(mapped.counts().unknown_values, 0, "{field} {none}");
        }
    }
}

#[test]
fn the_documented_values_are_all_known() {
    use opgraph::stream::{auditevents, itemusages, signinattempts};
    let rows = [
        (auditevents::ACTIONS, 79, "unknown"),
        (auditevents::OBJECT_TYPES, 30, "mngdacc"),
        (itemusages::ACTIONS, 11, "select-sso-provider"),
        (signinattempts::CATEGORIES, 7, "firewall_reported_success"),
        (signinattempts::TYPES, 32, "u2f_timout"),
    ];
    for (known, many, one) in rows {
        assert_eq!(known.len(), many);
        assert!(known.contains(&one), "{one}");
        assert!(known.is_sorted(), "they are looked up by bisection: {known:?}");
    }
}

#[test]
fn counts_of_a_page_are_the_sum_over_its_events() {
    let odd = r#"{"uuid":"A","timestamp":"?","category":"x","type":"y","target_user":{},"location":{"latitude":91}}"#;
    let mapped = map(Stream::SignInAttempts, &[odd, odd, odd], &Default::default());
    let counts = mapped.counts();
    assert_eq!(counts.unreadable_times, 3);
    assert_eq!(counts.unknown_values, 6);
    assert_eq!(counts.users_without_uuid, 3);
    assert_eq!(counts.bad_coordinates, 3);
}

#[test]
fn fields_nobody_knows_are_skipped() {
    for stream in Stream::ALL {
        let plain = map(*stream, &[r#"{"uuid":"A","location":{"city":"Oslo"}}"#], &Default::default());
        let odd = r#"{"x":{"uuid":"B","deep":[[[{}]]]},"uuid":"A","UUID":"C","location":{"city":"Oslo","zip":[0]},"x":1}"#;
        let more = map(*stream, &[odd], &Default::default());
        assert_eq!(plain.values(), more.values());
        assert_eq!(more.counts(), Default::default());
    }
}
