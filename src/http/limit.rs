//! The rate budget of one account, shared by all its streams.

#[cfg(test)]
mod tests;

use std::{
    num::NonZeroU32,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::StateInformationMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

/// What the API allows one account, in any window of a minute and of an hour.
///
/// 1Password documents 600 and 30,000 (Events API, rate limits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests in any 60 seconds.
    pub per_minute: NonZeroU32,
    /// Requests in any 3,600 seconds.
    pub per_hour: NonZeroU32,
}

impl Default for Limits {
    fn default() -> Limits {
        const DOCUMENTED: (NonZeroU32, NonZeroU32) =
            (NonZeroU32::new(600).unwrap(), NonZeroU32::new(30_000).unwrap());
        Limits { per_minute: DOCUMENTED.0, per_hour: DOCUMENTED.1 }
    }
}

/// Hands out requests, first come first served, so that no sliding window
/// holds more than its limit.
///
/// Each limit `n` is one cell that refills with 0.9 `n` a window and holds
/// `n`/12: a window never sees more than 0.9 `n` + `n`/12, which is 590 of 600.
/// A cell that held `n` would admit nearly `2n` in its first window. The rest
/// up to `n` is for requests that the network delivers closer together than
/// they were sent.
#[derive(Debug)]
pub struct Budget {
    cells: watch::Sender<Arc<Cells>>,
    /// Requests let through so far.
    granted: AtomicU64,
    /// Waiting takes turns: without it, one of forty tasks got twice as many turns as another.
    turn: tokio::sync::Mutex<()>,
    hold: Mutex<Option<Hold>>,
}

/// One cell a window. A request needs one of each.
#[derive(Debug)]
struct Cells {
    hour: Cell,
    minute: Cell,
}

/// A pause that a 429 imposed.
#[derive(Clone, Copy, Debug)]
struct Hold {
    until: Instant,
    /// The cells filled up meanwhile, and have been emptied again since.
    over: bool,
}

impl Budget {
    /// Makes a budget. `idle` is how long ago the account's last request may
    /// have been made by an earlier run: the cells are taken as empty then, and
    /// refilled since. `None` is an account that nobody has used.
    ///
    /// Starting empty is always right: a cell cannot be emptier than empty, so
    /// both runs together keep to the limits, wherever the first one was killed.
    pub fn new(limits: Limits, idle: Option<Duration>) -> Budget {
        Budget {
            cells: watch::Sender::new(Arc::new(Cells::new(limits, idle))),
            granted: AtomicU64::new(0),
            turn: tokio::sync::Mutex::new(()),
            hold: Mutex::new(None),
        }
    }

    /// Waits for the right to make one request.
    ///
    /// Cancelling it may waste one request of the hour, never gain one.
    pub async fn acquire(&self) {
        let _turn = self.turn.lock().await;
        let mut cells = self.cells.subscribe();
        // The scarcer cell first: then no minute's worth is taken for a request
        // that has to wait for the hour.
        for cell in [Cells::hour, Cells::minute] {
            loop {
                self.hold_is_over().await;
                let now = cells.borrow_and_update().clone();
                let Err(wait) = cell(&now).take() else { break };
                tokio::select! {
                    () = sleep(wait) => (),
                    // Other limits: how long there is to wait is another question.
                    _ = cells.changed() => (),
                }
            }
        }
        // A hold may have been placed while this turn waited for the minute.
        self.hold_is_over().await;
        self.granted.fetch_add(1, Relaxed);
    }

    /// Waits until `requests` that were made elsewhere are paid for.
    pub async fn pay(&self, requests: u64) {
        for _ in 0..requests {
            self.acquire().await;
        }
    }

    /// Requests let through so far.
    pub fn granted(&self) -> u64 {
        self.granted.load(Relaxed)
    }

    /// Keeps to other limits from now on, and starts them empty.
    ///
    /// What was let through a moment ago counts against lower ones, up to a
    /// burst and what refills in six seconds: two tenants that start together
    /// with different limits keep to the lower ones from the first request on.
    pub fn keep_to(&self, limits: Limits) {
        let old = self.cells.send_replace(Arc::new(Cells::new(limits, Some(Duration::ZERO))));
        let new = self.cells.borrow().clone();
        let lower = new.hour.period > old.hour.period || new.minute.period > old.minute.period;
        let made = self.granted().min(u64::from(old.minute.limit.get() / 6));
        if let Some(made) = u32::try_from(made).ok().filter(|made| lower && *made > 0) {
            self.empty(new.hour.period.max(new.minute.period) * made);
        }
    }

    /// Takes a 429 at its word: nothing is left, and nobody asks again for
    /// `pause`. After it, requests trickle as the cells refill; there is no burst.
    pub fn empty(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut hold = self.hold();
        let until = hold.map_or(until, |hold| hold.until.max(until));
        *hold = Some(Hold { until, over: false });
    }

    /// Waits until no hold is in force.
    async fn hold_is_over(&self) {
        loop {
            let until = {
                let mut hold = self.hold();
                match hold.as_mut() {
                    Some(hold) if hold.until > Instant::now() => hold.until,
                    Some(hold) => {
                        if !std::mem::replace(&mut hold.over, true) {
                            let cells = self.cells.borrow();
                            cells.hour.drain();
                            cells.minute.drain();
                        }
                        return;
                    }
                    None => return,
                }
            };
            sleep_until(until).await;
        }
    }

    /// What is left at the moment.
    pub fn left(&self) -> Left {
        let held = self.hold().map_or(Duration::ZERO, |hold| hold.until - Instant::now());
        let cells = self.cells.borrow();
        Left { minute: cells.minute.left(), hour: cells.hour.left(), held }
    }

    fn hold(&self) -> MutexGuard<'_, Option<Hold>> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is left of a budget. A request needs one of both cells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Left {
    /// Of the minute's limit.
    pub minute: Cellful,
    /// Of the hour's limit.
    pub hour: Cellful,
    /// How long a 429 still keeps everybody waiting.
    pub held: Duration,
}

/// How full a cell is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cellful {
    /// Requests that could be made at once.
    pub now: u32,
    /// The most that could ever be made at once.
    pub most: u32,
}

impl Cells {
    fn new(limits: Limits, idle: Option<Duration>) -> Cells {
        let clock = TokioClock { start: Instant::now() };
        Cells {
            hour: Cell::new(limits.per_hour, Duration::from_secs(3600), clock.clone(), idle),
            minute: Cell::new(limits.per_minute, Duration::from_secs(60), clock, idle),
        }
    }

    fn hour(&self) -> &Cell {
        &self.hour
    }

    fn minute(&self) -> &Cell {
        &self.minute
    }
}

/// One limit over one window.
#[derive(Debug)]
struct Cell {
    limiter: RateLimiter<NotKeyed, InMemoryState, TokioClock, StateInformationMiddleware>,
    clock: TokioClock,
    limit: NonZeroU32,
    burst: u32,
    /// The time in which one request is refilled.
    period: Duration,
    /// What was left, and when: governor tells it only to who takes something.
    level: Mutex<(u32, Instant)>,
}

impl Cell {
    fn new(limit: NonZeroU32, window: Duration, clock: TokioClock, idle: Option<Duration>) -> Cell {
        let burst = NonZeroU32::new(limit.get() / 12).unwrap_or(NonZeroU32::MIN);
        let period = window.mul_f64(1.0 / (0.9 * f64::from(limit.get())));
        let quota = Quota::with_period(period).expect("a period is never zero: a limit is at most u32::MAX");
        let limiter = RateLimiter::direct_with_clock(quota.allow_burst(burst), clock.clone())
            .with_middleware::<StateInformationMiddleware>();
        let level = Mutex::new((burst.get(), Instant::now()));
        let cell = Cell { limiter, clock, limit, burst: burst.get(), period, level };
        if let Some(idle) = idle {
            let refilled = (idle.as_secs_f64() / period.as_secs_f64()) as u32;
            for _ in refilled..burst.get() {
                // What cannot be taken is gone already.
                let _ = cell.take();
            }
        }
        cell
    }

    /// Takes one request, or says how long to wait.
    fn take(&self) -> Result<(), Duration> {
        let taken = self.limiter.check();
        let left = taken.as_ref().map_or(0, |left| left.remaining_burst_capacity());
        *self.level() = (left, Instant::now());
        taken.map(drop).map_err(|until| until.wait_time_from(self.clock.now()))
    }

    fn left(&self) -> Cellful {
        let (left, at) = *self.level();
        let refilled = at.elapsed().as_nanos() / self.period.as_nanos().max(1);
        let now = u32::try_from(refilled).unwrap_or(u32::MAX).saturating_add(left).min(self.burst);
        Cellful { now, most: self.burst }
    }

    fn level(&self) -> MutexGuard<'_, (u32, Instant)> {
        self.level.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drain(&self) {
        while self.take().is_ok() {}
    }
}

/// Tokio's clock, so that a budget keeps virtual time in tests.
#[derive(Clone, Debug)]
struct TokioClock {
    start: Instant,
}

impl Clock for TokioClock {
    type Instant = Nanos;

    /// Time since the budget was made.
    fn now(&self) -> Nanos {
        self.start.elapsed().into()
    }
}
