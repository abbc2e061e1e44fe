//! map: from events to the JSON text of their records.

use criterion::Criterion;

use super::{PAGES, both, mapped, read};

/// Each stream's page, with raw data.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("map");
    for (stream, pages) in PAGES.iter() {
        let events = read(*stream, &pages[0]);
        for (unit, throughput) in both(events.len() as u64, mapped(&events).bytes()) {
            group.throughput(throughput);
            group.bench_function(format!("{}/{unit}", stream.name()), |bencher| {
                bencher.iter_with_large_drop(|| mapped(&events));
            });
        }
    }
    group.finish();
}
