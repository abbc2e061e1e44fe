//! Who may commit: the tenant's newest run, and nobody without a claim.

use std::sync::Arc;

use opgraph::{
    pipeline::{self, Limits, Stopped},
    sink::memory::MemorySink,
    stream::Stream,
};
use opgraph_state::{Commit, Epoch, MemoryStore, Refused, Store, StoreError};

use crate::support::{self, START, Scripted, Trouble, key};

const TENANT: &str = "acme";

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
    for stream in Stream::ALL {
        assert!((0..50).all(|number| sink.held().records.contains_key(&key(*stream, number))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_without_a_claim_is_refused() {
    let store = MemoryStore::default();
    let commit = Commit {
        tenant: TENANT.to_owned(),
        epoch: Epoch(1),
        at: START,
        steps: Vec::new(),
        removed: Vec::new(),
        inventory: Vec::new(),
        directory: Vec::new(),
        released: Vec::new(),
        quarantined: Vec::new(),
        settled: Vec::new(),
    };
    assert!(store.commit(commit).await.is_err());
}
