//! What goes wrong, on order and by chance.

use opgraph_simulator::{Config, Endpoint, Fault, Faults, Limits, Script, Simulator, Stream};
use serde_json::{Value, json};

use crate::support::{api, config, entity, rig, told};

#[tokio::test]
async fn page_faults_come_when_ordered_and_leave_nothing_served() {
    let rig = rig(config()).await;
    let first = json!({"limit": 10, "start_time": "2020-01-01T00:00:00Z"});
    let request = || rig.page_request("itemusages", rig.sim.events_token(), first.to_string());
    let order = |fault| rig.sim.script(Script::next(Endpoint::Itemusages, fault));

    order(Fault::Status { code: 503, retry_after: None });
    assert_eq!(told(request()).await.0, 503);
    order(Fault::Status { code: 429, retry_after: Some(3) });
    let response = request().send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (429, &"3".parse().unwrap())
    );
    order(Fault::Reset);
    assert!(request().send().await.is_err());
    order(Fault::LostAnswer);
    assert!(request().send().await.is_err());
    order(Fault::Truncated);
    let response = request().send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.text().await.is_err(), "the body ends before its length");
    order(Fault::Malformed);
    let (status, body) = told(request()).await;
    assert!(status == 200 && body.is_string(), "no JSON");
    let report = rig.sim.report();
    assert_eq!((report.served(), report.limits.excess), (0, 0));
    assert_eq!(report.faults.values().sum::<u64>(), 6);
    order(Fault::Slow { ms: 1 });
    assert_eq!(told(request()).await.0, 200);
    assert!(rig.sim.report().served() > 0);
}

#[tokio::test]
async fn a_refused_cursor_waits_for_a_request_with_one() {
    let rig = rig(config()).await;
    rig.sim.script(Script::next(Endpoint::Itemusages, Fault::RefusedCursor));
    let (status, page) = rig.page("itemusages", json!({"limit": 10})).await;
    assert_eq!(status, 200);
    let body = json!({"cursor": page["cursor"]});
    assert_eq!(rig.page("itemusages", body.clone()).await.0, 400);
    assert_eq!(rig.page("itemusages", body).await.0, 200);
}

#[tokio::test]
async fn a_token_is_revoked_and_restored_on_order() {
    let rig = rig(config()).await;
    rig.sim.script(Script::nth(Endpoint::Auditevents, 2, Fault::RevokeToken));
    rig.sim.script(Script::nth(Endpoint::Auditevents, 4, Fault::RestoreToken));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(rig.page("auditevents", json!({})).await.0);
    }
    assert_eq!(statuses, [200, 401, 401, 200]);
}

#[tokio::test]
async fn a_lost_answer_is_lost_after_the_fact_and_a_reset_before() {
    let rig = rig(config()).await;
    let id = rig.start(api("s")).await;
    let body = json!({"entities": [entity("thing:0001")]});
    let upload = || rig.job_request(&format!("{id}/entities"), Some(&body)).send();
    rig.sim.script(Script::next(Endpoint::Entities, Fault::Reset));
    assert!(upload().await.is_err());
    assert_eq!(rig.look(&id).await["numEntitiesUploaded"], 0);
    rig.sim.script(Script::next(Endpoint::Entities, Fault::LostAnswer));
    assert!(upload().await.is_err());
    assert_eq!(rig.look(&id).await["numEntitiesUploaded"], 1);
    rig.sim.script(Script::next(Endpoint::Finalize, Fault::LostAnswer));
    assert!(rig.job_request(&format!("{id}/finalize"), Some(&json!({}))).send().await.is_err());
    let (status, answer) = rig.job(&format!("{id}/finalize"), json!({})).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("JOB_NOT_AWAITING_UPLOADS")));
    assert_eq!(rig.look(&id).await["status"], "FINISHED");
}

#[tokio::test]
async fn a_job_whose_start_was_lost_is_open_unknown_and_in_nobodys_way() {
    let rig = rig(config()).await;
    let instance = rig.sim.integration_instance_id();
    let body = json!({"source": "integration-external", "integrationInstanceId": instance});
    rig.sim.script(Script::next(Endpoint::Start, Fault::LostAnswer));
    assert!(rig.job_request("", Some(&body)).send().await.is_err());
    rig.start(body).await;
    let jobs = rig.sim.report().jobs;
    assert_eq!((jobs.open.count, jobs.open_unknown, jobs.concurrent_jobs), (2, 1, 0));
}

#[tokio::test]
async fn a_swallowed_upload_is_told_by_the_counters() {
    let rig = rig(config()).await;
    let id = rig.start(api("s")).await;
    rig.sim.script(Script::next(Endpoint::Upload, Fault::Swallow));
    let (status, answer) =
        rig.job(&format!("{id}/upload"), json!({"entities": [entity("thing:0001")]})).await;
    assert_eq!((status, &answer["job"]["numEntitiesUploaded"]), (200, &json!(0)));
}

#[tokio::test]
async fn faults_are_ordered_over_http_too() {
    let rig = rig(config()).await;
    let url = format!("{}/script", rig.sim.events_url());
    let order = |body: Value| told(rig.client.post(&url).body(body.to_string()));
    let script =
        json!({"endpoint": "introspect", "nth": 2, "fault": {"kind": "status", "code": 500}, "times": 2});
    assert_eq!(order(script.clone()).await.0, 200);
    assert_eq!(order(json!([script])).await.0, 200);
    assert_eq!(order(json!({"endpoint": "elsewhere"})).await.0, 400);
    let mut statuses = Vec::new();
    for _ in 0..6 {
        let url = format!("{}/api/v2/auth/introspect", rig.sim.events_url());
        statuses.push(told(rig.client.get(url).bearer_auth(rig.sim.events_token())).await.0);
    }
    assert_eq!(statuses, [200, 500, 500, 500, 500, 200]);
}

#[tokio::test]
async fn chance_is_the_same_in_every_run_and_a_stubborn_client_reads_everything() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let limits = Limits { per_minute: 10_000, per_hour: 30_000 };
        let faults = Faults { slow_ms: 1, ..Faults::rough() };
        let rig = rig(Config { faults, limits, ..config() }).await;
        let mut body = json!({"limit": 5, "start_time": "2020-01-01T00:00:00Z"});
        let mut outcomes = String::new();
        loop {
            let request = rig.page_request("itemusages", rig.sim.events_token(), body.to_string());
            let Ok(response) = request.send().await else {
                outcomes.push('x');
                continue;
            };
            let status = response.status().as_u16();
            let text = response.text().await.unwrap_or_default();
            match serde_json::from_str::<Value>(&text) {
                Ok(page) if status == 200 => {
                    outcomes.push('.');
                    if page["has_more"] == false {
                        break;
                    }
                    body = json!({"cursor": page["cursor"]});
                }
                _ => outcomes.push(if status == 200 { 'b' } else { 'e' }),
            }
        }
        let report = rig.sim.report();
        assert_eq!(report.streams[&Stream::ItemUsages].served, 1100);
        assert_eq!(report.limits.excess, 0);
        assert!(report.faults.len() >= 5, "{:?}", report.faults);
        runs.push((outcomes, report.faults));
    }
    assert_eq!(runs[0], runs[1]);
    assert!(['x', 'b', 'e'].iter().all(|outcome| runs[0].0.contains(*outcome)), "{}", runs[0].0);
}

#[tokio::test]
async fn settings_out_of_range_are_refused() {
    let bad = [
        Config { users: 1, ..config() },
        Config { page_cap: 0, ..config() },
        Config { poison: 2.0, ..config() },
        Config { rate: -1.0, ..config() },
        Config { listen: "0.0.0.0:0".parse().unwrap(), ..config() },
    ];
    for config in bad {
        assert!(Simulator::start(config).await.is_err());
    }
}

#[tokio::test]
async fn a_stopped_simulator_answers_no_more() {
    let rig = rig(config()).await;
    let url = format!("{}/report", rig.sim.events_url());
    assert_eq!(told(rig.client.get(&url)).await.0, 200);
    rig.sim.stop().await;
    assert!(rig.client.get(&url).send().await.is_err());
}
