//! How pages flow: backpressure, order, quarantine, one stream's halt.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use opgraph::{
    graph::Records,
    http::{Failure, Remedy},
    page::{Coverage, Page},
    pipeline::{self, Limits, Stopped},
    sink::{Ack, Sink, SinkError, Upload, UploadLimits, memory::MemorySink},
    source::Source,
    stream::{Read, Stream, read_page},
};
use opgraph_state::{Cursor, MemoryStore, SourceInfo, Store};

use crate::support::{self, Scripted, Trouble, failure, key, logs::Log, uuid};

/// A sink whose uploads take no page until they are let go.
pub(super) struct Standing {
    pub(super) taken: Arc<AtomicUsize>,
    pub(super) gate: Arc<tokio::sync::Semaphore>,
}

pub(super) struct StandingUpload {
    taken: Arc<AtomicUsize>,
    gate: Arc<tokio::sync::Semaphore>,
    inner: <MemorySink as Sink>::Upload,
}

impl Sink for Standing {
    type Upload = StandingUpload;

    fn limits(&self) -> UploadLimits {
        MemorySink::default().limits()
    }

    fn open(&self) -> StandingUpload {
        let inner = MemorySink::default().open();
        StandingUpload { taken: self.taken.clone(), gate: self.gate.clone(), inner }
    }
}

impl Upload for StandingUpload {
    async fn write(&mut self, page: Arc<Page<Records>>) -> Result<(), SinkError> {
        self.gate.acquire().await.unwrap().forget();
        self.taken.fetch_add(1, Relaxed);
        self.inner.write(page).await
    }

    async fn finish(self, coverage: Coverage) -> Result<Ack, SinkError> {
        self.inner.finish(coverage).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_stands_still_stops_the_source() {
    let source = Scripted::new(100_000, 100, 3, Trouble::default());
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let taken = Arc::new(AtomicUsize::new(0));
    let sink = Arc::new(Standing { taken: taken.clone(), gate: gate.clone() });
    let store = MemoryStore::default();
    // A page of 100 events is about 15 KB and weighs three times that: room for some fifteen.
    let limits = Limits { pages: 50, bytes: 700 << 10, ..Limits::default() };
    let claim = support::claim(&store, "acme").await;
    let run = support::run("acme", claim, source.clone(), sink, store, limits);
    let task = tokio::spawn(pipeline::run(run));

    tokio::time::sleep(Duration::from_secs(3600)).await;
    let first = *source.answered.lock().unwrap();
    // Bytes bind here: the channels alone would hold more than 150 pages.
    assert!((5..40).contains(&first), "{first} pages were read for a sink that takes none");
    tokio::time::sleep(Duration::from_secs(12 * 3600)).await;
    assert_eq!(*source.answered.lock().unwrap(), first, "nothing more was read in twelve hours");
    assert_eq!(taken.load(Relaxed), 0);

    gate.add_permits(10);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(taken.load(Relaxed), 10);
    let more = *source.answered.lock().unwrap() - first;
    assert!((8..=14).contains(&more), "as many pages are read as the sink took: {more}");
    task.abort();
}

/// A source of fixed pages: one list of bodies a stream.
struct Pages(Vec<(Stream, Vec<Result<String, Remedy>>)>);

impl Source for Pages {
    async fn page(&self, stream: Stream, at: &Cursor) -> Result<Read, Failure> {
        let number = match at {
            Cursor::Since(_) | Cursor::Between { .. } => 0,
            Cursor::Token(token) => token.parse().unwrap(),
        };
        let pages = self.0.iter().find(|(of, _)| *of == stream).map(|(_, pages)| pages.as_slice());
        let pages = pages.unwrap_or_default();
        let items = match pages.get(number) {
            Some(Ok(items)) => items.as_str(),
            Some(Err(remedy)) => return Err(failure(remedy.clone())),
            None => "",
        };
        let (next, more) = (number + 1, number + 1 < pages.len());
        let body = format!(r#"{{"cursor":"{next}","has_more":{more},"items":[{items}]}}"#);
        Ok(read_page(stream, body.into_bytes()).unwrap())
    }

    fn info(&self) -> SourceInfo {
        SourceInfo::default()
    }
}

fn sign_in(number: usize) -> String {
    format!(r#"{{"uuid":"{}","timestamp":"2026-06-01T00:00:00Z"}}"#, uuid(Stream::SignInAttempts, number))
}

/// Runs these pages once; answers how it ended, with the sink and the store.
async fn once(pages: Pages, limits: Limits) -> (Result<pipeline::Drained, Stopped>, MemorySink, MemoryStore) {
    let (sink, store) = (MemorySink::default(), MemoryStore::default());
    let claim = support::claim(&store, "acme").await;
    let run = support::run("acme", claim, Arc::new(pages), Arc::new(sink.clone()), store.clone(), limits);
    (pipeline::run(run).await, sink, store)
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_mapped_is_quarantined_with_the_commit_that_passes_it() {
    let poison = r#"{"timestamp":"2026-06-01T00:00:00Z","category":"success"}"#;
    let wrong = r#"{"uuid":"X","timestamp":7}"#;
    let page = [sign_in(0), poison.to_owned(), sign_in(1), wrong.to_owned(), sign_in(2)].join(",");
    let pages = Pages(vec![(Stream::SignInAttempts, vec![Ok(page)])]);
    let (ended, sink, store) = once(pages, Limits::default()).await;
    assert!(ended.unwrap().halted.is_empty());
    for number in 0..3 {
        assert!(sink.held().records.contains_key(&key(Stream::SignInAttempts, number)));
    }
    let quarantined = store.quarantined("acme", 10).await.unwrap();
    let bodies: Vec<&str> = quarantined.iter().map(|entry| entry.body.as_str()).collect();
    assert_eq!(quarantined.len(), 2);
    assert!(bodies.contains(&poison) && bodies.contains(&wrong));
    assert!(quarantined.iter().all(|entry| entry.stream == "signinattempts" && !entry.reason.is_empty()));
    let checkpoint = &store.checkpoints().await.unwrap()["acme"]["signinattempts"];
    assert_eq!(checkpoint.cursor, Cursor::Token("1".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_quarantine_that_overflows_stops_the_tenant_and_commits_nothing() {
    let poison = (0..20).map(|n| format!(r#"{{"n":{n}}}"#)).collect::<Vec<_>>().join(",");
    let pages = Pages(vec![(Stream::SignInAttempts, vec![Ok(poison)])]);
    let (ended, _, store) = once(pages, Limits { quarantine: 19, ..Limits::default() }).await;
    assert!(matches!(ended, Err(Stopped::Quarantine { entries: 20, ceiling: 19 })));
    assert_eq!(store.quarantine_len("acme").await.unwrap(), 0);
    assert!(matches!(store.checkpoints().await.unwrap()["acme"]["signinattempts"].cursor, Cursor::Since(_)));
}

#[tokio::test(start_paused = true)]
async fn a_quarantine_may_be_filled_to_its_ceiling_and_what_is_set_aside_is_counted_and_told() {
    for (poison, log) in [(0, Log::default()), (20, Log::default())] {
        let _listening = log.listen();
        let page = (0..poison).map(|n| format!(r#"{{"n":{n}}}"#)).chain([sign_in(0)]);
        let page = page.collect::<Vec<_>>().join(",");
        let pages = Arc::new(Pages(vec![(Stream::SignInAttempts, vec![Ok(page)])]));
        let (sink, store) = (Arc::new(MemorySink::default()), MemoryStore::default());
        let claim = support::claim(&store, "acme").await;
        let limits = Limits { quarantine: 20, ..Limits::default() };
        let run = support::run("acme", claim, pages, sink, store.clone(), limits);
        let meter = run.meter.clone();
        pipeline::run(run).await.unwrap();
        assert_eq!(store.quarantine_len("acme").await.unwrap(), poison);
        assert_eq!(meter.quarantined.get(), poison);
        let told = log.text();
        assert_eq!(told.contains("set aside in quarantine entries=20"), poison == 20, "{told}");
        assert_eq!(told.contains("set aside"), poison > 0, "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_streams_halt_leaves_the_others_running() {
    let usages = (0..30).map(|n| Ok(format!(r#"{{"uuid":"{}"}}"#, uuid(Stream::ItemUsages, n))));
    let pages = Pages(vec![
        (Stream::SignInAttempts, vec![Ok(sign_in(0)), Err(Remedy::halt("look")), Ok(sign_in(1))]),
        (Stream::ItemUsages, usages.collect()),
    ]);
    let (ended, sink, store) = once(pages, Limits::default()).await;
    let halted = ended.unwrap().halted;
    assert_eq!(halted.len(), 1);
    assert_eq!(halted[0].0, Stream::SignInAttempts);
    assert_eq!(halted[0].1.remedy.hint(), Some("look"));
    for number in 0..30 {
        assert!(sink.held().records.contains_key(&key(Stream::ItemUsages, number)));
    }
    // What was read before the halt is committed, and nothing was skipped.
    let checkpoint = &store.checkpoints().await.unwrap()["acme"]["signinattempts"];
    assert_eq!(checkpoint.cursor, Cursor::Token("1".to_owned()));
    assert!(!sink.held().records.contains_key(&key(Stream::SignInAttempts, 1)));
}

#[tokio::test(start_paused = true)]
async fn a_page_emptied_by_dedup_still_moves_its_cursor() {
    let page = || Ok(format!("{},{}", sign_in(0), sign_in(1)));
    let pages = Pages(vec![(Stream::SignInAttempts, vec![page(), page(), page()])]);
    let (ended, sink, store) = once(pages, Limits::default()).await;
    ended.unwrap();
    assert_eq!(sink.held().repeated, 0);
    let checkpoint = &store.checkpoints().await.unwrap()["acme"]["signinattempts"];
    assert_eq!((checkpoint.cursor.clone(), checkpoint.events), (Cursor::Token("3".to_owned()), 2));
}

#[tokio::test(start_paused = true)]
async fn closing_drains_what_was_read() {
    let source = Scripted::new(100_000, 10, 5, Trouble::default());
    let (sink, store) = (MemorySink::default(), MemoryStore::default());
    let claim = support::claim(&store, "acme").await;
    let limits = Limits::default();
    let run = support::run("acme", claim, source.clone(), Arc::new(sink.clone()), store.clone(), limits);
    let closing = run.closing.clone();
    let task = tokio::spawn(pipeline::run(run));
    tokio::time::sleep(Duration::from_secs(5)).await;
    closing.cancel();
    task.await.unwrap().unwrap();
    let committed: u64 =
        store.checkpoints().await.unwrap()["acme"].values().map(|checkpoint| checkpoint.events).sum();
    assert!(committed > 100);
    let answered = *source.answered.lock().unwrap() as u64;
    // Each page brings nine or ten new events; the request that was cut short brings none.
    assert!(committed >= (answered - 3) * 9, "{committed} events of {answered} pages");
}
