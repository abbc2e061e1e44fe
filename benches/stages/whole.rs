//! whole: from the first page to the last commit, against the simulator in a process of its own; beside it the floor.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput};
use opgraph::{
    clock::Clock,
    config::Config,
    http::{Client, ClientSettings},
    memory::Memory,
    source::Pace,
    supervisor::{Budgets, Shared},
    telemetry::Meter,
    tenant,
};
use opgraph_bench::{
    floor::{self, Plan},
    place::{self, Sink},
    simulated::{Access, Other},
};
use opgraph_state::{OpenOptions, SledStore};
use tokio_util::sync::CancellationToken;

use super::RUNTIME;

/// Events that wait upstream.
const EVENTS: u64 = 60_000;

/// The program without its process: state, dedup, JupiterOne with and without gzip; then the floor with what it sent.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("whole");
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    let bodies = RUNTIME.block_on(floor::bodies()).expect("bodies");
    for gzip in [true, false] {
        let mut other =
            Other::start(Path::new(env!("CARGO_BIN_EXE_end-to-end")), EVENTS).expect("a simulator");
        let access = other.access.clone();
        let (_, meter) = once(&access, gzip);
        let report = other.report().expect("a report");
        assert!(report.is_exact() && report.is_caught_up(), "{:#?}", report.graph);
        let plan = Plan { sent: meter.bytes_out.get(), gzip };
        let name = if gzip { "gzip" } else { "plain" };
        for (unit, throughput) in [
            ("events", Throughput::Elements(report.served())),
            ("bytes", Throughput::Bytes(meter.bytes_in.get() + plan.sent)),
        ] {
            group.throughput(throughput);
            group.bench_function(format!("{name}/opgraph/{unit}"), |bencher| {
                bencher.iter_custom(|times| (0..times).map(|_| once(&access, gzip).0).sum());
            });
            group.bench_function(format!("{name}/floor/{unit}"), |bencher| {
                bencher.iter(|| {
                    let passed = RUNTIME.block_on(floor::run(&access, bodies.clone(), plan));
                    assert_eq!(passed.expect("the floor").sent, plan.sent);
                });
            });
        }
    }
    group.finish();
}

/// One tenant, on fresh state, until it has caught up.
fn once(access: &Access, gzip: bool) -> (Duration, Arc<Meter>) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let sink = if gzip { Sink::Gzip } else { Sink::Plain };
    let path = place::furnish(dir.path(), access, sink).expect("a configuration");
    let config = Config::load(&path).expect("a configuration");
    let store = SledStore::open(&config.state_dir, OpenOptions::default()).expect("a state");
    let client = Client::new(&ClientSettings::default()).expect("a client");
    let closing = CancellationToken::new();
    let (budgets, memory) = (Budgets::default(), Memory::default());
    let (clock, drain) = (Clock::system(), Duration::from_secs(30));
    let shared = Shared { store, client, budgets, memory, clock, closing, drain };
    let meter = Arc::new(Meter::default());
    let tenant = config.tenants.into_iter().next().expect("a tenant");
    let begun = Instant::now();
    let drained =
        RUNTIME.block_on(tenant::run(tenant, Pace::Once, shared, meter.clone())).expect("it is drained");
    assert!(drained.halted.is_empty());
    (begun.elapsed(), meter)
}
