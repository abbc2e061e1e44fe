//! A Connect that fails, and the streams beside it.

use std::time::Duration;

use opgraph::{
    http::Remedy,
    pipeline::{self, Run},
    source::Pace,
    telemetry::StreamState,
};

use super::Place;

#[tokio::test(start_paused = true)]
async fn a_failing_connect_moves_no_streams_lag() {
    for remedy in [Remedy::RETRY, Remedy::halt("look")] {
        let place = Place { events: 200, ..Place::new() };
        place.fake.with(|account| {
            account.fails.insert("vaults".to_owned(), remedy.clone());
        });
        let run = Run { pace: Pace::Every(Duration::from_secs(10)), ..place.run().await };
        let (closing, meter) = (run.closing.clone(), run.meter.clone());
        let task = tokio::spawn(pipeline::run(run));
        tokio::time::sleep(Duration::from_secs(600)).await;
        for stream in opgraph::stream::Stream::ALL {
            assert_eq!(meter.stream(*stream).committed.get(), 200);
            assert_eq!(meter.stream(*stream).state.get(), StreamState::CaughtUp);
        }
        let is_halted = matches!(meter.snapshots.state.get(), StreamState::Halted(_));
        assert_eq!(is_halted, !matches!(remedy, Remedy::Retry { .. }));
        let tried = meter.snapshots.failed.get();
        // Again after about a minute, then less and less often.
        assert!(if is_halted { tried == 1 } else { (3..8).contains(&tried) }, "{tried}");
        closing.cancel();
        let drained = task.await.unwrap().unwrap();
        assert!(drained.halted.is_empty());
        assert_eq!(drained.snapshots.is_some(), is_halted);
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_made_every_interval_and_an_early_repeat_counts_no_vault_as_missing() {
    let place = Place::new();
    place.fake.with(|account| {
        account.vault("v", &["a"]);
        account.vault("w", &["c"]);
    });
    place.whole().await;
    place.fake.with(|account| {
        account.vaults.remove("v");
        account.put("w", super::fake::item("d", 1));
        account.fails.insert("items w".to_owned(), Remedy::RETRY);
    });
    let run = Run { pace: Pace::Every(Duration::from_secs(10)), ..place.run().await };
    let (closing, meter) = (run.closing.clone(), run.meter.clone());
    let task = tokio::spawn(pipeline::run(run));
    tokio::time::sleep(Duration::from_secs(3500)).await;
    assert!(meter.snapshots.failed.get() > 3);
    assert!(place.held().contains_key("one_password_vault:v"), "missing in one interval only");
    place.fake.with(|account| account.fails.clear());
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(!place.held().contains_key("one_password_vault:v"));
    place.is_exact().await;
    let done = meter.snapshots.done.get();
    tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
    assert_eq!(meter.snapshots.done.get(), done + 2);
    closing.cancel();
    task.await.unwrap().unwrap();
}
