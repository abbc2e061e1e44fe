//! What an upload may hold.

use serde_json::{Value, json};

use crate::support::{api, config, edge, entity, rig};

/// Changes one property of a record.
fn with(mut record: Value, name: &str, value: Value) -> Value {
    record[name] = value;
    record
}

fn without(mut record: Value, name: &str) -> Value {
    record.as_object_mut().unwrap().remove(name);
    record
}

fn user() -> Value {
    json!({
        "_key": "person:0001", "_type": "person_type", "_class": ["User"], "name": "Ada", "displayName": "Ada",
        "firstName": "Ada", "lastName": null, "email": ["ada@example.com"], "username": null, "shortLoginId": [],
    })
}

#[tokio::test]
async fn records_that_follow_the_rules_are_accepted() {
    let rig = rig(config()).await;
    let id = rig.start(api("s")).await;
    let base = || entity("thing:0001");
    let good = [
        base(),
        user(),
        with(base(), "tag.AccountName", json!("acme")),
        with(base(), "actorUUID", json!(null)),
        with(base(), "labels", json!(["a", "b"])),
        with(base(), "numbers", json!([1, 2.5])),
        with(base(), "empty", json!([])),
        with(base(), "createdOn", json!(1_704_164_645_000_i64)),
        with(base(), "_class", json!("Record")),
        with(base(), "_rawData", json!([{"name": "default", "rawData": {"snake_case": {"deep": []}}}])),
        with(user(), "email", json!(null)),
        json!({"_key": "thing:0001", "_type": "odd", "_class": ["Gadget"]}),
    ];
    for record in good {
        let (status, answer) = rig.job(&format!("{id}/entities"), json!({"entities": [record]})).await;
        assert_eq!(status, 200, "{record} {answer}");
    }
    let good = [
        edge("thing:0001", "thing:0002"),
        with(edge("thing:0001", "thing:0002"), "weight", json!(7)),
        without(edge("thing:0001", "thing:0002"), "displayName"),
    ];
    for record in good {
        let (status, answer) =
            rig.job(&format!("{id}/relationships"), json!({"relationships": [record]})).await;
        assert_eq!(status, 200, "{record} {answer}");
    }
}

#[tokio::test]
async fn entities_against_the_rules_are_refused_with_key_and_rule() {
    let rig = rig(config()).await;
    let id = rig.start(api("s")).await;
    let base = || entity("thing:0001");
    let bad = [
        (with(base(), "actor_uuid", json!("x")), "actor_uuid"),
        (with(base(), "_custom", json!("x")), "_custom"),
        (with(base(), "_source", json!("api")), "_source"),
        (with(base(), "client", json!({"ip": "x"})), "nested object"),
        (with(base(), "list", json!([{"a": 1}])), "arrays or objects"),
        (with(base(), "list", json!(["a", 1])), "mixed"),
        (with(base(), "list", json!(["a", null])), "mixed"),
        (with(base(), "createdOn", json!("2026-01-01T00:00:00Z")), "createdOn"),
        (with(base(), "updatedOn", json!(null)), "updatedOn"),
        (with(base(), "description", json!(7)), "description"),
        (with(base(), "public", json!("yes")), "public"),
        (with(base(), "_rawData", json!("text")), "_rawData"),
        (with(base(), "_key", json!("short")), "10 characters"),
        (with(base(), "_key", json!(1_234_567_890)), "_key"),
        (with(base(), "_type", json!("t")), "_type"),
        (with(base(), "_class", json!([])), "_class"),
        (without(base(), "_class"), "_class"),
        (without(base(), "_key"), "_key"),
        (without(base(), "name"), "name is missing"),
        (without(base(), "displayName"), "displayName is missing"),
        (with(base(), "name", json!(null)), "name is not a string"),
        (without(user(), "shortLoginId"), "shortLoginId is missing"),
        (without(user(), "firstName"), "firstName is missing"),
        (with(user(), "email", json!("ada@example.com")), "email"),
        (with(user(), "email", json!(["nobody"])), "email"),
        (with(user(), "username", json!("ada")), "username"),
        (with(user(), "username", json!(["ada", "ada"])), "username"),
        (with(user(), "lastName", json!(7)), "lastName"),
    ];
    let count = bad.len() as u64;
    for (record, rule) in bad {
        let body = json!({"entities": [entity("thing:0009"), record]});
        let (status, answer) = rig.job(&format!("{id}/entities"), body).await;
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(status == 400 && message.contains(rule), "{record}: {answer}");
        assert!(record["_key"].as_str().is_none_or(|key| message.starts_with(key)), "{message}");
    }
    assert_eq!(rig.look(&id).await["numEntitiesUploaded"], 0, "a refused upload leaves nothing");
    assert_eq!(rig.sim.report().received.refused.count, count);
}

#[tokio::test]
async fn relationships_against_the_rules_are_refused() {
    let rig = rig(config()).await;
    let id = rig.start(api("s")).await;
    let base = || edge("thing:0001", "thing:0002");
    let bad = [
        (with(base(), "labels", json!(["a"])), "array or object"),
        (with(base(), "labels", json!({"a": 1})), "array or object"),
        (with(base(), "from_where", json!("a")), "from_where"),
        (with(base(), "_class", json!("performed")), "verb"),
        (with(base(), "_class", json!(["HAS"])), "_class"),
        (without(base(), "_toEntityKey"), "end is missing"),
        (without(base(), "_type"), "_type"),
        (with(base(), "_rawData", json!([])), "_rawData"),
        (with(base(), "_fromEntitySource", json!("api")), "source and no scope"),
    ];
    for (record, rule) in bad {
        let (status, answer) =
            rig.job(&format!("{id}/relationships"), json!({"relationships": [record]})).await;
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(status == 400 && message.contains(rule), "{record}: {answer}");
    }
}

#[tokio::test]
async fn bodies_of_another_shape_are_refused() {
    let rig = rig(config()).await;
    let id = rig.start(api("s")).await;
    let cases = [
        ("entities", json!({"entities": {"_key": "thing:0001"}}), "ENTITY_IS_NOT_ARRAY"),
        ("entities", json!({"entities": ["thing:0001"]}), "INVALID_BODY"),
        ("entities", json!({"relationships": []}), "INVALID_BODY"),
        ("entities", json!([]), "INVALID_BODY"),
        ("relationships", json!({"entities": []}), "INVALID_BODY"),
        ("upload", json!({}), "INVALID_BODY"),
        ("upload", json!({"deleteEntities": [{"_id": "x"}]}), "INVALID_BODY"),
    ];
    for (call, body, code) in cases {
        let (status, answer) = rig.job(&format!("{id}/{call}"), body.clone()).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(code)), "{call} {body}");
    }
}
