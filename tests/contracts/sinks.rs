//! What every sink has to hold, run against each of them.

#![allow(clippy::unwrap_used, reason = "what the tests share may fail them too")]

mod feed;

mod files;

mod graph;

mod pair;

mod removal;

use std::{collections::BTreeMap, future::Future, ops::Range, sync::Arc};

use opgraph::{
    page::Coverage,
    sink::{
        Ack, Sink, SinkError, Upload,
        both::Both,
        graph::{GraphReader, GraphSink},
        memory::MemorySink,
    },
};
use proptest::prelude::*;
use tempfile::TempDir;

use feed::{Feed, Telling};
use files::Files;
use removal::{
    a_vault_that_is_gone_and_still_named_by_events_is_a_stub_again,
    what_is_removed_is_gone_and_all_else_stays_as_it_was,
};

/// The JSON of every record, by key.
type Contents = BTreeMap<String, String>;

/// A sink under test, and what can be found in it.
trait Subject: Sized {
    type Sink: Sink;

    fn new() -> Self;

    fn sink(&self) -> &Self::Sink;

    fn contents(&self) -> Contents;
}

impl Subject for MemorySink {
    type Sink = MemorySink;

    fn new() -> MemorySink {
        MemorySink::default()
    }

    fn sink(&self) -> &MemorySink {
        self
    }

    fn contents(&self) -> Contents {
        self.held().records.iter().map(|(key, kept)| (key.clone(), kept.json.clone())).collect()
    }
}

/// A graph in a folder that goes with it.
struct Graph {
    sink: GraphSink,
    folder: TempDir,
}

impl Subject for Graph {
    type Sink = GraphSink;

    fn new() -> Graph {
        let folder = tempfile::tempdir().unwrap();
        Graph { sink: GraphSink::open(&folder.path().join("graph.db"), GraphSink::LIMITS).unwrap(), folder }
    }

    fn sink(&self) -> &GraphSink {
        &self.sink
    }

    fn contents(&self) -> Contents {
        let records = GraphReader::open(self.sink.path()).unwrap().records().unwrap();
        records.into_iter().map(|(key, record)| (key, record.json)).collect()
    }
}

/// A memory and a graph that acknowledge together.
struct Pair {
    memory: MemorySink,
    graph: Graph,
    both: Both<MemorySink, GraphSink>,
}

impl Subject for Pair {
    type Sink = Both<MemorySink, GraphSink>;

    fn new() -> Pair {
        let (memory, graph) = (MemorySink::default(), Graph::new());
        let both = Both::new(memory.clone(), graph.sink.clone());
        Pair { memory, graph, both }
    }

    fn sink(&self) -> &Self::Sink {
        &self.both
    }

    fn contents(&self) -> Contents {
        let (memory, graph) = (self.memory.contents(), self.graph.contents());
        assert_eq!(memory, graph, "both hold the same");
        graph
    }
}

/// Writes the pages of `feed` with these numbers in one upload and finishes it.
async fn upload<K: Sink>(
    sink: &K,
    feed: &Feed,
    pages: impl IntoIterator<Item = usize>,
) -> Result<Ack, SinkError> {
    let mut upload = sink.open();
    let mut coverage = Coverage::default();
    for number in pages {
        let page = feed.page(number);
        coverage.add(&page).expect("the pages of a feed are joined");
        upload.write(Arc::new(page)).await?;
    }
    upload.finish(coverage).await
}

/// Puts each telling into a page and an upload of its own.
async fn tell<K: Sink>(sink: &K, tellings: &[Telling]) {
    for telling in tellings {
        let _ = upload(sink, &Feed::telling(telling.clone()), [0]).await.unwrap();
    }
}

async fn everything_acked_is_held<S: Subject>() {
    let (subject, feed) = (S::new(), Feed::new(6));
    let ack = upload(subject.sink(), &feed, 0..6).await.unwrap();
    assert_eq!(ack.steps().len(), 3);
    assert_eq!(subject.contents(), feed.contents());
}

async fn an_upload_dropped_halfway_leaves_nothing_that_a_repeat_does_not_make_whole<S: Subject>() {
    let (subject, feed) = (S::new(), Feed::new(6));
    let _ = upload(subject.sink(), &feed, 0..2).await.unwrap();
    let before = subject.contents();
    let mut dropped = subject.sink().open();
    for number in 2..5 {
        dropped.write(Arc::new(feed.page(number))).await.unwrap();
    }
    drop(dropped);
    let all = feed.contents();
    // The next upload makes the sink settle what was dropped.
    let _ = upload(subject.sink(), &feed, 0..1).await.unwrap();
    let after = subject.contents();
    assert!(before.keys().all(|key| after.contains_key(key)), "what was acked stays");
    assert!(after.iter().all(|(key, json)| feed.knows(key, json)), "nothing is there that nobody wrote");
    let _ = upload(subject.sink(), &feed, 2..6).await.unwrap();
    assert_eq!(subject.contents(), all);
}

async fn the_same_pages_again_change_nothing<S: Subject>() {
    let (subject, feed) = (S::new(), Feed::new(6));
    let _ = upload(subject.sink(), &feed, 0..6).await.unwrap();
    let once = subject.contents();
    let _ = upload(subject.sink(), &feed, 0..6).await.unwrap();
    let _ = upload(subject.sink(), &feed, 3..5).await.unwrap();
    assert_eq!(subject.contents(), once);
}

async fn an_upload_without_records_is_acknowledged<S: Subject>() {
    let (subject, feed) = (S::new(), Feed::empty());
    let ack = upload(subject.sink(), &feed, 0..2).await.unwrap();
    assert_eq!(ack.steps().len(), 2, "a page emptied by dedup still moves its cursor");
    assert_eq!(subject.contents(), Contents::new());
}

async fn a_stub_never_overwrites_a_full_version<S: Subject>() {
    let full = Telling { rank: 2, at: 5, name: "Wine cellar".to_owned() };
    let stub = Telling { rank: 0, at: 9, name: "V1".to_owned() };
    for order in [[&full, &stub], [&stub, &full]] {
        let subject = S::new();
        tell(subject.sink(), &order.map(Clone::clone)).await;
        assert_eq!(subject.contents(), Feed::telling(full.clone()).contents());
    }
}

/// However the pages are cut into uploads, the same is held in the end.
async fn cut_anywhere<S: Subject>(cuts: Vec<bool>) {
    let (subject, feed) = (S::new(), Feed::new(cuts.len()));
    for pages in cut_into(&cuts) {
        let _ = upload(subject.sink(), &feed, pages).await.unwrap();
    }
    assert_eq!(subject.contents(), feed.contents());
}

/// The pages of each upload, when there is a cut behind some of them.
fn cut_into(cuts: &[bool]) -> Vec<Range<usize>> {
    let mut start = 0;
    let ends = (1..=cuts.len()).filter(|end| cuts[end - 1] || *end == cuts.len());
    ends.map(|end| std::mem::replace(&mut start, end)..end).collect()
}

/// Whatever the order in which the versions of a record arrive, the greatest is kept.
async fn told_in_any_order<S: Subject>(tellings: Vec<Telling>) {
    let subject = S::new();
    tell(subject.sink(), &tellings).await;
    let greatest = tellings.into_iter().max_by_key(Telling::entry_order).expect("not empty");
    assert_eq!(subject.contents(), Feed::telling(greatest).contents());
}

fn wait_for<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn tellings() -> impl Strategy<Value = Vec<Telling>> {
    // Few values, so that ties happen: then the text decides.
    let telling = (0..3u8, -2..3i64, "[ab'\"ü]{1,2}").prop_map(|(rank, at, name)| Telling { rank, at, name });
    prop::collection::vec(telling, 1..6)
}

macro_rules! contract {
    ($($sink:ident: $subject:ty),* $(,)?) => { $(
        mod $sink {
            use super::*;

            contract!(@each $subject:
                everything_acked_is_held
                an_upload_dropped_halfway_leaves_nothing_that_a_repeat_does_not_make_whole
                the_same_pages_again_change_nothing
                an_upload_without_records_is_acknowledged
                a_stub_never_overwrites_a_full_version
                what_is_removed_is_gone_and_all_else_stays_as_it_was
                a_vault_that_is_gone_and_still_named_by_events_is_a_stub_again
            );

            proptest! {
                #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(12) })]

                #[test]
                fn pages_cut_into_uploads_differently_give_the_same_end(
                    cuts in prop::collection::vec(any::<bool>(), 1..9),
                ) {
                    wait_for(cut_anywhere::<$subject>(cuts));
                }

                #[test]
                fn an_older_version_never_overwrites_a_newer_in_any_order(tellings in tellings()) {
                    wait_for(told_in_any_order::<$subject>(tellings));
                }
            }
        }
    )* };
    (@each $subject:ty: $($test:ident)*) => { $(
        #[tokio::test]
        async fn $test() {
            super::$test::<$subject>().await;
        }
    )* };
}

contract! { in_memory: MemorySink, in_a_graph: Graph, in_both: Pair, in_files: Files }
