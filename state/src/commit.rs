//! What moves together: the content of one commit.

use serde::{Deserialize, Serialize};

use crate::{
    Advance, Entry, Epoch, Fingerprint, InventoryChange, OfWindow, QuarantineId, Quarantined, Split, UnixMs,
};

/// Everything that one ack makes true. A store writes all of it or nothing.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// The tenant whose run this is.
    pub tenant: String,
    /// The epoch the run was given by `claim`.
    pub epoch: Epoch,
    /// The committer's wall clock: the arrival time of the seen ids.
    pub at: UnixMs,
    /// At most one step a stream for its live cursor, and one for each of its windows.
    /// They are taken in this order: a split comes before the steps of its windows.
    pub steps: Vec<Step>,
    /// Keys of shared records that are no more. They go before `directory` is
    /// stored, so that a key in both is what `directory` says, whatever was there.
    pub removed: Vec<String>,
    /// Shared records; each is stored where it supersedes what is there.
    pub directory: Vec<Entry>,
    /// What was listed, in the order of the changes.
    pub inventory: Vec<InventoryChange>,
    /// Entries of the quarantine that were delivered after all; each is there,
    /// is named once, and is removed. One that `quarantined` names too stays,
    /// as it is described there.
    pub released: Vec<QuarantineId>,
    /// What was set aside between the cursors of the steps.
    pub quarantined: Vec<Quarantined>,
    /// Names of the upload notes that this commit settles; they are removed.
    pub settled: Vec<String>,
}

/// The step of one stream, or of one of its windows.
#[derive(Clone, Debug)]
pub struct Step {
    /// The stream's name.
    pub stream: String,
    /// From the stored cursor to the next one.
    pub advance: Advance,
    /// What the new cursor was issued by and under.
    pub source: SourceInfo,
    /// The newest event time in the step, if it held any event.
    pub newest_event: Option<UnixMs>,
    /// The latest event time in the step, not later than it was read: the ids of
    /// the step are kept as long as a rewind can reach it. `None`: as if all
    /// had happened when they arrived.
    pub latest: Option<UnixMs>,
    /// The ids of the step's events, one list a page.
    pub seen: Vec<Vec<Fingerprint>>,
    /// A rewind lies inside the step (its end may be a token again).
    pub rewound: bool,
    /// A page of the step, behind any rewind in it, said that nothing more was
    /// waiting, or lies certainly behind all that was read before the rewind.
    pub through: bool,
    /// The window that the step moves; `None`: the live cursor.
    pub window: Option<OfWindow>,
    /// What the live cursor has left to windows within the step.
    pub split: Option<Split>,
}

impl Step {
    /// The hour under which the step's ids are kept: that of its latest event, or
    /// of its arrival if that was earlier. So what is kept depends on how much
    /// happened within the horizon, not on how fast it was read.
    pub(crate) fn filed_under(&self, arrival: UnixMs) -> i64 {
        self.latest.map_or(arrival, |latest| latest.min(arrival)).hour()
    }

    /// How many events the step holds, duplicates left out.
    pub fn events(&self) -> u64 {
        self.seen.iter().map(|page| page.len() as u64).sum()
    }
}

/// What a cursor was issued by and under. A cursor is only ever used under the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceInfo {
    /// The account's uuid as introspection gave it.
    #[serde(default)]
    pub account: Option<String>,
    /// The version in the endpoint's path, such as `v2`.
    #[serde(default)]
    pub api_version: String,
    /// The page size the cursor carries.
    #[serde(default)]
    pub page_size: u32,
}
