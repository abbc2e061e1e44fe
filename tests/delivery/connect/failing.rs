//! A Connect that fails, and the streams beside it.

use std::time::Duration;

use opgraph::{
    clock::Clock,
    http::Remedy,
    pipeline::{self, Run},
    source::Pace,
    telemetry::StreamState,
};

use super::Place;
use crate::support::START;

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

#[tokio::test(start_paused = true)]
async fn runs_that_start_again_and_again_do_not_count_a_vault_as_missing_twice_within_half_an_interval() {
    let place = Place::new();
    place.fake.with(|account| {
        account.vault("v", &["a"]);
        account.vault("w", &["c"]);
    });
    place.whole().await;
    let away = place.fake.with(|account| account.vaults.remove("v").unwrap());
    let began = tokio::time::Instant::now();
    let clock = Clock::starting_at(START);
    let life = async |time: Duration| {
        let pace = Pace::Every(Duration::from_secs(10));
        let run = Run { pace, clock: clock.clone(), ..place.run().await };
        let (done, task) = (run.meter.clone(), tokio::spawn(pipeline::run(run)));
        tokio::time::sleep(time).await;
        task.abort();
        let _ = task.await;
        done.snapshots.done.get()
    };
    // It crashes every minute, for less than half an interval.
    let mut done = 0;
    while began.elapsed() < Duration::from_secs(1_700) {
        done += life(Duration::from_secs(60)).await;
        assert!(place.held().contains_key("one_password_vault:v"), "removed after {:?}", began.elapsed());
    }
    assert!(done > 20, "{done} snapshots");
    // It comes back, and is away again: what was counted before counts no more.
    place.fake.with(|account| account.vaults.insert("v".to_owned(), away));
    life(Duration::from_secs(60)).await;
    place.is_exact().await;
    place.fake.with(|account| account.vaults.remove("v"));
    for _ in 0..2 {
        life(Duration::from_secs(60)).await;
        assert!(place.held().contains_key("one_password_vault:v"));
    }
    // Half an interval after it was counted, it is gone.
    tokio::time::sleep(Duration::from_secs(1_700)).await;
    life(Duration::from_secs(60)).await;
    assert!(!place.held().contains_key("one_password_vault:v"));
    place.is_exact().await;
}
