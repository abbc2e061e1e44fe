//! Streams of which nothing is new: what they cost, and what is given back.

use std::{sync::Arc, time::Duration};

use opgraph::{
    http::Failure,
    pipeline::{self, Limits, Run},
    sink::{Sink, UploadLimits, memory::MemorySink},
    source::{Pace, Source},
    stream::{Read, Stream, read_page},
    telemetry::Meter,
};
use opgraph_state::{Checkpoint, Cursor, MemoryStore, SourceInfo, Store};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::support::{self, key, uuid};

const MINUTE: Duration = Duration::from_secs(60);

/// Two events at the start; one of them again and a new one after an hour; nothing else.
#[derive(Debug)]
struct Rare {
    begun: Instant,
    /// Every answer leads to a new cursor, though nothing is in it.
    moves: bool,
}

impl Source for Rare {
    async fn page(&self, stream: Stream, at: &Cursor) -> Result<Read, Failure> {
        let number: usize = match at {
            Cursor::Since(_) | Cursor::Between { .. } => 0,
            Cursor::Token(token) => token.parse().unwrap(),
        };
        let events: &[usize] = match (stream, number) {
            (Stream::SignInAttempts, 0) => &[0, 1],
            (Stream::SignInAttempts, 1) if self.begun.elapsed() > 60 * MINUTE => &[1, 2],
            _ => &[],
        };
        let next = if number == 0 || self.moves || !events.is_empty() { number + 1 } else { number };
        let event = |number: &usize| {
            format!(r#"{{"uuid":"{}","timestamp":"2026-06-01T00:00:00Z"}}"#, uuid(stream, *number))
        };
        let items = events.iter().map(event).collect::<Vec<_>>().join(",");
        let body = format!(r#"{{"cursor":"{next}","has_more":false,"items":[{items}]}}"#);
        Ok(read_page(stream, body.into_bytes()).unwrap())
    }

    fn info(&self) -> SourceInfo {
        SourceInfo::default()
    }
}

/// A tenant that is polled every ten seconds.
struct Polled {
    sink: MemorySink,
    store: MemoryStore,
    meter: Arc<Meter>,
    closing: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Polled {
    async fn start(moves: bool) -> Polled {
        let limits = UploadLimits { age: MINUTE, ..MemorySink::default().limits() };
        let (sink, store) = (MemorySink::new(limits), MemoryStore::default());
        let claim = support::claim(&store, "acme").await;
        let source = Arc::new(Rare { begun: Instant::now(), moves });
        let run =
            support::run("acme", claim, source, Arc::new(sink.clone()), store.clone(), Limits::default());
        let run = Run { pace: Pace::Every(Duration::from_secs(10)), ..run };
        let (meter, closing) = (run.meter.clone(), run.closing.clone());
        let task = tokio::spawn(async move { drop(pipeline::run(run).await.unwrap()) });
        Polled { sink, store, meter, closing, task }
    }

    async fn stand(&self) -> Checkpoint {
        self.store.checkpoints().await.unwrap()["acme"]["signinattempts"].clone()
    }

    async fn end(self) -> (MemorySink, MemoryStore) {
        self.closing.cancel();
        self.task.await.unwrap();
        (self.sink, self.store)
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_costs_neither_commits_nor_memory_and_still_knows_what_it_has_seen() {
    let polled = Polled::start(false).await;
    let seen = |polled: &Polled| {
        let (meter, stream) = (&polled.meter, polled.meter.stream(Stream::SignInAttempts));
        (meter.remembered.get(), meter.remembered_bytes.get() > 0, stream.duplicates.get())
    };
    sleep(5 * MINUTE).await;
    assert_eq!(seen(&polled), (2, true, 0));
    let commits = polled.meter.commits.get();
    sleep(50 * MINUTE).await;
    assert_eq!(polled.meter.commits.get(), commits, "an answer without anything new is no page");
    assert_eq!(seen(&polled), (0, false, 0), "the state knows them as well");

    sleep(15 * MINUTE).await;
    assert_eq!(seen(&polled), (3, true, 1), "what came again was known");
    assert_eq!(polled.stand().await.events, 3);
    let (sink, _) = polled.end().await;
    assert_eq!(sink.held().repeated, 0);
    (0..3).for_each(|number| {
        assert!(sink.held().records.contains_key(&key(Stream::SignInAttempts, number)));
    });
}

#[tokio::test(start_paused = true)]
async fn empty_pages_that_move_the_cursor_are_committed_together_within_the_age_of_an_upload() {
    let polled = Polled::start(true).await;
    sleep(30 * MINUTE).await;
    let commits = polled.meter.commits.get();
    assert!((20..=60).contains(&commits), "{commits} commits of {} empty pages", 3 * 30 * 6);
    let Cursor::Token(at) = polled.stand().await.cursor else { panic!("it was read") };
    // Ten seconds a page, and one upload's age at most until it is committed.
    assert!((170..=181).contains(&at.parse::<u32>().unwrap()), "{at}");
    let (_, store) = polled.end().await;
    let Cursor::Token(at) = &store.checkpoints().await.unwrap()["acme"]["signinattempts"].cursor else {
        panic!("it was read")
    };
    assert!(at.parse::<u32>().unwrap() >= 180, "closing commits the rest: {at}");
}
