//! Which pasts are read in windows, and what that costs.

use super::*;

/// What a first read of so many events asks for, and how long it takes, with
/// windows as they are made unless anybody says otherwise.
async fn first_read(
    events: usize,
    page: usize,
    readers: usize,
    latency: Duration,
) -> (Vec<Cursor>, Duration) {
    let source = Arc::new(Limited::new(Scripted::new(events, page, 1, Trouble::default()), latency));
    let (sink, store) = (sink(), MemoryStore::default());
    let claim = support::claim(&store, "acme").await;
    let run = run(&claim, source.clone(), sink.clone(), store.clone(), readers);
    let limits = Limits { window: Limits::default().window, ..run.limits };
    let began = Instant::now();
    pipeline::run(Run { limits, ..run }).await.unwrap();
    let took = began.elapsed();
    assert_eq!(sink.held().repeated, 0);
    assert_eq!(stands(&store).await.events, events as u64);
    let asked = source.asked.lock().unwrap().iter().map(|(at, _)| at.clone()).collect();
    (asked, took)
}

/// Reads 20 days; answers how many of the requests that the limits allow meanwhile were made.
async fn share_of_the_limit(readers: usize, latency: Duration) -> f64 {
    let (asked, took) = first_read(MOST_OF_THEM, 16, readers, latency).await;
    // A twelfth at once, and nine tenths of the limit from then on (`src/http/limit.rs`).
    asked.len() as f64 / (50.0 + 9.0 * took.as_secs_f64())
}

#[tokio::test(start_paused = true)]
async fn a_first_read_makes_the_requests_it_may_whatever_each_takes_and_one_chain_a_third() {
    let at_300_ms = Duration::from_millis(300);
    let one = share_of_the_limit(1, at_300_ms).await;
    assert!((0.30..0.38).contains(&one), "{one}");
    let four = share_of_the_limit(4, at_300_ms).await;
    assert!((0.95..=1.0).contains(&four), "{four}");
    let sixteen = share_of_the_limit(16, Duration::from_millis(1_200)).await;
    assert!((0.90..=1.0).contains(&sixteen), "{sixteen}");
}

/// Whatever there may be to come, the first pages are read as if it were little;
/// and if it is, so are the others.
#[tokio::test(start_paused = true)]
async fn an_account_with_little_to_read_makes_no_request_more_than_without_windows() {
    let latency = Duration::from_millis(300);
    // The last but one has all its 7 pages within two of its hours, the last one 40 of them in 20 days.
    let accounts =
        [(0, 1_000), (1, 1_000), (200, 1_000), (3_000, 1_000), (4_001, 1_000), (112, 16), (EVENTS, 720)];
    for (events, page) in accounts {
        let one = first_read(events, page, 1, latency).await;
        assert_eq!(one, first_read(events, page, 4, latency).await, "{events} events, {page} a page");
    }
}

/// However long a past is: what is read again, and the pages that are not full, are few.
#[tokio::test(start_paused = true)]
async fn windows_cost_few_requests_more_than_one_chain() {
    for pages in [64, 80, 150, 400, 1_600] {
        let page = EVENTS / pages;
        let (one, _) = first_read(EVENTS, page, 1, Duration::ZERO).await;
        let (four, _) = first_read(EVENTS, page, 4, Duration::ZERO).await;
        assert!(four.iter().any(of_window), "{pages} pages are read in windows");
        let (one, four) = (one.len(), four.len());
        assert!(four * 100 <= one * 113, "{four} requests, and {one} of one chain");
    }
}

/// A past no longer than the overlap, and one reader, leave nothing to windows;
/// windows that are there are read even then.
#[tokio::test(start_paused = true)]
async fn a_short_past_is_not_split_and_one_reader_reads_what_was() {
    let source = |events| {
        Arc::new(Limited::new(Scripted::new(events, 16, 1, Trouble::default()), Duration::from_millis(5)))
    };
    let (sink, store) = (sink(), MemoryStore::default());
    let claim = support::claim(&store, "acme").await;
    let short = source(2 * 24 * 60);
    let first = run(&claim, short.clone(), sink.clone(), store, 4);
    let clock = Clock::starting_at(START.plus(2 * DAY));
    pipeline::run(Run { clock: clock.clone(), ..first }).await.unwrap();
    assert_eq!((short.first_reads(true), short.first_reads(false)), (vec![], vec![Cursor::Since(START)]));

    let store = MemoryStore::default();
    let claim = support::claim(&store, "acme").await;
    let task = tokio::spawn(pipeline::run(run(&claim, source(EVENTS), sink.clone(), store.clone(), 4)));
    sleep(Duration::from_secs(30)).await;
    task.abort();
    let _ = task.await;
    let left = stands(&store).await.windows.len();
    assert!(left > 10);
    let claim = support::claim(&store, "acme").await;
    let serial = source(EVENTS);
    pipeline::run(run(&claim, serial.clone(), sink, store.clone(), 1)).await.unwrap();
    assert!(serial.first_reads(true).len() <= left);
    let after = stands(&store).await;
    assert_eq!((after.windows.len(), after.events), (0, EVENTS as u64));
}

/// Time passes, nothing happens, and the last page had said that there was more.
#[tokio::test(start_paused = true)]
async fn a_stream_that_has_caught_up_and_is_quiet_for_weeks_is_not_split() {
    let source = Limited::new(Scripted::new(3 * 24 * 60, 24 * 60, 1, Trouble::default()), Duration::ZERO);
    let source = Arc::new(Limited { time: None, promises: true, ..source });
    let (sink, store) = (sink(), MemoryStore::default());
    let claim = support::claim(&store, "acme").await;
    let run = run(&claim, source.clone(), sink, store.clone(), 4);
    let (clock, closing) = (Clock::starting_at(START.plus(3 * DAY)), run.closing.clone());
    let task = tokio::spawn(pipeline::run(Run { clock, pace: Pace::Every(DAY), ..run }));
    sleep(60 * DAY).await;
    closing.cancel();
    task.await.unwrap().unwrap();
    assert_eq!((source.first_reads(true), source.first_reads(false)), (vec![], vec![Cursor::Since(START)]));
    assert!(source.asked.lock().unwrap().len() > 60);
}
