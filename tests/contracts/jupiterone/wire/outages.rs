//! Outages of an hour, in virtual time: the real supervisor, the real pauses, the real deadlines.
//!
//! Everything is in one thread with a paused clock, which moves on when nobody has anything to do. What is sent over
//! loopback is there at once, so that no request is overtaken by its own time-out.

use std::{sync::Arc, time::Duration};

use opgraph::{
    clock::Clock,
    http::{Client, ClientSettings, Failure, Limits, Patience, Remedy},
    memory::Memory,
    pipeline,
    sink::{
        SinkError,
        jupiterone::{Home, JupiterOne, JupiterOneSettings, Plan},
    },
    source::{NoLister, Pace},
    stream::Mapping,
    supervisor::{Access, Budgets, Outside, RunError, Shared, Start, Tenant, supervise},
    telemetry::Meter,
};
use opgraph_simulator::{Endpoint, Fault, Script};
use opgraph_state::{Epoch, UnixMs, UploadNote};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    bench::{Bench, TENANT, Which, exit, world},
    watched::Watched,
};

const HOUR: Duration = Duration::from_secs(3600);

/// A tenant as it is configured by default.
struct Supervised {
    bench: Bench,
    client: Client,
    meter: Arc<Meter>,
    closing: CancellationToken,
}

struct Given {
    settings: JupiterOneSettings,
    events: (String, String),
    client: Client,
    store: Watched,
    meter: Arc<Meter>,
}

impl Outside for Given {
    type Sink = JupiterOne<Watched>;
    type Lister = NoLister;

    async fn access(&self) -> Result<Access, RunError> {
        let (url, token) = &self.events;
        Ok(Access {
            base_url: url.parse().unwrap(),
            token: token.clone().into(),
            expires: None,
            account: None,
        })
    }

    async fn sink(&self, epoch: Epoch, unsettled: Vec<UploadNote>) -> Result<Self::Sink, SinkError> {
        let home = Home { store: self.store.clone(), tenant: TENANT.into(), epoch, clock: Clock::system() };
        let (settings, meter) = (Arc::new(self.settings.clone()), self.meter.clone());
        JupiterOne::start(self.client.clone(), settings, home, unsettled, meter).await
    }

    async fn lister(&self) -> Result<NoLister, Failure> {
        unreachable!("its vaults are not listed")
    }
}

impl Supervised {
    async fn new(which: Which) -> Supervised {
        let bench = Bench::new(which, world()).await;
        let client = Client::new(&ClientSettings::default()).unwrap();
        Supervised { bench, client, meter: Arc::default(), closing: CancellationToken::new() }
    }

    /// Runs with the defaults but for compression, which would leave the thread.
    async fn supervise(&self, pace: Pace) -> Result<(), RunError> {
        let simulator = &self.bench.simulator;
        let mine = &self.bench.settings;
        let plan: Plan = mine.plan.clone();
        let defaults =
            JupiterOneSettings::new(mine.base_url.clone(), mine.account.clone(), mine.token.clone(), plan);
        let given = Given {
            settings: JupiterOneSettings { gzip: false, ..defaults },
            events: (simulator.events_url(), simulator.events_token().to_owned()),
            client: self.client.clone(),
            store: self.bench.store.clone(),
            meter: self.meter.clone(),
        };
        let tenant = Tenant {
            name: TENANT.into(),
            streams: None,
            rate: Limits::default(),
            start: Start::At(UnixMs(1_700_000_000_000)),
            pace,
            patience: Patience::ENDLESS,
            mapping: Mapping { raw_data: true, account_name: None },
            limits: pipeline::Limits::default(),
            snapshots: None,
        };
        let shared = Shared {
            store: self.bench.store.clone(),
            client: self.client.clone(),
            budgets: Budgets::default(),
            memory: Memory::default(),
            clock: Clock::system(),
            closing: self.closing.clone(),
            drain: Duration::from_secs(60),
        };
        supervise(tenant, given, shared, self.meter.clone()).await.map(drop)
    }

    fn asked(&self) -> u64 {
        self.bench.cost().requests
    }
}

/// The outages: what is answered to which calls, and the most requests in an hour of it.
#[rustfmt::skip]
fn outages(which: Which) -> Vec<(Fault, &'static [Endpoint], u64)> {
    use Endpoint::{Entities, Finalize, Start, Status};
    let status = |code, retry_after| Fault::Status { code, retry_after };
    let mut all: Vec<(Fault, &'static [Endpoint], u64)> = vec![
        (status(503, None),       &[Start],                             600),
        (status(500, None),       &[Entities],                          1200),
        (status(503, None),       &[Start, Entities, Finalize, Status], 600),
        (status(429, None),       &[Start, Status],                     600),
        (status(429, Some(60)),   &[Start],                             120),
        (status(429, Some(1800)), &[Start],                             20),
        (status(429, Some(u64::MAX)), &[Start],                         10),
        (Fault::Reset,            &[Start, Entities, Finalize, Status], 600),
    ];
    // What all calls answer is told the same in both plans.
    all.retain(|(_, calls, _)| which == Which::Instance || calls.len() > 2);
    all
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_an_hour_is_waited_out_at_a_bounded_rate_and_ends_exact() {
    for which in [Which::Instance, Which::Scope] {
        for (fault, calls, most) in outages(which) {
            let supervised = Supervised::new(which).await;
            let bench = &supervised.bench;
            for call in calls {
                bench.simulator.script(Script::next(*call, fault.clone()).times(u64::MAX));
            }
            let story = async {
                sleep(HOUR).await;
                // Up to eight scopes of shared records and three of events are written side by side.
                let most = if which == Which::Scope { 4 * most } else { most };
                let asked = supervised.asked();
                assert!((1..=most).contains(&asked), "{which:?}, {fault:?}: {asked} requests in an hour");
                assert_eq!(bench.committed(), 0);
                bench.simulator.calm();
                let over = Instant::now();
                while bench.committed() == 0 || bench.committed() < bench.simulator.report().served() {
                    assert!(over.elapsed() < HOUR + HOUR / 6, "{which:?}, {fault:?}: does not resume");
                    sleep(Duration::from_secs(10)).await;
                }
                supervised.closing.cancel();
            };
            let (ended, ()) = tokio::join!(supervised.supervise(Pace::Every(Duration::from_secs(30))), story);
            assert!(ended.is_ok(), "{which:?}, {fault:?}: {ended:?}");
            bench.is_exact().await.unwrap_or_else(|wrong| panic!("{which:?}, {fault:?}: {wrong}"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_end_is_told_of_an_outage_within_the_hour_and_can_run_again() {
    for which in [Which::Instance, Which::Scope] {
        for (fault, calls, most) in outages(which) {
            let supervised = Supervised::new(which).await;
            let bench = &supervised.bench;
            for call in calls {
                bench.simulator.script(Script::next(*call, fault.clone()).times(u64::MAX));
            }
            let start = Instant::now();
            let error = supervised.supervise(Pace::Once).await.expect_err("it does not catch up");
            assert!(start.elapsed() < HOUR, "{which:?}, {fault:?}: {:?}", start.elapsed());
            assert!(
                matches!(error.remedy(), Remedy::Retry { .. }) && exit(&error.remedy()) == 1,
                "{error:?}"
            );
            assert!((1..=4 * most).contains(&supervised.asked()) && bench.committed() == 0);
            bench.simulator.calm();
            let again = supervised.supervise(Pace::Once).await;
            assert!(again.is_ok(), "{which:?}, {fault:?}: {again:?}");
            bench.is_exact().await.unwrap_or_else(|wrong| panic!("{which:?}, {fault:?}: {wrong}"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_is_not_tried_for_an_hour_but_stops_the_tenant_at_once() {
    for which in [Which::Instance, Which::Scope] {
        for call in [Endpoint::Start, Endpoint::Entities, Endpoint::Status, Endpoint::Finalize] {
            let supervised = Supervised::new(which).await;
            let bench = &supervised.bench;
            let refused = Fault::Status { code: 401, retry_after: None };
            bench.simulator.script(Script::next(call, refused).times(u64::MAX));
            let start = Instant::now();
            let error = supervised.supervise(Pace::Every(Duration::from_secs(30))).await;
            let error = error.expect_err("a person has to mend it");
            assert_eq!(exit(&error.remedy()), 3, "{error:?}");
            assert!(start.elapsed() < Duration::from_secs(120), "{:?}", start.elapsed());
            assert_eq!(bench.committed(), 0);
            bench.simulator.calm();
            assert!(supervised.supervise(Pace::Once).await.is_ok());
            bench.is_exact().await.unwrap_or_else(|wrong| panic!("{which:?}, {call:?}: {wrong}"));
        }
    }
}
