//! What dedup remembers of an event: a fingerprint of its uuid.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_128;

use crate::Checkpoint;

/// The xxh3-128 of an event's uuid: stable on disk, 16 bytes.
///
/// Two uuids share one with a probability of 2⁻¹²⁸ a pair: at ten million ids
/// in the horizon, 10⁻²⁵ in all, far below the error rate of the memory they
/// sit in. Fingerprints are compared within one tenant and stream only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u128);

impl Fingerprint {
    /// Takes the fingerprint of a uuid exactly as it was sent; case counts.
    pub fn of(uuid: &str) -> Fingerprint {
        Fingerprint(xxh3_128(uuid.as_bytes()))
    }
}

/// How long ids are kept unless the operator says otherwise.
pub(crate) const DEFAULT_HORIZON: Duration = Duration::from_secs(72 * 3600);

/// Returns the oldest hour whose ids a stream keeps (see [`crate::Step::latest`]); `None` if it keeps all.
///
/// | rewinding | newest event | kept from                          |
/// |-----------|--------------|------------------------------------|
/// | no        | none yet     | all                                |
/// | no        | `t`          | the hour of `t - horizon`          |
/// | yes       | any          | all: the overlap is being compared |
///
/// and in any case what may lie in a window that is not done, or behind it.
///
/// It counts from the newest committed event and not from the clock: a rewind
/// reads again from there, and no event arrives before it happened, so nothing
/// that a rewind can reach is pruned even if the program was off for weeks.
pub(crate) fn oldest_hour_kept(checkpoint: &Checkpoint, horizon: Duration) -> Option<i64> {
    if checkpoint.rewinding {
        return None;
    }
    let window = checkpoint.windows.iter().map(|window| window.start).min();
    let oldest = checkpoint.newest_event?.minus(horizon);
    Some(window.map_or(oldest, |start| start.min(oldest)).hour())
}
