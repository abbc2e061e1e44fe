//! Twelve hours without a destination, and twelve without a source, in virtual time on a real disk.

use std::{
    collections::VecDeque,
    future::Future,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use backoff::backoff::Backoff;
use opgraph::{
    clock::Clock,
    graph::Records,
    http::{Asked, Budget, Failure, Limits as Rate, Outcome, Patience, remedy::for_status, until_done},
    page::{Coverage, Page},
    pipeline::{self, Limits},
    sink::{Ack, Sink, SinkError, Upload, UploadLimits, memory::MemorySink},
    source::Source,
    stream::{Read, Stream},
    supervisor::pauses,
};
use opgraph_state::{Cursor, OpenOptions, SledStore, SourceInfo, Store};
use tokio::time::{Instant, sleep};

use crate::support::{self, START, Scripted, Trouble, failure, key, store::passed_on};

const OUTAGE: Duration = Duration::from_secs(12 * 3600);
/// How long everything goes well before, and how long it may take to catch up behind.
const BEFORE: Duration = Duration::from_secs(20);
const BEHIND: Duration = Duration::from_secs(600);

/// Of each stream.
const EVENTS: usize = 10_000;
const PAGE: usize = 50;

/// One side of the program that is out of reach for twelve hours.
struct Wire {
    start: Instant,
    breaks: bool,
    asked: Asked,
    /// When each attempt was made.
    attempts: Mutex<Vec<Duration>>,
}

impl Wire {
    fn new(asked: Asked, breaks: bool) -> Arc<Wire> {
        Arc::new(Wire { start: Instant::now(), breaks, asked, attempts: Mutex::default() })
    }

    /// One attempt: no connection, 503, 429 with and without `Retry-After`, in turn.
    async fn attempt(&self) -> Result<(), Failure> {
        let at = self.start.elapsed();
        let number = {
            let mut attempts = self.attempts.lock().unwrap();
            attempts.push(at);
            attempts.len()
        };
        sleep(Duration::from_millis(5)).await;
        if !self.breaks || !(BEFORE..BEFORE + OUTAGE).contains(&at) {
            return Ok(());
        }
        let status = [None, Some(503), Some(429), Some(429)][number % 4];
        let after = (number % 4 == 2).then_some(Duration::from_secs(30));
        let remedy = for_status(status.unwrap_or(503), self.asked, after);
        Err(Failure { status, outcome: Outcome::NotDone, ..failure(remedy) })
    }

    /// Attempts between two moments.
    fn attempts(&self, from: Duration, to: Duration) -> Vec<Duration> {
        let attempts = self.attempts.lock().unwrap();
        attempts.iter().copied().filter(|at| (from..to).contains(at)).collect()
    }
}

/// The most of these that any window of this length holds.
fn densest(times: &[Duration], window: Duration) -> usize {
    let (mut inside, mut most) = (VecDeque::new(), 0);
    for at in times {
        inside.push_back(*at);
        while inside.front().is_some_and(|first| *at - *first > window) {
            inside.pop_front();
        }
        most = most.max(inside.len());
    }
    most
}

/// The Events API's request loop around a scripted source.
struct Asking {
    inner: Arc<Scripted>,
    budget: Arc<Budget>,
    wire: Arc<Wire>,
    /// Pages read, and taken by the sink, in this run.
    read: AtomicUsize,
    taken: Arc<AtomicUsize>,
    most_in_flight: Arc<AtomicUsize>,
}

impl Source for Asking {
    async fn page(&self, stream: Stream, at: &Cursor) -> Result<Read, Failure> {
        let wire = &self.wire;
        until_done(Some(&self.budget), &Patience::ENDLESS, |_| (), || wire.attempt()).await?;
        let read = self.inner.page(stream, at).await;
        let in_flight = self.read.fetch_add(1, Relaxed) + 1 - self.taken.load(Relaxed);
        self.most_in_flight.fetch_max(in_flight, Relaxed);
        read
    }

    fn info(&self) -> SourceInfo {
        self.inner.info()
    }
}

/// The sink's request loop around a sink in memory, with JupiterOne's patience
/// (`src/sink/jupiterone/api.rs`): five minutes, then the run starts again.
#[derive(Clone)]
struct Calling {
    inner: MemorySink,
    wire: Arc<Wire>,
    taken: Arc<AtomicUsize>,
}

struct CallingUpload(Calling, <MemorySink as Sink>::Upload);

impl Calling {
    async fn call(&self) -> Result<(), SinkError> {
        let give_up_after = Some(Duration::from_secs(5 * 60));
        let patience = Patience { give_up_after, repeat_unknown: false, ..Patience::ENDLESS };
        let called = until_done(None, &patience, |_| (), || self.wire.attempt()).await;
        called.map_err(|failure| SinkError {
            doing: failure.doing,
            remedy: failure.remedy,
            cause: failure.cause,
        })
    }
}

impl Sink for Calling {
    type Upload = CallingUpload;

    fn limits(&self) -> UploadLimits {
        UploadLimits { age: Duration::from_secs(5), events: 2_000, bytes: 64 << 20, finishing: 1 }
    }

    fn open(&self) -> CallingUpload {
        CallingUpload(self.clone(), self.inner.open())
    }
}

impl Upload for CallingUpload {
    async fn write(&mut self, page: Arc<Page<Records>>) -> Result<(), SinkError> {
        self.0.call().await?;
        self.1.write(page).await?;
        self.0.taken.fetch_add(1, Relaxed);
        Ok(())
    }

    async fn finish(self, coverage: Coverage) -> Result<Ack, SinkError> {
        self.0.call().await?;
        self.1.finish(coverage).await
    }
}

/// A store whose work takes no virtual time, though it is done by threads of its own.
#[derive(Clone)]
struct Still {
    inner: SledStore,
}

/// Virtual time stands while anything blocks; so it does while `work` is done.
async fn still<T>(work: impl Future<Output = T>) -> T {
    let (done, waits) = std::sync::mpsc::channel::<()>();
    let stands = tokio::task::spawn_blocking(move || waits.recv());
    let result = work.await;
    drop(done);
    let _ = stands.await;
    result
}

impl Store for Still {
    passed_on! { still;
        claim commit renew release rewind import note_upload seen directory directory_shard listed_vaults listed_items quarantined
        quarantine_list quarantine_entry quarantine_drop quarantine_len active_until checkpoints
    }
}

fn bytes_in(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { bytes_in(&path) } else { path.metadata().unwrap().len() }).sum()
}

/// What an outage came to.
#[derive(Debug)]
struct Outcomes {
    runs: usize,
    most_in_flight: usize,
    /// Pages read while it lasted.
    read: usize,
    /// Bytes on disk a minute into it, and at its end.
    disk: [u64; 2],
    source: Arc<Wire>,
    sink: Arc<Wire>,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let during = self.attempts(BEFORE, BEFORE + OUTAGE);
        let all = self.attempts.lock().unwrap().len();
        write!(f, "{all} attempts, {} in the outage", during.len())
    }
}

/// Runs a tenant as the supervisor does, through an outage, until it has caught up.
async fn outage(source_breaks: bool) -> Outcomes {
    let dir = tempfile::tempdir().unwrap();
    let store = Still { inner: SledStore::open(dir.path(), OpenOptions::default()).unwrap() };
    let (source_wire, sink_wire) =
        (Wire::new(Asked::NextPage, source_breaks), Wire::new(Asked::SyncJob, !source_breaks));
    let inner = Scripted::new(EVENTS, PAGE, 1, Trouble::default());
    let budget = Arc::new(Budget::new(Rate::default(), None));
    let memory = MemorySink::default();
    let most_in_flight = Arc::new(AtomicUsize::new(0));
    let clock = Clock::starting_at(START.plus(Duration::from_secs(90 * 24 * 3600)));
    let start = Instant::now();

    // Looks at the disk, and at how much was read, when the outage is a minute old and before it ends.
    let looks = {
        let (inner, dir) = (inner.clone(), dir.path().to_owned());
        tokio::spawn(async move {
            let look = || (bytes_in(&dir), *inner.answered.lock().unwrap());
            sleep(BEFORE + Duration::from_secs(60)).await;
            let first = look();
            sleep(OUTAGE - Duration::from_secs(120)).await;
            (first, look())
        })
    };

    let (mut backoff, mut runs) = (pauses(), 0);
    loop {
        runs += 1;
        let claim = support::claim(&store, "acme").await;
        let epoch = claim.epoch;
        let taken = Arc::new(AtomicUsize::new(0));
        let source = Arc::new(Asking {
            inner: inner.clone(),
            budget: budget.clone(),
            wire: source_wire.clone(),
            read: AtomicUsize::new(0),
            taken: taken.clone(),
            most_in_flight: most_in_flight.clone(),
        });
        let sink = Arc::new(Calling { inner: memory.clone(), wire: sink_wire.clone(), taken });
        let run = support::run("acme", claim, source, sink, store.clone(), Limits::default());
        let alive = async {
            loop {
                sleep(Duration::from_secs(20)).await;
                store.renew("acme", epoch, clock.now().plus(Duration::from_secs(60))).await.unwrap();
            }
        };
        let ended = tokio::select! {
            ended = pipeline::run(run) => ended,
            () = alive => unreachable!("a run says that it is alive for as long as it lives"),
        };
        store.release("acme", epoch, clock.now()).await.unwrap();
        match ended {
            Ok(drained) => {
                assert!(drained.halted.is_empty());
                break;
            }
            Err(error) => assert_eq!(error.remedy().name(), "retry", "{error:?}"),
        }
        sleep(backoff.next_backoff().unwrap()).await;
    }

    assert!(start.elapsed() < BEFORE + OUTAGE + BEHIND, "it catches up soon: {:?}", start.elapsed());
    assert!(start.elapsed() > BEFORE + OUTAGE);
    for stream in Stream::ALL {
        for number in 0..EVENTS {
            assert!(memory.held().records.contains_key(&key(*stream, number)), "{stream:?} {number}");
        }
        let checkpoint = &store.checkpoints().await.unwrap()["acme"][stream.name()];
        assert_eq!((checkpoint.events, support::events_before(&checkpoint.cursor)), (EVENTS as u64, EVENTS));
    }
    // No window holds more requests than the account may make, before, in and behind the outage.
    let requests = source_wire.attempts(Duration::ZERO, Duration::MAX);
    assert!(densest(&requests, Duration::from_secs(60)) <= 600);
    assert!(densest(&requests, Duration::from_secs(3600)) <= 30_000);
    let ((disk_first, read_first), (disk_last, read_last)) = looks.await.unwrap();
    Outcomes {
        runs,
        most_in_flight: most_in_flight.load(Relaxed),
        read: read_last - read_first,
        disk: [disk_first, disk_last],
        source: source_wire,
        sink: sink_wire,
    }
}

/// What must hold of either outage.
fn flat(outcomes: &Outcomes) {
    // Three channels of four pages, three stages, three fetchers; empty pages aside.
    assert!(outcomes.most_in_flight <= 20, "{outcomes:?}");
    let [first, last] = outcomes.disk;
    assert!(last <= first + (1 << 20), "the disk stays as it is: {outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_down_for_twelve_hours_costs_neither_memory_nor_disk_nor_events() {
    let outcomes = outage(false).await;
    flat(&outcomes);
    // Every run fills what it may hold, and stands: it is started about every five minutes.
    assert!((60..200).contains(&outcomes.runs), "{outcomes:?}");
    assert!(outcomes.read <= 20 * outcomes.runs, "{outcomes:?}");
    let attempts = outcomes.sink.attempts(BEFORE, BEFORE + OUTAGE);
    assert!((500..6_000).contains(&attempts.len()), "{outcomes:?}");
    assert!(densest(&attempts, Duration::from_secs(60)) <= 60, "no minute is a storm: {outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_down_for_twelve_hours_is_asked_calmly_and_read_on_where_it_was() {
    let outcomes = outage(true).await;
    flat(&outcomes);
    assert_eq!(outcomes.runs, 1, "a source is waited for");
    assert_eq!(outcomes.read, 0);
    let attempts = outcomes.source.attempts(BEFORE, BEFORE + OUTAGE);
    // Three streams, about one attempt a minute each.
    assert!((1_000..6_000).contains(&attempts.len()), "{outcomes:?}");
    assert!(densest(&attempts[60..], Duration::from_secs(60)) <= 60, "{outcomes:?}");
    // The sink has nothing to do with it.
    let during = outcomes.sink.attempts(BEFORE + Duration::from_secs(60), BEFORE + OUTAGE);
    assert_eq!(during.len(), 0);
}
