//! Poison is set aside alone, and comes out of the quarantine with the guarantees of any page.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use opgraph::{
    clock::Clock,
    graph::Records,
    http::Failure,
    page::{Coverage, Page},
    pipeline::{self, Drained, Limits, Stopped, retry::Retry},
    sink::{
        Ack, Sink, SinkError, Upload, UploadLimits,
        memory::{Fault, MemorySink},
    },
    source::Source,
    stream::{Mapping, Read, Stream, read_page},
    telemetry::Meter,
};
use opgraph_state::{Commit, Cursor, Fingerprint, MemoryStore, QuarantineId, Quarantined, SourceInfo, Store};

use crate::support::{self, START, key, uuid};

const TENANT: &str = "acme";

/// A source of one page a stream; asked from a time on, it gives it again.
struct OnePage(Vec<(Stream, String)>);

impl Source for OnePage {
    async fn page(&self, stream: Stream, at: &Cursor) -> Result<Read, Failure> {
        let items = self.0.iter().find(|(of, _)| *of == stream).map(|(_, items)| items.as_str());
        let items = items.filter(|_| matches!(at, Cursor::Since(_))).unwrap_or_default();
        let body = format!(r#"{{"cursor":"end","has_more":false,"items":[{items}]}}"#);
        Ok(read_page(stream, body.into_bytes()).unwrap())
    }

    fn info(&self) -> SourceInfo {
        SourceInfo::default()
    }
}

fn event(stream: Stream, number: usize) -> String {
    format!(r#"{{"uuid":"{}","timestamp":"2026-06-01T00:00:00Z"}}"#, uuid(stream, number))
}

async fn read<K: Sink>(
    store: &MemoryStore,
    sink: &Arc<K>,
    pages: Vec<(Stream, String)>,
    limits: Limits,
) -> Result<Drained, Stopped> {
    let claim = support::claim(store, TENANT).await;
    let source = Arc::new(OnePage(pages));
    pipeline::run(support::run(TENANT, claim, source, sink.clone(), store.clone(), limits)).await
}

async fn retry<K: Sink>(store: &MemoryStore, sink: &Arc<K>, limits: Limits) -> Result<(), Stopped> {
    let listed = store.quarantine_list(TENANT).await.unwrap();
    let claim = support::claim(store, TENANT).await;
    let streams = Stream::ALL.iter().map(|stream| (*stream, claim.checkpoints[stream.name()].clone()));
    pipeline::retry::run(Retry {
        tenant: TENANT.into(),
        epoch: claim.epoch,
        sink: sink.clone(),
        store: store.clone(),
        streams: streams.collect(),
        entries: listed.into_iter().map(|entry| entry.id).collect(),
        mapping: Mapping { raw_data: true, account_name: None },
        limits,
        clock: Clock::starting_at(START.plus(Duration::from_secs(90 * 24 * 3600))),
        meter: Arc::new(Meter::default()),
    })
    .await
}

/// Sets bodies aside as an earlier version would have.
async fn set_aside(store: &MemoryStore, entries: &[(&str, String)]) {
    let epoch = support::claim(store, TENANT).await.epoch;
    let entry = |(stream, body): &(&str, String)| Quarantined {
        stream: (*stream).to_owned(),
        reason: "an earlier version could not read it".to_owned(),
        body: body.clone(),
        at: START,
    };
    let quarantined = entries.iter().map(entry).collect();
    let commit = Commit {
        tenant: TENANT.to_owned(),
        epoch,
        at: START,
        steps: Vec::new(),
        removed: Vec::new(),
        inventory: Vec::new(),
        directory: Vec::new(),
        released: Vec::new(),
        quarantined,
        settled: Vec::new(),
    };
    store.commit(commit).await.unwrap();
}

async fn held(store: &MemoryStore) -> Vec<Quarantined> {
    let held = store.quarantined(TENANT, usize::MAX).await.unwrap();
    assert_eq!(store.quarantine_len(TENANT).await.unwrap(), held.len() as u64);
    held
}

#[tokio::test(start_paused = true)]
async fn one_bad_event_among_a_thousand_is_set_aside_with_its_text_and_the_others_arrive() {
    for stream in Stream::ALL {
        let word = if *stream == Stream::SignInAttempts { "category" } else { "action" };
        let poison = [
            (r#"{"timestamp":"2026-06-01T00:00:00Z"}"#.to_owned(), "no uuid"),
            (r#"{"uuid":null}"#.to_owned(), "no uuid"),
            (r#"{"uuid":""}"#.to_owned(), "no uuid"),
            (r#"{"uuid":42}"#.to_owned(), "invalid type: integer `42`"),
            (format!(r#"{{"uuid":"X","{word}":{{"a": 1}} }}"#), "invalid type: map"),
            (r#"{"uuid":"X","uuid":"Y"}"#.to_owned(), "duplicate field"),
            (r#"{"uuid":"X","timestamp":7}"#.to_owned(), "invalid type: integer `7`"),
            (r#"{"uuid":"X","location":[1]}"#.to_owned(), "expected an object"),
            (r#"["X","2026-06-01T00:00:00Z"]"#.to_owned(), "expected an object"),
            ("null".to_owned(), "invalid type: null"),
            (r#""an event""#.to_owned(), "invalid type: string"),
            ("7".to_owned(), "invalid type: integer"),
            ("true".to_owned(), "invalid type: boolean"),
        ];
        for (at, (text, reason)) in poison.iter().enumerate() {
            let mut events: Vec<String> = (0..999).map(|number| event(*stream, number)).collect();
            events.insert((at * 83) % 1000, text.clone());
            let (store, sink) = (MemoryStore::default(), Arc::new(MemorySink::default()));
            let ended = read(&store, &sink, vec![(*stream, events.join(" ,\n"))], Limits::default()).await;
            assert!(ended.unwrap().halted.is_empty(), "{text}");
            for number in 0..999 {
                assert!(sink.held().records.contains_key(&key(*stream, number)), "{text}: {number}");
            }
            assert_eq!(sink.held().records.len(), 999, "{text}");
            let held = held(&store).await;
            let [entry] = held.as_slice() else { panic!("{text}: {held:?}") };
            assert_eq!((&entry.body, entry.stream.as_str()), (text, stream.name()));
            assert!(entry.reason.contains(reason), "{text}: {}", entry.reason);
            // What this version cannot read stays, and nothing is sent.
            let finished = sink.held().records.len();
            retry(&store, &sink, Limits::default()).await.unwrap();
            assert_eq!(self::held(&store).await, held, "{text}");
            assert_eq!(sink.held().records.len(), finished);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_delivers_what_can_be_read_now_and_keeps_the_rest_with_its_newest_reason() {
    let (store, sink) = (MemoryStore::default(), Arc::new(MemorySink::default()));
    let pages = Stream::ALL.iter().map(|stream| (*stream, event(*stream, 0))).collect();
    read(&store, &sink, pages, Limits::default()).await.unwrap();
    let cursors = |stands: &std::collections::BTreeMap<String, opgraph_state::Checkpoint>| {
        stands
            .values()
            .map(|checkpoint| (checkpoint.cursor.clone(), checkpoint.rewinding))
            .collect::<Vec<_>>()
    };
    let before = store.checkpoints().await.unwrap().remove(TENANT).unwrap();
    let mut entries: Vec<(&str, String)> = Vec::new();
    for stream in Stream::ALL {
        entries.extend((1..=450).map(|number| (stream.name(), event(*stream, number))));
        entries.push((stream.name(), "null".to_owned()));
    }
    entries.push(("kilns", event(Stream::AuditEvents, 9999)));
    set_aside(&store, &entries).await;
    retry(&store, &sink, Limits::default()).await.unwrap();

    let left = held(&store).await;
    assert_eq!(left.len(), 4, "{left:?}");
    assert!(left.iter().all(|entry| entry.at == START && !entry.reason.contains("earlier version")));
    assert!(left.iter().any(|entry| entry.reason == "this opgraph knows no stream `kilns`"));
    for stream in Stream::ALL {
        for number in 0..=450 {
            assert!(sink.held().records.contains_key(&key(*stream, number)));
        }
        let seen = store.seen(TENANT, stream.name(), None).await.unwrap();
        assert_eq!(seen.len(), 451, "each is remembered once");
        assert!(seen.contains(&Fingerprint::of(&uuid(*stream, 450))));
    }
    let after = store.checkpoints().await.unwrap().remove(TENANT).unwrap();
    assert_eq!(cursors(&before), cursors(&after), "no stream was moved");
    assert!(after.values().all(|checkpoint| checkpoint.events == 451));
    assert_eq!(sink.held().repeated, 0);
}

/// Records held, and how many came again.
fn counted(sink: &MemorySink) -> (usize, u64) {
    let held = sink.held();
    (held.records.len(), held.repeated)
}

#[tokio::test(start_paused = true)]
async fn an_event_delivered_by_a_retry_is_not_delivered_again_by_a_rewind_nor_the_other_way_round() {
    let stream = Stream::AuditEvents;
    let (store, sink) = (MemoryStore::default(), Arc::new(MemorySink::default()));
    set_aside(&store, &[(stream.name(), event(stream, 1))]).await;
    retry(&store, &sink, Limits::default()).await.unwrap();
    assert_eq!(sink.held().records.len(), 1);
    // The API serves it, and the stream is read from the start.
    let page = || vec![(stream, [event(stream, 1), event(stream, 2)].join(","))];
    read(&store, &sink, page(), Limits::default()).await.unwrap();
    assert_eq!(counted(&sink), (2, 0));
    store.rewind(TENANT, stream.name(), Cursor::Since(START), START).await.unwrap();
    read(&store, &sink, page(), Limits::default()).await.unwrap();
    assert_eq!(counted(&sink), (2, 0));
    // Entries whose events have come by themselves since leave the quarantine, and that is all.
    set_aside(&store, &[1, 2].map(|number| (stream.name(), event(stream, number)))).await;
    // Beyond what dedup keeps in memory outside a rewind.
    retry(&store, &sink, Limits { recent: 1, ..Limits::default() }).await.unwrap();
    assert_eq!(counted(&sink), (2, 0));
    assert_eq!(held(&store).await, []);
}

/// One poisoned page after a retry: the entry or the record, at every moment.
async fn entry_or_record(
    store: &MemoryStore,
    sink: &MemorySink,
    entries: &[(usize, QuarantineId)],
    when: &str,
) {
    let listed = store.quarantine_list(TENANT).await.unwrap();
    for (number, id) in entries {
        let there = listed.iter().any(|entry| entry.id == *id);
        let delivered = sink.held().records.contains_key(&key(Stream::ItemUsages, *number));
        assert!(there || delivered, "{when}: entry {number} is lost");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_killed_at_any_step_loses_nothing_and_the_next_one_is_exact() {
    let stream = Stream::ItemUsages;
    let small = UploadLimits { events: 100, ..MemorySink::default().limits() };
    let (mut cut, mut between) = (0, 0);
    let slow = Fault::Slow(Duration::from_millis(10));
    let faults = [slow, Fault::Reject, Fault::FailAfterWrite];
    // Three uploads, one of which goes wrong, cut at every moment between two of their steps.
    for (fault, nth) in faults.iter().flat_map(|fault| [0, 1, 2].map(|nth| (*fault, nth))) {
        for moment in 0..9 {
            let (store, sink) = (MemoryStore::default(), Arc::new(MemorySink::new(small)));
            let bodies: Vec<_> = (0..450).map(|number| (stream.name(), event(stream, number))).collect();
            set_aside(&store, &bodies).await;
            let id =
                |body: &str| QuarantineId { stream: stream.name().to_owned(), body: Fingerprint::of(body) };
            let entries: Vec<_> =
                bodies.iter().enumerate().map(|(number, (_, body))| (number, id(body))).collect();
            let mut script = [slow; 3];
            script[nth] = fault;
            sink.fail(script);
            let task = tokio::spawn({
                let (store, sink) = (store.clone(), sink.clone());
                async move { retry(&store, &sink, Limits::default()).await }
            });
            tokio::time::sleep(Duration::from_millis(5 * moment)).await;
            cut += usize::from(!task.is_finished());
            task.abort();
            let _ = task.await;
            let when = format!("{fault:?} with upload {nth}, cut after {} ms", 5 * moment);
            entry_or_record(&store, &sink, &entries, &when).await;
            let left = held(&store).await.len();
            between += usize::from(left > 0 && left < 450);

            sink.held().faults.clear();
            retry(&store, &sink, Limits::default()).await.unwrap();
            assert_eq!(held(&store).await, [], "{when}");
            assert_eq!(sink.held().records.len(), 450, "{when}");
            let seen = store.seen(TENANT, stream.name(), None).await.unwrap();
            assert_eq!(seen.len(), 450, "{when}: each id is remembered once");
        }
    }
    assert!(cut > 20, "{cut} retries were cut short");
    assert!(between > 0, "some were cut between two commits");
}

#[tokio::test(start_paused = true)]
async fn a_quarantine_that_is_full_halts_the_tenant_and_after_drop_or_retry_it_goes_on() {
    let stream = Stream::SignInAttempts;
    let poison = (0..20).map(|n| format!(r#"{{"n":{n}}}"#)).chain([event(stream, 7)]).collect::<Vec<_>>();
    let page = || vec![(stream, poison.join(","))];
    let limits = Limits { quarantine: 25, ..Limits::default() };
    let read_by_now: Vec<_> = (0..10).map(|number| (stream.name(), event(stream, number + 100))).collect();
    for mend in ["drop", "retry"] {
        let (store, sink) = (MemoryStore::default(), Arc::new(MemorySink::default()));
        set_aside(&store, &read_by_now).await;
        for _ in 0..3 {
            let ended = read(&store, &sink, page(), limits).await;
            assert!(matches!(ended, Err(Stopped::Quarantine { entries: 30, ceiling: 25 })), "{ended:?}");
            assert!(ended.unwrap_err().remedy().hint().unwrap().contains("opgraph quarantine list"));
            assert_eq!(held(&store).await.len(), 10, "nothing of the page is committed");
        }
        if mend == "drop" {
            let ids = held(&store).await.iter().map(Quarantined::id).collect();
            store.quarantine_drop(TENANT, ids).await.unwrap();
        } else {
            retry(&store, &sink, limits).await.unwrap();
        }
        read(&store, &sink, page(), limits).await.unwrap();
        assert_eq!(held(&store).await.len(), 20, "{mend}");
        assert!(sink.held().records.contains_key(&key(stream, 7)));
        // At the ceiling a retry of what fails again is no overflow.
        let full = Limits { quarantine: 20, ..limits };
        retry(&store, &sink, full).await.unwrap();
        assert_eq!(held(&store).await.len(), 20, "{mend}");
        // Nor is it one where the ceiling is lower by now.
        retry(&store, &sink, Limits { quarantine: 10, ..limits }).await.unwrap();
        assert_eq!(held(&store).await.len(), 20, "{mend}");
    }
}

/// A sink that sets aside every record that quotes `poison`, until it is told to take all.
struct Choosy {
    inner: MemorySink,
    takes_all: Arc<AtomicBool>,
}

struct ChoosyUpload {
    inner: <MemorySink as Sink>::Upload,
    refused: Vec<Quarantined>,
    takes_all: Arc<AtomicBool>,
}

impl Sink for Choosy {
    type Upload = ChoosyUpload;

    fn limits(&self) -> UploadLimits {
        self.inner.limits()
    }

    fn open(&self) -> ChoosyUpload {
        let takes_all = self.takes_all.clone();
        ChoosyUpload { inner: self.inner.open(), refused: Vec::new(), takes_all }
    }
}

impl Upload for ChoosyUpload {
    async fn write(&mut self, page: Arc<Page<Records>>) -> Result<(), SinkError> {
        if !self.takes_all.load(Relaxed) {
            let records = page.items.iter().filter(|record| record.json.contains("poison"));
            self.refused.extend(records.map(|record| Quarantined {
                stream: "directory".to_owned(),
                reason: "it will not have it".to_owned(),
                body: record.json.to_owned(),
                at: START,
            }));
        }
        self.inner.write(page).await
    }

    async fn finish(self, mut coverage: Coverage) -> Result<Ack, SinkError> {
        self.refused.into_iter().for_each(|record| coverage.quarantine(record));
        self.inner.finish(coverage).await
    }
}

#[tokio::test(start_paused = true)]
async fn records_that_a_sink_set_aside_come_again_as_the_records_they_were() {
    let stream = Stream::AuditEvents;
    let user = r#""actor_details":{"uuid":"U","name":"poison"},"object_type":"vault","object_uuid":"V""#;
    let audit = event(stream, 1).replace('}', &format!(",{user}}}"));
    let store = MemoryStore::default();
    let (first, takes_all) = (MemorySink::default(), Arc::new(AtomicBool::new(false)));
    let sink = Arc::new(Choosy { inner: first.clone(), takes_all: takes_all.clone() });
    read(&store, &sink, vec![(stream, audit)], Limits::default()).await.unwrap();
    let entries = held(&store).await;
    assert_eq!(entries.len(), 2, "the event and its actor: {entries:?}");
    // As long as the sink refuses them they stay.
    retry(&store, &sink, Limits::default()).await.unwrap();
    assert_eq!(held(&store).await, entries);
    // A sink that holds nothing yet shows what a retry brings.
    takes_all.store(true, Relaxed);
    let second = MemorySink::default();
    let sink = Arc::new(Choosy { inner: second.clone(), takes_all });
    retry(&store, &sink, Limits::default()).await.unwrap();
    assert_eq!(held(&store).await, []);
    assert_eq!(second.held().records.len(), 2);
    for (key, kept) in &second.held().records {
        assert_eq!(Some(kept), first.held().records.get(key), "type, version and text are the same");
    }
    let events = store.checkpoints().await.unwrap()[TENANT][stream.name()].events;
    assert_eq!(events, 1, "a record is no event");
}
