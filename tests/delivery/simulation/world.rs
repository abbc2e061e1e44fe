//! The world a history happens in: what is true, what time it is, and chance.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use opgraph::clock::Clock;
use opgraph_state::UnixMs;
use tokio::time::{Instant, sleep};

use super::{plan::Plan, truth::Truth, vaults::Vaults, watch::Watch};
use crate::support::START;

/// Everything that outlives a run, but the store and the sinks.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) truth: Truth,
    pub(super) watch: Watch,
    pub(super) vaults: Vaults,
    dice: Mutex<fastrand::Rng>,
    zero: Instant,
    /// How far the wall clock is from the truth, in milliseconds.
    skew: AtomicI64,
    /// Faults have stopped.
    calm: AtomicBool,
    turns: AtomicU64,
    expired: AtomicU64,
}

impl World {
    pub(super) fn new(seed: u64) -> Arc<World> {
        let mut dice = fastrand::Rng::with_seed(seed);
        let plan = Plan::of(&mut dice);
        let truth = Truth::of(&plan, &mut dice);
        let vaults = Vaults::default();
        vaults.furnish(|most| dice.u64(0..=most));
        Arc::new(World {
            watch: Watch::new(&plan, &truth),
            plan,
            truth,
            vaults,
            dice: Mutex::new(dice),
            zero: Instant::now(),
            skew: AtomicI64::new(0),
            calm: AtomicBool::new(false),
            turns: AtomicU64::new(0),
            expired: AtomicU64::new(0),
        })
    }

    /// What time it is.
    pub(super) fn now(&self) -> UnixMs {
        START.plus(self.zero.elapsed())
    }

    /// The wall clock, which may be wrong.
    pub(super) fn clock(self: &Arc<World>) -> Clock {
        let world = self.clone();
        Clock::reading(move || UnixMs(world.now().0 + world.skew.load(Relaxed)))
    }

    /// Sets the wall clock right, an hour ahead, or two behind.
    pub(super) fn leap(&self) {
        let hours = [0, 1, -2][self.upto(2) as usize];
        self.skew.store(hours * 3_600_000, Relaxed);
        self.watch.note("leap", &hours);
    }

    /// Ends all faults.
    pub(super) fn calm(&self) {
        self.calm.store(true, Relaxed);
        self.skew.store(0, Relaxed);
    }

    /// A number from 0 to `most`.
    pub(super) fn upto(&self, most: u64) -> u64 {
        self.dice.lock().unwrap().u64(0..=most)
    }

    /// Whether something happens that happens `n` times in a thousand.
    pub(super) fn happens(&self, n: u32) -> bool {
        n > 0 && !self.is_calm() && self.upto(999) < u64::from(n)
    }

    pub(super) fn is_calm(&self) -> bool {
        self.calm.load(Relaxed)
    }

    /// Waits a while, at most so long.
    pub(super) async fn linger(&self, most: u64) {
        sleep(Duration::from_millis(self.upto(most))).await;
    }

    /// A number no cursor has yet.
    pub(super) fn turn(&self) -> u64 {
        self.turns.fetch_add(1, Relaxed) + 1
    }

    /// Has the API refuse every cursor it has issued so far.
    pub(super) fn expire(&self) {
        self.expired.store(self.turns.load(Relaxed), Relaxed);
    }

    pub(super) fn is_expired(&self, turn: u64) -> bool {
        turn <= self.expired.load(Relaxed)
    }
}
