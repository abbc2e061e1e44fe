//! The fixture files: whole events in, whole records out; and that together they leave nothing out.

use std::{collections::BTreeMap, fs, path::Path};

use opgraph::{
    graph::{Counts, EntityType, Kind, RecordType, RelationshipType, Sharing},
    stream::{Mapping, Stream},
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::map;

/// One file: what comes in, and everything that has to come out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fixture {
    #[serde(skip)]
    file: String,
    /// What the file shows, for its reader.
    #[serde(rename = "about")]
    _about: String,
    stream: String,
    mapping: Options,
    items: Vec<Box<RawValue>>,
    records: Vec<BTreeMap<String, Value>>,
    counts: BTreeMap<String, u64>,
    /// Which items cannot be mapped.
    rejected: Vec<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    raw_data: bool,
    account_name: Option<String>,
}

fn fixtures() -> Vec<Fixture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mapping");
    let mut fixtures = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder of the fixtures") {
        let path = entry.expect("an entry of the folder").path();
        let text = fs::read_to_string(&path).expect("a fixture");
        let mut fixture: Fixture =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        fixture.file = path.file_name().expect("a name").to_string_lossy().into_owned();
        fixtures.push(fixture);
    }
    assert!(!fixtures.is_empty());
    fixtures
}

#[test]
fn every_fixture_gives_exactly_its_records() {
    for fixture in fixtures() {
        let file = &fixture.file;
        let stream = Stream::named(&fixture.stream).expect("a stream");
        let mapping = Mapping {
            raw_data: fixture.mapping.raw_data,
            account_name: fixture.mapping.account_name.clone(),
        };
        let items: Vec<&str> = fixture.items.iter().map(|item| item.get()).collect();
        let mapped = map(stream, &items, &mapping);

        let mut expected: Vec<Value> =
            fixture.records.iter().map(|record| serde_json::to_value(record).expect("a value")).collect();
        let mut actual = mapped.values();
        for records in [&mut expected, &mut actual] {
            records.sort_by_key(|record| record["_key"].to_string());
        }
        let keys = |records: &[Value]| -> Vec<String> {
            records.iter().map(|record| record["_key"].to_string()).collect()
        };
        assert_eq!(keys(&actual), keys(&expected), "{file}: the keys");
        for (actual, expected) in actual.iter().zip(&expected) {
            assert_eq!(pretty(actual), pretty(expected), "{file}");
        }

        assert_eq!(counted(mapped.counts()), fixture.counts, "{file}: the counts");
        let rejected: Vec<&str> = mapped.rejected.iter().map(|rejected| rejected.body.as_str()).collect();
        let expected: Vec<&str> = fixture.rejected.iter().map(|at| items[*at]).collect();
        assert_eq!(rejected, expected, "{file}: the rejected");
    }
}

/// The counts that are not zero. Lists every field, so a new one has to come here.
fn counted(counts: Counts) -> BTreeMap<String, u64> {
    let Counts {
        users_without_uuid,
        unknown_values,
        unreadable_times,
        bad_coordinates,
        bad_emails,
        raw_data_too_deep,
    } = counts;
    let all = [
        ("users_without_uuid", users_without_uuid),
        ("unknown_values", unknown_values),
        ("unreadable_times", unreadable_times),
        ("bad_coordinates", bad_coordinates),
        ("bad_emails", bad_emails),
        ("raw_data_too_deep", raw_data_too_deep),
    ];
    all.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| (name.to_owned(), count)).collect()
}

/// The value laid out for a readable difference.
fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("a value has a text")
}

/// The names of every property that the fixtures expect of a `_type`, `_`-properties and tags aside.
fn expected_properties(of: &str) -> BTreeMap<String, Vec<Value>> {
    let mut properties: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for record in fixtures().into_iter().flat_map(|fixture| fixture.records) {
        if record["_type"] != of {
            continue;
        }
        for (name, value) in record {
            if !name.starts_with('_') && !name.starts_with("tag.") {
                properties.entry(name).or_default().push(value);
            }
        }
    }
    properties
}

#[test]
fn the_fixtures_hold_every_property_of_every_type_that_events_give() {
    let connect_only = [EntityType::Vault, EntityType::Secret];
    for of in EntityType::ALL.iter().filter(|of| !connect_only.contains(of)) {
        let expected = expected_properties(of.name());
        let mut table: Vec<&str> = of.properties().iter().map(|property| property.name).collect();
        table.sort_unstable();
        let expected: Vec<&str> = expected.keys().map(String::as_str).collect();
        assert_eq!(expected, table, "{}", of.name());
    }
    let stub: Vec<String> = expected_properties("one_password_vault").into_keys().collect();
    assert_eq!(stub, ["displayName", "id", "name"]);
    assert!(expected_properties("one_password_secret").is_empty());
}

#[test]
fn every_value_in_the_fixtures_is_of_the_kind_that_the_table_says() {
    for of in EntityType::ALL {
        let expected = expected_properties(of.name());
        for property in of.properties() {
            for value in expected.get(property.name).into_iter().flatten() {
                let fits = match property.kind {
                    // A class may demand a property that the source does not have.
                    _ if value.is_null() => of.class() == "User",
                    Kind::Text => value.is_string(),
                    Kind::Texts => {
                        value.as_array().is_some_and(|texts| texts.iter().all(|text| text.is_string()))
                    }
                    Kind::Number => value.is_number(),
                    Kind::Boolean => value.is_boolean(),
                    Kind::Time => value.is_i64(),
                };
                assert!(fits, "{} {} is {value}", of.name(), property.name);
            }
        }
    }
}

/// The table of the entities, as the contract has it.
const ENTITIES: &[(&str, &str, Sharing)] = &[
    ("one_password_audit_event", "Record", Sharing::Event),
    ("one_password_audit_event_actor_details", "User", Sharing::Shared),
    ("one_password_audit_event_aux_details", "User", Sharing::Shared),
    ("one_password_audit_event_object_details", "User", Sharing::Shared),
    ("one_password_item_usage_event", "Record", Sharing::Event),
    ("one_password_item_usage_user", "User", Sharing::Shared),
    ("one_password_signin_attempt_event", "Record", Sharing::Event),
    ("one_password_signin_attempt_target_user", "User", Sharing::Shared),
    ("one_password_vault", "Vault", Sharing::Shared),
    ("one_password_secret", "Secret", Sharing::Shared),
];

/// The table of the relationships, as the contract has it: from, verb, to, `_type`.
const RELATIONSHIPS: &[(&str, &str, &str, &str, Sharing)] = &[
    (
        "one_password_audit_event",
        "UPDATED",
        "one_password_audit_event_aux_details",
        "one_password_audit_event_updated_aux_details",
        Sharing::Event,
    ),
    (
        "one_password_audit_event",
        "UPDATED",
        "one_password_audit_event_object_details",
        "one_password_audit_event_updated_object_details",
        Sharing::Event,
    ),
    (
        "one_password_audit_event_actor_details",
        "PERFORMED",
        "one_password_audit_event",
        "one_password_audit_event_actor_details_performed_event",
        Sharing::Event,
    ),
    (
        "one_password_audit_event_actor_details",
        "PERFORMED",
        "one_password_vault",
        "one_password_audit_event_actor_details_performed_vault",
        Sharing::Shared,
    ),
    (
        "one_password_item_usage_user",
        "PERFORMED",
        "one_password_item_usage_event",
        "one_password_item_usage_user_performed_event",
        Sharing::Event,
    ),
    (
        "one_password_signin_attempt_target_user",
        "PERFORMED",
        "one_password_item_usage_event",
        "one_password_signin_attempt_target_user_performed_item_usage_event",
        Sharing::Event,
    ),
    ("one_password_vault", "HAS", "one_password_secret", "one_password_vault_has_secret", Sharing::Shared),
    (
        "one_password_signin_attempt_target_user",
        "PERFORMED",
        "one_password_signin_attempt_event",
        "one_password_signin_attempt_target_user_performed_event",
        Sharing::Event,
    ),
];

#[test]
fn the_types_are_those_of_the_contract() {
    let entities: Vec<_> = EntityType::ALL.iter().map(|of| (of.name(), of.class(), of.sharing())).collect();
    assert_eq!(entities, ENTITIES);
    let relationships: Vec<_> = RelationshipType::ALL
        .iter()
        .map(|of| (of.from().name(), of.verb(), of.to().name(), of.name(), of.sharing()))
        .collect();
    assert_eq!(relationships, RELATIONSHIPS);
    assert_eq!(RecordType::all().count(), 18);
}

#[test]
fn the_fixtures_hold_every_relationship_that_events_give() {
    let mut held: Vec<String> = fixtures()
        .into_iter()
        .flat_map(|fixture| fixture.records)
        .filter(|record| record.contains_key("_fromEntityKey"))
        .map(|record| record["_type"].as_str().expect("a _type").to_owned())
        .collect();
    held.sort_unstable();
    held.dedup();
    let mut table: Vec<&str> = RELATIONSHIPS
        .iter()
        .map(|row| row.3)
        .filter(|name| *name != "one_password_vault_has_secret")
        .collect();
    table.sort_unstable();
    assert_eq!(held, table);
}
