//! No token is shown by a process that lets itself be looked at: page, JSON, metrics, socket, log, state.

use std::fs;

use opgraph_simulator::{Config, Endpoint, Fault, Script, Simulator};

use super::leaks::{Canaries, echo, loud};
use crate::{
    admin::Shown,
    support::program::{Place, ended},
};

#[tokio::test(flavor = "multi_thread")]
async fn no_token_is_on_the_page_in_the_metrics_or_over_the_socket() {
    let simulator =
        Simulator::start(Config { events: 200, page_cap: 20, ..Config::default() }).await.unwrap();
    for fault in [Fault::Status { code: 503, retry_after: None }, Fault::Reset, Fault::Truncated] {
        simulator.script(Script::next(Endpoint::Auditevents, fault.clone()));
        simulator.script(Script::next(Endpoint::Entities, fault));
    }
    let place = Place::of(&simulator);
    place.write_token("connect", &simulator.connect_token());
    let wrong = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmVkLWJ5LWEtY2FuYXJ5";
    let admin = "a-canary-of-the-admin-token";
    place.write_token("wrong", wrong);
    place.write_token("admin", admin);
    let connect_token = simulator.connect_token();
    let canaries =
        Canaries::of(&[simulator.events_token(), simulator.jupiterone_token(), &connect_token, wrong, admin]);
    let token_files = ["admin", "connect", "events", "jupiterone", "wrong"].map(|name| place.path(name));
    assert_eq!(canaries.files(place.dir.path()), token_files, "the sweep finds what is there to be found");

    // One tenant that works, and others to whom their own token is said back in every way.
    let tenant = |name: &str, url: &str, token: &str, more: &str| {
        format!(
            "[[tenant]]\nname = \"{name}\"\n[tenant.events]\nbase_url = \"{url}\"\n\
             token = {{ file = \"{token}\" }}\n[tenant.graph]\npath = \"{name}.db\"\n{more}"
        )
    };
    let jupiterone = |url: &str| {
        format!(
            "[tenant.jupiterone]\nbase_url = \"{url}\"\naccount = \"{}\"\nupload_age = \"1s\"\n\
             token = {{ file = \"jupiterone\" }}\nintegration_instance_id = \"{}\"\n",
            simulator.jupiterone_account(),
            simulator.integration_instance_id(),
        )
    };
    let connect =
        |url: &str| format!("[tenant.connect]\nbase_url = \"{url}\"\ntoken = {{ file = \"connect\" }}\n");
    let events = simulator.events_url();
    let mut text =
        "state_dir = \"state\"\n[admin]\nlisten = \"127.0.0.1:1\"\ntoken = { file = \"admin\" }\n".to_owned();
    text += &tenant(
        "fine",
        &events,
        "events",
        &(jupiterone(&simulator.jupiterone_url()) + &connect(&simulator.connect_url())),
    );
    text += &tenant("refused", &events, "wrong", "");
    for (name, status) in
        [("asks", "400 Bad Request"), ("denies", "401 Unauthorized"), ("fails", "500 Oh No")]
    {
        text += &tenant(name, &echo(status).await, "wrong", "");
        let url = echo(status).await;
        // No two tenants may share a place in JupiterOne.
        let elsewhere = jupiterone(&url).replace("instance_id = \"", &format!("instance_id = \"{name}"));
        text += &tenant(&format!("{name}-there"), &events, "events", &(elsewhere + &connect(&url)));
    }
    fs::write(place.path("opgraph.toml"), text).unwrap();
    let mut run = place.program();
    run.args(["run", "--config", "opgraph.toml", "--json"]);
    let shown = Shown::start(loud(run), place.path("log")).await;

    let bearer = format!("authorization: Bearer {admin}\r\n");
    let mut outputs = Vec::new();
    // Until every tenant has met what it is to meet.
    for _ in 0..100 {
        let status = shown.get("/api/status", &bearer).await.2;
        let trouble = status.matches("HTTP 4").count() + status.matches("HTTP 5").count();
        let met =
            ["asks", "denies", "fails", "refused"].iter().all(|name| status.contains(&format!("\"{name}\"")));
        let failed = status.matches("request failed").count();
        if met && trouble >= 8 && failed > 3 && status.contains("\"caught up\"") {
            outputs.push(("the JSON", status));
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(
        outputs.len(),
        1,
        "the tenants met their troubles: {}",
        shown.get("/api/status", &bearer).await.2
    );
    // At every level, in every task: a request that failed says whose it was.
    let status: serde_json::Value = serde_json::from_str(&outputs[0].1).unwrap();
    let failed = status["warnings"].as_array().unwrap().iter();
    let failed: Vec<_> =
        failed.filter(|it| it["text"].as_str().unwrap().starts_with("request failed")).collect();
    assert!(failed.len() > 3 && failed.iter().all(|it| it["tenant"].is_string()), "{failed:#?}");
    for (of, path, headers) in [
        ("the page", "/", bearer.clone()),
        ("its parts", "/api/status", format!("accept: text/html\r\n{bearer}")),
        ("the metrics", "/metrics", bearer.clone()),
        ("health", "/healthz", String::new()),
        ("readiness", "/readyz", String::new()),
        ("a refusal", "/", "authorization: Bearer wrong\r\n".to_owned()),
        ("what is not there", "/token", bearer.clone()),
    ] {
        let (_, head, body) = shown.get(path, &headers).await;
        outputs.push((of, format!("{head}\n{body}")));
    }
    let answered =
        |of: &str, word: &str| outputs.iter().any(|(name, text)| *name == of && text.contains(word));
    assert!(answered("the page", "needs you") || answered("the page", "need you"));
    assert!(answered("the metrics", "opgraph_remedies_total"));
    assert!(answered("a refusal", "401"));
    for args in [vec!["status"], vec!["status", "--json"]] {
        let mut status = loud(place.program());
        status.args(args).arg("--state-dir").arg(place.path("state"));
        let ended = ended(status).await;
        assert!(ended.code == Some(0) && ended.stdout.contains("running"), "{}", ended.stderr);
        outputs.push(("the status", ended.stdout));
        outputs.push(("its log", ended.stderr));
    }
    let log = fs::read_to_string(&shown.log).unwrap();
    assert!(log.contains("TRACE"), "the loudest level");
    outputs.push(("the log", log));
    drop(shown);
    for (of, text) in &outputs {
        canaries.are_not_in(text, of);
    }
    assert_eq!(canaries.files(place.dir.path()), token_files);
}
