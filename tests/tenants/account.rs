//! Two tenants of one account: one budget, whoever asks and however often the program is started.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use opgraph::{
    config::{self, Plan},
    http::{Failure, Limits, Patience},
    pipeline,
    sink::{SinkError, UploadLimits, memory::MemorySink},
    source::{NoLister, Pace},
    stream::{Mapping, Stream},
    supervisor::{Access, Outside, RunError, Start, Tenant, supervise},
    telemetry::Meter,
};
use opgraph_simulator::{self as simulator, Config, Endpoint, Fault, Script, Simulator};
use opgraph_state::{Epoch, UploadNote};
use tokio::time::sleep;

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

/// A token that does not say whose it is.
struct Mute(Access);

impl Outside for Mute {
    type Sink = MemorySink;
    type Lister = NoLister;

    async fn access(&self) -> Result<Access, RunError> {
        Ok(self.0.clone())
    }

    async fn sink(&self, _: Epoch, _: Vec<UploadNote>) -> Result<MemorySink, SinkError> {
        let limits = UploadLimits { age: Duration::from_secs(1), events: 100, bytes: 1 << 20, finishing: 0 };
        Ok(MemorySink::new(limits))
    }

    async fn lister(&self) -> Result<NoLister, Failure> {
        unreachable!("its vaults are not listed")
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_before_anybody_knew_the_account_is_paid_for() {
    let simulator = account(simulator::Limits::default()).await;
    let place = Place::new();
    let failures = 20;
    let busy = Fault::Status { code: 503, retry_after: None };
    simulator.script(Script::next(Endpoint::Introspect, busy).times(failures));
    let per_minute = NonZeroU32::new(60).unwrap();
    let tenant = Tenant {
        name: "mute".into(),
        streams: None,
        // One in 1.1 seconds, five at once.
        rate: Limits { per_minute, ..Limits::default() },
        start: Start::Ago(config::START),
        pace: Pace::Every(Duration::from_secs(30)),
        patience: Patience {
            first: Duration::from_millis(1),
            longest: Duration::from_millis(1),
            ..Patience::ENDLESS
        },
        mapping: Mapping { raw_data: true, account_name: None },
        limits: pipeline::Limits::default(),
        snapshots: None,
    };
    let access = Access {
        base_url: simulator.events_url().parse().unwrap(),
        token: simulator.events_token().into(),
        expires: None,
        account: None,
    };
    let shared = place.shared().await;
    let run = supervise(tenant, Mute(access), shared, Arc::<Meter>::default());
    let watch = async {
        let asked = |call: Endpoint| simulator.report().requests.get(&call).copied().unwrap_or(0);
        while asked(Endpoint::Introspect) <= failures {
            sleep(Duration::from_millis(100)).await;
        }
        let known = tokio::time::Instant::now();
        let pages = [Endpoint::Signinattempts, Endpoint::Itemusages, Endpoint::Auditevents];
        while pages.into_iter().all(|call| asked(call) == 0) {
            sleep(Duration::from_millis(100)).await;
        }
        known.elapsed()
    };
    let waited = tokio::select! {
        end = run => panic!("{end:?}"),
        waited = watch => waited,
    };
    // Twenty-one requests less the burst, from an account's budget that was full.
    assert!((15.0..30.0).contains(&waited.as_secs_f64()), "{waited:?}");
}
