//! Two sinks that acknowledge together, and the faults of the sink in memory.

use std::time::Duration;

use opgraph::{
    http::Remedy,
    sink::{
        Sink, UploadLimits,
        both::Both,
        memory::{Fault, MemorySink},
    },
};
use tokio::time::Instant;

use super::{Feed, Subject, upload};

#[tokio::test]
async fn a_page_is_acknowledged_only_when_both_sinks_have_it() {
    for fault in [Fault::Reject, Fault::FailAfterWrite] {
        for failing in [0, 1] {
            let sinks = [MemorySink::default(), MemorySink::default()];
            let both = Both::new(sinks[0].clone(), sinks[1].clone());
            let feed = Feed::new(3);
            sinks[failing].fail([fault]);
            let error = upload(&both, &feed, 0..3).await.unwrap_err();
            assert_eq!(error.remedy, Remedy::RETRY);
            let ack = upload(&both, &feed, 0..3).await.unwrap();
            assert_eq!(ack.steps().len(), 3);
            assert!(sinks.iter().all(|sink| sink.contents() == feed.contents()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_slower_sink_sets_the_pace() {
    let (quick, slow) = (MemorySink::default(), MemorySink::default());
    let both = Both::new(quick.clone(), slow.clone());
    slow.fail([Fault::Slow(Duration::from_secs(60))]);
    let start = Instant::now();
    let _ = upload(&both, &Feed::new(2), 0..2).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(60));
    assert_eq!((quick.held().acked, slow.held().acked), (1, 1));
}

#[test]
fn a_pair_keeps_within_the_limits_of_both() {
    let limits = |age, events, bytes, finishing| UploadLimits {
        age: Duration::from_secs(age),
        events,
        bytes,
        finishing,
    };
    let pair = Both::new(MemorySink::new(limits(60, 10, 3, 0)), MemorySink::new(limits(1, 100, 2, 4)));
    assert_eq!(pair.limits(), limits(1, 10, 2, 0));
}

#[tokio::test]
async fn the_memory_counts_what_happened_to_it() {
    let (sink, feed) = (MemorySink::default(), Feed::new(3));
    sink.fail([Fault::Reject, Fault::FailAfterWrite]);
    upload(&sink, &feed, 0..3).await.unwrap_err();
    assert!(sink.contents().is_empty(), "rejected");
    upload(&sink, &feed, 0..3).await.unwrap_err();
    assert_eq!(sink.contents(), feed.contents(), "kept, though nobody was told");
    assert_eq!(sink.held().repeated, 0);
    let _ = upload(&sink, &feed, 0..3).await.unwrap();
    let held = sink.held();
    assert_eq!((held.pages, held.finished, held.acked), (9, 3, 1));
    // 7 events a page: 1, 2 and 2 relationships of their own beside each.
    assert_eq!(held.repeated, 7 * (2 + 3 + 3));
}
