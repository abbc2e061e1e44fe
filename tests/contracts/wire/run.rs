//! One case: a tenant is read through the proxy, and judged.

use std::{
    net::TcpListener,
    num::NonZeroU32,
    sync::{Arc, OnceLock},
    time::Duration,
};

use opgraph::{
    clock::Clock,
    http::{Client, ClientSettings, Failure, Halt, Limits, Patience, Remedy},
    memory::Memory,
    pipeline::{self, Drained},
    sink::{SinkError, UploadLimits, memory::MemorySink},
    source::{NoLister, Pace},
    stream::{Mapping, Stream},
    supervisor::{Access, Budgets, Outside, RunError, Shared, Start, Tenant, chain, supervise},
    telemetry::{Meter, StreamState},
};
use opgraph_simulator::{Config, Held, Simulator};
use opgraph_state::{Epoch, MemoryStore, UnixMs, UploadNote};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Place,
    row::{Ends, Expect, Kind, Row},
};
use crate::support::{
    answers::filled_in,
    chaos::{Chaos, Seen},
    logs::{Log, is_silent_about},
};

/// The longest pause that anybody may impose; in the product an hour.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(60);
/// The largest body; in the product 64 MiB.
pub(super) const CAP: usize = 256 << 10;
/// The time for a request that waits for an answer that does not come.
const HASTY: Duration = Duration::from_millis(250);
/// No case takes as long as this.
const TOO_LONG: Duration = Duration::from_secs(60);

/// The simulator's time.
const NOW: &str = "2026-06-01T00:00:00Z";

const FAULTED: Stream = Stream::AuditEvents;

/// Everything one case works with.
struct World<'a> {
    simulator: &'a Simulator,
    chaos: Chaos,
    sink: MemorySink,
    store: MemoryStore,
    clock: Clock,
    client: Client,
}

/// How one run ended.
struct Ended {
    result: Result<Drained, RunError>,
    meter: Arc<Meter>,
}

/// An account whose events, all of them, every case reads. To make one costs more than a case.
pub(super) async fn account() -> Simulator {
    let limits = opgraph_simulator::Limits { per_minute: 1_000_000, per_hour: 50_000_000 };
    let now = Some(NOW.parse().unwrap());
    let config = Config { events: 60, page_cap: 3, users: 8, now, limits, ..Config::default() };
    Simulator::start(config).await.unwrap()
}

impl World<'_> {
    fn new(simulator: &Simulator, hasty: bool) -> World<'_> {
        let now: jiff::Timestamp = NOW.parse().unwrap();
        World {
            chaos: Chaos::start(simulator.address()),
            simulator,
            sink: MemorySink::new(UploadLimits {
                age: Duration::from_millis(5),
                events: 100,
                bytes: 1 << 20,
                finishing: 0,
            }),
            store: MemoryStore::default(),
            clock: Clock::starting_at(UnixMs(now.as_millisecond())),
            client: client(hasty),
        }
    }

    /// Runs the tenant: until it has caught up, or, with a pace, until `enough` says so.
    async fn run(&self, pace: Pace, enough: impl Fn(&Meter) -> bool) -> Ended {
        let tenant = Tenant {
            name: "acme".into(),
            streams: None,
            rate: Limits {
                per_minute: NonZeroU32::new(60_000).unwrap(),
                per_hour: NonZeroU32::new(600_000).unwrap(),
            },
            start: Start::Ago(Duration::from_secs(120 * 86_400)),
            pace,
            patience: Patience {
                first: Duration::from_millis(2),
                longest: Duration::from_millis(10),
                ..Patience::ENDLESS
            },
            mapping: Mapping { raw_data: true, account_name: None },
            limits: pipeline::Limits::default(),
            snapshots: None,
        };
        let closing = CancellationToken::new();
        let shared = Shared {
            store: self.store.clone(),
            client: self.client.clone(),
            budgets: Budgets::default(),
            memory: Memory::default(),
            clock: self.clock.clone(),
            closing: closing.clone(),
            drain: Duration::from_secs(30),
        };
        let outside = Given {
            access: Access {
                base_url: self.chaos.url().parse().unwrap(),
                token: self.simulator.events_token().into(),
                expires: None,
                account: None,
            },
            sink: self.sink.clone(),
        };
        let meter = Arc::new(Meter::default());
        let run = supervise(tenant, outside, shared, meter.clone());
        let watch = async {
            while !enough(&meter) {
                sleep(Duration::from_millis(2)).await;
            }
            closing.cancel();
            std::future::pending().await
        };
        let both = async {
            tokio::select! {
                result = run => result,
                result = watch => result,
            }
        };
        let result = timeout(TOO_LONG, both).await.expect("the run hangs");
        Ended { result, meter }
    }

    /// Checks that the graph holds what the events served must have become, and that all were served.
    #[track_caller]
    fn is_exact(&self) {
        let held = self
            .sink
            .held()
            .records
            .iter()
            .map(|(key, kept)| in_oracles_words(key, &kept.json))
            .collect::<Vec<_>>();
        let report = self.simulator.report_of(held);
        assert!(report.is_exact() && report.is_caught_up(), "{:#?} {:#?}", report.graph, report.streams);
    }
}

/// A client. To make one costs more than a case: it reads the machine's certificates.
fn client(hasty: bool) -> Client {
    static CLIENTS: [OnceLock<Client>; 2] = [OnceLock::new(), OnceLock::new()];
    let made = CLIENTS[usize::from(hasty)].get_or_init(|| {
        let usual = ClientSettings::default();
        let timeout = if hasty { HASTY } else { usual.timeout };
        let bounds = ClientSettings { largest_answer: CAP, longest_pause: LONGEST_PAUSE, ..usual };
        Client::new(&ClientSettings { timeout, ..bounds }).unwrap()
    });
    made.clone()
}

/// What the tenant is given: a token and a sink.
struct Given {
    access: Access,
    sink: MemorySink,
}

impl Outside for Given {
    type Sink = MemorySink;
    type Lister = NoLister;

    async fn access(&self) -> Result<Access, RunError> {
        Ok(self.access.clone())
    }

    async fn sink(&self, _: Epoch, _: Vec<UploadNote>) -> Result<MemorySink, SinkError> {
        Ok(self.sink.clone())
    }

    async fn lister(&self) -> Result<NoLister, Failure> {
        unreachable!("its vaults are not listed")
    }
}

fn in_oracles_words(key: &str, json: &str) -> Held {
    let record: serde_json::Value = serde_json::from_str(json).unwrap();
    let text = |name: &str| record[name].as_str().map(str::to_owned);
    let from = text("_fromEntityKey");
    Held {
        key: key.to_owned(),
        type_: text("_type").unwrap(),
        class: None,
        to: text("_toEntityKey"),
        name: text("name").filter(|_| from.is_none()),
        display_name: None,
        created_on: from.is_none().then(|| record["createdOn"].as_i64()),
        from,
    }
}

/// How many requests it takes to read the stream when nothing goes wrong.
pub(super) async fn requests_of_a_calm_run(account: &Simulator) -> u64 {
    let world = World::new(account, false);
    let ended = world.run(Pace::Once, |_| false).await;
    assert!(ended.result.unwrap().halted.is_empty());
    world.is_exact();
    assert_eq!(world.chaos.seen_at(Place::Introspection.path()).len(), 1);
    let requests = world.chaos.seen_at(Place::First.path()).len() as u64;
    assert!(requests >= 5, "a middle is neither first nor last: {requests}");
    requests
}

/// Runs one row at one place, and checks all that it says.
pub(super) async fn case(account: &Simulator, row: &Row, place: Place, calm: u64) {
    let log = Log::default();
    let _listening = log.listen();
    // Whoever connects to it has followed a redirect.
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let world = World::new(account, row.hasty);
    let said = [
        ("{elsewhere}", elsewhere.local_addr().unwrap().to_string()),
        ("{token}", world.simulator.events_token().to_owned()),
    ];
    world.chaos.spoil(row.rules(place, calm, |fault| filled_in(fault, &said)));
    let expect = row.expect(place);

    let pace = if place == Place::Poll { Pace::Every(Duration::from_millis(3)) } else { Pace::Once };
    let enough = |meter: &Meter| {
        let rest = Stream::ALL.iter().filter(|stream| **stream != FAULTED);
        let rest_is_read = rest.map(|stream| meter.stream(*stream).state.get()).all(|state| {
            matches!(state, StreamState::CaughtUp | StreamState::Halted(_) | StreamState::Parked(_))
        });
        let is_over = match meter.stream(FAULTED).state.get() {
            StreamState::Halted(_) | StreamState::Parked(_) => true,
            _ => {
                let seen = world.chaos.seen_at(place.path());
                let spoilt = seen.iter().filter(|seen| seen.spoilt.is_some()).count() as u64;
                spoilt >= row.times && seen.iter().rev().take(2).all(|seen| seen.spoilt.is_none())
            }
        };
        place == Place::Poll && rest_is_read && is_over
    };
    let ended = world.run(pace, enough).await;
    let token = world.simulator.events_token();
    for (text, what) in ended.texts() {
        is_silent_about(token, &text, what);
    }
    match expect {
        Expect::Exact { more } => {
            ended.is_well();
            let seen = world.chaos.seen_at(place.path());
            let spoilt = seen.iter().filter(|seen| seen.spoilt.is_some()).count() as u64;
            assert_eq!(spoilt, row.times, "the fault was made");
            let usual = if place == Place::Introspection { 1 } else { calm };
            let (took, most) = (seen.len() as u64, usual + more);
            let as_said = if row.about { took <= most } else { took == most };
            assert!(place == Place::Poll || as_said, "{took} requests, not {most}");
            waited(&world.chaos.seen(), place, row.wait, row.everybody_waits);
        }
        Expect::Ends(ends) => {
            ended.is_stopped(&ends, place);
            if let Some(asked) = ends.asked {
                let seen = world.chaos.seen_at(place.path());
                let spoilt = seen.iter().filter(|seen| seen.spoilt.is_some()).count();
                assert_eq!(spoilt as u64, asked, "how often it was asked");
            }
            world.chaos.spoil(Vec::new());
            let again = world.run(Pace::Once, |_| false).await;
            again.is_well();
        }
    }
    world.is_exact();
    assert!(elsewhere.accept().is_err(), "a redirect was followed");
    assert!(world.chaos.seen().iter().all(|seen| seen.head.contains(token)), "the token was sent");
    let said = log.text();
    assert!(said.contains("run started"), "the log was heard");
    is_silent_about(token, &said, "log");
}

impl Ended {
    /// All that a person or a program may be told.
    fn texts(&self) -> Vec<(String, &'static str)> {
        let states = Stream::ALL.iter().map(|stream| format!("{:?}", self.meter.stream(*stream).state.get()));
        let mut texts = vec![(format!("{:?}", self.result), "result"), (states.collect(), "state")];
        match &self.result {
            Ok(drained) => {
                texts.extend(drained.halted.iter().map(|(_, failure)| (chain(failure), "failure")));
            }
            Err(error) => texts.push((chain(error), "error")),
        }
        texts
    }

    #[track_caller]
    fn is_well(&self) {
        let drained = self.result.as_ref().unwrap_or_else(|error| panic!("{}", chain(error)));
        assert!(drained.halted.is_empty(), "{:?}", drained.halted);
        assert_eq!(self.meter.runs.get(), 1, "a request that failed is no reason for another run");
    }

    /// Checks who stopped, and what a person is told.
    #[track_caller]
    fn is_stopped(&self, ends: &Ends, place: Place) {
        let remedy = match (&self.result, place) {
            (Err(error), Place::Introspection) => error.remedy(),
            (Ok(drained), place) if place != Place::Introspection => {
                let halted: Vec<_> = drained.halted.iter().map(|(stream, _)| *stream).collect();
                if !ends.everywhere {
                    assert_eq!(halted, [FAULTED]);
                    for other in Stream::ALL.iter().filter(|stream| **stream != FAULTED) {
                        assert_eq!(self.meter.stream(*other).state.get(), StreamState::CaughtUp, "{other:?}");
                    }
                }
                let (_, failure) = drained.halted.iter().find(|(stream, _)| *stream == FAULTED).unwrap();
                failure.remedy.clone()
            }
            (result, _) => panic!("{result:?}"),
        };
        let kind = match &remedy {
            Remedy::Halt(Halt::Credentials { .. }) => Kind::Credentials,
            Remedy::Halt(Halt::Configuration { .. }) => Kind::Configuration,
            Remedy::Halt(Halt::Other { .. }) => Kind::Other,
            Remedy::Park { .. } => Kind::Park,
            remedy => panic!("{remedy:?}"),
        };
        assert_eq!(kind, ends.kind, "{remedy:?}");
        let hint = remedy.hint().unwrap();
        assert!(hint.contains(ends.hint), "{hint}");
    }
}

/// Checks that no request to the spoilt path came sooner than it may, and that
/// those to the others stopped: what was under way may still have come.
#[track_caller]
fn waited(seen: &[Seen], place: Place, wait: Duration, everybody: bool) {
    for (number, spoilt) in seen.iter().enumerate().filter_map(|(n, seen)| Some((n, seen.spoilt?))) {
        let later = || seen[number + 1..].iter();
        let gap = later().find(|seen| seen.path.ends_with(place.path())).map(|next| next.at - spoilt);
        assert!(gap.is_none_or(|gap| gap >= wait), "{gap:?} after a fault, not {wait:?}");
        let meanwhile = later().filter(|seen| seen.at - spoilt < wait).count();
        assert!(!everybody || meanwhile <= 4, "{meanwhile} requests while nobody may ask");
    }
}
