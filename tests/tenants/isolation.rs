//! One tenant fails in every way there is; the others are watched.

use std::time::Duration;

use opgraph::{stream::Stream, telemetry::TenantState};
use opgraph_simulator::{Config, Endpoint, Fault, Script, Simulator};

use super::place::{Place, world};

/// How many tenants there are beside the one that fails.
const OTHERS: u64 = 3;
const TIME: Duration = Duration::from_secs(200);

/// What is wrong with the one tenant.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Well,
    TokenRevoked,
    KeyRefused,
    Answers(&'static [Endpoint], u16, Option<u64>),
    Slow(&'static [Endpoint]),
    Broken(&'static [Endpoint]),
    Senseless,
    CursorsRefused,
    JobsClosed,
    Poisoned,
    Flooded,
}

const EVENTS: &[Endpoint] =
    &[Endpoint::Introspect, Endpoint::Signinattempts, Endpoint::Itemusages, Endpoint::Auditevents];
const JOBS: &[Endpoint] = &[Endpoint::Start, Endpoint::Entities, Endpoint::Finalize, Endpoint::Status];

const WAYS: &[Way] = &[
    Way::TokenRevoked,
    Way::KeyRefused,
    Way::Answers(EVENTS, 429, None),
    Way::Answers(EVENTS, 429, Some(1)),
    Way::Answers(EVENTS, 503, None),
    Way::Answers(JOBS, 429, Some(1)),
    Way::Answers(JOBS, 503, None),
    Way::Slow(EVENTS),
    Way::Slow(JOBS),
    Way::Broken(EVENTS),
    Way::Broken(JOBS),
    Way::Senseless,
    Way::CursorsRefused,
    Way::JobsClosed,
    Way::Poisoned,
    Way::Flooded,
];

impl Way {
    fn world(self) -> Config {
        match self {
            // More than a quarantine may hold.
            Way::Poisoned => Config { events: 12_000, poison: 1.0, ..world(99) },
            Way::Flooded => Config { events: 6_000, ..world(99) },
            _ => world(99),
        }
    }

    fn begin(self, simulator: &Simulator) {
        let script = |calls: &[Endpoint], fault: Fault| {
            for call in calls {
                simulator.script(Script::next(*call, fault.clone()).times(u64::MAX));
            }
        };
        match self {
            Way::Well | Way::Poisoned | Way::Flooded => (),
            Way::TokenRevoked => simulator.revoke_tokens(true),
            Way::KeyRefused => script(JOBS, Fault::Status { code: 401, retry_after: None }),
            Way::Answers(calls, code, retry_after) => script(calls, Fault::Status { code, retry_after }),
            Way::Slow(calls) => script(calls, Fault::Slow { ms: 50_000 }),
            Way::Broken(calls) => script(calls, Fault::Reset),
            Way::Senseless => script(EVENTS, Fault::Malformed),
            Way::CursorsRefused => script(&EVENTS[1..], Fault::RefusedCursor),
            Way::JobsClosed => script(&[Endpoint::Entities], Fault::CloseJob),
        }
    }

    /// Whether only a person can mend it.
    fn halts(self) -> bool {
        matches!(
            self,
            Way::TokenRevoked | Way::KeyRefused | Way::Senseless | Way::CursorsRefused | Way::Poisoned
        )
    }
}

/// What is seen of a tenant that is well: at every look what each stream had
/// committed and how far behind it was, and in the end the requests.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    looks: Vec<Vec<(u64, Option<i64>)>>,
    requests: Vec<(Endpoint, u64)>,
}

async fn story(way: Way) -> Vec<Seen> {
    let place = Place::new();
    let ill = Simulator::start(way.world()).await.unwrap();
    let mut others = Vec::new();
    for seed in 1..=OTHERS {
        others.push((format!("well-{seed}"), Simulator::start(world(seed)).await.unwrap()));
    }
    let mut process = place.process().await;
    // First in the list, so that it is before the others wherever there is a queue.
    let mut tenants = vec![place.tenant("ill", &ill)];
    tenants.extend(others.iter().map(|(name, simulator)| place.tenant(name, simulator)));
    process.tenants.want(tenants);
    way.begin(&ill);
    let mut seen: Vec<Seen> = others.iter().map(|_| Seen::default()).collect();
    for _ in 0..TIME.as_secs() / 10 {
        process.lasts(Duration::from_secs(10)).await;
        for (seen, (name, _)) in seen.iter_mut().zip(&others) {
            let meter = process.meter(name);
            let look = Stream::ALL.iter().map(|stream| {
                let counted = meter.stream(*stream);
                (counted.committed.get(), counted.newest_event.get().map(|at| at.0))
            });
            seen.looks.push(look.collect());
        }
    }
    let state = process.meter("ill").state.get();
    assert_eq!(matches!(state, TenantState::Stopped(_)), way.halts(), "{way:?}: {state:?}");
    let ends = process.ends().await;
    assert_eq!(ends.len() as u64, OTHERS + 1);
    for (seen, (name, simulator)) in seen.iter_mut().zip(&others) {
        simulator.settle();
        let report = simulator.report();
        assert!(report.is_exact(), "{way:?}, {name}: {:#?}", report.graph);
        assert!(report.served() >= 60, "{name} was read");
        // How often a job is asked about depends on chance.
        seen.requests = report.requests.into_iter().filter(|(call, _)| *call != Endpoint::Status).collect();
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn one_tenant_that_fails_in_any_way_moves_neither_the_lag_nor_the_requests_of_another() {
    let usual = story(Way::Well).await;
    for way in WAYS {
        let seen = story(*way).await;
        assert_eq!(seen, usual, "{way:?}");
    }
}
