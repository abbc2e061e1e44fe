//! The rate budget of one account, shared by all its streams.

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
    middleware::NoOpMiddleware,
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

    fn hold(&self) -> MutexGuard<'_, Option<Hold>> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
    limiter: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Nanos>>,
    clock: TokioClock,
    limit: NonZeroU32,
    /// The time in which one request is refilled.
    period: Duration,
}

impl Cell {
    fn new(limit: NonZeroU32, window: Duration, clock: TokioClock, idle: Option<Duration>) -> Cell {
        let burst = NonZeroU32::new(limit.get() / 12).unwrap_or(NonZeroU32::MIN);
        let period = window.mul_f64(1.0 / (0.9 * f64::from(limit.get())));
        let quota = Quota::with_period(period).expect("a period is never zero: a limit is at most u32::MAX");
        let limiter = RateLimiter::direct_with_clock(quota.allow_burst(burst), clock.clone());
        let cell = Cell { limiter, clock, limit, period };
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
        self.limiter.check().map_err(|until| until.wait_time_from(self.clock.now()))
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

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, sync::Arc};

    use super::*;

    /// The most requests any window of this length holds.
    fn densest(times: &[Duration], window: Duration) -> usize {
        let mut inside = VecDeque::new();
        let mut most = 0;
        for &at in times {
            inside.push_back(at);
            while inside.front().is_some_and(|first| at - *first > window) {
                inside.pop_front();
            }
            most = most.max(inside.len());
        }
        most
    }

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);

    /// Asks without a pause from `tasks` tasks for `time`; answers when each request was let through.
    async fn saturate(
        budget: Arc<Budget>,
        start: Instant,
        time: Duration,
        tasks: usize,
    ) -> Vec<Vec<Duration>> {
        let tasks: Vec<_> = (0..tasks)
            .map(|_| {
                let budget = budget.clone();
                tokio::spawn(async move {
                    let mut times = Vec::new();
                    let end = Instant::now() + time;
                    while tokio::time::timeout_at(end, budget.acquire()).await.is_ok() {
                        times.push(start.elapsed());
                    }
                    times
                })
            })
            .collect();
        let mut all = Vec::new();
        for task in tasks {
            all.push(task.await.unwrap());
        }
        all
    }

    fn sorted(times: Vec<Vec<Duration>>) -> Vec<Duration> {
        let mut times: Vec<_> = times.into_iter().flatten().collect();
        times.sort();
        times
    }

    #[tokio::test(start_paused = true)]
    async fn no_window_of_two_hours_holds_more_than_the_limits_and_little_is_wasted() {
        let budget = Arc::new(Budget::new(Limits::default(), None));
        let times = sorted(saturate(budget, Instant::now(), 2 * HOUR, 3).await);
        assert!(densest(&times, MINUTE) <= 600, "{}", densest(&times, MINUTE));
        assert!(densest(&times, HOUR) <= 30_000, "{}", densest(&times, HOUR));
        assert!(times.len() as f64 >= 0.95 * 2.0 * 27_000.0, "{}", times.len());
    }

    #[tokio::test(start_paused = true)]
    async fn the_limits_hold_across_restarts() {
        let start = Instant::now();
        let mut times =
            sorted(saturate(Arc::new(Budget::new(Limits::default(), None)), start, MINUTE, 3).await);
        // Killed and started again at once, over and over; then after a while.
        for idle in [0, 0, 0, 1, 5, 20, 0] {
            let idle = Duration::from_secs(idle);
            sleep(idle).await;
            let budget = Arc::new(Budget::new(Limits::default(), Some(idle)));
            times.extend(sorted(saturate(budget, start, 10 * Duration::from_secs(3), 3).await));
        }
        assert!(densest(&times, MINUTE) <= 600, "{}", densest(&times, MINUTE));
        assert!(densest(&times, HOUR) <= 30_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_429_stops_everybody_who_shares_the_budget() {
        let budget = Arc::new(Budget::new(Limits::default(), None));
        let start = Instant::now();
        budget.empty(Duration::from_secs(30));
        let times = sorted(saturate(budget, start, Duration::from_secs(31), 3).await);
        assert!(times[0] >= Duration::from_secs(30));
        // The burst is gone as well: nine a second is what refills.
        assert!((5..=10).contains(&times.len()), "{}", times.len());
    }

    #[tokio::test(start_paused = true)]
    async fn lower_limits_hold_from_the_first_request_on_and_higher_ones_at_once() {
        let of =
            |per_minute| Limits { per_minute: NonZeroU32::new(per_minute).unwrap(), ..Limits::default() };
        for (lower, late) in [(300, 0), (300, 20), (300, 4000), (60, 20), (60, 1000)] {
            let (budget, start) = (Arc::new(Budget::new(of(600), None)), Instant::now());
            let other = async {
                sleep(Duration::from_millis(late)).await;
                budget.keep_to(of(lower));
                sleep(5 * MINUTE).await;
                budget.keep_to(of(600));
            };
            let (times, ()) = tokio::join!(saturate(budget.clone(), start, 7 * MINUTE, 3), other);
            let times = sorted(times);
            let until = start.elapsed() - 2 * MINUTE;
            let (low, high): (Vec<_>, Vec<_>) = times.into_iter().partition(|at| *at < until);
            // A limit that the burst alone exceeds can only be kept afterwards.
            let most = densest(&low, MINUTE);
            assert!(most <= lower.max(100) as usize, "{lower} after {late} ms: {most}");
            assert!(high.len() > 850 && densest(&high, MINUTE) <= 600, "{}", high.len());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn forty_tasks_get_the_same_number_of_turns() {
        // Without a burst, which goes to whoever comes first.
        let budget = Arc::new(Budget::new(Limits::default(), Some(Duration::ZERO)));
        let turns: Vec<usize> =
            saturate(budget, Instant::now(), 2 * MINUTE, 40).await.iter().map(Vec::len).collect();
        let (least, most) = (turns.iter().min().unwrap(), turns.iter().max().unwrap());
        assert!(most - least <= 2, "{turns:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn small_limits_hold_too() {
        for limit in 1..20 {
            let limit = NonZeroU32::new(limit).unwrap();
            let budget = Budget::new(
                Limits { per_minute: limit, per_hour: limit.saturating_mul(NonZeroU32::new(60).unwrap()) },
                None,
            );
            let times = sorted(saturate(Arc::new(budget), Instant::now(), 10 * MINUTE, 1).await);
            assert!(densest(&times, MINUTE - Duration::from_millis(1)) <= limit.get() as usize, "{limit}");
        }
    }
}
