//! Going back in time: a refused cursor, and what dedup makes of the repeats.

use std::{
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::StreamExt;
use opgraph::{
    clock::Clock,
    http::{Failure, Remedy},
    pipeline::{self, Limits},
    sink::{Sink, UploadLimits, memory::MemorySink},
    source::{Pace, Reading, Source, pages},
    stream::{Read, Stream, read_page},
};
use opgraph_state::{Checkpoint, Cursor, MemoryStore, SourceInfo, Store, UnixMs};

use crate::support::{self, START, Scripted, Trouble, failure, key};

/// Serves what `inner` has, but refuses cursors as long as it is told to.
struct Refusing {
    inner: Arc<Scripted>,
    refuse: Mutex<usize>,
    since: Mutex<Vec<UnixMs>>,
}

impl Source for Refusing {
    async fn page(&self, stream: Stream, at: &Cursor) -> Result<Read, Failure> {
        match at {
            Cursor::Since(at) if stream == Stream::ItemUsages => self.since.lock().unwrap().push(*at),
            Cursor::Token(_) if stream == Stream::ItemUsages => {
                let mut refuse = self.refuse.lock().unwrap();
                if *refuse > 0 {
                    *refuse -= 1;
                    return Err(failure(Remedy::Rewind));
                }
            }
            _ => (),
        }
        self.inner.page(stream, at).await
    }

    fn info(&self) -> SourceInfo {
        self.inner.info()
    }
}

fn refusing(inner: Arc<Scripted>, times: usize) -> Arc<Refusing> {
    Arc::new(Refusing { inner, refuse: Mutex::new(times), since: Mutex::default() })
}

const EVENTS: usize = 5_000;

#[tokio::test(start_paused = true)]
async fn a_rewind_is_over_once_what_was_read_before_lies_well_behind() {
    let inner = Scripted::new(EVENTS, 100, 1, Trouble::default());
    let store = MemoryStore::default();
    let mut claim = support::claim(&store, "acme").await;
    let checkpoint = claim.checkpoints.remove(Stream::ItemUsages.name()).unwrap();
    // The stream had been read for 100 minutes when it went back.
    let rewound_from = Some(START.plus(Duration::from_secs(100 * 60)));
    let checkpoint = Checkpoint { rewinding: true, rewound_from, ..checkpoint };
    let reading = Reading {
        source: inner,
        stream: Stream::ItemUsages,
        checkpoint,
        first: START,
        pace: Pace::Once,
        readers: 1,
        window: 1,
        clock: Clock::starting_at(START.plus(Duration::from_secs(90 * 24 * 3600))),
        meter: Arc::default(),
    };
    let mut pages = pin!(pages(reading).0);
    let mut through = Vec::new();
    while let Some(page) = pages.next().await {
        through.push(page.unwrap().is_through());
    }
    // 100 events and 48 hours of them lie in the first 30 pages; the last page has caught up.
    let expected: Vec<bool> = (0..EVENTS / 100).map(|page| page == 30 || page == EVENTS / 100 - 1).collect();
    assert_eq!(through, expected);
}

#[tokio::test(start_paused = true)]
async fn a_refused_cursor_is_read_again_with_overlap_and_dedup_absorbs_the_repeats() {
    // An event a minute: 5,000 of them reach 83 hours back, more than the overlap of 48.
    let inner = Scripted::new(EVENTS, 100, 1, Trouble::default());
    let (sink, store) = (MemorySink::default(), MemoryStore::default());
    let limits = Limits { recent: 100, ..Limits::default() };
    let claim = support::claim(&store, "acme").await;
    let run = support::run("acme", claim, inner.clone(), Arc::new(sink.clone()), store.clone(), limits);
    let meter = run.meter.clone();
    pipeline::run(run).await.unwrap();
    let counted = meter.stream(Stream::ItemUsages);
    assert!(counted.duplicates.get() > 0, "each page repeats an event of the one before");
    assert_eq!(counted.events.get(), EVENTS as u64 + counted.duplicates.get());

    // The next run finds its cursor refused, once.
    let source = refusing(inner, 1);
    let claim = support::claim(&store, "acme").await;
    let run = support::run("acme", claim, source.clone(), Arc::new(sink.clone()), store.clone(), limits);
    let meter = run.meter.clone();
    pipeline::run(run).await.unwrap();

    let newest = START.plus(Duration::from_secs(60 * (EVENTS as u64 - 1)));
    assert_eq!(*source.since.lock().unwrap(), vec![newest.minus(Duration::from_secs(48 * 3600))]);
    let counted = meter.stream(Stream::ItemUsages);
    assert_eq!(counted.rewinds.get(), 1);
    assert_eq!(counted.duplicates.get(), counted.events.get(), "every event of the overlap had been seen");
    assert!(counted.events.get() > 48 * 60);
    assert_eq!(sink.held().repeated, 0, "no event was sent twice");
    let checkpoint = &store.checkpoints().await.unwrap()["acme"]["itemusages"];
    assert!(!checkpoint.rewinding, "the stream has caught up again");
    assert_eq!(checkpoint.events as usize, EVENTS);
}

/// What dedup holds in memory does not grow with what was ever read.
#[tokio::test(start_paused = true)]
async fn the_whole_horizon_is_in_memory_while_a_stream_rewinds_and_at_no_other_time() {
    let inner = Scripted::new(20_000, 30, 2, Trouble::default());
    let sink = MemorySink::new(UploadLimits { events: 100, ..MemorySink::default().limits() });
    let store = MemoryStore::default();
    let limits = Limits { recent: 10, ..Limits::default() };
    // Lives that are cut off: two that only read on, one that goes back, and one that finds it going back.
    let lives = [(500, 0, false), (500, 0, false), (300, 1, true), (150, 0, true)];
    for (millis, refused, rewinds) in lives {
        let claim = support::claim(&store, "acme").await;
        let before = claim.checkpoints[Stream::ItemUsages.name()].events;
        let source = refusing(inner.clone(), refused);
        let run = support::run("acme", claim, source, Arc::new(sink.clone()), store.clone(), limits);
        let meter = run.meter.clone();
        let task = tokio::spawn(pipeline::run(run));
        tokio::time::sleep(Duration::from_millis(millis)).await;
        assert!(!task.is_finished());
        task.abort();
        let _ = task.await;
        let remembered = meter.remembered.get();
        if rewinds {
            // An event a minute: 72 hours of them are 4,320.
            assert!(remembered >= 10 + before.min(4_320), "{before} events before");
            assert!(before > 1_000);
        } else {
            assert_eq!(remembered, 10);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rewind_survives_a_crash_in_the_middle_of_its_overlap() {
    let inner = Scripted::new(3_000, 30, 2, Trouble::default());
    let (sink, store) = (MemorySink::default(), MemoryStore::default());
    let limits = Limits { recent: 10, ..Limits::default() };
    let claim = support::claim(&store, "acme").await;
    let run = support::run("acme", claim, inner.clone(), Arc::new(sink.clone()), store.clone(), limits);
    pipeline::run(run).await.unwrap();

    let source = refusing(inner, 1);
    for millis in [0, 40, 90, 300, 700, 1500, 100_000] {
        let claim = support::claim(&store, "acme").await;
        let run = support::run("acme", claim, source.clone(), Arc::new(sink.clone()), store.clone(), limits);
        let task = tokio::spawn(pipeline::run(run));
        tokio::time::sleep(Duration::from_millis(millis)).await;
        task.abort();
        let _ = task.await;
    }
    assert_eq!(sink.held().repeated, 0, "the horizon is remembered until the overlap is through");
    let checkpoint = &store.checkpoints().await.unwrap()["acme"]["itemusages"];
    assert_eq!((checkpoint.rewinding, checkpoint.events), (false, 3_000));
}

#[tokio::test(start_paused = true)]
async fn cursors_that_are_always_refused_halt_the_stream_and_not_the_others() {
    let source = refusing(Scripted::new(50, 10, 3, Trouble::default()), usize::MAX);
    let (sink, store) = (MemorySink::default(), MemoryStore::default());
    let claim = support::claim(&store, "acme").await;
    let run = support::run("acme", claim, source, Arc::new(sink.clone()), store.clone(), Limits::default());
    let halted = pipeline::run(run).await.unwrap().halted;
    assert_eq!(halted.len(), 1);
    assert_eq!(halted[0].0, Stream::ItemUsages);
    assert!(halted[0].1.remedy.hint().is_some_and(|hint| hint.contains("every cursor")));
    for number in 0..50 {
        assert!(sink.held().records.contains_key(&key(Stream::AuditEvents, number)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_rewind_by_a_person_is_read_again_without_repeats() {
    let inner = Scripted::new(500, 50, 4, Trouble::default());
    let (sink, store) = (MemorySink::default(), MemoryStore::default());
    for _ in 0..2 {
        let claim = support::claim(&store, "acme").await;
        let limits = Limits { recent: 10, ..Limits::default() };
        let run = support::run("acme", claim, inner.clone(), Arc::new(sink.clone()), store.clone(), limits);
        let meter = run.meter.clone();
        pipeline::run(run).await.unwrap();
        let counted = meter.stream(Stream::AuditEvents);
        assert!(counted.events.get() >= 500 && sink.held().repeated == 0);
        store.rewind("acme", "auditevents", Cursor::Since(START), START).await.unwrap();
    }
}

/// Three pages of a first read that has long to go; in the first, one event is
/// from a clock that is two months ahead. Then the cursor is refused.
struct Ahead(Mutex<Vec<UnixMs>>);

impl Source for Ahead {
    async fn page(&self, stream: Stream, at: &Cursor) -> Result<Read, Failure> {
        let event = |number: u64, days: u64| {
            let at = START.plus(Duration::from_secs(days * 24 * 3600 + number));
            let at = jiff::Timestamp::from_millisecond(at.0).unwrap();
            format!(r#"{{"uuid":"{}","timestamp":"{at}"}}"#, support::uuid(stream, number as usize))
        };
        let (items, more) = match at {
            Cursor::Since(at) | Cursor::Between { from: at, .. } => {
                self.0.lock().unwrap().push(*at);
                ([event(0, 0), event(1, 60), event(2, 0)].join(","), true)
            }
            Cursor::Token(_) if self.0.lock().unwrap().len() <= 3 => return Err(failure(Remedy::Rewind)),
            Cursor::Token(_) => (event(3, 1), false),
        };
        let body = format!(r#"{{"cursor":"c{}","has_more":{more},"items":[{items}]}}"#, u8::from(more));
        Ok(read_page(stream, body.into_bytes()).unwrap())
    }

    fn info(&self) -> SourceInfo {
        SourceInfo::default()
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_from_the_future_does_not_make_a_rewind_skip_a_first_read() {
    let (sink, store) = (MemorySink::default(), MemoryStore::default());
    let claim = support::claim(&store, "acme").await;
    let source = Arc::new(Ahead(Mutex::default()));
    let sink = Arc::new(sink);
    let run = support::run("acme", claim, source.clone(), sink.clone(), store, Limits::default());
    pipeline::run(run).await.unwrap();
    assert!(source.0.lock().unwrap().iter().all(|since| *since == START), "{:?}", source.0);
    for stream in Stream::ALL {
        assert!(sink.held().records.contains_key(&key(*stream, 3)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_rewind_goes_back_to_the_first_start_and_not_to_what_it_would_be_today() {
    let (sink, store) = (MemorySink::default(), MemoryStore::default());
    let inner = Scripted::new(0, 10, 5, Trouble::default());
    let limits = Limits::default();
    let claim = support::claim(&store, "acme").await;
    let run = support::run("acme", claim, inner.clone(), Arc::new(sink.clone()), store.clone(), limits);
    pipeline::run(run).await.unwrap();

    // Nothing has happened so far. A long pause, events, and a cursor that is refused.
    let source = refusing(Scripted::new(40, 10, 5, Trouble::default()), 1);
    let claim = support::claim(&store, "acme").await;
    let run = support::run("acme", claim, source.clone(), Arc::new(sink.clone()), store.clone(), limits);
    let first = START.plus(Duration::from_secs(30 * 60));
    pipeline::run(pipeline::Run { first, ..run }).await.unwrap();
    assert_eq!(*source.since.lock().unwrap(), vec![START]);
    for number in 0..40 {
        assert!(sink.held().records.contains_key(&key(Stream::ItemUsages, number)));
    }
}
