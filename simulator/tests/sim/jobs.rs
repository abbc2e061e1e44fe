//! Sync jobs: starting, states, bodies, headers, counters.

use std::{io::Write, time::Duration};

use flate2::{Compression, write::GzEncoder};
use opgraph_simulator::{Config, Endpoint, Fault, Finalize, Script};
use serde_json::{Value, json};

use crate::support::{Rig, api, config, edge, entity, rig, told};

#[tokio::test]
async fn a_start_is_checked() {
    let rig = rig(config()).await;
    let instance = rig.sim.integration_instance_id();
    let good = [
        json!({"source": "api", "scope": "s"}),
        json!({"source": "api", "scope": "s", "syncMode": "DIFF"}),
        json!({"source": "api", "scope": "s", "syncMode": "CROSS_SCOPE"}),
        json!({"source": "api", "syncMode": "PATCH"}),
        json!({"source": "integration-managed", "integrationInstanceId": instance}),
    ];
    for body in good {
        rig.start(body).await;
    }
    let bad = [
        json!({}),
        json!([]),
        json!({"source": "api"}),
        json!({"source": "somewhere", "scope": "s"}),
        json!({"source": "integration-external"}),
        json!({"source": "integration-external", "integrationInstanceId": instance, "scope": "s"}),
        json!({"source": "api", "scope": "s", "integrationInstanceId": instance}),
        json!({"source": "api", "scope": "s", "syncMode": "CREATE_OR_UPDATE"}),
        json!({"source": "api", "scope": "s", "syncMode": "OVERRIDE"}),
        json!({"source": "api", "scope": "s", "syncMode": "MERGE"}),
        json!({"source": "api", "scope": "s", "name": "x"}),
    ];
    for body in bad {
        let (status, answer) = rig.job("", body.clone()).await;
        assert_eq!(status, 400, "{body}");
        assert!(answer["error"]["code"].is_string() && answer["error"]["message"].is_string());
    }
    let other = json!({"source": "integration-external", "integrationInstanceId": "5465397d"});
    let (_, answer) = rig.job("", other).await;
    assert_eq!(answer["error"]["code"], "SYNC_JOB_INVALID_INTEGRATION_INSTANCE");
}

#[tokio::test]
async fn every_call_needs_key_account_and_content_type() {
    let rig = rig(config()).await;
    let url = format!("{}/persister/synchronization/jobs", rig.sim.jupiterone_url());
    let (key, account) = (rig.sim.jupiterone_token(), rig.sim.jupiterone_account());
    let post = || rig.client.post(&url).body(api("s").to_string());
    let json = "application/json";
    let cases = [
        (post().header("JupiterOne-Account", account).header("content-type", json), 401),
        (post().bearer_auth("x").header("JupiterOne-Account", account).header("content-type", json), 401),
        (post().bearer_auth(key).header("content-type", json), 403),
        (post().bearer_auth(key).header("JupiterOne-Account", "x").header("content-type", json), 403),
        (post().bearer_auth(key).header("JupiterOne-Account", account), 415),
        (
            post().bearer_auth(key).header("JupiterOne-Account", account).header("content-type", "text/csv"),
            415,
        ),
        (
            post()
                .bearer_auth(key)
                .header("JupiterOne-Account", account)
                .header("content-type", "application/json; charset=utf-8"),
            200,
        ),
    ];
    for (request, expect) in cases {
        assert_eq!(told(request).await.0, expect);
    }
}

/// The shapes that JupiterOne's own SDK sends, in our words.
async fn upload_like_the_sdk(rig: &Rig, id: &str) -> Value {
    let raw = json!([{"name": "default", "rawData": {"uuid": "u1", "nested": {"deep": [1, {"a": null}]}}}]);
    let entities = json!({"entities": [
        {"_key": "one_password_vault:v1", "_type": "one_password_vault", "_class": ["Vault"], "id": "v1",
         "name": "Ops", "displayName": "Ops", "createdOn": 1_704_164_645_000_i64, "_rawData": raw},
        {"_key": "one_password_item_usage_user:u1", "_type": "one_password_item_usage_user", "_class": ["User"],
         "id": "u1", "name": "Ada", "displayName": "Ada", "email": ["ada@example.com"], "username": ["ada"],
         "shortLoginId": ["ada"], "firstName": "Ada", "lastName": null, "isActive": true, "_rawData": raw},
        {"_key": "one_password_item_usage_event:e1", "_type": "one_password_item_usage_event",
         "_class": "Record", "id": "e1", "name": "fill", "displayName": "fill", "_rawData": raw},
    ]});
    let (status, answer) = rig.job(&format!("{id}/entities"), entities).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["job"]["numEntitiesUploaded"], 3);
    let relationships = json!({"relationships": [
        {"_key": "one_password_item_usage_user:u1|performed|one_password_item_usage_event:e1",
         "_type": "one_password_item_usage_user_performed_event", "_class": "PERFORMED",
         "_fromEntityKey": "one_password_item_usage_user:u1",
         "_toEntityKey": "one_password_item_usage_event:e1", "displayName": "PERFORMED"},
        {"_key": "one_password_item_usage_user:u1|is|ada@example.com", "_type": "one_password_user_is_person",
         "_class": "IS", "displayName": "IS", "_mapping": {"relationshipDirection": "FORWARD",
         "sourceEntityKey": "one_password_item_usage_user:u1", "targetFilterKeys": [["_class", "email"]],
         "targetEntity": {"_class": "Person", "email": "ada@example.com"}, "skipTargetCreation": true}},
    ]});
    let (status, answer) = rig.job(&format!("{id}/relationships"), relationships).await;
    assert_eq!(status, 200, "{answer}");
    answer["job"].clone()
}

#[tokio::test]
async fn what_the_sdk_sends_is_accepted_and_counted() {
    let rig = rig(config()).await;
    let instance = rig.sim.integration_instance_id();
    let id = rig.start(json!({"source": "integration-managed", "integrationInstanceId": instance})).await;
    let note = json!({"events": [{"name": "step_start", "description": "Starting"}]});
    let (status, answer) = rig.job(&format!("{id}/events"), note).await;
    assert_eq!((status, &answer["events"][0]["name"]), (200, &json!("step_start")));
    assert!(answer["events"][0]["id"].is_string() && answer["events"][0]["createDate"].is_number());
    let job = upload_like_the_sdk(&rig, &id).await;
    assert_eq!((&job["numEntitiesUploaded"], &job["numRelationshipsUploaded"]), (&json!(3), &json!(2)));
    assert_eq!(job["integrationInstanceId"], instance);
    assert!(job["integrationJobId"].is_string());
    let types = json!({"partialDatasets": {"types": ["one_password_vault"]}});
    let (_, answer) = rig.job(&format!("{id}/finalize"), types).await;
    assert_eq!(answer["job"]["status"], "FINALIZE_PENDING");
    let job = rig.look(&id).await;
    assert_eq!((&job["status"], &job["done"]), (&json!("FINISHED"), &json!(true)));
    assert_eq!((&job["numEntitiesCreated"], &job["numRelationshipsCreated"]), (&json!(3), &json!(1)));
    let report = rig.sim.report();
    assert_eq!((report.received.mapped_relationships, report.graph.held), (1, 4));
    assert!(report.received.refused.count == 0 && report.jobs.finished == 1);
}

#[tokio::test]
async fn events_of_a_job_are_taken_as_the_sdk_sends_them_and_shown() {
    let rig = rig(config()).await;
    let instance = rig.sim.integration_instance_id();
    let id = rig.start(json!({"source": "integration-external", "integrationInstanceId": instance})).await;
    let event = |name: &str, description: &str| json!({"name": name, "description": description});
    let two = json!({"events": [event("step_start", "Starting"), event("step_end", "Done.")]});
    let (status, answer) = rig.job(&format!("{id}/events"), two).await;
    assert_eq!((status, answer["events"].as_array().unwrap().len()), (200, 2));
    let refused = [
        json!({}),
        json!({"events": []}),
        json!({"events": event("step_start", "Starting")}),
        json!({"events": [event("Step start", "Starting")]}),
        json!({"events": [event("", "Starting")]}),
        json!({"events": [event("step_start", " ")]}),
        json!({"events": [{"name": "step_start"}]}),
        json!({"events": [{"name": "step_start", "description": "Starting", "level": "info"}]}),
        json!({"events": [event("step_start", &"x".repeat(4097))]}),
        json!({"events": [event("step_start", "Starting")], "more": 1}),
    ];
    for body in &refused {
        let (status, answer) = rig.job(&format!("{id}/events"), body.clone()).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!("INVALID_BODY")), "{body}");
    }
    let one = json!({"events": [event("step_start", "Starting")]});
    assert_eq!(rig.job("unknown/events", one.clone()).await.0, 404);
    // Nobody could see those of a job that no integration has.
    let alone = rig.start(api("s")).await;
    assert_eq!(rig.job(&format!("{alone}/events"), one).await.0, 400);
    let seen: Vec<_> = rig.sim.jobs().into_iter().map(|job| job.events).collect();
    let told: Vec<_> = seen[0].iter().map(|event| (&*event.name, &*event.description)).collect();
    assert_eq!(told, [("step_start", "Starting"), ("step_end", "Done.")]);
    assert!(seen[1].is_empty());
    assert_eq!(rig.sim.report().received.refused.count, refused.len() as u64 + 1);
}

#[tokio::test]
async fn finalizing_takes_time_and_entities_come_first() {
    let rig = rig(Config { finalize: Finalize::Polls(2), ..config() }).await;
    let id = rig.start(api("s")).await;
    let upload = json!({"entities": [entity("thing:0001"), entity("thing:0002")],
                        "relationships": [edge("thing:0001", "thing:0002")]});
    rig.job(&format!("{id}/upload"), upload).await;
    rig.job(&format!("{id}/finalize"), json!({})).await;
    let mut seen = Vec::new();
    for _ in 0..6 {
        let job = rig.look(&id).await;
        let created = (job["numEntitiesCreated"].clone(), job["numRelationshipsCreated"].clone());
        seen.push((job["status"].as_str().unwrap().to_owned(), created));
    }
    let at =
        |status: &str, entities, relationships| (status.to_owned(), (json!(entities), json!(relationships)));
    let expect = [
        at("FINALIZE_PENDING", 0, 0),
        at("FINALIZING_ENTITIES", 0, 0),
        at("FINALIZING_ENTITIES", 0, 0),
        at("FINALIZING_RELATIONSHIPS", 2, 0),
        at("FINALIZING_RELATIONSHIPS", 2, 0),
        at("FINISHED", 2, 1),
    ];
    assert_eq!(seen, expect);
}

#[tokio::test]
async fn finalizing_by_the_clock_goes_through_every_state() {
    let rig = rig(Config { finalize: Finalize::After(Duration::from_millis(30)), ..config() }).await;
    let id = rig.start(api("s")).await;
    rig.job(&format!("{id}/entities"), json!({"entities": [entity("thing:0001")]})).await;
    rig.job(&format!("{id}/finalize"), json!({})).await;
    let mut last = String::new();
    while last != "FINISHED" {
        last = rig.look(&id).await["status"].as_str().unwrap().to_owned();
        assert!(last.starts_with("FINALIZ") || last == "FINISHED");
    }
    assert_eq!(rig.sim.report().graph.held, 1);
}

#[tokio::test]
async fn a_job_that_is_not_awaiting_uploads_says_so() {
    let rig = rig(config()).await;
    let id = rig.start(api("s")).await;
    assert_eq!(rig.job(&format!("{id}/finalize"), json!({})).await.0, 200);
    for call in ["entities", "relationships", "upload", "finalize", "abort"] {
        let (status, answer) = rig.job(&format!("{id}/{call}"), json!({"entities": []})).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!("JOB_NOT_AWAITING_UPLOADS")), "{call}");
    }
    assert_eq!(rig.job("nowhere/finalize", json!({})).await.0, 404);
}

#[tokio::test]
async fn a_job_closed_by_the_server_takes_no_more() {
    let rig = rig(config()).await;
    let id = rig.start(api("s")).await;
    rig.sim.script(Script::next(Endpoint::Entities, Fault::CloseJob));
    let (status, answer) =
        rig.job(&format!("{id}/entities"), json!({"entities": [entity("thing:0001")]})).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("JOB_NOT_AWAITING_UPLOADS")));
    let report = rig.sim.report();
    assert_eq!((report.jobs.closed, report.jobs.open.count, report.graph.held), (1, 0, 0));
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_after_gunzip_too() {
    let rig = rig(Config { body_limit: 10_000, ..config() }).await;
    let id = rig.start(api("s")).await;
    let mut big = entity("thing:0001");
    big["text"] = json!("x".repeat(10_000));
    let body = json!({"entities": [big]});
    let (status, answer) = rig.job(&format!("{id}/entities"), body.clone()).await;
    assert_eq!((status, &answer["error"]["code"]), (413, &json!("RequestEntityTooLargeException")));
    let zipped = gzip(&body.to_string());
    assert!(zipped.len() < 1000);
    let request = rig.job_request(&format!("{id}/entities"), Some(&body));
    assert_eq!(told(request.header("content-encoding", "gzip").body(zipped)).await.0, 413);
    let report = rig.sim.report();
    assert_eq!((report.received.too_large, report.received.uploads), (2, 0));
}

#[tokio::test]
async fn gzip_bodies_are_unpacked_and_others_refused() {
    let rig = rig(config()).await;
    let id = rig.start(api("s")).await;
    let body = json!({"entities": [entity("thing:0001")]});
    let send = |encoding: &'static str, bytes: Vec<u8>| {
        let request = rig.job_request(&format!("{id}/entities"), Some(&body));
        told(request.header("content-encoding", encoding).body(bytes))
    };
    assert_eq!(send("gzip", gzip(&body.to_string())).await.0, 200);
    assert_eq!(send("gzip", b"no gzip".to_vec()).await.0, 415);
    assert_eq!(send("br", b"no gzip".to_vec()).await.0, 415);
    assert_eq!(rig.look(&id).await["numEntitiesUploaded"], 1);
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn open_jobs_and_concurrent_ones_are_shown() {
    let rig = rig(config()).await;
    let first = rig.start_instance().await;
    let report = rig.sim.report();
    assert_eq!((report.jobs.open.count, report.jobs.concurrent_jobs), (1, 0));
    assert!(report.jobs.open.examples[0].starts_with(&first));
    rig.start_instance().await;
    let reason = json!({"reason": "test", "terminalStatus": "ABORTED"});
    let (status, answer) = rig.job(&format!("{first}/abort"), reason).await;
    assert_eq!((status, &answer["job"]["status"]), (200, &json!("ABORTED")));
    rig.start(api("a")).await;
    rig.start(api("a")).await;
    let report = rig.sim.report();
    assert_eq!((report.jobs.open.count, report.jobs.concurrent_jobs), (3, 1));
    assert_eq!((report.jobs.started, report.jobs.aborted), (4, 1));
}
