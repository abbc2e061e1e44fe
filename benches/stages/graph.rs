//! graph: one upload into the local graph, durable at its end.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::Criterion;
use opgraph::{
    graph::Records,
    page::{Coverage, Page, Place},
    sink::{Sink, SinkError, Upload, graph::GraphSink},
    stream::Stream,
};
use opgraph_state::{Advance, Cursor, SourceInfo, UnixMs};

use super::{EVENTS, RUNTIME, both, serialise};

/// An upload of 36,000 events into an empty file. A criterion sample is one of them.
pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("graph");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    let pages = serialise::records();
    let size = pages.iter().map(|(_, records)| records.bytes()).sum();
    for (unit, throughput) in both(*EVENTS, size) {
        group.throughput(throughput);
        group.bench_function(format!("one upload/{unit}"), |bencher| {
            bencher.iter_custom(|times| (0..times).map(|_| one_upload()).sum());
        });
    }
    group.finish();
}

/// How long an upload takes, on a disk.
fn one_upload() -> Duration {
    let pages: Vec<_> = serialise::records();
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let sink = GraphSink::open(&dir.path().join("graph.db"), GraphSink::LIMITS).expect("a graph");
    let begun = Instant::now();
    RUNTIME.block_on(upload(&sink, pages)).expect("an upload");
    begun.elapsed()
}

async fn upload(sink: &GraphSink, pages: Vec<(Stream, Records)>) -> Result<(), SinkError> {
    let mut upload = sink.open();
    let mut covered = Coverage::default();
    for (stream, records) in pages {
        let at = Cursor::Since(UnixMs(0));
        let place = Place::new(stream, Advance::new(at.clone(), at), SourceInfo::default());
        let page = Arc::new(Page::new(records, place, None));
        covered.add(&page).expect("the pages join");
        upload.write(page).await?;
    }
    upload.finish(covered).await.map(drop)
}
