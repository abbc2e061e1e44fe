//! Whole histories under virtual time, each from one seed: the real pipeline
//! between a scripted API, scripted sinks and a store that watches every commit.
//!
//! A history is a number of runs, each killed, closed, forgotten (it goes on
//! beside the next one) or left to fail, until the faults stop and everything
//! has to settle. What must hold is checked at every request, ack and commit:
//!
//! - every event is acknowledged by every sink, or in quarantine, or still comes to the
//!   committed cursor, or to a committed window;
//! - no commit skips, goes back without a rewind, or commits a page or an event again;
//! - only the newest run commits, and a run that has drained has committed all it read;
//! - pages, bytes and uploads in flight keep within their limits;
//! - nothing is removed that the newest run cannot have seen gone, and no vault
//!   that less than two lists were without.
//!
//! Once the faults have stopped, everything settles within a bounded time: the
//! sinks hold each key once, in its newest version, and sinks, directory and
//! inventory hold the vaults and items that there are, and no others.
//!
//! A seed replays to the same nanosecond. More seeds, or one:
//!
//! ```text
//! OPGRAPH_SEEDS=100000 cargo test --release --test main delivery::simulation -- --nocapture
//! OPGRAPH_SEED=4711 cargo test --test main delivery::simulation -- --nocapture
//! ```

mod plan;

mod truth;

mod world;

mod watch;

mod flow;

mod source;

mod vaults;

mod sink;

mod store;

mod history;

use std::{
    env,
    io::Write,
    ops::Range,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::Instant,
};

use tokio::runtime::Builder;

use self::history::{Told, history};

/// Seeds of the ordinary test.
const SEEDS: u64 = 1_000;

/// Lives through one seed's history, alone on this thread.
fn live(seed: u64) -> Told {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    match runtime.block_on(history(seed)) {
        Ok(told) => told,
        Err(wrong) => panic!(
            "seed {seed}: {wrong}\nagain: OPGRAPH_SEED={seed} cargo test --test main delivery::simulation -- --nocapture"
        ),
    }
}

/// A number from the environment.
fn asked(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Lives through many, on all cores; answers how much happened.
fn live_all(seeds: Range<u64>, tell: bool) -> [u64; 8] {
    let (next, runs, requests) = (AtomicU64::new(seeds.start), AtomicU64::new(0), AtomicU64::new(0));
    let (commits, fenced, rewinds) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let (removed, opened, read) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let started = Instant::now();
    let worker = || {
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= seeds.end {
                break;
            }
            let told = live(seed);
            runs.fetch_add(told.runs, Relaxed);
            requests.fetch_add(told.counted.requests, Relaxed);
            commits.fetch_add(told.counted.commits, Relaxed);
            fenced.fetch_add(told.counted.fenced, Relaxed);
            rewinds.fetch_add(told.counted.rewinds, Relaxed);
            removed.fetch_add(told.counted.removed, Relaxed);
            opened.fetch_add(told.counted.windows[0], Relaxed);
            read.fetch_add(told.counted.windows[1], Relaxed);
            if tell && (seed + 1).is_multiple_of(1_000) {
                let _ = writeln!(std::io::stderr(), "{} seeds in {:?}", seed + 1, started.elapsed());
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            if let Err(panic) = worker.join() {
                // No need for the other seeds.
                next.store(u64::MAX / 2, Relaxed);
                std::panic::resume_unwind(panic);
            }
        }
    });
    [runs, requests, commits, fenced, rewinds, removed, opened, read].map(AtomicU64::into_inner)
}

#[test]
fn cursor_never_passes_an_unacknowledged_event() {
    if let Some(seed) = asked("OPGRAPH_SEED") {
        let told = live(seed);
        let _ = writeln!(std::io::stderr(), "seed {seed}: {told:?}");
        return;
    }
    let many = asked("OPGRAPH_SEEDS");
    let seeds = many.unwrap_or(SEEDS);
    let [runs, requests, commits, fenced, rewinds, removed, opened, read] =
        live_all(0..seeds, many.is_some());
    if many.is_some() {
        let told = format!("{runs} runs, {requests} requests, {commits} commits");
        let _ = writeln!(
            std::io::stderr(),
            "{seeds} histories: {told}, {fenced} fenced, {rewinds} rewinds, {removed} removed, {read} of {opened} windows read"
        );
    }
    // Troubled enough to mean something.
    assert!(
        runs > 5 * seeds
            && commits > 20 * seeds
            && fenced > seeds / 20
            && rewinds > seeds / 2
            && removed > seeds / 4
            && read > 10 * seeds
    );
}

#[test]
fn a_seed_replays_to_the_same_nanosecond() {
    let traces: Vec<u64> = (0..40).map(|seed| live(seed).trace).collect();
    let again: Vec<u64> = (0..40).map(|seed| live(seed).trace).collect();
    assert_eq!(traces, again);
}
