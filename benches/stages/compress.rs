//! compress: request bodies, as the sink compresses them (gzip, level 1).

use std::hint::black_box;

use criterion::Criterion;
use opgraph::http::Body;

use super::{EVENTS, both, serialise};

/// A body of entities, with their raw data, and one of relationships.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("compress");
    let records = serialise::records();
    let all = serialise::bodies(&records);
    let size = all.iter().map(|(_, body)| body.len()).sum();
    for (unit, throughput) in both(*EVENTS, size) {
        group.throughput(throughput);
        group.bench_function(format!("bodies/{unit}"), |bencher| {
            bencher.iter(|| all.iter().map(|(_, body)| black_box(Body::gzip(body)).len()).sum::<usize>());
        });
    }
    group.finish();
}
