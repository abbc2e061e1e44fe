//! A wall clock that leaps: what it may change, and what not.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use opgraph::{
    clock::Clock,
    http::{Budget, Limits as Rate},
    pipeline::{self, Limits},
    sink::memory::MemorySink,
    stream::Stream,
    supervisor::idle,
};
use opgraph_state::{Cursor, MemoryStore, Store, UnixMs};
use tokio::time::{Instant, timeout_at};

use crate::support::{self, START, Scripted, Trouble, key};

const HOUR: Duration = Duration::from_secs(3600);

/// Requests that a budget lets through in a minute.
async fn in_a_minute(budget: Budget) -> usize {
    let end = Instant::now() + Duration::from_secs(60);
    let mut requests = 0;
    while timeout_at(end, budget.acquire()).await.is_ok() {
        requests += 1;
    }
    requests
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_set_back_gives_neither_a_full_budget_nor_a_standstill() {
    let store = MemoryStore::default();
    let per_minute = NonZeroU32::new(600).unwrap();
    let rate = Rate { per_minute, per_hour: NonZeroU32::new(30_000).unwrap() };
    let claim = store.claim("acme", &[], START).await.unwrap();
    assert_eq!(idle(claim.active_until, START), None);
    store.renew("acme", claim.epoch, START.plus(Duration::from_secs(60))).await.unwrap();

    // Killed, and started again with the clock two hours behind: twice.
    for _ in 0..2 {
        let back = START.minus(2 * HOUR);
        let claim = store.claim("acme", &[], back).await.unwrap();
        let idle = idle(claim.active_until, back);
        assert_eq!(idle, Some(Duration::ZERO));
        let requests = in_a_minute(Budget::new(rate, idle)).await;
        // 27,000 an hour is what refills; a burst of fifty would come on top.
        assert!((440..=451).contains(&requests), "{requests}");
        store.renew("acme", claim.epoch, back.plus(Duration::from_secs(60))).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_wrong_moves_no_rewind_past_what_was_read() {
    let events = 3_500;
    let newest = START.plus(Duration::from_secs(60 * (events as u64 - 1)));
    // Behind, by more than all events take; behind; right; ahead; by years.
    let readings =
        [START.minus(HOUR), newest.minus(2 * HOUR), newest, newest.plus(HOUR), UnixMs(i64::MAX / 2)];
    for reading in readings {
        let (sink, store) = (MemorySink::default(), MemoryStore::default());
        let source = Scripted::new(events, 100, 1, Trouble::default());
        let claim = support::claim(&store, "acme").await;
        let run =
            support::run("acme", claim, source, Arc::new(sink.clone()), store.clone(), Limits::default());
        pipeline::run(pipeline::Run { clock: Clock::reading(move || reading), ..run }).await.unwrap();
        for stream in Stream::ALL {
            let checkpoint = &store.checkpoints().await.unwrap()["acme"][stream.name()];
            assert_eq!(checkpoint.newest_event, Some(newest.min(reading)), "never later than was read");
            assert!(matches!(checkpoint.cursor, Cursor::Token(_)));
            assert!(sink.held().records.contains_key(&key(*stream, events - 1)));
            // What a rewind reads again is remembered, unless the clock is behind by more than a day.
            let remembered = store.seen("acme", stream.name(), None).await.unwrap().len();
            assert!(remembered >= 48 * 60, "{remembered} at {reading}");
        }
    }
}
