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
        UnixMs(self.0.saturating_sub(by.as_millis() as i64))
    }

    /// Returns the instant `by` after this one.
    pub fn plus(self, by: Duration) -> UnixMs {
        UnixMs(self.0.saturating_add(by.as_millis() as i64))
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
