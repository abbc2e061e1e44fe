//! `opgraph status`: how far each stream has come.

use std::collections::BTreeMap;

use opgraph_state::{Checkpoint, Store, UnixMs};
use serde::Serialize;

use super::{args::Status, failed::Failed, out, progress::short, run};
use crate::{clock::Clock, config::Config};

/// What is shown of one tenant.
#[derive(Debug, Serialize)]
struct TenantStatus {
    streams: BTreeMap<String, Checkpoint>,
    quarantined: u64,
    /// Why the newest entries were set aside. Never the entries themselves.
    reasons: Vec<String>,
}

/// How many reasons are shown.
const REASONS: usize = 5;

/// Runs the command.
pub(super) async fn run(status: Status) -> Result<(), Failed> {
    let store = run::open(&Config::state_dir(&status.flags)?).await?;
    let mut tenants = BTreeMap::new();
    for (tenant, streams) in store.checkpoints().await? {
        let quarantined = store.quarantine_len(&tenant).await?;
        let entries = store.quarantined(&tenant, REASONS).await?;
        let reasons =
            entries.into_iter().map(|entry| format!("{}: {}", entry.stream, entry.reason)).collect();
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
                if checkpoint.rewinding { "reading a rewind's overlap" } else { "" },
            ));
        }
        if tenant.quarantined > 0 {
            out::print(format_args!("  {} in quarantine, such as:", tenant.quarantined));
            for reason in &tenant.reasons {
                out::print(format_args!("    {reason}"));
            }
        }
    }
    Ok(())
}

/// A time as people say it.
pub(super) fn ago(at: Option<UnixMs>, now: UnixMs) -> String {
    at.map_or("never".to_owned(), |at| format!("{} ago", short(now.since(at))))
}
