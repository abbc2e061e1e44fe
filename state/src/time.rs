//! Points in time, as the state keeps them.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch, UTC. May be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMs(pub i64);

impl UnixMs {
    /// Returns the instant `by` before this one.
    pub fn minus(self, by: Duration) -> UnixMs {
        UnixMs(self.0.saturating_sub(millis(by)))
    }

    /// Returns the instant `by` after this one.
    pub fn plus(self, by: Duration) -> UnixMs {
        UnixMs(self.0.saturating_add(millis(by)))
    }

    /// Returns the time from `earlier` to this instant; zero if `earlier` is later.
    pub fn since(self, earlier: UnixMs) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).max(0) as u64)
    }

    /// Returns the whole hours since the epoch, rounded down.
    pub fn hour(self) -> i64 {
        self.0.div_euclid(3_600_000)
    }
}

impl fmt::Display for UnixMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// A duration in milliseconds; one of more than 292 million years is that long.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_and_durations_add_up_and_never_wrap() {
        let second = Duration::from_secs(1);
        assert_eq!(UnixMs(500).plus(second), UnixMs(1500));
        assert_eq!(UnixMs(500).minus(second), UnixMs(-500));
        assert_eq!(UnixMs(1500).since(UnixMs(500)), second);
        assert_eq!(UnixMs(500).since(UnixMs(1500)), Duration::ZERO);
        assert_eq!(UnixMs(1).plus(Duration::MAX), UnixMs(i64::MAX));
        assert_eq!(UnixMs(-1).minus(Duration::MAX).0, i64::MIN);
        assert_eq!(UnixMs(i64::MAX).since(UnixMs(i64::MIN)), Duration::from_millis(i64::MAX as u64));
        assert_eq!([-1, 0, 3_599_999, 3_600_000].map(|at| UnixMs(at).hour()), [-1, 0, 0, 1]);
        assert_eq!(UnixMs(7).to_string(), "7 ms");
    }
}
