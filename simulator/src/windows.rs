//! The Events API's two rate limits, counted in sliding windows.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::{LimitReport, Limits};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// The requests of the last hour and minute. Memory is bounded by the limits: what is refused is not kept.
#[derive(Debug)]
pub(crate) struct Windows {
    limits: Limits,
    minute: VecDeque<Instant>,
    hour: VecDeque<Instant>,
    report: LimitReport,
}

impl Windows {
    pub(crate) fn new(limits: Limits) -> Windows {
        Windows { limits, minute: VecDeque::new(), hour: VecDeque::new(), report: LimitReport::default() }
    }

    /// Counts a request that arrives `now`. Over a limit, returns how long until there is room again.
    pub(crate) fn admit(&mut self, now: Instant) -> Result<(), Duration> {
        for (window, length) in [(&mut self.minute, MINUTE), (&mut self.hour, HOUR)] {
            while window.front().is_some_and(|first| now.duration_since(*first) >= length) {
                window.pop_front();
            }
        }
        self.report.requests += 1;
        self.report.largest_minute = self.report.largest_minute.max(self.minute.len() as u64 + 1);
        self.report.largest_hour = self.report.largest_hour.max(self.hour.len() as u64 + 1);
        let wait = |window: &VecDeque<Instant>, limit: u32, length| {
            let full = window.len() >= limit as usize;
            full.then(|| window.front().map_or(length, |first| length - now.duration_since(*first)))
        };
        let minute = wait(&self.minute, self.limits.per_minute, MINUTE);
        let hour = wait(&self.hour, self.limits.per_hour, HOUR);
        if let Some(wait) = minute.max(hour) {
            self.report.excess += 1;
            return Err(wait);
        }
        self.minute.push_back(now);
        self.hour.push_back(now);
        Ok(())
    }

    pub(crate) fn report(&self) -> LimitReport {
        self.report.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_in_any_window() {
        let mut windows = Windows::new(Limits { per_minute: 3, per_hour: 5 });
        let start = Instant::now();
        let mut admit =
            |second| windows.admit(start + Duration::from_secs(second)).map_err(|wait| wait.as_secs());
        assert_eq!([admit(0), admit(30), admit(59)], [Ok(()); 3]);
        assert_eq!(admit(59), Err(1), "three in the last minute");
        assert_eq!(admit(60), Ok(()), "the first one is a minute old");
        assert_eq!(admit(61), Err(29));
        assert_eq!(admit(200), Ok(()));
        assert_eq!(admit(300), Err(3300), "five in the last hour");
        assert_eq!(admit(3600), Ok(()));
        let report = windows.report();
        assert_eq!(
            (report.requests, report.excess, report.largest_minute, report.largest_hour),
            (9, 3, 4, 6)
        );
    }
}
