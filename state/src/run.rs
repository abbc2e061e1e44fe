//! One run of a tenant, as every store keeps it.

use serde::{Deserialize, Serialize};

use crate::{Epoch, Refused, UnixMs};

/// The newest run of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Its number: 1 is the first.
    pub(crate) epoch: Epoch,
    /// Until when this run or an earlier one may make requests; `None` if there never was one.
    #[serde(default)]
    pub(crate) active_until: Option<UnixMs>,
}

impl Run {
    /// The run that a claim at `at` starts.
    ///
    /// A claim does not know that the run before it has ended, so it never
    /// shortens what that one announced.
    pub(crate) fn claimed_after(earlier: Option<Run>, at: UnixMs) -> Run {
        Run {
            active_until: earlier.and_then(|run| run.active_until).max(Some(at)),
            ..Run::rewound_after(earlier)
        }
    }

    /// The run that a person's rewind puts in the place of `earlier`: it makes
    /// no requests itself, it only fences.
    pub(crate) fn rewound_after(earlier: Option<Run>) -> Run {
        Run {
            epoch: Epoch(earlier.map_or(0, |run| run.epoch.0) + 1),
            active_until: earlier.and_then(|run| run.active_until),
        }
    }

    /// Returns the stored run if it is the one that claims to be.
    ///
    /// A tenant that was never claimed admits nobody, not even epoch 0.
    pub(crate) fn admit(stored: Option<Run>, claimed: Epoch) -> Result<Run, Refused> {
        match stored {
            Some(run) if run.epoch == claimed => Ok(run),
            _ => Err(Refused::Fenced { stored: stored.map_or(Epoch(0), |run| run.epoch), claimed }),
        }
    }
}
