//! Killed at every step of a snapshot: the account's vaults and items change between the runs, the next run makes it
//! good, and what is still there was never removed.

use std::{collections::BTreeSet, time::Duration};

use opgraph_simulator::{Config, Finalize, Limits, Simulator};

use super::{
    Sink, configuration, held,
    points::{Point, SNAPSHOTS, Times},
    run, try_all,
};
use crate::support::program::Place;

/// Cases at the same time. They wait for most of their time: for connections that idle, for uploads.
const AT_ONCE: usize = 6;

/// Runs that die, one after the other, while the account changes.
struct Case {
    sink: Sink,
    deaths: Vec<String>,
}

/// Each point at its first and third time. What happens once a snapshot happens
/// for the third time in the third run: the two before died there, too.
fn cases(sink: Sink) -> Vec<Case> {
    let mut cases = Vec::new();
    for Point { name, times, .. } in SNAPSHOTS.iter().filter(|point| point.sinks.contains(&sink)) {
        let first = format!("{name}=return");
        let third = match times {
            Times::Run => vec![first.clone(); 3],
            _ => vec![format!("{name}=2*off->1*return")],
        };
        cases.extend([vec![first], third].map(|deaths| Case { sink, deaths }));
    }
    if sink == Sink::Files {
        // Files come into their place, and go, one after the other.
        for before in [0, 4, 9, 19] {
            let death = format!("files.renamed={before}*off->1*return");
            // So many of them change in the first of these runs only.
            let runs: &[usize] = if before > 10 { &[1] } else { &[1, 3] };
            cases.extend(runs.iter().map(|runs| Case { sink, deaths: vec![death.clone(); *runs] }));
        }
    }
    cases
}

/// An account of which the first vault is deleted early, the next three change, and the fifth is deleted late.
struct Account<'s> {
    simulator: &'s Simulator,
    vaults: Vec<String>,
    /// Items that were archived at first, by vault.
    archived: Vec<String>,
}

impl<'s> Account<'s> {
    /// Archives what can be restored later.
    fn new(simulator: &'s Simulator) -> Account<'s> {
        let vaults = simulator.connect().vaults();
        let archived = vaults[1..4].iter().map(|vault| {
            let item = simulator.connect().items(vault).remove(0);
            simulator.connect().archive_item(vault, &item).unwrap();
            item
        });
        Account { simulator, archived: archived.collect(), vaults }
    }

    /// Changes whatever can be changed, over three vaults; each time others of their items.
    fn change(&mut self, round: usize) {
        let (connect, vaults) = (self.simulator.connect(), &self.vaults);
        connect.rename_vault(&vaults[1], &format!("Round {round}")).unwrap();
        for vault in &vaults[1..4] {
            let items = connect.items(vault);
            connect.edit_item(vault, &items[0]).unwrap();
            connect.create_item(vault).unwrap();
        }
        let last = |vault: &str| connect.items(vault).pop().unwrap();
        connect.move_item(&vaults[1], &last(&vaults[1]), &vaults[2]).unwrap();
        connect.delete_item(&vaults[2], &connect.items(&vaults[2])[1]).unwrap();
        connect.archive_item(&vaults[3], &connect.items(&vaults[3])[1]).unwrap();
        if let Some(item) = self.archived.pop() {
            let vault = &vaults[self.archived.len() + 1];
            connect.restore_item(vault, &item).unwrap();
        }
    }

    /// The keys that are the graph's as long as the account is as it is.
    fn keys(&self) -> BTreeSet<String> {
        let connect = self.simulator.connect();
        let of_vault = |vault: String| {
            let items = connect.items(&vault).into_iter();
            let items = items.flat_map(|item| {
                let secret = format!("one_password_secret:{item}");
                [format!("one_password_vault:{vault}|has|{secret}"), secret]
            });
            items.chain([format!("one_password_vault:{vault}")]).collect::<Vec<_>>()
        };
        connect.vaults().into_iter().flat_map(of_vault).collect()
    }
}

fn held_keys(place: &Place, sink: Sink) -> BTreeSet<String> {
    held(place, sink).into_iter().map(|held| held.record.key).collect()
}

async fn lives(place: &Place, sink: Sink) -> Result<(), String> {
    match run(place, sink, None).await? {
        (Some(0), _, _) => Ok(()),
        (code, signal, said) => Err(format!("a run ended with code {code:?}, signal {signal:?}: {said}")),
    }
}

async fn simulator() -> Simulator {
    let config = Config {
        seed: 31,
        events: 80,
        users: 8,
        vaults: 6,
        items_per_vault: 4,
        finalize: Finalize::After(Duration::ZERO),
        limits: Limits { per_minute: 6_000, per_hour: 300_000 },
        ..Config::default()
    };
    Simulator::start(config).await.unwrap()
}

fn place(simulator: &Simulator, sink: Sink) -> Place {
    let place = Place::of(simulator).with_connect(simulator);
    let (dir, url) = (place.dir.path().display(), simulator.connect_url());
    let text = configuration(&place, simulator, sink, 1)
        + &format!("[tenant.connect]\nbase_url = \"{url}\"\ntoken = {{ file = \"{dir}/connect\" }}\n");
    std::fs::write(place.path("opgraph.toml"), text).unwrap();
    place
}

async fn judge(Case { sink, deaths }: &Case) -> Result<(), String> {
    let simulator = simulator().await;
    let place = place(&simulator, *sink);
    let mut account = Account::new(&simulator);
    lives(&place, *sink).await?;
    // What may be removed: all that was there and is there no more.
    let mut was = account.keys();
    simulator.connect().delete_vault(&account.vaults[0]).unwrap();
    lives(&place, *sink).await?;
    for (round, death) in deaths.iter().enumerate() {
        account.change(round);
        was.extend(account.keys());
        let before = if *sink == Sink::Scope { BTreeSet::new() } else { held_keys(&place, *sink) };
        let (code, signal, said) = run(&place, *sink, Some(death)).await?;
        if signal != Some(9) {
            return Err(format!("lived to code {code:?}, signal {signal:?}: {said}"));
        }
        if *sink != Sink::Scope {
            let (now, there) = (held_keys(&place, *sink), account.keys());
            let lost: Vec<_> =
                before.iter().filter(|key| there.contains(*key) && !now.contains(*key)).collect();
            if !lost.is_empty() {
                return Err(format!("removed in round {round}, and still there: {lost:?}"));
            }
        }
    }
    account.change(deaths.len());
    was.extend(account.keys());
    // Another vault is not listed for the first time when all is made good.
    let late = account.vaults[4].clone();
    simulator.connect().delete_vault(&late).unwrap();
    lives(&place, *sink).await?;

    let mut faults = Vec::new();
    let mut holds = |so: bool, what: &dyn Fn() -> String| {
        if !so {
            faults.push(what());
        }
    };
    simulator.settle();
    let report = simulator.report();
    if *sink != Sink::Scope {
        let local = simulator.report_of(held(&place, *sink));
        holds(local.is_exact(), &|| format!("the local graph: {:?}", local.graph));
        let now = held_keys(&place, *sink);
        holds(now.contains(&format!("one_password_vault:{late}")), &|| "one list lacked it".to_owned());
    }
    if matches!(sink, Sink::Instance | Sink::Scope) {
        let (jobs, received) = (&report.jobs, &report.received);
        holds(report.graph.is_exact(), &|| format!("JupiterOne: {:?}", report.graph));
        holds(received.refused.count == 0, &|| format!("refused: {:?}", received.refused));
        holds(jobs.bad.count == 0, &|| format!("bad jobs: {:?}", jobs.bad));
        holds(jobs.open_with_records == 0, &|| format!("left open: {:?}", jobs.open));
        holds(jobs.deleted.count > 0, &|| "JupiterOne deleted nothing".to_owned());
        let now = account.keys();
        let wrong: Vec<_> =
            jobs.deleted.examples.iter().filter(|key| now.contains(*key) || !was.contains(*key)).collect();
        holds(wrong.is_empty(), &|| format!("deleted, and still there: {wrong:?}"));
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

async fn killed_at_every_step_of_a_snapshot(sink: Sink) {
    try_all(cases(sink), AT_ONCE, |case| &case.deaths, judge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_step_of_a_snapshot_the_graph_ends_exact() {
    killed_at_every_step_of_a_snapshot(Sink::Graph).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_step_of_a_snapshot_jupiterone_ends_exact_with_an_instance() {
    killed_at_every_step_of_a_snapshot(Sink::Instance).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_step_of_a_snapshot_jupiterone_ends_exact_with_scopes() {
    killed_at_every_step_of_a_snapshot(Sink::Scope).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_step_of_a_snapshot_the_files_hold_each_record_once_and_whole() {
    killed_at_every_step_of_a_snapshot(Sink::Files).await;
}

/// A sink has what is new, no commit says so, and it is no more when the account is listed again.
#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_killed_run_has_seen_is_removed() {
    for sink in [Sink::Graph, Sink::Instance, Sink::Scope, Sink::Files] {
        let simulator = simulator().await;
        let place = place(&simulator, sink);
        lives(&place, sink).await.unwrap();

        let connect = simulator.connect();
        let vaults = connect.vaults();
        let created = connect.create_item(&vaults[1]).unwrap();
        let vault = connect.create_vault().unwrap();
        let within = connect.create_item(&vault).unwrap();
        let moved = connect.items(&vaults[2]).remove(0);
        connect.move_item(&vaults[2], &moved, &vaults[3]).unwrap();
        let (code, signal, said) = run(&place, sink, Some("commit.before=return")).await.unwrap();
        assert_eq!(signal, Some(9), "{sink:?}: code {code:?}: {said}");
        if sink != Sink::Scope {
            let now = held_keys(&place, sink);
            for key in [
                format!("one_password_secret:{created}"),
                format!("one_password_vault:{vault}|has|one_password_secret:{within}"),
                format!("one_password_vault:{}|has|one_password_secret:{moved}", vaults[3]),
            ] {
                assert!(now.contains(&key), "{sink:?}: a sink has {key}");
            }
        }

        connect.delete_item(&vaults[1], &created).unwrap();
        connect.delete_vault(&vault).unwrap();
        connect.move_item(&vaults[3], &moved, &vaults[2]).unwrap();
        // A vault is gone once two lists lack it.
        for _ in 0..2 {
            lives(&place, sink).await.unwrap();
        }
        if sink != Sink::Scope {
            let local = simulator.report_of(held(&place, sink));
            assert!(local.is_exact(), "{sink:?}: {:#?}", local.graph);
        }
        if matches!(sink, Sink::Instance | Sink::Scope) {
            simulator.settle();
            let report = simulator.report();
            assert!(report.graph.is_exact(), "{sink:?}: {:#?}", report.graph);
        }
    }
}
