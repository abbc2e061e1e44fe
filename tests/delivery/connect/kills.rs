//! A run that ends at any step of a snapshot.

use std::time::Duration;

use opgraph::{pipeline, sink::memory::Fault};

use super::Place;

/// Every kind of change at once.
async fn changed() -> Place {
    let place = Place::new();
    place.fake.with(|account| {
        account.vault("v", &["a", "b", "c"]);
        account.vault("w", &["d", "e"]);
        account.vault("x", &["f", "g"]);
    });
    place.whole().await;
    place.fake.with(|account| {
        account.vaults.remove("x");
    });
    place.whole().await;
    place.fake.with(|account| {
        account.take("v", "b");
        let moved = account.take("v", "c");
        account.rename("v", "Other");
        account.put("w", moved);
        account.put("w", super::fake::item("d", 2));
        account.vault("y", &["h"]);
    });
    place
}

#[tokio::test(start_paused = true)]
async fn a_run_that_ends_at_any_step_of_a_snapshot_is_made_good_by_the_next() {
    // By the lister's steps, and by time: everything after the last answer waits for uploads of a second.
    let mut ends: Vec<(Option<u64>, Duration)> =
        (1..).map(|step| (Some(step), Duration::from_secs(30))).take(40).collect();
    ends.extend((0..100).map(|tenth| (None, Duration::from_millis(50 * tenth))));
    let mut early = 0;
    for (step, time) in ends {
        let place = changed().await;
        let from = *place.fake.steps.borrow();
        *place.fake.stands_at.lock().unwrap() = step.map(|step| from + step);
        // Uploads that take their time: between two of them there is a moment to end in.
        if step.is_none() {
            place.sink.fail([Fault::Slow(Duration::from_millis(400)); 8]);
        }
        let run = place.run().await;
        let ended = tokio::time::timeout(time, pipeline::run(run)).await;
        early += u64::from(ended.is_err());
        *place.fake.stands_at.lock().unwrap() = None;
        let held = place.held();
        for stays in ["vault:v", "vault:w", "secret:a", "secret:c", "secret:d", "secret:e"] {
            assert!(held.keys().any(|key| key.ends_with(stays)), "{step:?} {time:?}: {stays} was removed");
        }
        place.whole().await;
        // A vault that was missing for the first time is gone with the second list.
        place.whole().await;
        place.is_exact().await;
    }
    assert!(early > 20, "only {early} runs ended early");
}

#[tokio::test(start_paused = true)]
async fn an_upload_of_a_snapshot_that_is_not_acknowledged_is_made_good_by_the_next() {
    let mut failed = 0;
    for fault in [Fault::Reject, Fault::FailAfterWrite] {
        for before in 0..5 {
            let place = changed().await;
            place.sink.fail(vec![Fault::Slow(Duration::ZERO); before]);
            place.sink.fail([fault]);
            failed += u64::from(place.snapshot().await.0.is_err());
            place.sink.held().faults.clear();
            place.whole().await;
            place.whole().await;
            place.is_exact().await;
        }
    }
    assert!(failed >= 4, "only {failed} runs met the fault");
}
