//! Tokens, features, limits, errors.

use std::time::Duration;

use opgraph_simulator::{Config, Limits, Stream};
use serde_json::{Value, json};

use crate::support::{STREAMS, config, rig, told};

#[tokio::test]
async fn introspection_tells_account_and_features() {
    let rig = rig(Config { features: vec![Stream::ItemUsages], ..config() }).await;
    let url = format!("{}/api/v2/auth/introspect", rig.sim.events_url());
    let (status, answer) = told(rig.client.get(&url).bearer_auth(rig.sim.events_token())).await;
    assert_eq!(status, 200);
    assert_eq!(answer["account_uuid"], rig.sim.account_uuid());
    assert_eq!(answer["features"], json!(["itemusages"]));
    assert!(answer["issued_at"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    assert_eq!(answer["uuid"].as_str().unwrap().len(), 26);
}

#[tokio::test]
async fn a_missing_feature_is_401_and_the_others_work() {
    let rig = rig(config()).await;
    for has in STREAMS {
        let token = rig.sim.token_with_features(&[has]);
        for stream in STREAMS {
            let (status, _) = told(rig.page_request(stream, &token, "{}".to_owned())).await;
            assert_eq!(status, if stream == has { 200 } else { 401 }, "{has} {stream}");
        }
    }
}

#[tokio::test]
async fn a_token_that_is_missing_foreign_revoked_or_cut_off_is_refused() {
    let rig = rig(config()).await;
    let status = async |token: &str| told(rig.page_request("itemusages", token, "{}".to_owned())).await;
    assert_eq!(status("something").await.0, 401);
    assert_eq!(status("").await.0, 401);
    let token = rig.sim.events_token();
    assert_eq!(status(&token[..token.len() - 5]).await, (404, json!("404 page not found")));
    rig.sim.revoke_tokens(true);
    assert_eq!(status(token).await.0, 401);
    rig.sim.revoke_tokens(false);
    assert_eq!(status(token).await.0, 200);
}

#[tokio::test]
async fn whoever_knew_an_earlier_simulator_at_the_same_address_is_refused() {
    let earlier = rig(config()).await;
    let (token, key) = (earlier.sim.events_token().to_owned(), earlier.sim.jupiterone_token().to_owned());
    let (address, account) = (earlier.sim.address(), earlier.sim.jupiterone_account().to_owned());
    earlier.sim.stop().await;

    // The same story under the same seed; only who may tell it is another.
    let rig = rig(Config { listen: address, ..config() }).await;
    assert_eq!(rig.sim.jupiterone_account(), account);
    let asked = told(rig.page_request("itemusages", &token, "{}".to_owned())).await;
    assert_eq!(asked.0, 401);
    let body = json!({"source": "api", "scope": "old"});
    let url = format!("{}/persister/synchronization/jobs", rig.sim.jupiterone_url());
    let start = rig.client.post(url).bearer_auth(&key).header("JupiterOne-Account", account);
    assert_eq!(told(start.header("content-type", "application/json").body(body.to_string())).await.0, 401);
    assert_eq!(rig.sim.report().served() + rig.sim.report().jobs.started, 0);
}

#[tokio::test]
async fn a_token_runs_out() {
    let rig = rig(Config { token_lifetime: Some(Duration::ZERO), ..config() }).await;
    assert_eq!(rig.page("itemusages", json!({})).await.0, 401);
}

#[tokio::test]
async fn both_limits_hold_over_all_calls_and_excess_is_recorded() {
    let limits = Limits { per_minute: 5, per_hour: 30 };
    let rig = rig(Config { limits, ..config() }).await;
    let mut statuses = Vec::new();
    let mut waits = Vec::new();
    for n in 0..9 {
        let stream = STREAMS[n % 3];
        let response =
            rig.page_request(stream, rig.sim.events_token(), "{}".to_owned()).send().await.unwrap();
        statuses.push(response.status().as_u16());
        waits.push(response.headers().get("retry-after").is_some());
    }
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429, 429, 429]);
    assert!(waits[5..].contains(&true) && waits[5..].contains(&false), "with and without Retry-After");
    let report = rig.sim.report();
    assert_eq!((report.limits.requests, report.limits.excess, report.limits.largest_minute), (9, 4, 6));
    assert!(!report.is_exact());
}

#[tokio::test]
async fn errors_come_in_three_shapes() {
    let rig = rig(config()).await;
    let mut shapes = [0; 3];
    for _ in 0..30 {
        match rig.page("itemusages", json!({"limit": 0})).await.1 {
            Value::String(_) => shapes[2] += 1,
            answer if answer["Error"]["Message"].is_string() => shapes[0] += 1,
            answer if answer["status"] == 400 && answer["message"].is_string() => shapes[1] += 1,
            other => panic!("{other}"),
        }
    }
    assert!(shapes.iter().all(|count| *count > 0), "{shapes:?}");
}

#[tokio::test]
async fn unknown_paths_are_plain_text_and_methods_are_checked() {
    let rig = rig(config()).await;
    let base = rig.sim.events_url();
    let unknown = told(rig.client.post(format!("{base}/api/v1/itemusages"))).await;
    assert_eq!(unknown, (404, json!("404 page not found")));
    assert_eq!(told(rig.client.get(format!("{base}/api/v2/itemusages"))).await.0, 405);
}
