//! Moves the checkpoints. The only place that does.

use std::sync::Arc;

use opgraph_state::{Epoch, Store, die_at};
use tokio::{
    sync::{mpsc::Receiver, watch},
    time::Instant,
};
use tracing::{Instrument, debug, error_span, warn};

use super::Stopped;
use crate::{clock::Clock, sink::Ack, stream::Stream, telemetry::Meter};

/// Whose commits these are, and who learns of them.
pub(super) struct Commits<T> {
    pub(super) store: T,
    pub(super) tenant: Arc<str>,
    pub(super) epoch: Epoch,
    /// Entries that the quarantine may hold.
    pub(super) ceiling: u64,
    pub(super) clock: Clock,
    pub(super) meter: Arc<Meter>,
    /// How many acks are durable.
    pub(super) committed: watch::Sender<u64>,
}

/// Commits each ack in the order it came, and counts in `committed`. A refused commit ends the run:
/// another run owns the tenant, or a page is missing.
pub(super) async fn run<T: Store>(mut acks: Receiver<Ack>, commits: Commits<T>) -> Result<(), Stopped> {
    let Commits { store, tenant, epoch, ceiling, clock, meter, committed } = commits;
    while let Some(mut ack) = acks.recv().await {
        let set_aside = ack.quarantined() as u64;
        // A retry that fails again makes the quarantine no fuller than it was.
        let more = set_aside.saturating_sub(ack.released() as u64);
        if more > 0 {
            let entries = store.quarantine_len(&tenant).await? + more;
            if entries > ceiling {
                return Err(Stopped::Quarantine { entries, ceiling });
            }
            die_at!("quarantine.before");
        }
        let at = clock.now();
        let (trails, room) = (ack.take_trails(), ack.take_room());
        let commit = ack.into_commit(&tenant, epoch, at);
        let steps: Vec<_> = commit.steps.iter().map(|step| (step.stream.clone(), step.events())).collect();
        die_at!("commit.before");
        let (begun, changes) =
            (Instant::now(), !(commit.quarantined.is_empty() && commit.released.is_empty()));
        store.commit(commit).instrument(error_span!("commit", %tenant)).await?;
        meter.commit_times.took(begun.elapsed());
        committed.send_modify(|count| *count += 1);
        drop((trails, room));
        die_at!("commit.after");

        meter.uploads.add(1);
        meter.commits.add(1);
        meter.acked_at.set(at);
        for (stream, events) in steps {
            debug!(stream, events, "checkpoint moved");
            if let Some(stream) = Stream::named(&stream) {
                meter.stream(stream).committed.add(events);
                meter.stream(stream).committed_at.set(at);
            }
        }
        if set_aside > 0 {
            meter.quarantined.add(set_aside);
            warn!(entries = set_aside, "set aside in quarantine");
        }
        if changes {
            meter.in_quarantine.set(store.quarantine_len(&tenant).await?);
        }
    }
    Ok(())
}
