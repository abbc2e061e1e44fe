//! What each stage costs alone, and the whole path beside its floor, in events and bytes a second.
//!
//! ```sh
//! cargo bench -p opgraph-bench              # all
//! cargo bench -p opgraph-bench -- decode    # one
//! ```
//!
//! Read the figures as ratios within one run, never across machines. `bytes` are those of the pages for `decode`, of
//! the records for `map`, `serialise` and `graph`, of JSON before compression for `compress`, and of the ids
//! for `dedup`; criterion prints one throughput a line, so each is there twice.

mod commit;

mod compress;

mod decode;

mod dedup;

mod graph;

mod map;

mod serialise;

mod whole;

use std::{sync::LazyLock, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use opgraph::{
    graph::Records,
    stream::{Events, Mapping, Stream, read_page},
};
use tokio::runtime::Runtime;

/// What drives the simulator and everything else that waits.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

/// Some pages of each stream.
static PAGES: LazyLock<Vec<(Stream, Vec<Vec<u8>>)>> =
    LazyLock::new(|| RUNTIME.block_on(opgraph_bench::pages_of_all(12)).expect("pages"));

/// Events in all of them: a page may be half full.
static EVENTS: LazyLock<u64> = LazyLock::new(|| {
    let pages = PAGES.iter().flat_map(|(stream, pages)| pages.iter().map(|page| read(*stream, page)));
    pages.map(|events| events.len() as u64).sum()
});

/// How events are mapped unless somebody says otherwise.
const MAPPING: Mapping = Mapping { raw_data: true, account_name: None };

fn read(stream: Stream, body: &[u8]) -> Events {
    read_page(stream, body.to_vec()).expect("the simulator serves pages").events
}

fn mapped(events: &Events) -> Records {
    let mut records = Records::with_capacity(2 * events.bytes());
    events.map(&MAPPING, &mut records);
    records
}

/// The throughputs under which a measurement is shown, each with what is added to its name.
fn both(events: u64, bytes: usize) -> [(&'static str, Throughput); 2] {
    [("events", Throughput::Elements(events)), ("bytes", Throughput::Bytes(bytes as u64))]
}

fn settings() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args()
}

criterion_group! {
    name = benches;
    config = settings();
    targets = decode::bench, dedup::bench, map::bench, serialise::bench, compress::bench, commit::bench,
        graph::bench, whole::bench
}
criterion_main!(benches);
