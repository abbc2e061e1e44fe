//! Two tenants of one account: one budget, whoever asks and however often the program is started.

use std::{num::NonZeroU32, time::Duration};

use opgraph::{
    config::{self, Plan},
    http::Limits,
    stream::Stream,
};
use opgraph_simulator::{self as simulator, Config, Simulator};

use super::place::{Place, Process, world};

/// One account of many small pages.
async fn account(limits: simulator::Limits) -> Simulator {
    Simulator::start(Config { events: 4000, page_cap: 2, limits, ..world(7) }).await.unwrap()
}

/// Two tenants of it, each with its own scope of JupiterOne.
fn two(place: &Place, simulator: &Simulator) -> [config::Tenant; 2] {
    ["one", "two"].map(|name| {
        let mut tenant = place.tenant(name, simulator);
        tenant.jupiterone.as_mut().unwrap().plan = Plan::Scope { prefix: format!("1password/{name}") };
        tenant
    })
}

fn pages(process: &Process, name: &str) -> u64 {
    let meter = process.meter(name);
    Stream::ALL.iter().map(|stream| meter.stream(*stream).pages.get()).sum()
}

#[tokio::test(start_paused = true)]
async fn two_tenants_of_one_account_share_one_budget_across_restarts_and_take_turns() {
    let simulator = account(simulator::Limits::default()).await;
    let place = Place::new();
    for kept in [150, 5, 1, 40, 90] {
        let mut process = place.process().await;
        process.tenants.want(two(&place, &simulator).into());
        // The first burst goes to whoever comes first; from then on they take turns.
        let begun = Duration::from_secs(kept / 10);
        process.lasts(begun).await;
        let before = ["one", "two"].map(|name| pages(&process, name));
        process.lasts(Duration::from_secs(kept) - begun).await;
        if kept == 150 {
            let [one, two] = ["one", "two"].map(|name| pages(&process, name));
            let (one, two) = (one - before[0], two - before[1]);
            assert!(one > 500 && one.abs_diff(two) < 10, "{one} and {two} pages");
        }
        // Killed: nothing is drained, nothing is released.
        drop(process);
    }
    let report = simulator.report();
    assert_eq!(report.limits.excess, 0, "{:?}", report.limits);
    assert!((500..=600).contains(&report.limits.largest_minute), "{:?}", report.limits);
}

#[tokio::test(start_paused = true)]
async fn of_two_limits_of_one_account_the_lower_one_holds_until_it_is_gone() {
    let limits = simulator::Limits { per_minute: 300, per_hour: 30_000 };
    let simulator = account(limits).await;
    let place = Place::new();
    let [mut one, two] = two(&place, &simulator);
    one.events.limits = Limits { per_minute: NonZeroU32::new(300).unwrap(), ..Limits::default() };
    let mut process = place.process().await;
    process.tenants.want(vec![two.clone(), one]);
    process.lasts(Duration::from_secs(150)).await;
    let report = simulator.report().limits;
    assert_eq!(report.excess, 0, "{report:?}");
    assert!(report.largest_minute > 250, "{report:?}");
    // The other one alone has no reason to keep to it.
    process.tenants.want(vec![two]);
    process.lasts(Duration::from_secs(120)).await;
    assert!(simulator.report().limits.excess > 0);
}
