//! The directory: the newest version of every shared record.

use xxhash_rust::xxh3::xxh3_64;

use crate::UnixMs;

/// Orders the versions of one record. The greater one is kept.
///
/// `rank` first: how much is known (0 a stub, 1 a record without name or
/// e-mail, 2 a full one), so that a full version beats an emptier one whatever
/// their times; then the time of the event that told. [`Entry::supersedes`]
/// breaks the last tie by content, so that the outcome is the same in any
/// order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// How much the version knows.
    pub rank: u8,
    /// The event time the version is from.
    pub at: UnixMs,
}

/// One shared record of the graph: opaque content under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The graph's `_key` of the record.
    pub key: String,
    /// Which version of it this is.
    pub version: Version,
    /// The record itself, in the words of the graph (JSON text), of any length.
    pub record: String,
}

impl Entry {
    /// Whether this entry is to be kept when `other` has the same key.
    ///
    /// A total order (version, then content), so keeping the greatest is
    /// commutative, associative and idempotent.
    pub fn supersedes(&self, other: &Entry) -> bool {
        (self.version, self.record.as_str()) > (other.version, other.record.as_str())
    }
}

/// Returns the directory shard of a record: the top byte of the xxh3-64 of its key.
pub fn shard_of(key: &str) -> u8 {
    (xxh3_64(key.as_bytes()) >> 56) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_supersedes_what_is_less_and_not_itself() {
        let entry = |rank, at, record: &str| Entry {
            key: "k".to_owned(),
            version: Version { rank, at: UnixMs(at) },
            record: record.to_owned(),
        };
        let rising =
            [entry(0, 9, "z"), entry(1, 1, "b"), entry(1, 2, "a"), entry(1, 2, "b"), entry(2, 0, "")];
        for (i, one) in rising.iter().enumerate() {
            for (j, other) in rising.iter().enumerate() {
                assert_eq!(one.supersedes(other), i > j, "{one:?} over {other:?}");
            }
        }
    }
}
