//! decode: from the bytes of a page to its events.

use criterion::{BatchSize, Criterion};
use opgraph::stream::read_page;

use super::{PAGES, both, read};

/// Each stream's page, its bytes handed over as the client does.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for (stream, pages) in PAGES.iter() {
        let body = &pages[0];
        for (unit, throughput) in both(read(*stream, body).len() as u64, body.len()) {
            group.throughput(throughput);
            group.bench_function(format!("{}/{unit}", stream.name()), |bencher| {
                bencher.iter_batched(|| body.clone(), |body| read_page(*stream, body), BatchSize::LargeInput);
            });
        }
    }
    group.finish();
}
