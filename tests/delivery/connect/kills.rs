//! A run that ends at any step of a snapshot.

use std::time::Duration;

use opgraph::{pipeline, sink::memory::Fault};
use opgraph_state::Store;

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

#[tokio::test(start_paused = true)]
async fn what_a_removal_took_out_before_its_run_ended_is_there_again_when_it_is_listed_again() {
    let mut lost = 0;
    for (whole_vault, before) in [false, true].into_iter().flat_map(|vault| (0..5).map(move |n| (vault, n))) {
        let place = Place::new();
        place.fake.with(|account| {
            account.vault("v", &["a", "b"]);
            account.vault("w", &["c"]);
        });
        place.whole().await;
        let as_it_was = place.fake.with(|account| account.vaults["v"].clone());
        if whole_vault {
            place.fake.with(|account| account.vaults.remove("v"));
            place.whole().await;
        } else {
            place.fake.with(|account| account.take("v", "a"));
        }
        // The sink removes, and nobody hears of it.
        place.sink.fail(vec![Fault::Slow(Duration::ZERO); before]);
        place.sink.fail([Fault::FailAfterWrite]);
        let ended = place.snapshot().await.0;
        place.sink.held().faults.clear();
        let is_known = !place.store.listed_items("acme", "v").await.unwrap().is_empty();
        let is_held = place.held().contains_key("one_password_secret:a");
        lost += u64::from(ended.is_err() && is_known && !is_held);
        // It is back as it was: access was taken away and given again.
        place.fake.with(|account| {
            account.vaults.insert("v".to_owned(), as_it_was);
            account.touch("v");
        });
        place.whole().await;
        place.is_exact().await;
    }
    assert!(lost >= 2, "only {lost} removals were lost on their way back");
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_is_back_is_known_to_be_even_if_its_items_are_never_acknowledged() {
    let place = Place::new();
    place.fake.with(|account| {
        account.vault("v", &["a"]);
        account.vault("w", &["b"]);
    });
    place.whole().await;
    let away = place.fake.with(|account| account.vaults.remove("v").unwrap());
    place.whole().await;
    place.fake.with(|account| account.vaults.insert("v".to_owned(), away));
    place.sink.fail([Fault::Reject]);
    assert!(place.snapshot().await.0.is_err());
    place.sink.held().faults.clear();
    // Twice it was not listed, with a list in between that names it.
    place.fake.with(|account| account.vaults.remove("v"));
    place.whole().await;
    assert!(place.held().contains_key("one_password_vault:v"));
    place.whole().await;
    assert!(!place.held().contains_key("one_password_vault:v"));
    place.is_exact().await;
}
