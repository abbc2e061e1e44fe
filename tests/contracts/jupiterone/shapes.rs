//! The requests, member by member.

use std::collections::BTreeSet;

use opgraph::{graph::RecordType, sink::jupiterone::canary};
use serde_json::{Value, json};

use super::{
    INSTANCE, Rig, audit,
    fake::{Fault, On, refusal},
    instance, page, scope, sign_ins,
};
use opgraph::{http::Halt, http::Remedy, stream::Stream};

fn keys(records: &Value) -> BTreeSet<&str> {
    records.as_array().unwrap().iter().map(|record| record["_key"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_instance_job_is_started_filled_and_finalized_as_jupiterone_expects() {
    let rig = Rig::new(instance()).await;
    let run = rig.start().await.unwrap();
    let ack = run.upload([audit("0", "1", &["e1", "e2"]), sign_ins("0", "1", &["i1"])]).await.unwrap();
    assert_eq!(ack.steps().len(), 2);
    run.commit(ack).await;
    assert_eq!(rig.unsettled().await, Vec::<String>::new(), "the commit settles the job's note");

    let calls = rig.fake.world().calls.clone();
    for call in &calls {
        assert_eq!(call.headers["authorization"], "Bearer a-token");
        assert_eq!(call.headers["jupiterone-account"], "an-account");
        assert_eq!(call.headers.contains_key("content-type"), call.on != On::Status);
    }
    let start = &rig.fake.calls(On::Start)[0];
    assert_eq!(start.body, json!({ "source": "integration-external", "integrationInstanceId": INSTANCE }));

    let [entities] = &rig.fake.calls(On::Entities)[..] else { panic!("one body") };
    assert_eq!(entities.body.as_object().unwrap().len(), 1);
    assert_eq!(
        keys(&entities.body["entities"]),
        BTreeSet::from([
            "one_password_audit_event:e1",
            "one_password_audit_event:e2",
            "one_password_audit_event_actor_details:u1",
            "one_password_signin_attempt_event:i1",
            "one_password_signin_attempt_target_user:s1",
        ]),
    );
    assert_eq!(entities.body["entities"].as_array().unwrap().len(), 5, "keys are unique within a job");
    let [relationships] = &rig.fake.calls(On::Relationships)[..] else { panic!("one body") };
    assert_eq!(relationships.body["relationships"].as_array().unwrap().len(), 3);
    let one = &relationships.body["relationships"][0];
    assert!(one.get("_fromEntityScope").is_none(), "all ends are in the instance");

    let ids = [entities, relationships].map(|call| call.headers["jupiterone-correlation-id"].clone());
    assert!(ids[0] != ids[1] && ids.iter().all(|id| id.len() == 36));
    assert!(!start.headers.contains_key("jupiterone-correlation-id"));

    let [finalize] = &rig.fake.calls(On::Finalize)[..] else { panic!("finalized once") };
    let types: Vec<&str> = RecordType::all().map(RecordType::name).collect();
    assert_eq!(finalize.body, json!({ "partialDatasets": { "types": types } }));
    assert_eq!(types.len(), 18);
    assert_eq!((rig.meter.jobs.get(), rig.meter.requests.get()), (1, calls.len() as u64));
}

#[tokio::test]
async fn a_compressed_body_arrives_as_the_same_body() {
    let mut rig = Rig::new(instance()).await;
    rig.settings.gzip = true;
    let _ = rig.upload_one().await.unwrap();
    let [entities] = &rig.fake.calls(On::Entities)[..] else { panic!("one body") };
    assert_eq!(entities.headers["content-encoding"], "gzip");
    assert_eq!(entities.body["entities"][0]["_key"], "one_password_audit_event:e1");
}

#[tokio::test]
async fn nothing_to_send_opens_no_job_and_is_acknowledged() {
    for plan in [instance(), scope()] {
        let rig = Rig::new(plan).await;
        let run = rig.start().await.unwrap();
        let empty = page(Stream::AuditEvents, "0", "1", &[], |_, _| ());
        let ack = run.upload([empty]).await.unwrap();
        assert_eq!(ack.steps().next().unwrap().advance.to(), &super::token("1"));
        assert!(rig.fake.world().calls.is_empty());
    }
}

#[tokio::test]
async fn a_scope_job_names_its_scope_and_nothing_else() {
    let rig = Rig::new(scope()).await;
    let _ = rig.upload_one().await.unwrap();
    let starts = rig.fake.calls(On::Start);
    assert_eq!(starts.len(), 2, "the event and the actor");
    for start in starts {
        let name = start.body["scope"].as_str().unwrap();
        assert!(name.starts_with("1p/acme/events/auditevents/") || name.starts_with("1p/acme/directory/"));
        assert_eq!(start.body, json!({ "source": "api", "scope": name }));
    }
}

#[tokio::test]
async fn a_canary_passes_where_partial_datasets_hold_and_stops_where_they_do_not() {
    for (plan, left_behind) in [(instance(), 2), (scope(), 0)] {
        let rig = Rig::new(plan).await;
        let settings = std::sync::Arc::new(rig.settings.clone());
        canary(rig.client(), settings.clone()).await.unwrap();
        let held: usize = rig.fake.world().graph.values().map(|scope| scope.len()).sum();
        assert_eq!(held, left_behind);

        rig.fake.world().forgets_partial = true;
        let error = canary(rig.client(), settings).await.unwrap_err();
        assert!(matches!(error.remedy, Remedy::Halt(Halt::Guard { .. })), "{error:?}");
    }
    let rig = Rig::new(instance()).await;
    rig.fake.fault(On::Start, Fault::Refuse(refusal(403, "FORBIDDEN")));
    let error = canary(rig.client(), std::sync::Arc::new(rig.settings.clone())).await.unwrap_err();
    assert!(matches!(error.remedy, Remedy::Halt(Halt::Credentials { .. })));
}
