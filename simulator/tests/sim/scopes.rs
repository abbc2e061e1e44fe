//! Ownership: what a job creates, changes, deletes, and may point at.

use opgraph_simulator::Config;
use serde_json::{Value, json};

use crate::support::{api, config, edge, entity, rig};

fn counts(job: &Value) -> [u64; 7] {
    [
        "numEntitiesCreated",
        "numEntitiesUpdated",
        "numEntitiesDeleted",
        "numRelationshipsCreated",
        "numRelationshipsUpdated",
        "numRelationshipsDeleted",
        "numRelationshipCreateErrors",
    ]
    .map(|name| job[name].as_u64().unwrap())
}

fn two_and_an_edge() -> Value {
    json!({"entities": [entity("thing:0001"), entity("thing:0002")],
           "relationships": [edge("thing:0001", "thing:0002")]})
}

#[tokio::test]
async fn diff_replaces_its_scope_and_no_other() {
    let rig = rig(config()).await;
    assert_eq!(counts(&rig.sync(api("a"), two_and_an_edge(), &[]).await), [2, 0, 0, 1, 0, 0, 0]);
    assert_eq!(counts(&rig.sync(api("b"), two_and_an_edge(), &[]).await), [2, 0, 0, 1, 0, 0, 0]);
    assert_eq!(counts(&rig.sync(api("a"), two_and_an_edge(), &[]).await), [0, 2, 0, 0, 1, 0, 0]);
    let one = json!({"entities": [entity("thing:0001"), entity("thing:0003")]});
    let job = rig.sync(api("a"), one, &[]).await;
    assert_eq!(counts(&job)[..3], [1, 1, 1]);
    let report = rig.sim.report();
    assert_eq!(report.graph.held, 2 + 3, "b is as it was, and the edge of what was deleted is gone");
    let deleted = ["thing:0002", "thing:0001|has|thing:0002"];
    assert_eq!(
        (report.jobs.deleted.count, &report.jobs.deleted.examples[..]),
        (2, &deleted.map(String::from)[..])
    );
    assert_eq!(report.graph.duplicated.count, 1, "thing:0001 is in two scopes");
}

#[tokio::test]
async fn partial_datasets_keep_their_types() {
    let rig = rig(config()).await;
    rig.sync(api("a"), two_and_an_edge(), &[]).await;
    let next = json!({"entities": [entity("thing:0003")]});
    let job = rig.sync(api("a"), next, &["thing", "thing_has_thing"]).await;
    assert_eq!(counts(&job), [1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(rig.sim.report().graph.held, 4);
    let job = rig.sync(api("a"), json!({"entities": []}), &["thing"]).await;
    assert_eq!(counts(&job), [0, 0, 0, 0, 0, 1, 0], "the relationship type was not listed");
}

#[tokio::test]
async fn a_jupiterone_that_ignores_partial_datasets_deletes() {
    let rig = rig(Config { honour_partial_datasets: false, ..config() }).await;
    rig.sync(api("a"), two_and_an_edge(), &[]).await;
    let next = json!({"entities": [entity("thing:0003")]});
    let job = rig.sync(api("a"), next, &["thing", "thing_has_thing"]).await;
    assert_eq!(counts(&job)[2], 2);
}

#[tokio::test]
async fn a_duplicate_key_spoils_the_whole_job() {
    let rig = rig(config()).await;
    let id = rig.start(api("a")).await;
    for _ in 0..2 {
        let (status, _) =
            rig.job(&format!("{id}/entities"), json!({"entities": [entity("thing:0001")]})).await;
        assert_eq!(status, 200, "the upload itself is taken");
    }
    assert_eq!(rig.look(&id).await["numEntitiesUploaded"], 2);
    rig.job(&format!("{id}/finalize"), json!({})).await;
    assert_eq!(rig.look(&id).await["status"], "ERROR_BAD_DATA");
    let report = rig.sim.report();
    assert_eq!((report.jobs.bad.count, report.graph.held, report.jobs.finished), (1, 0, 0));
    assert!(report.jobs.bad.examples[0].ends_with("thing:0001"));

    let lenient = json!({"source": "api", "scope": "a", "ignoreDuplicates": true});
    let twice = json!({"entities": [entity("thing:0001"), entity("thing:0001")]});
    assert_eq!(rig.sync(lenient, twice, &[]).await["status"], "FINISHED");
}

#[tokio::test]
async fn a_relationship_without_its_ends_is_not_created() {
    let rig = rig(config()).await;
    let upload =
        json!({"entities": [entity("thing:0001")], "relationships": [edge("thing:0001", "thing:0002")]});
    let job = rig.sync(api("a"), upload, &[]).await;
    assert_eq!((counts(&job)[6], &job["status"]), (1, &json!("FINISHED")));
    let graph = rig.sim.report().graph;
    assert_eq!((graph.held, graph.dangling.count), (1, 1));
    assert_eq!(graph.dangling.examples, ["thing:0001|has|thing:0002"]);
    rig.sync(api("a"), two_and_an_edge(), &[]).await;
    assert_eq!(rig.sim.report().graph.dangling.count, 0, "made good");
}

#[tokio::test]
async fn ends_in_another_scope_are_named() {
    let rig = rig(config()).await;
    let instance = rig.sim.integration_instance_id().to_owned();
    let there = json!({"source": "integration-external", "integrationInstanceId": instance});
    rig.sync(there, json!({"entities": [entity("thing:0002")]}), &[]).await;
    let mut across = edge("thing:0001", "thing:0002");
    let upload = |edge: &Value| json!({"entities": [entity("thing:0001")], "relationships": [edge]});
    assert_eq!(counts(&rig.sync(api("a"), upload(&across), &[]).await)[6], 1, "not found in its own scope");
    across["_toEntitySource"] = json!("integration-external");
    across["_toEntityScope"] = json!(instance);
    assert_eq!(counts(&rig.sync(api("a"), upload(&across), &[]).await)[3], 1);

    let cross = |body: Value| async {
        let id = rig.start(json!({"source": "api", "scope": "x", "syncMode": "CROSS_SCOPE"})).await;
        rig.job(&format!("{id}/upload"), body).await.0
    };
    assert_eq!(cross(json!({"entities": [entity("thing:0009")]})).await, 400);
    assert_eq!(cross(json!({"relationships": [across]})).await, 400, "only one scope is named");
    across["_fromEntityScope"] = json!("a");
    assert_eq!(cross(json!({"relationships": [across]})).await, 200);
}

#[tokio::test]
async fn patch_deletes_nothing_and_takes_no_relationships() {
    let rig = rig(config()).await;
    rig.sync(api("a"), two_and_an_edge(), &[]).await;
    let patch = json!({"source": "api", "scope": "a", "syncMode": "PATCH"});
    let job = rig.sync(patch.clone(), json!({"entities": [entity("thing:0003")]}), &[]).await;
    assert_eq!(counts(&job), [1, 0, 0, 0, 0, 0, 0]);
    let id = rig.start(patch).await;
    let (status, answer) = rig.job(&format!("{id}/upload"), two_and_an_edge()).await;
    assert!(status == 400 && answer["error"]["message"].as_str().unwrap().contains("PATCH"));
}

#[tokio::test]
async fn deleting_an_entity_deletes_its_relationships_in_every_scope() {
    let rig = rig(config()).await;
    rig.sync(api("a"), json!({"entities": [entity("thing:0002")]}), &[]).await;
    let mut across = edge("thing:0001", "thing:0002");
    across["_toEntitySource"] = json!("api");
    across["_toEntityScope"] = json!("a");
    rig.sync(api("b"), json!({"entities": [entity("thing:0001")], "relationships": [across]}), &[]).await;
    assert_eq!(rig.sim.report().graph.held, 3);
    rig.sync(api("a"), json!({"entities": []}), &[]).await;
    assert_eq!(rig.sim.report().graph.held, 1);
}
