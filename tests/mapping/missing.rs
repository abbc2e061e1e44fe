//! Every field missing in turn: what is left is still a whole record. JupiterOne's own schemas judge the same records
//! in `.ci/npm`, for which they are written to the file that `OPGRAPH_RECORDS_OUT` names.

use std::{collections::BTreeSet, fs, path::Path};

use opgraph::{
    graph::Records,
    source::connect::{Item, Labels, Vault, records},
    stream::{Mapping, Stream},
};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use serde_json::{Value, json};

use super::{arbitrary, map};

/// Pages of events that nobody would send.
const PAGES: usize = 60;

/// What a value is with one of its members, at any depth, missing, null, or empty.
fn without_one(value: &Value) -> Vec<Value> {
    let Value::Object(members) = value else { return Vec::new() };
    let mut variants = Vec::new();
    for (name, member) in members {
        let mut missing = members.clone();
        missing.remove(name);
        variants.push(Value::Object(missing));
        let empty = if member.is_array() { json!([]) } else { json!("") };
        let others =
            [Value::Null].into_iter().chain((member.is_string() || member.is_array()).then_some(empty));
        for other in others.chain(without_one(member)) {
            let mut changed = members.clone();
            changed.insert(name.clone(), other);
            variants.push(Value::Object(changed));
        }
    }
    variants
}

/// An event of the stream with every field, from the fixtures.
fn whole_event(stream: Stream) -> Value {
    let file = match stream {
        Stream::SignInAttempts => "signin_every_property.json",
        Stream::ItemUsages => "usage_every_property.json",
        Stream::AuditEvents => "audit_every_property.json",
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mapping").join(file);
    let mut fixture: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    fixture["items"][0].take()
}

fn whole_vault() -> Value {
    json!({
        "id": "v5kq7wz5rnm2tvh4jylpd6cgaa", "name": "Harbour", "description": "boats", "attributeVersion": 3,
        "contentVersion": 9, "items": 4, "type": "USER_CREATED", "createdAt": "2024-02-29T12:00:00Z",
        "updatedAt": "2025-01-02T03:04:05.678Z",
    })
}

fn whole_item() -> Value {
    json!({
        "id": "i5kq7wz5rnm2tvh4jylpd6cgaa", "title": "Crane", "category": "LOGIN", "favorite": true,
        "tags": ["yard", "yard", "Öl"], "version": 12, "createdAt": "2024-02-29T12:00:00Z",
        "updatedAt": "2025-01-02T03:04:05.678Z", "lastEditedBy": "USER7QWZ5RNM2TVH4JYLPD6CGA",
    })
}

/// Every record of everything that is tried, and how many events, vaults and items that is.
fn tried() -> (Vec<Value>, usize) {
    let (mut found, mut count) = (Vec::new(), 0);
    let mut take = |records: &Records| {
        let values = records.iter().map(|record| serde_json::from_str::<Value>(record.json).unwrap());
        found.extend(values);
        count += 1;
    };
    for (raw_data, account_name) in [(true, Some("fjord".to_owned())), (false, None)] {
        let mapping = Mapping { raw_data, account_name: account_name.clone() };
        for stream in Stream::ALL {
            let whole = whole_event(*stream);
            assert_eq!(map(*stream, &[whole.to_string()], &mapping).rejected.len(), 0);
            for event in std::iter::once(whole.clone()).chain(without_one(&whole)) {
                let mapped = map(*stream, &[event.to_string()], &mapping);
                let has_id = event["uuid"].as_str().is_some_and(|uuid| !uuid.is_empty());
                assert_eq!(mapped.rejected.is_empty(), has_id, "only the uuid is needed: {event}");
                take(&mapped.records);
            }
        }
        let (vault, item) = (whole_vault(), whole_item());
        let labels = Labels { sections: vec!["Keys".to_owned(); 2], files: vec!["plan.pdf".to_owned()] };
        let read = |value: &Value| serde_json::from_value::<Vault>(value.clone());
        let whole = read(&vault).unwrap();
        for vault in std::iter::once(vault.clone()).chain(without_one(&vault)) {
            let Ok(vault) = read(&vault) else { continue };
            let mut of = Records::default();
            records::vault(&mut of, &vault, account_name.as_deref());
            let item = serde_json::from_value(item.clone()).unwrap();
            records::secret(&mut of, &vault, &item, Some(&labels), account_name.as_deref());
            take(&of);
        }
        for item in std::iter::once(item.clone()).chain(without_one(&item)) {
            let Ok(item) = serde_json::from_value::<Item>(item) else { continue };
            let mut of = Records::default();
            records::secret(&mut of, &whole, &item, None, account_name.as_deref());
            take(&of);
        }
    }
    let mut runner = TestRunner::deterministic();
    for _ in 0..PAGES {
        let (stream, events) = arbitrary::events(40).new_tree(&mut runner).unwrap().current();
        take(&map(stream, &events, &Mapping { raw_data: true, account_name: None }).records);
    }
    (found, count)
}

#[test]
fn whatever_field_is_missing_every_entity_has_what_its_class_demands() {
    let (found, count) = tried();
    assert!(count > 500, "{count} were tried");
    let mut types = BTreeSet::new();
    for record in &found {
        types.insert(record["_type"].as_str().unwrap());
        let filled = |name: &str| record[name].as_str().is_some_and(|text| !text.is_empty());
        assert!(filled("displayName") && filled("_key"), "{record}");
        let Some(class) = record["_class"][0].as_str() else { continue };
        assert!(filled("name"), "{record}");
        if class == "User" {
            for name in ["email", "username", "shortLoginId", "firstName", "lastName"] {
                assert!(record.get(name).is_some(), "`{name}` is not in {record}");
            }
        }
    }
    assert_eq!(types.len(), 18, "all types are among them");
    if let Some(path) = std::env::var_os("OPGRAPH_RECORDS_OUT") {
        let lines: String = found.iter().map(|record| format!("{record}\n")).collect();
        fs::write(path, lines).unwrap();
    }
}
