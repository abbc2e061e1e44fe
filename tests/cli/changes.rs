//! An account whose vaults and items change from run to run, over a network that is rough.

use opgraph_simulator::{Config, Faults, Simulator};

use crate::support::program::{Place, ended};

/// How often the account changes.
const ROUNDS: usize = 5;

/// Changes of every sort, some of them always the same and others rolled.
fn change(simulator: &Simulator, round: usize) {
    let connect = simulator.connect();
    let vaults: Vec<String> =
        connect.vaults().into_iter().filter(|vault| connect.items(vault).len() > 4).collect();
    let [from, to] = [&vaults[0], &vaults[1]];
    connect.rename_vault(from, &format!("Renamed {round}")).unwrap();
    let items = connect.items(from);
    connect.edit_item(from, &items[0]).unwrap();
    connect.archive_item(from, &items[1]).unwrap();
    connect.delete_item(from, &items[2]).unwrap();
    connect.move_item(from, &items[3], to).unwrap();
    connect.create_item(to).unwrap();
    // What was archived the round before comes back, changed or not.
    if round % 2 == 1 {
        connect.restore_item(from, &items[1]).unwrap();
    }
    if round == 2 {
        connect.delete_vault(&vaults[2]).unwrap();
    }
    connect.change(12);
}

/// Lets the account change and the program follow, again and again; exact after each.
async fn follows(plan: Option<&str>, seed: u64) {
    let config = Config {
        seed,
        events: 300,
        users: 8,
        vaults: 7,
        items_per_vault: 12,
        faults: Faults::rough(),
        ..Config::default()
    };
    let simulator = Simulator::start(config).await.unwrap();
    let mut place = Place::of(&simulator).with_connect(&simulator);
    let instance = simulator.integration_instance_id().to_owned();
    if let Some(flag) = plan {
        let value = if flag == "--jupiterone-instance" { &instance } else { "1password/acme" };
        place = place.with_jupiterone(&simulator, [flag, value]);
    }
    for round in 0..ROUNDS {
        // A vault is gone when two lists lack it.
        for time in 0..2 {
            let run = ended(place.run_once()).await;
            assert_eq!(run.code, Some(0), "{plan:?} round {round}, run {time}: {}", run.stderr);
        }
        let local = place.judged_by(&simulator);
        assert!(local.is_exact() && local.is_caught_up(), "{plan:?} round {round}: {:#?}", local.graph);
        if plan.is_some() {
            simulator.settle();
            let report = simulator.report();
            assert!(report.is_exact(), "{plan:?} round {round}: {:#?}", report.graph);
            let (jobs, received) = (&report.jobs, &report.received);
            assert_eq!(jobs.bad.count, 0, "{plan:?} round {round}: {:?}", jobs.bad);
            assert_eq!(jobs.open_with_records, 0, "{plan:?} round {round}: {:?}", jobs.open);
            assert_eq!(received.refused.count, 0, "{plan:?} round {round}: {:?}", received.refused);
        }
        change(&simulator, round);
    }
    let report = simulator.report();
    assert!(report.faults.values().sum::<u64>() > 10, "{:?}", report.faults);
    assert_eq!(report.jobs.deleted.count > 0, plan.is_some(), "what is gone is deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_graph_follows_an_account_that_changes() {
    follows(None, 41).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jupiterone_follows_an_account_that_changes_with_an_instance() {
    follows(Some("--jupiterone-instance"), 42).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jupiterone_follows_an_account_that_changes_with_scopes() {
    follows(Some("--jupiterone-scope"), 43).await;
}
