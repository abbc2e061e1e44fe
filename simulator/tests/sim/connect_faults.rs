//! What goes wrong with Connect: each fault as a client sees it, and that a client which is careful gets there.

use opgraph_simulator::{Config, Endpoint, Fault, Faults, Rates, Script};
use serde_json::{Value, json};

use crate::{
    reader::{Reader, get, list},
    support::{Rig, config, rig, told},
};

fn small() -> Config {
    Config { events: 0, vaults: 3, items_per_vault: 40, ..config() }
}

fn error(status: u16, words: &str) -> (u16, Value) {
    (status, json!({"status": status, "message": words}))
}

#[tokio::test]
async fn a_server_that_has_just_started_refuses_the_first_request_and_fails_until_it_has_synced() {
    let faults = Faults { connect_first_unauthorized: true, connect_unsynced: 2, ..Faults::none() };
    let rig = rig(Config { faults, ..small() }).await;
    let unsynced = error(500, "failed to initiate, review service logs for details");
    assert_eq!(told(get(&rig, "/heartbeat")).await.0, 200);
    assert_eq!(told(get(&rig, "/v1/vaults")).await, error(401, "invalid bearer token"));
    assert_eq!(told(get(&rig, "/v1/vaults")).await, unsynced);
    let vault = &rig.sim.connect().vaults()[0];
    assert_eq!(told(get(&rig, &format!("/v1/vaults/{vault}/items"))).await, unsynced);
    assert_eq!(told(get(&rig, "/v1/vaults")).await.0, 200);
    assert_eq!(rig.sim.report().faults, [("5xx".to_owned(), 2), ("status".to_owned(), 1)].into());
}

#[tokio::test]
async fn a_false_403_and_a_locked_database_recover_by_themselves() {
    let rig = rig(small()).await;
    let path = format!("/v1/vaults/{}/items", rig.sim.connect().vaults()[0]);
    let forbidden = Fault::Status { code: 403, retry_after: None };
    rig.sim.script(Script::next(Endpoint::ConnectItems, forbidden).times(2));
    rig.sim.script(Script::nth(Endpoint::ConnectItems, 3, Fault::Locked));
    let refused = error(403, "Authorization: token does not have access to vault");
    assert_eq!(told(get(&rig, &path)).await, refused);
    assert_eq!(told(get(&rig, &path)).await, refused);
    assert_eq!(told(get(&rig, &path)).await, error(500, "database is locked"));
    assert_eq!(list(&rig, &path).await.len(), 40);
}

#[tokio::test]
async fn a_list_that_breaks_off_is_never_taken_for_a_whole_one() {
    let rig = rig(Config { items_per_vault: 4000, vaults: 1, ..small() }).await;
    let path = format!("/v1/vaults/{}/items", rig.sim.connect().vaults()[0]);
    told(get(&rig, "/v1/vaults")).await;
    for fault in [Fault::ResetWithin, Fault::Truncated, Fault::LostAnswer, Fault::Malformed] {
        rig.sim.script(Script::next(Endpoint::ConnectItems, fault.clone()));
        let text = match get(&rig, &path).send().await {
            Ok(response) => response.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        };
        assert!(serde_json::from_str::<Value>(&text).is_err(), "{fault:?}");
        assert_eq!(rig.sim.expectations().total(), 1, "{fault:?}: nothing but the vault was told");
    }
    assert_eq!(list(&rig, &path).await.len(), 4000);
    assert_eq!(rig.sim.expectations().total(), 8001);
    assert_eq!(rig.sim.report().connect.item_lists, 5);
}

#[tokio::test]
async fn a_reset_within_an_answer_is_a_reset_for_the_client() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let rig = rig(small()).await;
    rig.sim.script(Script::next(Endpoint::ConnectVaults, Fault::ResetWithin));
    rig.sim.script(Script::nth(Endpoint::ConnectVaults, 2, Fault::Truncated));
    let ask = async || {
        let mut stream = tokio::net::TcpStream::connect(rig.sim.address()).await.unwrap();
        let token = rig.sim.connect_token();
        let head = format!("GET /v1/vaults HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.map_err(|error| error.kind())
    };
    assert_eq!(ask().await, Err(std::io::ErrorKind::ConnectionReset));
    assert!(ask().await.is_ok_and(|bytes| bytes > 0), "cut off in good order");
}

#[tokio::test]
async fn an_empty_list_is_whole_and_wrong_and_the_oracle_does_not_believe_it() {
    let rig = rig(small()).await;
    let mut reader = Reader::default();
    reader.snapshot(&rig, false).await;
    let before = rig.sim.expectations().total();
    let path = format!("/v1/vaults/{}/items", rig.sim.connect().vaults()[0]);
    for (endpoint, path) in [(Endpoint::ConnectVaults, "/v1/vaults"), (Endpoint::ConnectItems, &path)] {
        rig.sim.script(Script::next(endpoint, Fault::EmptyList).times(2));
        assert_eq!(list(&rig, path).await.len(), 0);
        assert_eq!(list(&rig, path).await.len(), 0);
        assert_eq!(rig.sim.expectations().total(), before, "{path}");
        assert!(!list(&rig, path).await.is_empty());
    }
    assert_eq!(rig.sim.expectations().total(), before);
    assert!(rig.sim.compare(reader.graph()).is_exact());
}

#[tokio::test]
async fn the_version_header_is_old_or_missing_when_ordered() {
    let rig = rig(small()).await;
    let version = async || {
        let response = get(&rig, "/v1/vaults").send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.headers().get("1Password-Connect-Version").map(|value| value.to_str().unwrap().to_owned())
    };
    let usual = version().await;
    for ordered in [None, Some("1.2.0".to_owned())] {
        let fault = Fault::ConnectVersion { version: ordered.clone() };
        rig.sim.script(Script::next(Endpoint::ConnectVaults, fault));
        assert_eq!(version().await, ordered);
    }
    assert_eq!(version().await, usual);
}

#[tokio::test]
async fn every_fault_of_connect_can_be_ordered_over_http() {
    let rig = rig(small()).await;
    let faults = [
        json!({"kind": "locked"}),
        json!({"kind": "empty_list"}),
        json!({"kind": "reset_within"}),
        json!({"kind": "connect_version"}),
        json!({"kind": "connect_version", "version": "1.4.0"}),
    ];
    let scripts: Vec<_> =
        faults.iter().map(|fault| json!({"endpoint": "connect_vaults", "fault": fault})).collect();
    let url = format!("{}/script", rig.sim.connect_url());
    assert_eq!(told(rig.client.post(url).body(json!(scripts).to_string())).await.0, 200);
    for _ in &faults {
        let _ = get(&rig, "/v1/vaults").send().await;
    }
    let names = ["locked", "empty_list", "reset_within", "connect_version"];
    let expect = names.map(|name| (name.to_owned(), 1 + u64::from(name == "connect_version")));
    assert_eq!(rig.sim.report().faults, expect.into());
}

/// Asks `n` times for a list of items and counts the faults.
async fn faults_of(rates: Rates, n: u32) -> std::collections::BTreeMap<String, u64> {
    let faults = Faults { connect: rates, ..Faults::none() };
    let rig: Rig = rig(Config { faults, items_per_vault: 2, ..small() }).await;
    let path = format!("/v1/vaults/{}/items", rig.sim.connect().vaults()[0]);
    for _ in 0..n {
        if let Ok(response) = get(&rig, &path).send().await {
            let _ = response.bytes().await;
        }
    }
    rig.sim.report().faults
}

#[tokio::test]
async fn every_fault_of_connect_comes_by_chance_at_its_rate() {
    let none = Rates::default();
    let cases = [
        (Rates { forbidden: 300, ..none }, "status"),
        (Rates { locked: 300, ..none }, "locked"),
        (Rates { reset_within: 300, ..none }, "reset_within"),
        (Rates { empty_list: 300, ..none }, "empty_list"),
        (Rates { other_version: 300, ..none }, "connect_version"),
    ];
    for (rates, name) in cases {
        let faults = faults_of(rates, 100).await;
        let count = faults[name];
        assert!(faults.len() == 1 && (15..50).contains(&count), "{faults:?}");
    }
}
