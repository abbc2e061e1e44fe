//! The past in windows: as fast as the API allows, each event once, whatever happens.

mod cost;

use std::{
    num::NonZeroU32,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::StreamExt;
use opgraph::{
    clock::Clock,
    http::{Budget, Failure, Limits as Rate, Remedy},
    pipeline::{self, Limits, Run},
    sink::{Sink, UploadLimits, memory::MemorySink},
    source::{Pace, Reading, Source, pages},
    stream::{Read, Stream},
    telemetry::{Meter, StreamState},
};
use opgraph_state::{Checkpoint, Claim, Cursor, MemoryStore, SourceInfo, Store, UnixMs};
use tokio::time::{Instant, sleep};

use crate::support::{self, START, Scripted, Trouble, failure, key};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Events happen every minute for so many days.
const DAYS: u32 = 20;
const EVENTS: usize = DAYS as usize * 24 * 60;

/// As many of them as leave a small part, as in an account of 120 days, to the
/// live cursor, which is one chain however many readers there are.
const MOST_OF_THEM: usize = EVENTS - 2 * 24 * 60 + 288;

/// The stream that is read.
const OF: Stream = Stream::ItemUsages;

/// An account under its limits, each of whose answers takes its time.
struct Limited {
    inner: Arc<Scripted>,
    budget: Budget,
    latency: Duration,
    /// Every cursor asked with, and how long it waited for its turn.
    asked: Mutex<Vec<(Cursor, Duration)>>,
    /// Cursors to refuse: the next so many with a token, of each of these.
    refuse: Mutex<[usize; 3]>,
    /// What time it says it is.
    time: Option<UnixMs>,
    /// It says of every page that more is waiting.
    promises: bool,
}

impl Limited {
    fn new(inner: Arc<Scripted>, latency: Duration) -> Limited {
        let limit = |n| NonZeroU32::new(n).unwrap();
        let time = Some(START.plus(DAYS * DAY));
        let budget = Budget::new(Rate { per_minute: limit(600), per_hour: limit(30_000) }, None);
        Limited {
            inner,
            budget,
            latency,
            asked: Mutex::default(),
            refuse: Mutex::default(),
            time,
            promises: false,
        }
    }

    /// The first reads that were asked for: of the live cursor, or of windows.
    fn first_reads(&self, windows: bool) -> Vec<Cursor> {
        let asked = self.asked.lock().unwrap();
        let wanted = |at: &Cursor| match at {
            Cursor::Since(_) => !windows,
            Cursor::Between { .. } => windows,
            Cursor::Token(_) => false,
        };
        asked.iter().map(|(at, _)| at.clone()).filter(wanted).collect()
    }
}

/// Whose scripted cursor it is: the live one's in the past, and behind it; a window's.
fn whose(at: &Cursor) -> usize {
    match support::events_before(at) {
        _ if of_window(at) => 2,
        before => usize::from(before > (DAYS as usize - 2) * 24 * 60),
    }
}

/// Whether a scripted cursor is one of a window.
fn of_window(at: &Cursor) -> bool {
    match at {
        Cursor::Since(_) => false,
        Cursor::Between { .. } => true,
        Cursor::Token(token) => token.split('/').nth(2).is_some(),
    }
}

impl Source for Limited {
    async fn page(&self, stream: Stream, at: &Cursor) -> Result<Read, Failure> {
        let began = Instant::now();
        self.budget.acquire().await;
        self.asked.lock().unwrap().push((at.clone(), began.elapsed()));
        sleep(self.latency).await;
        if matches!(at, Cursor::Token(_)) {
            let refuse = &mut self.refuse.lock().unwrap()[whose(at)];
            if *refuse > 0 {
                *refuse -= 1;
                return Err(failure(Remedy::Rewind));
            }
        }
        let read = self.inner.page(stream, at).await?;
        Ok(Read { has_more: read.has_more || self.promises, ..read })
    }

    fn time(&self) -> Option<UnixMs> {
        self.time
    }

    fn info(&self) -> SourceInfo {
        self.inner.info()
    }
}

/// A run of one stream, 20 days behind its first event.
fn run<S, K: Sink, T: Store>(
    claim: &Claim,
    source: Arc<S>,
    sink: K,
    store: T,
    readers: usize,
) -> Run<S, K, T> {
    let limits = Limits { readers, window: 6, recent: 20_000, ..Limits::default() };
    let claim = Claim { checkpoints: claim.checkpoints.clone(), unsettled: Vec::new(), ..*claim };
    let run = support::run("acme", claim, source, Arc::new(sink), store, limits);
    let streams = run.streams.into_iter().filter(|(stream, _)| *stream == OF).collect();
    Run { streams, limits, clock: Clock::starting_at(START.plus(DAYS * DAY)), ..run }
}

fn sink() -> MemorySink {
    MemorySink::new(UploadLimits { events: 500, ..MemorySink::default().limits() })
}

async fn stands(store: &MemoryStore) -> Checkpoint {
    store.checkpoints().await.unwrap()["acme"][OF.name()].clone()
}

/// Where the live cursor goes on when the past is left to windows.
fn overlap() -> Cursor {
    Cursor::Since(START.plus((DAYS - 2) * DAY))
}

/// The events on the borders of windows, of which each is given twice, are among
/// them; the state remembers far fewer ids than lie between.
#[tokio::test(start_paused = true)]
async fn every_event_of_the_borders_is_delivered_once() {
    let source = Arc::new(Limited::new(Scripted::new(EVENTS, 80, 1, Trouble::default()), Duration::ZERO));
    let (sink, store) = (sink(), MemoryStore::default());
    let claim = support::claim(&store, "acme").await;
    let run = run(&claim, source.clone(), sink.clone(), store.clone(), 4);
    let meter = run.meter.clone();
    pipeline::run(run).await.unwrap();
    let stands = stands(&store).await;
    let held = sink.held();
    assert_eq!((held.repeated, stands.events), (0, EVENTS as u64));
    assert!((0..EVENTS).all(|number| held.records.contains_key(&key(OF, number))));
    // The live cursor goes on where an event happened, and the last window ends behind it.
    assert_eq!(source.first_reads(false), [Cursor::Since(START), overlap()]);
    assert_eq!(source.first_reads(true).len(), 48);
    let counted = meter.stream(OF);
    assert!(counted.duplicates.get() > 48, "each page repeats one, and each border");
    assert_eq!((counted.windows_done.get(), counted.windows.get()), (48, 48));
    assert_eq!(counted.past_read.get(), counted.past.get());
    assert_eq!(counted.state.get(), StreamState::CaughtUp);
}

#[tokio::test(start_paused = true)]
async fn killed_anywhere_in_its_windows_a_first_read_ends_with_each_event_once() {
    for seed in 0..4 {
        let trouble = Trouble { fails: 60, empty: 60, refused: 3 };
        let inner = Scripted::new(EVENTS, 10, seed, trouble);
        let (sink, store) = (sink(), MemoryStore::default());
        let mut dice = fastrand::Rng::with_seed(seed);
        let (mut lives, mut in_windows) = (0, 0);
        loop {
            let claim = support::claim(&store, "acme").await;
            let run = run(&claim, inner.clone(), sink.clone(), store.clone(), 4);
            let task = tokio::spawn(pipeline::run(run));
            sleep(Duration::from_millis(dice.u64(50..600))).await;
            lives += 1;
            if task.is_finished() {
                assert!(task.await.unwrap().unwrap().halted.is_empty());
                break;
            }
            task.abort();
            let _ = task.await;
            in_windows += usize::from(!stands(&store).await.windows.is_empty());
        }
        assert!(lives > 3 && in_windows > 1, "seed {seed}: {lives} lives, {in_windows} in windows");
        let after = stands(&store).await;
        assert_eq!((after.events as usize, after.windows.len()), (EVENTS, 0), "seed {seed}");
        assert!((0..EVENTS).all(|number| sink.held().records.contains_key(&key(OF, number))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_cursor_of_a_window_begins_that_window_anew_and_nothing_else() {
    let source = Limited::new(Scripted::new(EVENTS, 16, 1, Trouble::default()), Duration::from_millis(5));
    *source.refuse.lock().unwrap() = [0, 0, 2];
    let source = Arc::new(source);
    let (sink, store) = (sink(), MemoryStore::default());
    let claim = support::claim(&store, "acme").await;
    let run = run(&claim, source.clone(), sink.clone(), store.clone(), 4);
    let meter = run.meter.clone();
    pipeline::run(run).await.unwrap();
    let live = source.first_reads(false);
    assert_eq!(live, [Cursor::Since(START), overlap()], "the live cursor has no part in it");
    let anew = source.first_reads(true).into_iter();
    let anew = anew.filter(|at| matches!(at, Cursor::Between { turn: 1, .. })).count();
    assert_eq!((anew, source.first_reads(true).len()), (2, 50));
    assert_eq!((meter.stream(OF).rewinds.get(), sink.held().repeated), (2, 0));
    assert_eq!(stands(&store).await.events, EVENTS as u64);
}

/// The live cursor is refused while most of the past is still in windows.
#[tokio::test(start_paused = true)]
async fn a_live_cursor_that_is_lost_goes_back_to_the_windows_and_no_further() {
    let source = Limited::new(Scripted::new(EVENTS, 16, 1, Trouble::default()), Duration::from_millis(5));
    *source.refuse.lock().unwrap() = [0, 1, 0];
    let source = Arc::new(source);
    let (sink, store) = (sink(), MemoryStore::default());
    let claim = support::claim(&store, "acme").await;
    pipeline::run(run(&claim, source.clone(), sink.clone(), store.clone(), 4)).await.unwrap();
    assert_eq!(source.first_reads(false), [Cursor::Since(START), overlap(), overlap()]);
    assert_eq!((source.first_reads(true).len(), sink.held().repeated), (48, 0));
    assert_eq!(stands(&store).await.events, EVENTS as u64);
}

/// A stream that was off for weeks, and whose cursor is refused, is split as well.
#[tokio::test(start_paused = true)]
async fn a_long_rewind_is_read_in_windows_and_what_was_read_before_is_not_sent_again() {
    let before = 6 * 24 * 60;
    let (sink, store) = (sink(), MemoryStore::default());
    let claim = support::claim(&store, "acme").await;
    let source = Limited::new(Scripted::new(before, 80, 1, Trouble::default()), Duration::ZERO);
    let source = Arc::new(Limited { time: Some(START.plus(6 * DAY)), ..source });
    let first = run(&claim, source, sink.clone(), store.clone(), 4);
    pipeline::run(Run { clock: Clock::starting_at(START.plus(6 * DAY)), ..first }).await.unwrap();
    assert_eq!(stands(&store).await.events as usize, before);

    let source = Limited::new(Scripted::new(EVENTS, 80, 2, Trouble::default()), Duration::ZERO);
    *source.refuse.lock().unwrap() = [1, 0, 0];
    let source = Arc::new(source);
    let claim = support::claim(&store, "acme").await;
    pipeline::run(run(&claim, source.clone(), sink.clone(), store.clone(), 4)).await.unwrap();
    // The overlap reaches a minute further back than the live cursor was ever asked from.
    let windows = source.first_reads(true);
    let from = START.plus(4 * DAY);
    assert!(matches!(windows[0], Cursor::Between { from: at, .. } if at == from), "{windows:?}");
    assert_eq!(source.first_reads(false), [Cursor::Since(from), overlap()]);
    let after = stands(&store).await;
    assert_eq!((after.events as usize, after.rewinding, sink.held().repeated), (EVENTS, false, 0));
}

/// Whoever read one page after the other, and was ended before a split or by a
/// program that knew of none, leaves a cursor from which nobody can tell what
/// is behind it to the minute.
#[tokio::test(start_paused = true)]
async fn a_past_that_was_begun_as_one_chain_is_read_on_in_windows() {
    let inner = Scripted::new(EVENTS, 80, 1, Trouble::default());
    let (sink, store) = (sink(), MemoryStore::default());
    let claim = support::claim(&store, "acme").await;
    let source = Arc::new(Limited::new(inner.clone(), Duration::from_millis(300)));
    let task = tokio::spawn(pipeline::run(run(&claim, source, sink.clone(), store.clone(), 1)));
    sleep(Duration::from_secs(30)).await;
    task.abort();
    let _ = task.await;
    let before = stands(&store).await;
    let reached = before.newest_event.unwrap();
    assert!(reached.since(START) > 3 * DAY && before.windows.is_empty());

    let claim = support::claim(&store, "acme").await;
    let source = Arc::new(Limited::new(inner, Duration::from_millis(300)));
    pipeline::run(run(&claim, source.clone(), sink.clone(), store.clone(), 4)).await.unwrap();
    let windows = source.first_reads(true);
    assert!(windows.len() > 20, "{windows:?}");
    let from = reached.minus(2 * DAY);
    let starts = |at: &Cursor| matches!(at, Cursor::Between { from: at, .. } if at.since(from) < DAY && from.since(*at) <= DAY);
    assert!(starts(&windows[0]), "{windows:?} do not begin with the overlap, at {from}");
    assert_eq!(source.first_reads(false), [overlap()]);
    assert_eq!((stands(&store).await.events as usize, sink.held().repeated), (EVENTS, 0));
    assert!((0..EVENTS).all(|number| sink.held().records.contains_key(&key(OF, number))));
}

/// A person goes back into the middle of a past that is being read.
#[tokio::test(start_paused = true)]
async fn a_person_who_goes_back_into_the_windows_gets_every_event() {
    let inner = Scripted::new(EVENTS, 16, 1, Trouble::default());
    let (sink, store) = (sink(), MemoryStore::default());
    let claim = support::claim(&store, "acme").await;
    let source = Arc::new(Limited::new(inner.clone(), Duration::from_millis(50)));
    let task = tokio::spawn(pipeline::run(run(&claim, source, sink.clone(), store.clone(), 4)));
    sleep(Duration::from_secs(20)).await;
    task.abort();
    let _ = task.await;
    let left = stands(&store).await.windows;
    assert!(left.len() > 10);
    let to = START.plus(10 * DAY).plus(Duration::from_secs(1234));
    store.rewind("acme", OF.name(), Cursor::Since(to), START).await.unwrap();
    assert!(stands(&store).await.windows.len() < left.len());
    let claim = support::claim(&store, "acme").await;
    let source = Arc::new(Limited::new(inner, Duration::ZERO));
    pipeline::run(run(&claim, source.clone(), sink.clone(), store.clone(), 4)).await.unwrap();
    assert!((0..EVENTS).all(|number| sink.held().records.contains_key(&key(OF, number))));
    assert!(stands(&store).await.windows.is_empty());
}

/// New events are read as soon as they can be while the past is read: the live
/// cursor has its turn among the readers of windows, which would take all there are.
#[tokio::test(start_paused = true)]
async fn the_live_cursor_does_not_wait_for_the_windows() {
    let inner = Scripted::new(MOST_OF_THEM, 16, 1, Trouble::default());
    let source = Arc::new(Limited::new(inner, Duration::from_millis(300)));
    let (sink, store) = (sink(), MemoryStore::default());
    let claim = support::claim(&store, "acme").await;
    let run = run(&claim, source.clone(), sink.clone(), store.clone(), 8);
    let (meter, closing) = (run.meter.clone(), run.closing.clone());
    let task = tokio::spawn(pipeline::run(Run { pace: Pace::Every(Duration::from_secs(5)), ..run }));
    sleep(Duration::from_secs(100)).await;
    let counted = meter.stream(OF);
    assert!(counted.windows_done.get() < counted.windows.get(), "it is in the middle");
    assert_eq!(counted.state.get(), StreamState::Reading, "which is not caught up");
    assert!(counted.caught_up_at.get().is_none());
    let newest = START.plus(Duration::from_secs(60 * (MOST_OF_THEM as u64 - 1)));
    assert_eq!(counted.newest_event.get(), Some(newest), "the newest event has long been read");
    let longest = {
        let asked = source.asked.lock().unwrap();
        assert!(asked.iter().filter(|(at, _)| !of_window(at)).count() > 20);
        asked.iter().filter(|(at, _)| !of_window(at)).map(|(_, waited)| *waited).max().unwrap()
    };
    // Nine chains, nine requests a second.
    assert!(longest <= Duration::from_millis(1_200), "{longest:?}");
    sleep(Duration::from_secs(200)).await;
    assert_eq!(counted.state.get(), StreamState::CaughtUp);
    closing.cancel();
    task.await.unwrap().unwrap();
    assert_eq!(stands(&store).await.events, MOST_OF_THEM as u64);
}

/// What such a clock calls the last two days is yet to come: in no window, and
/// the live cursor would be asked from then on.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_years_ahead_leaves_nothing_out() {
    let source = Arc::new(Limited::new(Scripted::new(EVENTS, 80, 1, Trouble::default()), Duration::ZERO));
    let (sink, store) = (sink(), MemoryStore::default());
    let claim = support::claim(&store, "acme").await;
    let run = run(&claim, source.clone(), sink, store.clone(), 4);
    pipeline::run(Run { clock: Clock::starting_at(START.plus(2_000 * DAY)), ..run }).await.unwrap();
    assert_eq!(source.first_reads(false), [Cursor::Since(START), overlap()]);
    assert_eq!(stands(&store).await.events, EVENTS as u64);
}

/// The readers of windows wait until the page that opens them has been taken.
#[tokio::test(start_paused = true)]
async fn no_window_is_asked_for_before_its_split_is_on_its_way() {
    let source = Arc::new(Limited::new(Scripted::new(EVENTS, 16, 1, Trouble::default()), Duration::ZERO));
    let store = MemoryStore::default();
    let claim = support::claim(&store, "acme").await;
    let reading = Reading {
        source: source.clone(),
        stream: OF,
        checkpoint: claim.checkpoints[OF.name()].clone(),
        first: START,
        pace: Pace::Once,
        readers: 2,
        window: 6,
        clock: Clock::starting_at(START.plus(DAYS * DAY)),
        meter: Arc::new(Meter::default()),
    };
    let (live, mut windows) = pages(reading);
    let (mut live, mut window) = (pin!(live), pin!(windows.remove(0)));
    // As many as it takes to tell that there are so many more.
    for _ in 0..4 {
        let page = live.next().await.unwrap().unwrap();
        assert!(page.split().is_none() && !page.items.is_empty());
    }
    let split = live.next().await.unwrap().unwrap();
    assert!(split.split().is_some() && split.items.is_empty() && !split.is_rewind());
    let waiting = tokio::time::timeout(DAY, window.next()).await;
    assert!(waiting.is_err() && source.asked.lock().unwrap().len() == 4);
    live.next().await.unwrap().unwrap();
    let page = window.next().await.unwrap().unwrap();
    assert_eq!(page.window().map(|of| (of.number, of.done)), Some((0, false)));
}
