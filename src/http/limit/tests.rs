//! No window ever holds more than its limit, and little is wasted.

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
async fn saturate(budget: Arc<Budget>, start: Instant, time: Duration, tasks: usize) -> Vec<Vec<Duration>> {
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
    let mut times = sorted(saturate(Arc::new(Budget::new(Limits::default(), None)), start, MINUTE, 3).await);
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
    let of = |per_minute| Limits { per_minute: NonZeroU32::new(per_minute).unwrap(), ..Limits::default() };
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
async fn what_is_left_falls_with_each_request_and_is_refilled() {
    let budget = Budget::new(Limits::default(), None);
    assert_eq!(budget.left().minute, Cellful { now: 50, most: 50 });
    for _ in 0..20 {
        budget.acquire().await;
    }
    assert_eq!((budget.left().minute.now, budget.left().hour.now), (30, 2480));
    // Nine a second.
    sleep(Duration::from_secs(1)).await;
    assert_eq!(budget.left().minute.now, 39);
    sleep(MINUTE).await;
    assert_eq!(budget.left(), Budget::new(Limits::default(), None).left());
    budget.empty(Duration::from_secs(30));
    assert_eq!(budget.left().held, Duration::from_secs(30));
    budget.acquire().await;
    assert_eq!((budget.left().minute.now, budget.left().held), (0, Duration::ZERO));
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
