//! The oracle: it finds a right graph right, and every sort of wrong one wrong.

use opgraph_simulator::{Config, ExpectedRecord, Held};
use serde_json::{Value, json};

use crate::support::{Rig, config, counts, held, rig, told};

/// Reads everything and returns what the graph must hold.
async fn expected(rig: &Rig) -> Vec<ExpectedRecord> {
    rig.read_all().await;
    rig.sim.expectations().collect()
}

#[tokio::test]
async fn what_is_expected_is_found_exact_in_jupiterone_and_in_a_local_graph() {
    let rig = rig(config()).await;
    let records = expected(&rig).await;
    let job = rig.sync_records(&records).await;
    assert_eq!(job["status"], "FINISHED");
    let report = rig.sim.report();
    assert_eq!(report.graph.expected, records.len() as u64);
    assert_eq!(report.graph.held, records.len() as u64);
    assert!(report.is_exact() && report.is_caught_up(), "{:?}", report.graph);
    let local = rig.sim.compare(records.iter().map(held));
    assert!(local.is_exact(), "{local:?}");
    assert_eq!(rig.sim.report_of(records.iter().map(held)).graph, local);
}

#[tokio::test]
async fn nothing_held_is_everything_missing() {
    let rig = rig(config()).await;
    let records = expected(&rig).await;
    let report = rig.sim.report();
    assert_eq!(report.graph.missing.count, records.len() as u64);
    assert_eq!(report.graph.missing.examples.len(), 20);
    assert!(!report.is_exact());
}

#[tokio::test]
async fn every_sort_of_wrong_is_noticed() {
    let rig = rig(config()).await;
    let records: Vec<Held> = expected(&rig).await.iter().map(held).collect();
    let place_of = |type_: &str| records.iter().position(|record| record.type_ == type_).unwrap();
    let user = place_of("one_password_item_usage_user");
    let edge = place_of("one_password_item_usage_user_performed_event");
    let event = place_of("one_password_audit_event");
    let vault = place_of("one_password_vault");
    let check = |change: &dyn Fn(&mut Vec<Held>)| {
        let mut records = records.clone();
        change(&mut records);
        counts(&rig.sim.compare(records))
    };
    assert_eq!(check(&|_| {}), [0; 5]);
    // An edge gone, an edge twice, and what nobody asked for.
    assert_eq!(check(&|all| drop(all.remove(edge))), [1, 0, 0, 0, 0]);
    assert_eq!(check(&|all| all.push(all[edge].clone())), [0, 0, 1, 0, 0]);
    assert_eq!(check(&|all| all[event].key.push('X')), [1, 1, 0, edges_of(&records, event), 0]);
    // A user gone: what hangs on it dangles.
    assert_eq!(check(&|all| drop(all.remove(user))), [1, 0, 0, edges_of(&records, user), 0]);
    // Facts.
    let wrong: [Change<'_>; 9] = [
        &|all| all[user].name = Some("Somebody Else".to_owned()),
        &|all| all[user].display_name = Some("Somebody Else".to_owned()),
        &|all| all[user].class = Some("Record".to_owned()),
        &|all| all[user].type_ = "one_password_signin_attempt_target_user".to_owned(),
        &|all| all[event].name = Some("undefined".to_owned()),
        &|all| all[event].created_on = Some(Some(1)),
        &|all| all[vault].name = Some("Operations".to_owned()),
        &|all| all[edge].display_name = Some("HAS".to_owned()),
        &|all| all[edge].to = all[edge].from.clone(),
    ];
    for (at, change) in wrong.iter().enumerate() {
        assert_eq!(check(*change)[4], 1, "change {at}");
    }
    // A relationship into nothing.
    let nowhere = |all: &mut Vec<Held>| all[edge].to = Some("one_password_item_usage_event:gone".to_owned());
    assert_eq!(check(&nowhere)[3], 1);
}

/// Something done to a graph on purpose.
type Change<'a> = &'a dyn Fn(&mut Vec<Held>);

fn edges_of(records: &[Held], entity: usize) -> u64 {
    let key = Some(records[entity].key.clone());
    records.iter().filter(|record| record.from == key || record.to == key).count() as u64
}

#[tokio::test]
async fn a_wrong_graph_in_jupiterone_is_noticed_too() {
    let rig = rig(config()).await;
    let mut records = expected(&rig).await;
    let user = records.iter().position(|record| record.type_ == "one_password_item_usage_user").unwrap();
    records[user].names = vec!["Somebody Else".to_owned()];
    let vault = records.iter().position(|record| record.type_ == "one_password_vault").unwrap();
    let lost = records.remove(vault);
    rig.sync_records(&records).await;
    let report = rig.sim.report();
    assert_eq!(report.graph.wrong.count, 1);
    assert!(report.graph.wrong.examples[0].contains("its name is not"));
    assert!(report.graph.missing.examples.contains(&lost.key));
    assert_eq!(
        report.graph.dangling.count + 1,
        report.graph.missing.count,
        "its relationships were not created"
    );
    assert!(!report.is_exact());
}

#[tokio::test]
async fn an_older_name_after_a_newer_one_is_wrong() {
    let rig = rig(Config { events: 20_000, ..config() }).await;
    let (events, _) = rig.read("itemusages").await;
    // The newest name as the events tell it, worked out here.
    let mut newest: std::collections::HashMap<String, (bool, i64, String)> = Default::default();
    let mut others = 0;
    for event in &events {
        let text = |path: &str| event.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty());
        let (Some(uuid), time) = (text("/user/uuid"), text("/timestamp")) else { continue };
        let time = time.map_or(i64::MIN, |time| time.parse::<jiff::Timestamp>().unwrap().as_millisecond());
        let label = text("/user/name").or(text("/user/email"));
        let name = label.unwrap_or(uuid).chars().take(4096).collect::<String>();
        let version = (label.is_some(), time, name);
        let best = newest.entry(uuid.to_owned()).or_insert_with(|| version.clone());
        others += u32::from(best.2 != version.2 && label.is_some());
        if (version.0, version.1) > (best.0, best.1) {
            *best = version;
        }
    }
    assert!(others > 50, "names change: {others}");
    let mut checked = 0;
    for record in rig.sim.expectations().filter(|record| record.type_ == "one_password_item_usage_user") {
        let uuid = record.key.split_once(':').unwrap().1;
        assert!(record.names.contains(&newest[uuid].2), "{record:?}");
        checked += 1;
    }
    assert_eq!(checked, newest.len());
}

#[tokio::test]
async fn poison_is_counted_and_nothing_is_expected_of_it() {
    let rig = rig(Config { poison: 0.02, ..config() }).await;
    let records = expected(&rig).await;
    let report = rig.sim.report();
    let poison: u64 = report.streams.values().map(|stream| stream.poison).sum();
    assert!((10..100).contains(&poison), "{poison}");
    let events = records.iter().filter(|record| record.class == "Record").count() as u64;
    assert_eq!(events + poison, report.served());
}

#[tokio::test]
async fn report_and_expectation_are_served_over_http() {
    let rig = rig(config()).await;
    let records = expected(&rig).await;
    let base = rig.sim.events_url();
    let (_, report) = told(rig.client.get(format!("{base}/report"))).await;
    assert_eq!(report, serde_json::to_value(rig.sim.report()).unwrap());
    assert_eq!(report["graph"]["expected"], json!(records.len()));
    let text = rig.client.get(format!("{base}/expected")).send().await.unwrap().text().await.unwrap();
    let lines: Vec<ExpectedRecord> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, records);
}
