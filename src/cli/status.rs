//! `opgraph status`: how far each stream has come.

use std::collections::BTreeMap;

use opgraph_state::{Checkpoint, Listed, Store, UnixMs};
use serde::Serialize;

use super::{args::Status, failed::Failed, out, progress::short, quarantine::short_reason, run};
use crate::{clock::Clock, config::Config};

/// What is shown of one tenant.
#[derive(Debug, Serialize)]
struct TenantStatus {
    streams: BTreeMap<String, Checkpoint>,
    quarantined: u64,
    /// Why entries were set aside, the most frequent reasons first. Never the
    /// entries themselves.
    reasons: Vec<Reason>,
}

/// A reason, and how often it is one.
#[derive(Debug, Serialize)]
struct Reason {
    stream: String,
    reason: String,
    entries: u64,
}

/// How many reasons are shown.
const REASONS: usize = 5;

/// Runs the command.
pub(super) async fn run(status: Status) -> Result<(), Failed> {
    let store = run::open(&Config::state_dir(&status.flags)?).await?;
    let mut tenants = BTreeMap::new();
    for (tenant, streams) in store.checkpoints().await? {
        let quarantined = store.quarantine_len(&tenant).await?;
        let reasons = reasons(store.quarantine_list(&tenant).await?);
        tenants.insert(tenant, TenantStatus { streams, quarantined, reasons });
    }
    if status.json {
        return out::json(&tenants);
    }
    if tenants.is_empty() {
        out::print("nothing has been read yet");
    }
    let now = Clock::system().now();
    for (name, tenant) in tenants {
        out::print(format_args!(
            "{name}\n  {:<16} {:>12} {:>14} {:>14} {:>9}  state",
            "stream", "events", "newest event", "last commit", "commits"
        ));
        for (stream, checkpoint) in &tenant.streams {
            out::print(format_args!(
                "  {stream:<16} {:>12} {:>14} {:>14} {:>9}  {}",
                checkpoint.events,
                ago(checkpoint.newest_event, now),
                ago(checkpoint.committed_at, now),
                checkpoint.commits,
                doing(checkpoint),
            ));
        }
        if tenant.quarantined > 0 {
            out::print(format_args!("  {} in quarantine, most of them because:", tenant.quarantined));
            for Reason { stream, reason, entries } in &tenant.reasons {
                out::print(format_args!("    {entries:>6}  {stream}: {reason}"));
            }
            out::print(format_args!("  see them: opgraph quarantine list --tenant {name}"));
        }
    }
    Ok(())
}

/// What a stream is in the middle of.
fn doing(Checkpoint { rewinding, windows, .. }: &Checkpoint) -> String {
    let overlap = rewinding.then(|| "reading a rewind's overlap".to_owned());
    let windows = (!windows.is_empty()).then(|| format!("{} windows of its past to read", windows.len()));
    overlap.into_iter().chain(windows).collect::<Vec<_>>().join(", ")
}

/// Sums the reasons up.
fn reasons(listed: Vec<Listed>) -> Vec<Reason> {
    let mut counted: BTreeMap<(String, String), u64> = BTreeMap::new();
    for entry in listed {
        *counted.entry((entry.id.stream, short_reason(&entry.reason))).or_default() += 1;
    }
    let reason = |((stream, reason), entries)| Reason { stream, reason, entries };
    let mut reasons: Vec<_> = counted.into_iter().map(reason).collect();
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.entries));
    reasons.truncate(REASONS);
    reasons
}

/// A time as people say it.
pub(super) fn ago(at: Option<UnixMs>, now: UnixMs) -> String {
    at.map_or("never".to_owned(), |at| format!("{} ago", short(now.since(at))))
}
