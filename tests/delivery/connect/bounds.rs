//! How much a snapshot holds when the sink is slow.

use std::time::Duration;

use opgraph::{
    pipeline::{self, Limits},
    sink::{
        UploadLimits,
        memory::{Fault, MemorySink},
    },
};

use super::{Place, fake::item};

/// Bytes of JSON of a listing, at which it is sent (`src/pipeline/snapshot/send.rs`), and items whose
/// labels are asked for before any of them is (`src/pipeline/snapshot/list.rs`).
const LISTING: usize = 1_000_000;
const CHUNK: usize = 500;

#[tokio::test(start_paused = true)]
async fn a_slow_sink_slows_the_snapshot_and_no_more_is_read_than_the_allowance_holds() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    const ALLOWANCE: usize = 2_000_000;
    let age = Duration::from_secs(1);
    let uploads = UploadLimits { age, events: 20_000, bytes: LISTING, finishing: 0 };
    // Bytes bind here: the channels would hold all of it.
    let limits = Limits { pages: 1_000, bytes: ALLOWANCE, ..Limits::default() };
    let place = Place { sink: MemorySink::new(uploads), limits, ..Place::new() };
    const ITEMS: usize = 6 * 1_000;
    place.fake.with(|account| {
        for vault in ["a", "b", "c", "d", "e", "f"] {
            account.vault(vault, &[]);
            for n in 0..ITEMS / 6 {
                let long = format!("{n} {}", "x".repeat(1_500));
                account.put(
                    vault,
                    opgraph::source::connect::Item { title: Some(long), ..item(&format!("{vault}{n}"), 1) },
                );
            }
        }
    });
    let bytes: usize = place.truth().values().map(String::len).sum();
    assert!(bytes > 8 * ALLOWANCE, "{bytes} bytes would be held with or without a bound");
    place.sink.fail([Fault::Slow(2 * DAY)]);
    let run = place.run().await;
    let task = tokio::spawn(pipeline::run(run));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let opened = place.fake.count("labels");
    tokio::time::sleep(DAY).await;
    assert_eq!(place.fake.count("labels"), opened, "more was read for a sink that takes nothing");
    // What the standing upload covers (two listings at most), the allowance, and the listing that waits for its share.
    let most = (2 * LISTING + ALLOWANCE + LISTING) / (bytes / ITEMS) + CHUNK;
    assert!((CHUNK..=most).contains(&opened), "{opened} items were opened, of {most}");
    // A vault is listed when the one before it has been sent.
    assert!(place.fake.count("items") <= 1 + most.div_ceil(ITEMS / 6));
    task.await.unwrap().unwrap();
    place.is_exact().await;
}
