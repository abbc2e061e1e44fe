//! How fast and how far behind each tenant was in the last hour. Bounded: about 6 KB a tenant.

use std::{collections::VecDeque, time::Duration};

use opgraph_state::UnixMs;
use serde::{Deserialize, Serialize};

use super::{metrics::lag, prometheus::watched};
use crate::{stream::Stream, telemetry::Meter};

/// How often a look is taken.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Looks that rates are taken over: ten seconds.
const RECENT: usize = 6;
/// Looks from one point of the plot to the next: ten seconds.
const LOOKS_A_POINT: usize = 5;
/// Points that are kept: an hour.
const POINTS: usize = 360;
/// Points in a minute.
const MINUTE: usize = 6;

/// The last hour of one tenant.
#[derive(Debug, Default)]
pub(super) struct History {
    looks: usize,
    /// Events read of each stream so far, at the newest looks.
    recent: VecDeque<[u64; Stream::ALL.len()]>,
    points: VecDeque<Point>,
}

/// One point of the plot.
#[derive(Clone, Copy, Debug)]
struct Point {
    /// Events read so far, of all streams.
    events: u64,
    /// Requests that the account's budget has let through so far.
    requests: u64,
    /// How far the stream that is furthest behind was behind, in seconds.
    lag: Option<f32>,
}

/// A plot of the last hour: one value for each ten seconds, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plot {
    /// Seconds from one value to the next.
    pub step_seconds: u64,
    /// Events read a second.
    pub events_per_second: Vec<f64>,
    /// How far behind the stream was that was furthest behind, in seconds; none where nobody knew.
    pub lag_seconds: Vec<Option<f64>>,
}

/// What the account's limits have seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Used {
    /// Requests in the last minute, to the nearest ten seconds.
    pub(super) minute: u64,
    /// Requests in the last hour, or since the process started.
    pub(super) hour: u64,
}

impl History {
    /// Takes a look.
    pub(super) fn look(&mut self, meter: &Meter, now: UnixMs) {
        let events = std::array::from_fn(|stream| meter.stream(Stream::ALL[stream]).events.get());
        push(&mut self.recent, events, RECENT);
        if self.looks.is_multiple_of(LOOKS_A_POINT) {
            let lags = watched(meter).filter_map(|stream| lag(meter.stream(stream), now));
            let point = Point {
                events: events.iter().sum(),
                requests: meter.budget.get().map_or(0, |budget| budget.granted()),
                lag: lags.max().map(|lag| lag.as_secs_f32()),
            };
            push(&mut self.points, point, POINTS + 1);
        }
        self.looks += 1;
    }

    /// Events a second that a stream was read at in the last ten seconds.
    pub(super) fn rate(&self, stream: Stream) -> f64 {
        let of = |events: &[u64; Stream::ALL.len()]| events[stream as usize];
        match (self.recent.front(), self.recent.back()) {
            (Some(first), Some(last)) if self.recent.len() > 1 => {
                let seconds = (self.recent.len() - 1) as f64 * LOOK_EVERY.as_secs_f64();
                (of(last) - of(first)) as f64 / seconds
            }
            _ => 0.0,
        }
    }

    /// Requests that the account's budget has let through of late. `now` are all so far.
    pub(super) fn used(&self, now: u64) -> Used {
        let since = |back: usize| {
            let point = self.points.len().checked_sub(back).and_then(|at| self.points.get(at));
            // A tenant may have been given another budget since.
            now.saturating_sub(point.or(self.points.front()).map_or(now, |point| point.requests))
        };
        // What was made before the first look is the process's first hour's too.
        let hour = if self.points.len() <= POINTS { now } else { since(POINTS + 1) };
        Used { minute: if self.points.len() <= MINUTE { now } else { since(MINUTE + 1) }, hour }
    }

    pub(super) fn plot(&self) -> Plot {
        let step = LOOK_EVERY.as_secs() * LOOKS_A_POINT as u64;
        let pairs = self.points.iter().zip(self.points.iter().skip(1));
        let rate = |(from, to): (&Point, &Point)| round((to.events - from.events) as f64 / step as f64);
        Plot {
            step_seconds: step,
            events_per_second: pairs.map(rate).collect(),
            lag_seconds: self
                .points
                .iter()
                .skip(1)
                .map(|point| point.lag.map(|lag| round(lag.into())))
                .collect(),
        }
    }
}

fn push<T>(into: &mut VecDeque<T>, value: T, most: usize) {
    while into.len() >= most {
        into.pop_front();
    }
    into.push_back(value);
}

/// To a tenth: nobody sees more, and it is sent every few seconds.
fn round(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        http::{Budget, Limits},
        telemetry::StreamState,
    };

    fn meter() -> (Meter, Arc<Budget>) {
        let meter = Meter::default();
        let much = std::num::NonZeroU32::new(1 << 24).unwrap();
        let budget = Arc::new(Budget::new(Limits { per_minute: much, per_hour: much }, None));
        meter.budget.set(Some(budget.clone()));
        (meter, budget)
    }

    #[tokio::test]
    async fn an_hour_is_kept_and_no_more() {
        let ((meter, budget), mut history) = (meter(), History::default());
        let counted = meter.stream(Stream::ItemUsages);
        counted.wanted.set(1);
        assert_eq!((history.rate(Stream::ItemUsages), history.plot().events_per_second.len()), (0.0, 0));
        for look in 0..10_000 {
            counted.events.add(20);
            budget.pay(2).await;
            counted.newest_event.set(UnixMs(look * 2_000));
            history.look(&meter, UnixMs(look * 2_000 + 5_000));
        }
        assert_eq!(history.rate(Stream::ItemUsages), 10.0);
        assert_eq!(history.rate(Stream::AuditEvents), 0.0);
        let plot = history.plot();
        assert_eq!((plot.step_seconds, plot.events_per_second.len(), plot.lag_seconds.len()), (10, 360, 360));
        assert!(plot.events_per_second.iter().all(|rate| *rate == 10.0), "{plot:?}");
        assert!(plot.lag_seconds.iter().all(|lag| *lag == Some(5.0)), "{plot:?}");
        let used = history.used(budget.granted());
        assert!((60..=70).contains(&used.minute) && (3600..=3610).contains(&used.hour), "{used:?}");
        let bytes = history.points.capacity() * size_of::<Point>() + history.recent.capacity() * 24;
        assert!(bytes < 16 << 10, "{bytes} bytes");

        counted.state.set(StreamState::CaughtUp);
        (0..5).for_each(|_| history.look(&meter, UnixMs(0)));
        assert_eq!(history.plot().lag_seconds.last(), Some(&Some(0.0)));
    }

    #[tokio::test]
    async fn what_was_used_before_the_first_look_counts() {
        let ((meter, budget), mut history) = (meter(), History::default());
        budget.pay(41).await;
        history.look(&meter, UnixMs(0));
        budget.pay(1).await;
        assert_eq!(history.used(budget.granted()), Used { minute: 42, hour: 42 });
    }
}
