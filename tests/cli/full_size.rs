//! What snapshots of large accounts cost: requests, uploads, memory.

use std::{fs, time::Duration};

use opgraph_simulator::{Config, ConnectReport, Report, Simulator};

use crate::support::program::{Ended, Place, ended};

/// Fifty vaults, as in an account of 100,000 items, with fewer in each: all of them are opened.
const VAULTS: u32 = 51;
const ITEMS: u32 = 30;
/// The last vault of several is empty.
const ALL: u64 = (VAULTS as u64 - 1) * ITEMS as u64;

/// Items of the one large vault. 100,000 take too long without optimization.
const LARGE: u32 = 10_000;

/// Kilobytes that its list may take in a process, all in all.
const MOST_RESIDENT: u64 = 150 * 1024;

/// One more run, and what it asked and uploaded.
async fn run(place: &Place, simulator: &Simulator) -> (ConnectReport, Report) {
    let before = simulator.report();
    let Ended { code, stderr, .. } = ended(place.run_once()).await;
    assert_eq!(code, Some(0), "{stderr}");
    let after = simulator.report();
    let (was, is) = (&before.connect, &after.connect);
    let asked = ConnectReport {
        vault_lists: is.vault_lists - was.vault_lists,
        vaults: is.vaults - was.vaults,
        item_lists: is.item_lists - was.item_lists,
        details: is.details - was.details,
        ..ConnectReport::default()
    };
    let mut new = after.clone();
    new.jobs.started -= before.jobs.started;
    new.received.uploads -= before.received.uploads;
    new.received.entities -= before.received.entities;
    new.received.relationships -= before.received.relationships;
    (asked, new)
}

fn asked(vault_lists: u64, item_lists: u64, details: u64) -> ConnectReport {
    ConnectReport { vault_lists, item_lists, details, ..ConnectReport::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_account_costs_one_request_and_an_edited_item_two_more() {
    let config = Config { events: 30, users: 8, vaults: VAULTS, items_per_vault: ITEMS, ..Config::default() };
    let simulator = Simulator::start(config).await.unwrap();
    let instance = simulator.integration_instance_id().to_owned();
    let place = Place::of(&simulator)
        .with_connect(&simulator)
        .with_jupiterone(&simulator, ["--jupiterone-instance", &instance]);
    let is_exact = |report: &Report| {
        assert!(report.graph.is_exact(), "{:#?}", report.graph);
        let local = place.judged_by(&simulator);
        assert!(local.is_exact(), "{:#?}", local.graph);
    };

    let (first, report) = run(&place, &simulator).await;
    assert_eq!(first, asked(1, u64::from(VAULTS), ALL));
    assert!(report.received.entities > ALL && report.received.relationships >= ALL);
    is_exact(&report);

    let (second, report) = run(&place, &simulator).await;
    assert_eq!(second, asked(1, 0, 0), "one request");
    assert_eq!((report.jobs.started, report.received.uploads), (0, 0), "and no upload");
    is_exact(&report);

    let vault = simulator.connect().vaults()[7].clone();
    let item = simulator.connect().items(&vault)[11].clone();
    simulator.connect().edit_item(&vault, &item).unwrap();
    let (third, report) = run(&place, &simulator).await;
    assert_eq!(third, asked(1, 1, 1));
    assert_eq!(report.jobs.started, 1, "one upload");
    // The item, and the vault whose version its edit has raised.
    assert_eq!((report.received.entities, report.received.relationships), (2, 1));
    is_exact(&report);

    let (fourth, report) = run(&place, &simulator).await;
    assert_eq!((fourth, report.jobs.started), (asked(1, 0, 0), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_of_many_items_is_never_held_as_a_whole() {
    let config = Config { events: 0, users: 8, vaults: 1, items_per_vault: LARGE, ..Config::default() };
    let simulator = Simulator::start(config).await.unwrap();
    let place = Place::of(&simulator).with_connect(&simulator);
    let mut run = place.run_once();
    run.args(["--no-item-details"]);
    let file = |name: &str| fs::File::create(place.path(name)).unwrap();
    let mut child = run.stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap();
    // The peak only ever grows: the last look at it is the one that counts.
    let (mut peak, mut looks) = (0, 0);
    let ended = loop {
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        if let Some(now) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) {
            (peak, looks) = (now.trim().trim_end_matches(" kB").parse().unwrap(), looks + 1);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(ended.success(), "{}", fs::read_to_string(place.path("stderr")).unwrap());
    let local = place.judged_by(&simulator);
    assert!(local.is_exact(), "{:#?}", local.graph);
    assert_eq!(local.connect.item_lists, 1);
    assert!(looks > 20 && peak < MOST_RESIDENT, "{peak} KiB were resident at the peak, in {looks} looks");
}
