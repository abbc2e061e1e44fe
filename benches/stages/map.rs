//! map: from events to the JSON text of their records.

use std::hint::black_box;

use criterion::Criterion;

use super::{MAPPING, PAGES, both, mapped, read};

/// Each stream's page, with raw data, into the memory of the page before it.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("map");
    for (stream, pages) in PAGES.iter() {
        let events = read(*stream, &pages[0]);
        let mut records = mapped(&events);
        for (unit, throughput) in both(events.len() as u64, records.bytes()) {
            group.throughput(throughput);
            group.bench_function(format!("{}/{unit}", stream.name()), |bencher| {
                bencher.iter(|| {
                    records.clear();
                    events.map(&MAPPING, &mut records);
                    black_box(records.bytes())
                });
            });
        }
    }
    group.finish();
}
