//! Connect over HTTP: scopes, filters, errors, headers, faults.

use opgraph_simulator::{Config, Endpoint, Fault, Faults, Limits, Script};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::support::{Rig, Told, config, rig, told};

/// An id that no vault and no item has.
const NOBODY: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaa";

fn get(rig: &Rig, path: &str) -> RequestBuilder {
    rig.client.get(format!("{}{path}", rig.sim.connect_url())).bearer_auth(rig.sim.connect_token())
}

async fn list(rig: &Rig, path: &str) -> Vec<Value> {
    let (status, answer) = told(get(rig, path)).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer.as_array().unwrap().clone()
}

async fn filtered(rig: &Rig, path: &str, filter: &str) -> Told {
    let encoded: String = filter.bytes().map(|byte| format!("%{byte:02X}")).collect();
    told(get(rig, &format!("{path}?filter={encoded}"))).await
}

fn error(status: u16, message: impl Into<String>) -> Told {
    (status, json!({"status": status, "message": message.into()}))
}

fn id(value: &Value) -> &str {
    value["id"].as_str().unwrap()
}

#[tokio::test]
async fn vaults_and_items_are_listed_whole_and_one_by_one() {
    let rig = rig(Config { vaults: 4, items_per_vault: 1500, ..config() }).await;
    let vaults = list(&rig, "/v1/vaults").await;
    assert_eq!(vaults.len(), 4);
    for vault in &vaults {
        let path = format!("/v1/vaults/{}", id(vault));
        assert_eq!(told(get(&rig, &path)).await, (200, vault.clone()));
        let items = list(&rig, &format!("{path}/items")).await;
        assert_eq!(vault["items"], items.len(), "one answer, whatever it holds");
        for item in &items {
            assert_eq!(id(&item["vault"]), id(vault));
            let is_summary =
                ["sections", "fields", "files", "state"].iter().all(|name| item.get(name).is_none());
            assert!(is_summary, "{item}");
        }
        if let Some(item) = items.first() {
            let (status, full) = told(get(&rig, &format!("{path}/items/{}", id(item)))).await;
            assert_eq!((status, &full["version"], &full["title"]), (200, &item["version"], &item["title"]));
        }
    }
    assert!(vaults.iter().any(|vault| vault["items"] == 0), "an empty vault is listed too");
}

#[tokio::test]
async fn a_token_that_is_missing_foreign_or_of_the_events_api_is_401() {
    let rig = rig(config()).await;
    let url = format!("{}/v1/vaults", rig.sim.connect_url());
    let refused = error(401, "invalid bearer token");
    assert_eq!(told(rig.client.get(&url)).await, refused);
    let token = rig.sim.connect_token();
    assert_eq!(token.split('.').count(), 3);
    for token in ["secret", rig.sim.events_token(), &token[..token.len() - 3]] {
        assert_eq!(told(rig.client.get(&url).bearer_auth(token)).await, refused);
    }
    rig.sim.revoke_tokens(true);
    assert_eq!(told(rig.client.get(&url).bearer_auth(&token)).await.0, 200, "revoking is the Events API's");
    rig.sim.revoke_tokens(false);
    assert_eq!(told(rig.page_request("itemusages", &token, "{}".to_owned())).await.0, 401);
}

#[tokio::test]
async fn a_vault_out_of_scope_is_403_and_not_listed() {
    let rig = rig(config()).await;
    let vaults = list(&rig, "/v1/vaults").await;
    let (mine, other) = (id(&vaults[0]), id(&vaults[1]));
    let item = id(&list(&rig, &format!("/v1/vaults/{other}/items")).await[0]).to_owned();
    let token = rig.sim.connect_token_for(&[mine]);
    let status = async |path: String| {
        told(rig.client.get(format!("{}{path}", rig.sim.connect_url())).bearer_auth(&token)).await
    };
    assert_eq!(status("/v1/vaults".to_owned()).await, (200, json!([vaults[0]])));
    assert_eq!(status(format!("/v1/vaults/{mine}/items")).await.0, 200);
    for path in ["", "/items", &format!("/items/{item}")] {
        let refused = error(403, format!("vault {other} is not in scope"));
        assert_eq!(status(format!("/v1/vaults/{other}{path}")).await, refused);
    }
    let nothing = rig.sim.connect_token_for(&[]);
    let url = format!("{}/v1/vaults", rig.sim.connect_url());
    assert_eq!(told(rig.client.get(url).bearer_auth(nothing)).await, (200, json!([])));
}

#[tokio::test]
async fn what_is_not_there_is_404_and_what_is_no_id_400() {
    let rig = rig(config()).await;
    let vaults = list(&rig, "/v1/vaults").await;
    let (vault, other) = (id(&vaults[0]), id(&vaults[1]));
    let elsewhere = id(&list(&rig, &format!("/v1/vaults/{other}/items")).await[0]).to_owned();
    let upper = vault.to_ascii_uppercase();
    let no_vault = || error(404, format!("vault {NOBODY} not found"));
    let cases = [
        (format!("/v1/vaults/{NOBODY}"), no_vault()),
        (format!("/v1/vaults/{NOBODY}/items"), no_vault()),
        (format!("/v1/vaults/{NOBODY}/items/{NOBODY}"), no_vault()),
        (format!("/v1/vaults/{vault}/items/{NOBODY}"), error(404, format!("item {NOBODY} not found"))),
        (format!("/v1/vaults/{vault}/items/{elsewhere}"), error(404, format!("item {elsewhere} not found"))),
        (format!("/v1/vaults/{upper}"), error(400, "Invalid Vault UUID")),
        (format!("/v1/vaults/{vault}x/items"), error(400, "Invalid Vault UUID")),
        ("/v1/vaults//items".to_owned(), error(400, "Invalid Vault UUID")),
        (format!("/v1/vaults/{vault}/items/%61{}", &elsewhere[1..]), error(400, "Invalid Item UUID")),
        (format!("/v1/vaults/{vault}/items/{elsewhere}/files"), error(404, "not found")),
        ("/v1/activity".to_owned(), error(404, "not found")),
    ];
    for (path, expect) in cases {
        assert_eq!(told(get(&rig, &path)).await, expect, "{path}");
    }
    let post = rig.client.post(format!("{}/v1/vaults/{vault}/items", rig.sim.connect_url()));
    assert_eq!(told(post.bearer_auth(rig.sim.connect_token()).body("{}")).await.0, 405);
}

#[tokio::test]
async fn filters_are_by_name_and_by_title_and_others_are_400() {
    let rig = rig(config()).await;
    let vaults = list(&rig, "/v1/vaults").await;
    let items_path = format!("/v1/vaults/{}/items", id(&vaults[0]));
    let items = list(&rig, &items_path).await;
    for (path, all, attribute, key) in
        [("/v1/vaults", &vaults, "name", "name"), (items_path.as_str(), &items, "title", "title")]
    {
        let mut asked = 0;
        for wanted in all.iter().filter_map(|one| one[key].as_str()).filter(|text| text.len() < 100) {
            let filter = format!("{attribute} eq {}", json!(wanted));
            let answer = filtered(&rig, path, &filter).await;
            if wanted.contains('\'') {
                assert_eq!(answer, error(400, "Invalid filter"));
                continue;
            }
            let expect: Vec<_> = all.iter().filter(|one| one[key] == wanted).cloned().collect();
            assert_eq!(answer, (200, Value::Array(expect)), "{filter}");
            asked += 1;
        }
        assert!(asked > 10);
        let nobody = filtered(&rig, path, &format!("{attribute} eq \"nobody\"")).await;
        assert_eq!(nobody, (200, json!([])));
        for filter in ["", "tag eq \"a\"", "name co \"a\"", "title eq a", "id eq \"a\""] {
            assert_eq!(filtered(&rig, path, filter).await, error(400, "Invalid filter"), "{filter}");
        }
    }
    assert_eq!(filtered(&rig, "/v1/vaults", "title eq \"a\"").await.0, 400);
    assert_eq!(filtered(&rig, &items_path, "name eq \"a\"").await.0, 400);
}

#[tokio::test]
async fn heartbeat_and_health_need_no_token_and_health_tells_of_one() {
    let rig = rig(config()).await;
    let base = rig.sim.connect_url();
    assert_eq!(rig.client.get(format!("{base}/heartbeat")).send().await.unwrap().text().await.unwrap(), ".");
    let sync = async |request: RequestBuilder| {
        let (status, health) = told(request).await;
        assert_eq!((status, &health["name"]), (200, &json!("1Password Connect API")));
        assert!(health["version"].is_string());
        health["dependencies"][0].clone()
    };
    let plain = || rig.client.get(format!("{base}/health"));
    assert_eq!(sync(plain()).await, json!({"service": "sync", "status": "TOKEN_NEEDED"}));
    assert_eq!(sync(get(&rig, "/health")).await["status"], "ACTIVE");
    assert_eq!(sync(plain()).await["status"], "ACTIVE");
}

#[tokio::test]
async fn every_answer_of_connect_tells_its_version_and_no_other_does() {
    let rig = rig(config()).await;
    let version = async |request: RequestBuilder| {
        let response = request.send().await.unwrap();
        response.headers().get("1Password-Connect-Version").map(|value| value.to_str().unwrap().to_owned())
    };
    let health = told(get(&rig, "/health")).await.1;
    let expect = health["version"].as_str().map(str::to_owned);
    let paths = ["/v1/vaults", "/v1/vaults/x", "/v1/vaults?filter=", "/v1/other", "/heartbeat", "/health"];
    for path in paths {
        assert_eq!(version(get(&rig, path)).await, expect, "{path}");
        assert_eq!(
            version(rig.client.get(format!("{}{path}", rig.sim.connect_url()))).await,
            expect,
            "{path}"
        );
    }
    let order = |fault| rig.sim.script(Script::next(Endpoint::ConnectVaults, fault));
    order(Fault::Status { code: 403, retry_after: None });
    assert_eq!(version(get(&rig, "/v1/vaults")).await, expect);
    order(Fault::Status { code: 502, retry_after: None });
    assert_eq!(version(get(&rig, "/v1/vaults")).await, None, "a proxy's answer");
    assert_eq!(version(rig.page_request("itemusages", rig.sim.events_token(), "{}".to_owned())).await, None);
}

#[tokio::test]
async fn connect_faults_come_when_ordered_and_requests_are_counted_in_no_window() {
    let rig = rig(Config { limits: Limits { per_minute: 1, per_hour: 1 }, vaults: 1, ..config() }).await;
    let vault = id(&list(&rig, "/v1/vaults").await[0]).to_owned();
    let item = id(&list(&rig, &format!("/v1/vaults/{vault}/items")).await[0]).to_owned();
    let paths = [
        (Endpoint::ConnectVaults, format!("/v1/vaults/{vault}")),
        (Endpoint::ConnectItems, format!("/v1/vaults/{vault}/items")),
        (Endpoint::ConnectItem, format!("/v1/vaults/{vault}/items/{item}")),
    ];
    for (endpoint, path) in &paths {
        let order = |fault| rig.sim.script(Script::next(*endpoint, fault));
        let send = || get(&rig, path).send();
        order(Fault::Status { code: 500, retry_after: None });
        let (status, answer) = told(get(&rig, path)).await;
        assert!(status == 500 && answer["status"] == 500 && answer["message"].is_string(), "{answer}");
        order(Fault::Status { code: 403, retry_after: None });
        assert_eq!(told(get(&rig, path)).await.1["status"], 403);
        order(Fault::Status { code: 503, retry_after: Some(3) });
        let response = send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (503, &"3".parse().unwrap())
        );
        assert!(response.text().await.unwrap().starts_with("<html>"));
        order(Fault::Reset);
        assert!(send().await.is_err());
        order(Fault::LostAnswer);
        assert!(send().await.is_err());
        order(Fault::Truncated);
        assert!(send().await.unwrap().text().await.is_err(), "the body ends before its length");
        order(Fault::Malformed);
        let (status, body) = told(get(&rig, path)).await;
        assert!(status == 200 && body.is_string(), "no JSON");
        order(Fault::Slow { ms: 1 });
        assert_eq!(told(get(&rig, path)).await.0, 200);
    }
    told(get(&rig, "/heartbeat")).await;
    let report = rig.sim.report();
    let requests = [9, 9, 8];
    assert_eq!(
        report.requests,
        paths.iter().zip(requests).map(|((endpoint, _), n)| (*endpoint, n)).collect()
    );
    assert_eq!(report.faults.values().sum::<u64>(), 24);
    assert_eq!((report.limits.requests, report.limits.excess), (0, 0));
    let names: Vec<String> =
        report.requests.keys().map(|endpoint| json!(endpoint).as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["connect_vaults", "connect_items", "connect_item"]);
}

#[tokio::test]
async fn chance_spoils_connect_too_and_a_stubborn_client_reads_everything() {
    let faults = Faults { slow_ms: 1, ..Faults::rough() };
    let rig = rig(Config { faults, vaults: 3, items_per_vault: 100, ..config() }).await;
    let read = async |path: String, holds: u64| {
        loop {
            let Ok(response) = get(&rig, &path).send().await else { continue };
            let good = response.status() == 200;
            let text = response.text().await.unwrap_or_default();
            match serde_json::from_str::<Value>(&text) {
                // An empty list is believed only where nothing is.
                Ok(answer) if good && (holds == 0 || answer != json!([])) => return answer,
                _ => {}
            }
        }
    };
    let mut full = 0;
    for vault in read("/v1/vaults".to_owned(), 1).await.as_array().unwrap() {
        let path = format!("/v1/vaults/{}/items", id(vault));
        for item in read(path.clone(), vault["items"].as_u64().unwrap()).await.as_array().unwrap() {
            full += u32::from(read(format!("{path}/{}", id(item)), 1).await["id"] == item["id"]);
        }
    }
    assert_eq!(full, 200);
    let faults = rig.sim.report().faults;
    assert!(faults.len() >= 3 && !faults.contains_key("429"), "{faults:?}");
}

#[tokio::test]
async fn connect_tells_canaries_in_full_items_only() {
    let rig = rig(Config { vaults: 2, ..config() }).await;
    let canaries = rig.sim.secret_canaries();
    let holds = |text: &Value| canaries.iter().any(|canary| text.to_string().contains(canary));
    let vaults = list(&rig, "/v1/vaults").await;
    let path = format!("/v1/vaults/{}/items", id(&vaults[0]));
    let items = list(&rig, &path).await;
    assert!(!holds(&json!(vaults)) && !holds(&json!(items)));
    let mut found = 0;
    for item in &items {
        found += u32::from(holds(&told(get(&rig, &format!("{path}/{}", id(item)))).await.1));
    }
    assert!(found > 20, "{found}");
}

#[tokio::test]
async fn vaults_out_of_range_are_refused() {
    for bad in [Config { vaults: 0, ..config() }, Config { vaults: 1001, ..config() }] {
        assert!(opgraph_simulator::Simulator::start(bad).await.is_err());
    }
}
