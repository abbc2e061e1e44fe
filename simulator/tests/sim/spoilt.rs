//! Answers that are none, connections that end, jobs that end by themselves.

use std::time::Duration;

use opgraph_simulator::{Config, Endpoint, Fault, Finalize, JobEnd, Script};
use serde_json::{Value, json};

use crate::support::{Rig, api, config, entity, rig, told};

async fn upload(rig: &Rig, id: &str) -> Result<reqwest::Response, reqwest::Error> {
    let body = json!({"entities": [entity("thing:0001")]});
    rig.job_request(&format!("{id}/entities"), Some(&body)).send().await
}

async fn uploaded(rig: &Rig, id: &str) -> Value {
    rig.look(id).await["numEntitiesUploaded"].clone()
}

#[tokio::test]
async fn an_answer_on_order_comes_before_or_after_the_fact() {
    let rig = rig(config()).await;
    for (done, counted) in [(false, 0), (true, 1)] {
        let id = rig.start(api("s")).await;
        let headers = vec![("retry-after".to_owned(), "soon".to_owned())];
        let body = "you said {authorization}".to_owned();
        rig.sim.script(Script::next(Endpoint::Entities, Fault::Instead { done, code: 418, headers, body }));
        let answer = upload(&rig, &id).await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["retry-after"]),
            (418, &"soon".parse().unwrap())
        );
        let said = format!("you said Bearer {}", rig.sim.jupiterone_token());
        assert_eq!(answer.text().await.unwrap(), said);
        assert_eq!(uploaded(&rig, &id).await, counted);
    }
}

#[tokio::test]
async fn a_connection_is_closed_before_or_after_the_fact() {
    let rig = rig(config()).await;
    for (done, counted) in [(false, 0), (true, 1)] {
        let id = rig.start(api("s")).await;
        rig.sim.script(Script::next(Endpoint::Entities, Fault::Close { done }));
        assert!(upload(&rig, &id).await.is_err());
        assert_eq!(uploaded(&rig, &id).await, counted);
    }
}

#[tokio::test]
async fn a_late_answer_and_a_trickling_one_come_after_the_fact() {
    let rig = rig(config()).await;
    for (fault, counted) in [(Fault::Slow { ms: 60_000 }, 0), (Fault::Late { ms: 60_000 }, 1)] {
        let id = rig.start(api("s")).await;
        rig.sim.script(Script::next(Endpoint::Entities, fault));
        let answer = tokio::time::timeout(Duration::from_millis(200), upload(&rig, &id)).await;
        assert!(answer.is_err(), "nobody waits so long");
        assert_eq!(uploaded(&rig, &id).await, counted);
    }
    let id = rig.start(api("s")).await;
    rig.sim.script(Script::next(Endpoint::Entities, Fault::Trickle { ms: 1 }));
    let mut answer = upload(&rig, &id).await.unwrap();
    let (mut pieces, mut text) = (0, Vec::new());
    while let Some(piece) = answer.chunk().await.unwrap() {
        pieces += 1;
        text.extend_from_slice(&piece);
    }
    let job: Value = serde_json::from_slice(&text).unwrap();
    assert!(pieces > 50 && job["job"]["numEntitiesUploaded"] == 1, "{pieces} pieces");
}

#[tokio::test]
async fn a_job_whose_start_nobody_was_told_of_is_unknown() {
    let done = [
        Fault::Close { done: true },
        Fault::Instead { done: true, code: 504, headers: Vec::new(), body: String::new() },
        Fault::Trickle { ms: 1 },
    ];
    for fault in done {
        let rig = rig(config()).await;
        rig.sim.script(Script::next(Endpoint::Start, fault));
        let _ = rig.job_request("", Some(&api("s"))).send().await;
        let jobs = rig.sim.report().jobs;
        assert_eq!((jobs.open.count, jobs.open_unknown, jobs.open_with_records), (1, 1, 0));
    }
}

#[tokio::test]
async fn a_job_ends_by_itself_in_any_state_and_persists_no_more() {
    let rig = rig(Config { finalize: Finalize::Polls(1), ..config() }).await;
    let ends = [
        (JobEnd::Aborted, "ABORTED"),
        (JobEnd::AbortedDueToInvalidConfiguration, "ABORTED_DUE_TO_INVALID_CONFIGURATION"),
        (JobEnd::ErrorBadData, "ERROR_BAD_DATA"),
        (JobEnd::ErrorUnexpectedFailure, "ERROR_UNEXPECTED_FAILURE"),
    ];
    for (state, name) in ends {
        for finalized in [false, true] {
            let id = rig.start(api("s")).await;
            upload(&rig, &id).await.unwrap();
            if finalized {
                assert_eq!(rig.job(&format!("{id}/finalize"), json!({})).await.0, 200);
            }
            rig.sim.script(Script::next(Endpoint::Status, Fault::EndJob { state }));
            assert_eq!(rig.look(&id).await["status"], name);
            let (status, answer) = rig.job(&format!("{id}/finalize"), json!({})).await;
            assert_eq!((status, &answer["error"]["code"]), (400, &json!("JOB_NOT_AWAITING_UPLOADS")));
            assert_eq!(rig.sim.jobs().last().unwrap().state, name);
        }
    }
    rig.sim.settle();
    let report = rig.sim.report();
    assert_eq!((report.graph.held, report.jobs.finalizing, report.jobs.closed), (0, 0, 8));
}

#[tokio::test]
async fn a_forgotten_job_is_unknown_from_then_on() {
    let rig = rig(config()).await;
    let id = rig.start(api("s")).await;
    rig.sim.script(Script::next(Endpoint::Entities, Fault::ForgetJob));
    assert_eq!(upload(&rig, &id).await.unwrap().status(), 404);
    assert_eq!(told(rig.job_request(&id, None)).await.0, 404);
    assert!(rig.sim.jobs().is_empty());
}

#[tokio::test]
async fn an_outage_is_over_when_the_simulator_is_told_so() {
    let rig = rig(config()).await;
    rig.sim.script(Script::next(Endpoint::Start, Fault::Reset).times(u64::MAX));
    assert!(rig.job_request("", Some(&api("s"))).send().await.is_err());
    rig.sim.calm();
    rig.start(api("s")).await;
}

#[tokio::test]
async fn two_writers_of_one_scope_are_counted_once_the_first_holds_records() {
    let rig = rig(Config { finalize: Finalize::Polls(1), ..config() }).await;
    let overlapping = || rig.sim.report().jobs.overlapping_jobs;
    let id = rig.start(api("s")).await;
    rig.start(api("s")).await;
    assert_eq!(overlapping(), 0, "an empty job is in nobody's way");
    upload(&rig, &id).await.unwrap();
    assert_eq!(rig.sim.report().jobs.open_with_records, 1);
    rig.start(api("other")).await;
    assert_eq!(overlapping(), 0);
    rig.start(api("s")).await;
    assert_eq!(overlapping(), 1);
    rig.job(&format!("{id}/finalize"), json!({})).await;
    rig.start(api("s")).await;
    assert_eq!(overlapping(), 2);
    for _ in 0..3 {
        rig.look(&id).await;
    }
    rig.start(api("s")).await;
    assert_eq!(overlapping(), 2);
}
