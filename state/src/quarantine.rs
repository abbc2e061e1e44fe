//! Events and records set aside.

use serde::{Deserialize, Serialize};

use crate::{Fingerprint, UnixMs};

/// An event that could not be mapped, or a record that no sink would take,
/// kept with its reason until a person decides.
///
/// It is stored in the transaction that moves the cursor past it. Its identity
/// is the fingerprint of `body` within its tenant and stream, so quarantining
/// it again after a replay changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The stream it came from.
    pub stream: String,
    /// What was wrong, for a person to read.
    pub reason: String,
    /// The event or record as received.
    pub body: String,
    /// When it was set aside.
    pub at: UnixMs,
}

impl Quarantined {
    /// The identity of the entry within its tenant and stream.
    pub fn id(&self) -> Fingerprint {
        Fingerprint::of(&self.body)
    }
}
