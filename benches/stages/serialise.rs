//! serialise: from mapped pages to request bodies. The text of a record is written by `map`; here it is packed.

use std::hint::black_box;

use criterion::Criterion;
use opgraph::{bench::Bodies, graph::Records, stream::Stream};

use super::{EVENTS, PAGES, both, mapped, read};

/// Some mapped pages of every stream, in turn as they arrive.
pub(crate) fn records() -> Vec<(Stream, Records)> {
    let turns =
        (0..PAGES[0].1.len()).flat_map(|turn| PAGES.iter().map(move |(of, pages)| (*of, &pages[turn])));
    turns.map(|(stream, page)| (stream, mapped(&read(stream, page)))).collect()
}

/// The bodies that they are packed into.
pub(crate) fn bodies(records: &[(Stream, Records)]) -> Vec<(&'static str, bytes::Bytes)> {
    let mut packing = Bodies::new();
    let mut bodies: Vec<_> =
        records.iter().flat_map(|(stream, page)| packing.take(page, stream.name())).collect();
    bodies.extend(packing.rest());
    bodies
}

/// Packs all of it.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("serialise");
    let records = records();
    let size = bodies(&records).iter().map(|(_, body)| body.len()).sum();
    for (unit, throughput) in both(*EVENTS, size) {
        group.throughput(throughput);
        group.bench_function(format!("bodies/{unit}"), |bencher| {
            bencher.iter(|| black_box(bodies(&records)));
        });
    }
    group.finish();
}
