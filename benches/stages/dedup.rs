//! dedup: a page against the ids that are remembered.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use criterion::{BatchSize, Criterion, Throughput};
use opgraph::{
    bench::Remembered,
    stream::{Events, Stream},
};
use opgraph_state::{
    Advance, Commit, Cursor, Fingerprint, OpenOptions, SledStore, SourceInfo, Step, Store, UnixMs,
};

use super::{RUNTIME, read};

/// What dedup remembers of each stream outside a rewind.
const RECENT: usize = 262_144;

/// The horizon of a large account.
const HORIZON: u64 = 10_000_000;

/// A page of events that are nothing but their id.
fn page(from: u64) -> Events {
    let items: Vec<_> = (from..from + 1000).map(|id| format!(r#"{{"uuid":"{}"}}"#, uuid(id))).collect();
    let page = format!(r#"{{"cursor":"c","has_more":true,"items":[{}]}}"#, items.join(","));
    read(Stream::AuditEvents, page.as_bytes())
}

fn uuid(id: u64) -> String {
    format!("{id:026}")
}

/// New events with the memory full, events that are all known, and both against a whole horizon.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dedup");
    group.throughput(Throughput::Elements(1000));

    let next = Cell::new(HORIZON);
    let fresh = || page(next.replace(next.get() + 1000));
    let mut remembered = Remembered::new(Stream::AuditEvents, RECENT);
    while remembered.size().0 < RECENT {
        remembered.pass(&mut fresh());
    }
    group.bench_function("fresh", |bencher| {
        bencher.iter_batched_ref(fresh, |page| remembered.pass(page), BatchSize::LargeInput);
    });

    let known = HORIZON - 1000;
    remembered.pass(&mut page(known));
    group.bench_function("all repeats", |bencher| {
        bencher.iter_batched_ref(|| page(known), |page| remembered.pass(page), BatchSize::LargeInput);
    });

    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let store = horizon(dir.path());
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    group.throughput(Throughput::Elements(HORIZON));
    let recall = || {
        let recalled = Remembered::recalled(&store, "acme", Stream::AuditEvents, RECENT);
        RUNTIME.block_on(recalled).expect("the state can be read")
    };
    // From the refused cursor to the first page of the rewind.
    group.bench_function("recall of 10 million ids", |bencher| {
        bencher.iter_custom(|times| {
            let mut took = Duration::ZERO;
            for _ in 0..times {
                let begun = Instant::now();
                let mut remembered = recall();
                remembered.pass(&mut page(0));
                took += begun.elapsed();
            }
            took
        });
    });

    group.sample_size(20).measurement_time(Duration::from_secs(2));
    group.throughput(Throughput::Elements(1000));
    let mut remembered = recall();
    let (ids, bytes) = remembered.size();
    assert_eq!(ids as u64, HORIZON, "all of the horizon is remembered");
    assert_eq!(bytes as u64 / HORIZON, 16, "bytes an id");
    let at = Cell::new(0);
    // Spread over the horizon: pages of a rewind lie next to each other in time, their ids do not.
    let again = || page(at.replace((at.get() + 7_919_000) % HORIZON));
    group.bench_function("rewind over 10 million ids, repeats", |bencher| {
        bencher.iter_batched_ref(again, |page| remembered.pass(page), BatchSize::LargeInput);
    });
    group.bench_function("rewind over 10 million ids, fresh", |bencher| {
        bencher.iter_batched_ref(fresh, |page| remembered.pass(page), BatchSize::LargeInput);
    });
    group.finish();
}

/// A state with ten million ids, committed as a hundred uploads of a hundred pages.
fn horizon(dir: &std::path::Path) -> SledStore {
    let store = SledStore::open(dir, OpenOptions::default()).expect("a state");
    let stream = Stream::AuditEvents.name().to_owned();
    let mut at = Cursor::Since(UnixMs(0));
    RUNTIME.block_on(async {
        let claim = store.claim("acme", &[(stream.clone(), at.clone())], UnixMs(0)).await.expect("a claim");
        for upload in 0..HORIZON / 100_000 {
            let to = Cursor::Token(upload.to_string());
            let pages = (0..100).map(|page| upload * 100_000 + page * 1000);
            let ids = |from: u64| (from..from + 1000).map(|id| Fingerprint::of(&uuid(id))).collect();
            let step = Step {
                stream: stream.clone(),
                advance: Advance::new(at.clone(), to.clone()),
                source: SourceInfo::default(),
                newest_event: Some(UnixMs(0)),
                latest: Some(UnixMs(0)),
                seen: pages.map(ids).collect(),
                rewound: false,
                through: false,
                window: None,
                split: None,
            };
            let commit = Commit {
                tenant: "acme".to_owned(),
                epoch: claim.epoch,
                at: UnixMs(0),
                steps: vec![step],
                removed: Vec::new(),
                directory: Vec::new(),
                inventory: Vec::new(),
                released: Vec::new(),
                quarantined: Vec::new(),
                settled: Vec::new(),
            };
            store.commit(commit).await.expect("a commit");
            at = to;
        }
    });
    store
}
