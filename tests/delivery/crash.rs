//! Kills runs at arbitrary moments, restarts them, and checks that nothing is lost.

use std::{sync::Arc, time::Duration};

use opgraph::{
    pipeline::{self, Limits, Stopped},
    sink::{
        UploadLimits,
        memory::{Fault, MemorySink},
    },
    stream::Stream,
};
use opgraph_state::{Commit, Cursor, Epoch, MemoryStore, Refused, Store, StoreError};

use crate::support::{self, START, Scripted, Trouble, events_before, key};

const TENANT: &str = "acme";

/// One history: runs that are killed, fail or end, until one has caught up.
async fn history(seed: u64) -> usize {
    let mut dice = fastrand::Rng::with_seed(seed);
    let events = dice.usize(20..150);
    let trouble = Trouble { fails: 80, empty: 80, refused: if dice.bool() { 40 } else { 0 } };
    let source = Scripted::new(events, dice.usize(1..17), seed, trouble);
    let sink = MemorySink::new(UploadLimits {
        age: Duration::from_millis(dice.u64(1..60)),
        events: dice.u64(1..60),
        bytes: dice.usize(1..200_000),
        finishing: dice.usize(0..4),
    });
    let store = MemoryStore::default();

    for round in 0.. {
        assert!(round < 200, "seed {seed}: never catches up");
        // Faults end after a while; then it has to come to an end.
        let calm = round > 12;
        if !calm {
            sink.fail((0..dice.usize(0..6)).map(|_| match dice.u32(0..4) {
                0 => Fault::Reject,
                1 => Fault::FailAfterWrite,
                n => Fault::Slow(Duration::from_millis(u64::from(n) * 37)),
            }));
        }
        let limits =
            Limits { pages: dice.usize(1..4), bytes: dice.usize(1024..1 << 20), ..Limits::default() };
        let claim = support::claim(&store, TENANT).await;
        let run = support::run(TENANT, claim, source.clone(), Arc::new(sink.clone()), store.clone(), limits);
        let mut task = tokio::spawn(pipeline::run(run));
        let patience = Duration::from_millis(if calm { 3_600_000 } else { dice.u64(0..600) });
        let ended = match tokio::time::timeout(patience, &mut task).await {
            Ok(ended) => Some(ended.unwrap()),
            Err(_) => {
                task.abort();
                let _ = task.await;
                None
            }
        };
        if let Some(Err(stopped @ (Stopped::Store(_) | Stopped::Gap(_) | Stopped::Panic(_)))) = &ended {
            panic!("seed {seed}: {stopped:?}");
        }
        let committed = nothing_skipped(&store, &sink, seed).await;
        let done = committed == Stream::ALL.len() * events;
        if let Some(Ok(drained)) = ended
            && (calm || done && drained.halted.is_empty())
        {
            assert!(drained.halted.is_empty(), "seed {seed}: {:?}", drained.halted);
            assert!(done, "seed {seed}: everything is committed");
            exact(&sink, events, seed);
            return round;
        }
    }
    unreachable!("the loop ends by returning");
}

/// Every event before each committed cursor is in the sink. Answers how many those are.
async fn nothing_skipped(store: &MemoryStore, sink: &MemorySink, seed: u64) -> usize {
    let checkpoints = store.checkpoints().await.unwrap();
    let mut committed = 0;
    for stream in Stream::ALL {
        let checkpoint = &checkpoints[TENANT][stream.name()];
        let passed = events_before(&checkpoint.cursor);
        let held = sink.held();
        for number in 0..passed {
            assert!(
                held.records.contains_key(&key(*stream, number)),
                "seed {seed}: the cursor of {} passed event {number} of {passed}",
                stream.name()
            );
        }
        assert!(checkpoint.events as usize >= passed, "seed {seed}: fewer events counted than passed");
        committed += passed;
        let rewound = matches!(checkpoint.cursor, Cursor::Since(_)) || checkpoint.rewinding;
        assert!(rewound || checkpoint.events as usize == passed, "seed {seed}: an event was committed twice");
    }
    committed
}

/// The sink holds each record once, and nothing else.
fn exact(sink: &MemorySink, events: usize, seed: u64) {
    let held = sink.held();
    let numbers = 0..events;
    let expected: usize = numbers.clone().map(|_| 3).sum();
    let of_events = held.records.keys().filter(|key| {
        !key.contains('|') && Stream::ALL.iter().any(|stream| key.contains(&format!(":{}-", stream.name())))
    });
    assert_eq!(of_events.count(), expected, "seed {seed}");
    for stream in Stream::ALL {
        for number in numbers.clone() {
            assert!(held.records.contains_key(&key(*stream, number)), "seed {seed}");
        }
    }
    // The newest name of each user won, whatever was replayed.
    for user in 0..7.min(events) {
        let newest = (0..events).filter(|number| number % 7 == user).max().unwrap();
        let kept = &held.records[&format!("one_password_signin_attempt_target_user:USER{user}")];
        assert!(kept.json.contains(&format!("\"Ann Lee {newest}\"")), "seed {seed}: {}", kept.json);
    }
}

#[tokio::test(start_paused = true)]
async fn cursor_never_passes_an_unacknowledged_event() {
    let mut crashes = 0;
    for seed in 0..150 {
        crashes += history(seed).await;
    }
    assert!(crashes > 500, "the histories are troubled enough: {crashes} runs cut short");
}

#[tokio::test(start_paused = true)]
async fn an_older_run_can_neither_commit_nor_release() {
    let store = MemoryStore::default();
    let old = support::claim(&store, TENANT).await;
    let new = support::claim(&store, TENANT).await;
    let source = Scripted::new(50, 10, 1, Trouble::default());
    let sink = Arc::new(MemorySink::default());
    let limits = Limits::default();
    let zombie = support::run(TENANT, old.clone(), source.clone(), sink.clone(), store.clone(), limits);
    let stopped = pipeline::run(zombie).await.unwrap_err();
    let fenced = matches!(stopped, Stopped::Store(StoreError::Refused(Refused::Fenced { .. })));
    assert!(fenced, "{stopped:?}");
    assert!(store.release(TENANT, old.epoch, START).await.is_err());

    let run = support::run(TENANT, new, source, sink.clone(), store.clone(), limits);
    pipeline::run(run).await.unwrap();
    exact(&sink, 50, 0);
}

#[tokio::test(start_paused = true)]
async fn a_commit_without_a_claim_is_refused() {
    let store = MemoryStore::default();
    let commit = Commit {
        tenant: TENANT.to_owned(),
        epoch: Epoch(1),
        at: START,
        steps: Vec::new(),
        directory: Vec::new(),
        released: Vec::new(),
        quarantined: Vec::new(),
        settled: Vec::new(),
    };
    assert!(store.commit(commit).await.is_err());
}
