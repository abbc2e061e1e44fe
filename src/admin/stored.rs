//! What the state alone knows of each tenant: where its streams stand, what is listed, what is set aside.

use std::collections::BTreeMap;

use opgraph_state::{Checkpoint, Listed, Store, StoreError, UnixMs};
use serde::{Deserialize, Serialize};

use super::warnings::shown;

/// How many reasons are shown.
const REASONS: usize = 5;

/// The most characters of a reason in a line: it may quote an event of any length.
const LONGEST_REASON: usize = 160;

/// What is committed of one tenant.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoredTenant {
    pub(crate) streams: BTreeMap<String, Committed>,
    /// Vaults that every sink has; none where none are listed.
    pub(crate) vaults: u64,
    pub(crate) quarantined: u64,
    pub(crate) reasons: Vec<Reason>,
}

/// What is committed of one stream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Committed {
    /// Events committed, over all runs.
    pub events: u64,
    /// Commits that moved it.
    pub commits: u64,
    /// The newest of the events.
    pub newest_event: Option<UnixMs>,
    /// When it last moved.
    pub committed_at: Option<UnixMs>,
    /// Whether it reads a rewind's overlap.
    pub rewinding: bool,
    /// How many windows of its past are still to be read.
    pub windows: usize,
}

/// Why entries were set aside, and how many were for this reason. Never the entries themselves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// The stream they are of.
    pub stream: String,
    /// Why.
    pub reason: String,
    /// How many.
    pub entries: u64,
}

impl From<Checkpoint> for Committed {
    fn from(at: Checkpoint) -> Committed {
        let Checkpoint { events, commits, newest_event, committed_at, rewinding, windows, .. } = at;
        let windows = windows.len();
        Committed { events, commits, newest_event, committed_at, rewinding, windows }
    }
}

/// Reads it.
pub(crate) async fn read<T: Store>(store: &T) -> Result<BTreeMap<String, StoredTenant>, StoreError> {
    let mut tenants = BTreeMap::new();
    for (tenant, streams) in store.checkpoints().await? {
        let quarantined = store.quarantine_len(&tenant).await?;
        let listed = if quarantined == 0 { Vec::new() } else { store.quarantine_list(&tenant).await? };
        let stored = StoredTenant {
            streams: streams.into_iter().map(|(stream, at)| (stream, at.into())).collect(),
            vaults: store.listed_vaults(&tenant).await?.len() as u64,
            quarantined,
            reasons: reasons(listed),
        };
        tenants.insert(tenant, stored);
    }
    Ok(tenants)
}

/// Sums the reasons up, the most frequent first.
fn reasons(listed: Vec<Listed>) -> Vec<Reason> {
    let mut counted: BTreeMap<(String, String), u64> = BTreeMap::new();
    for entry in listed {
        *counted.entry((entry.id.stream, shown(&short_reason(&entry.reason)))).or_default() += 1;
    }
    let reason = |((stream, reason), entries)| Reason { stream, reason, entries };
    let mut reasons: Vec<_> = counted.into_iter().map(reason).collect();
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.entries));
    reasons.truncate(REASONS);
    reasons
}

/// A reason that fits a line.
pub(crate) fn short_reason(reason: &str) -> String {
    let mut short: String =
        reason.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_REASON).collect();
    if reason.chars().nth(LONGEST_REASON).is_some() {
        short.push('…');
    }
    short
}
