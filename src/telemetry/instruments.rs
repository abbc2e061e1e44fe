//! What counts, and is read while it counts: nothing here waits, and nothing grows.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use opgraph_state::UnixMs;
use tokio::sync::mpsc::Sender;

use crate::allowance::Allowance;

/// A number that grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds to it.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    /// Reads it.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that is replaced.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Replaces it.
    pub fn set(&self, now: u64) {
        self.0.store(now, Relaxed);
    }

    /// Reads it.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// How many of something there are at the moment.
#[derive(Clone, Debug, Default)]
pub struct Level(Arc<AtomicU64>);

impl Level {
    /// Counts one more, for as long as the answer is kept.
    pub fn hold(&self) -> Held {
        self.0.fetch_add(1, Relaxed);
        Held(self.0.clone())
    }

    /// Reads it.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// One of what a [`Level`] counts.
#[must_use = "it counts for as long as it is kept"]
#[derive(Debug)]
pub struct Held(Arc<AtomicU64>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// A point in time that is replaced.
#[derive(Debug)]
pub struct Moment(AtomicI64);

impl Default for Moment {
    fn default() -> Moment {
        Moment(AtomicI64::new(i64::MIN))
    }
}

impl Moment {
    /// Replaces it.
    pub fn set(&self, at: UnixMs) {
        self.0.store(at.0, Relaxed);
    }

    /// Replaces it if `at` is later.
    pub fn advance(&self, at: UnixMs) {
        self.0.fetch_max(at.0, Relaxed);
    }

    /// Reads it; `None` if it was never set.
    pub fn get(&self) -> Option<UnixMs> {
        Some(self.0.load(Relaxed)).filter(|at| *at != i64::MIN).map(UnixMs)
    }
}

/// A value that is replaced as a whole.
#[derive(Debug, Default)]
pub struct Latest<T>(Mutex<T>);

impl<T: Clone> Latest<T> {
    /// Replaces it.
    pub fn set(&self, value: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = value;
    }

    /// Reads it.
    pub fn get(&self) -> T {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Upper bounds in seconds: from what a disk takes for a commit to the hour that an upload may be filled.
const BOUNDS: [f64; 18] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0,
    3600.0,
];

/// How long something took, each time: how often at most each bound, and all together.
#[derive(Debug, Default)]
pub struct Times {
    counts: [Count; BOUNDS.len()],
    longer: Count,
    micros: Count,
}

/// What [`Times`] held at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    /// Upper bounds in seconds, each with how many took at most so long.
    pub at_most: Vec<(f64, u64)>,
    /// How many there were.
    pub count: u64,
    /// How long they took together, in seconds.
    pub sum: f64,
}

impl Times {
    /// Counts one.
    pub fn took(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        let place = BOUNDS.partition_point(|bound| *bound < seconds);
        self.counts.get(place).unwrap_or(&self.longer).add(1);
        self.micros.add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// Reads it.
    pub fn get(&self) -> Spread {
        let mut count = 0;
        let below = self.counts.iter().map(|counted| {
            count += counted.get();
            count
        });
        let at_most = BOUNDS.into_iter().zip(below).collect();
        Spread { at_most, count: count + self.longer.get(), sum: self.micros.get() as f64 / 1e6 }
    }
}

/// What waits between the stages of the run that is under way.
#[derive(Default)]
pub struct Queues(Mutex<Watched>);

#[derive(Default)]
struct Watched {
    queues: Vec<Box<dyn Fn() -> Queue + Send>>,
    allowance: Option<Allowance>,
}

/// One channel between two stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// What waits in it: the stage in front of it names it.
    pub name: &'static str,
    /// Pages that wait.
    pub pages: usize,
    /// Pages that may wait.
    pub most: usize,
}

impl Queues {
    /// Forgets the run before.
    pub fn clear(&self) {
        *self.lock() = Watched::default();
    }

    /// Watches a channel, without keeping it open.
    pub fn watch<T: Send + 'static>(&self, name: &'static str, out: &Sender<T>) {
        let (weak, most) = (out.downgrade(), out.max_capacity());
        let look = move || {
            let pages = weak.upgrade().map_or(0, |out| most - out.capacity());
            Queue { name, pages, most }
        };
        self.lock().queues.push(Box::new(look));
    }

    /// Watches the bytes in flight.
    pub fn weigh(&self, allowance: &Allowance) {
        self.lock().allowance = Some(allowance.clone());
    }

    /// How full each channel is, in the order in which pages pass them.
    pub fn depths(&self) -> Vec<Queue> {
        self.lock().queues.iter().map(|look| look()).collect()
    }

    /// Bytes in flight, and how many there may be; none before the first run.
    pub fn bytes(&self) -> Option<(usize, usize)> {
        let watched = self.lock();
        let allowance = watched.allowance.as_ref()?;
        Some((allowance.taken(), allowance.bytes()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Watched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Queues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.depths()).finish()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_time_is_counted_under_every_bound_it_keeps() {
        let times = Times::default();
        for millis in [50, 100, 101, 5_000_000] {
            times.took(Duration::from_millis(millis));
        }
        let Spread { at_most, count, sum } = times.get();
        let within = |seconds: f64| at_most.iter().find(|(bound, _)| *bound == seconds).unwrap().1;
        assert_eq!([0.025, 0.05, 0.1, 0.25, 3600.0].map(within), [0, 1, 2, 3, 3]);
        assert_eq!((count, sum), (4, 5000.251));
    }

    #[tokio::test]
    async fn a_queue_is_watched_without_being_kept_open() {
        let queues = Queues::default();
        let (out, mut arriving) = channel(3);
        queues.watch("fetched", &out);
        out.send(()).await.unwrap();
        out.send(()).await.unwrap();
        assert_eq!(queues.depths(), [Queue { name: "fetched", pages: 2, most: 3 }]);
        drop(out);
        while arriving.recv().await.is_some() {}
        assert_eq!(queues.depths(), [Queue { name: "fetched", pages: 0, most: 3 }]);

        let allowance = Allowance::alone(10_240);
        queues.weigh(&allowance);
        let share = allowance.take(4_000).await;
        assert_eq!(queues.bytes(), Some((4096, 10_240)));
        drop(share);
        queues.clear();
        assert_eq!((queues.depths(), queues.bytes()), (Vec::new(), None));
    }

    #[test]
    fn a_level_falls_when_what_it_counts_is_gone() {
        let level = Level::default();
        let held = [level.hold(), level.hold()];
        assert_eq!(level.get(), 2);
        drop(held);
        assert_eq!(level.get(), 0);
    }
}
