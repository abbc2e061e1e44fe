//! Events and records set aside.

use std::fmt;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3Default;

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
    /// The identity of the entry within its tenant.
    pub fn id(&self) -> QuarantineId {
        QuarantineId { stream: self.stream.clone(), body: Fingerprint::of(&self.body) }
    }

    /// The entry as a list shows it.
    pub fn listed(self) -> Listed {
        Listed { id: self.id(), reason: self.reason, at: self.at }
    }
}

/// Names one entry of a tenant's quarantine.
///
/// Shown to people as 32 hexadecimal digits, the xxh3-128 of stream and body
/// together: the same body may have been set aside in two streams.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuarantineId {
    /// The stream the entry came from.
    pub stream: String,
    /// The fingerprint of its body.
    pub body: Fingerprint,
}

impl fmt::Display for QuarantineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hash = Xxh3Default::new();
        hash.update(self.stream.as_bytes());
        hash.update(&[0]);
        hash.update(&self.body.0.to_be_bytes());
        write!(f, "{:032x}", hash.digest128())
    }
}

/// An entry without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Which entry it is.
    pub id: QuarantineId,
    /// What was wrong. May quote the event.
    pub reason: String,
    /// When it was set aside.
    pub at: UnixMs,
}
