//! What is made of Connect's answers, the wrong ones above all.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use opgraph::{
    http::{Failure, Halt, Patience, Remedy},
    source::{
        Lister,
        connect::{Connect, ConnectSettings, Item},
    },
    telemetry::Meter,
};
use opgraph_simulator::{Config, Endpoint, Fault, Faults, Script, Simulator};

use crate::support::logs::Log;

/// Real pauses, as short as they may be: the faults are real answers.
const PATIENCE: Patience = Patience {
    first: Duration::from_millis(2),
    longest: Duration::from_millis(10),
    give_up_after: Some(Duration::from_millis(300)),
    repeat_unknown: true,
};

async fn simulator(faults: Faults) -> Simulator {
    let config = Config { vaults: 4, items_per_vault: 5, events: 100, faults, ..Config::default() };
    Simulator::start(config).await.unwrap()
}

fn connect(simulator: &Simulator) -> Connect {
    let settings =
        ConnectSettings::new(simulator.connect_url().parse().unwrap(), simulator.connect_token().into());
    Connect::new(ConnectSettings { patience: PATIENCE, ..settings }, Arc::new(Meter::default())).unwrap()
}

/// Lists everything, and opens the first item.
async fn all(connect: &Connect) -> Result<(usize, usize), Failure> {
    let vaults = connect.vaults().await?;
    let mut items = Vec::new();
    for vault in &vaults {
        items.extend(connect.items(&vault.id, Vec::new).await?.into_iter().map(|item| (&vault.id, item)));
    }
    let (vault, item): &(_, Item) = &items[0];
    assert!(connect.labels(vault, &item.id).await?.is_some());
    Ok((vaults.len(), items.len()))
}

const LISTS: [Endpoint; 2] = [Endpoint::ConnectVaults, Endpoint::ConnectItems];
const ALL: [Endpoint; 3] = [Endpoint::ConnectVaults, Endpoint::ConnectItems, Endpoint::ConnectItem];

fn instead(code: u16, body: &str) -> Fault {
    Fault::Instead { done: false, code, headers: Vec::new(), body: body.to_owned() }
}

fn status(code: u16) -> Fault {
    Fault::Status { code, retry_after: None }
}

/// What Connect does now and then, and what a proxy in front of it does.
fn moods() -> Vec<(&'static str, Fault)> {
    vec![
        ("a 403 that is not true", status(403)),
        ("a 401 that is not true", status(401)),
        ("not synced yet", status(500)),
        ("the database is locked", Fault::Locked),
        ("too many requests", status(429)),
        ("a gateway without its server", instead(502, "<html><body>Bad Gateway</body></html>")),
        ("a login page", instead(200, "<html><body>Sign in</body></html>")),
        ("nothing at all", instead(200, "")),
        ("an error with a 200", instead(200, r#"{"status":500,"message":"database is locked"}"#)),
        ("a restart before the answer", Fault::Reset),
        ("a restart within the answer", Fault::ResetWithin),
        ("half an answer", Fault::Truncated),
        ("no JSON", Fault::Malformed),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passes_is_waited_out_and_everything_is_listed() {
    let simulator = simulator(Faults::none()).await;
    let connect = connect(&simulator);
    let expect = all(&connect).await.unwrap();
    assert_eq!(expect.0, 4);
    assert!(expect.1 >= 15, "{expect:?}");
    for (mood, fault) in moods() {
        for endpoint in ALL {
            simulator.script(Script::next(endpoint, fault.clone()).times(2));
            let found =
                all(&connect).await.unwrap_or_else(|failure| panic!("{mood} at {endpoint:?}: {failure:?}"));
            assert_eq!(found, expect, "{mood} at {endpoint:?}");
        }
    }
    simulator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lasts_is_never_taken_for_an_empty_list() {
    let simulator = simulator(Faults::none()).await;
    let connect = connect(&simulator);
    for (mood, fault) in moods() {
        for endpoint in LISTS {
            simulator.calm();
            simulator.script(Script::next(endpoint, fault.clone()).times(100_000));
            let failure = all(&connect).await.expect_err(mood);
            let credentials = matches!(failure.remedy, Remedy::Halt(Halt::Credentials { .. }));
            assert_eq!(credentials, failure.status == Some(401), "{mood} at {endpoint:?}: {failure:?}");
            if !credentials {
                assert!(
                    matches!(failure.remedy, Remedy::Retry { .. }),
                    "{mood} at {endpoint:?}: {failure:?}"
                );
            }
        }
    }
    simulator.calm();
    all(&connect).await.unwrap();
    simulator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_has_just_started_is_given_its_time() {
    let faults = Faults { connect_first_unauthorized: true, connect_unsynced: 5, ..Faults::none() };
    let simulator = simulator(faults).await;
    all(&connect(&simulator)).await.unwrap();
    simulator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_item_that_went_since_it_was_listed_has_no_labels_and_its_vault_no_list() {
    let simulator = simulator(Faults::none()).await;
    let connect = connect(&simulator);
    let vault = connect.vaults().await.unwrap().swap_remove(0);
    assert_eq!(connect.labels(&vault.id, "aaaaaaaaaaaaaaaaaaaaaaaaaa").await.unwrap(), None);
    let failure = connect.items("aaaaaaaaaaaaaaaaaaaaaaaaaa", Vec::<Item>::new).await.unwrap_err();
    assert!(matches!(failure.remedy, Remedy::Retry { .. }), "{failure:?}");
    simulator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_begun_anew_names_each_item_once() {
    let simulator = simulator(Faults::none()).await;
    let connect = connect(&simulator);
    let vault = connect.vaults().await.unwrap().swap_remove(0);
    let whole = connect.items(&vault.id, Vec::new).await.unwrap();
    simulator.script(Script::next(Endpoint::ConnectItems, Fault::Truncated).times(3));
    let again = connect.items(&vault.id, Vec::new).await.unwrap();
    assert_eq!(again, whole);
    assert_eq!(whole.iter().map(|item| &item.id).collect::<BTreeSet<_>>().len(), whole.len());
    simulator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_not_followed_so_the_token_stays_here() {
    let (simulator, other) = (simulator(Faults::none()).await, simulator(Faults::none()).await);
    let connect = connect(&simulator);
    let vault = connect.vaults().await.unwrap().swap_remove(0);
    let to = format!("{}/v1/vaults", other.connect_url());
    let fault = Fault::Instead {
        done: false,
        code: 302,
        headers: vec![("location".to_owned(), to)],
        body: String::new(),
    };
    for endpoint in ALL {
        simulator.script(Script::next(endpoint, fault.clone()));
    }
    let failures = [
        connect.vaults().await.unwrap_err(),
        connect.items(&vault.id, Vec::<Item>::new).await.unwrap_err(),
        connect.labels(&vault.id, "aaaaaaaaaaaaaaaaaaaaaaaaaa").await.unwrap_err(),
    ];
    for failure in failures {
        assert!(failure.remedy.hint().is_some_and(|hint| hint.contains("redirects are never followed")));
    }
    assert_eq!(other.report().connect.vault_lists, 0);
    simulator.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn an_old_server_is_warned_of_once() {
    let log = Log::default();
    let _listening = log.listen();
    let versions = [
        (Some("1.4.0"), "older than 1.5.0"),
        (None, "it does not say"),
        (Some("1.6.9"), "1.7.2 is better"),
        (Some("1.8.1"), ""),
    ];
    for (version, words) in versions {
        let simulator = simulator(Faults::none()).await;
        let version = version.map(str::to_owned);
        simulator.script(Script::next(Endpoint::ConnectVaults, Fault::ConnectVersion { version }).times(100));
        let connect = connect(&simulator);
        let before = log.text().matches("this Connect server").count();
        for _ in 0..3 {
            connect.vaults().await.unwrap();
        }
        let after = log.text().matches("this Connect server").count();
        assert_eq!(after - before, usize::from(!words.is_empty()), "{words}");
        assert!(log.text().contains(words), "{}", log.text());
        simulator.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_token_nor_secret_shows_in_what_fails() {
    let simulator = simulator(Faults::none()).await;
    let connect = connect(&simulator);
    let echo = instead(418, "{authorization}");
    simulator.script(Script::next(Endpoint::ConnectVaults, echo));
    let failure = connect.vaults().await.unwrap_err();
    let shown = format!("{failure:?} {failure} {} {connect:?}", failure.cause);
    assert!(!shown.contains(&simulator.connect_token()), "{shown}");
    simulator.stop().await;
}

#[tokio::test]
async fn what_an_error_says_in_place_of_an_item_stays_on_its_thread() {
    let simulator = simulator(Faults::none()).await;
    let connect = connect(&simulator);
    let vault = simulator.connect().vaults()[0].clone();
    let item = simulator.connect().items(&vault)[0].clone();
    // Half an item, from a gateway that gave up within it.
    let half = instead(418, r#"{"id":"a","fields":[{"value":"CANARY"#);
    simulator.script(Script::next(Endpoint::ConnectItem, half).times(100));
    let failure = connect.labels(&vault, &item).await.unwrap_err();
    let said = format!("{failure} {failure:?} {}", failure.cause);
    assert!(!said.contains("CANARY"), "{said}");
}
