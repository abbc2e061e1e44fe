//! What time it is, as an argument.

use std::sync::Arc;

use opgraph_state::UnixMs;
use tokio::time::Instant;

/// A wall clock. Cheap to clone.
///
/// It decides where a rewind starts, which hour an id arrived in and how far a
/// stream lags; never how long something waits (that is tokio's clock).
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> UnixMs + Send + Sync>);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Clock {
        Clock(Arc::new(|| UnixMs(jiff::Timestamp::now().as_millisecond())))
    }

    /// A clock that starts at `start` and runs as tokio's does: virtual time under test.
    pub fn starting_at(start: UnixMs) -> Clock {
        let zero = Instant::now();
        Clock(Arc::new(move || start.plus(zero.elapsed())))
    }

    /// A clock that says what `reading` says: one that leaps, under test.
    pub fn reading(reading: impl Fn() -> UnixMs + Send + Sync + 'static) -> Clock {
        Clock(Arc::new(reading))
    }

    /// Reads the clock.
    pub fn now(&self) -> UnixMs {
        (self.0)()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}
