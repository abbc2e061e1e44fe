//! Many tenants and one memory: those that stand still do not stop the others.

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use opgraph::{
    allowance::{Allowance, Pool},
    pipeline::{self, Limits, Room, Run},
    sink::memory::MemorySink,
};
use opgraph_state::{MemoryStore, Store};
use tokio::{sync::Semaphore, task::JoinHandle, time::Instant};

use super::flow::Standing;
use crate::support::{self, Scripted, Trouble};

/// Bytes that all tenants have between them: a page of 100 events is about 20 KB and weighs four times that.
const SHARED: usize = 750 << 10;
/// What each has of its own.
const OWN: usize = 125 << 10;
/// Events of each stream.
const EVENTS: usize = 5_000;

fn allowance(common: &Pool) -> Allowance {
    Allowance::of(common, OWN, SHARED / 2)
}

/// Tenants whose sinks take nothing, for ever; answers what each has read.
async fn standing(tenants: usize, common: &Pool) -> Vec<(Arc<Scripted>, JoinHandle<()>)> {
    let mut all = Vec::new();
    for number in 0..tenants {
        let source = Scripted::new(1_000_000, 100, number as u64, Trouble::default());
        let sink = Standing { taken: Arc::new(AtomicUsize::new(0)), gate: Arc::new(Semaphore::new(0)) };
        let (store, name) = (MemoryStore::default(), format!("stuck-{number}"));
        let claim = support::claim(&store, &name).await;
        let limits = Limits { pages: 50, ..Limits::default() };
        let run = support::run(&name, claim, source.clone(), Arc::new(sink), store, limits);
        let run = Run { room: Some(Room { pages: allowance(common), ..Room::alone(0) }), ..run };
        all.push((source, tokio::spawn(async move { drop(pipeline::run(run).await) })));
    }
    all
}

/// Has a tenant catch up; answers how long it took.
async fn caught_up(common: &Pool) -> Duration {
    let source = Scripted::new(EVENTS, 100, 7, Trouble::default());
    let (sink, store) = (Arc::new(MemorySink::default()), MemoryStore::default());
    let claim = support::claim(&store, "well").await;
    let run = support::run("well", claim, source, sink, store.clone(), Limits::default());
    let run = Run { room: Some(Room { pages: allowance(common), ..Room::alone(0) }), ..run };
    let begun = Instant::now();
    let drained = tokio::time::timeout(Duration::from_secs(24 * 3600), pipeline::run(run)).await;
    drained.expect("it is not stopped by the others").unwrap();
    let checkpoints = store.checkpoints().await.unwrap();
    let committed: u64 = checkpoints["well"].values().map(|checkpoint| checkpoint.events).sum();
    assert_eq!(committed, 3 * EVENTS as u64);
    begun.elapsed()
}

#[tokio::test(start_paused = true)]
async fn tenants_whose_sinks_stand_still_stop_no_other_and_hold_no_more_than_there_is() {
    let alone = caught_up(&Pool::new(SHARED)).await;
    let common = Pool::new(SHARED);
    let stuck = standing(10, &common).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let read = || stuck.iter().map(|(source, _)| *source.answered.lock().unwrap()).sum::<usize>();
    let held = read();
    // Those that have their share, the one that each fetcher holds beyond it, the one that the sink does not take.
    let (page, most) = (50 << 10, SHARED + 10 * OWN);
    assert!((10..=most / page + 10 * (3 + 1)).contains(&held), "{held} pages");
    assert!(common.taken() > SHARED - (125 << 10), "nothing to speak of is left of what is common");

    let beside = caught_up(&common).await;
    assert!(beside < 3 * alone, "{beside:?} beside ten that stand still, {alone:?} alone");
    assert_eq!(read(), held, "and they read nothing more");
    stuck.iter().for_each(|(_, task)| task.abort());
}
