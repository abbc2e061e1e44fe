//! The pipeline of one tenant: from HTTP pages to committed cursors.
//!
//! ```text
//!  fetch (each stream's  ┐
//!  live cursor, windows) ┼─► dedup ──► map ──► upload ──► commit
//!  fetch ────────────────┘   Events    Records  Ack        checkpoint
//!  snapshot ───────────────────────────►          Listings  inventory
//! ```
//!
//! Each arrow is a bounded channel of pages, and all pages in flight share one
//! allowance of bytes, so a slow sink slows the sources and memory has a
//! ceiling. Each stage is one task and ends when its input ends: closing the
//! fetchers drains the rest. The pages of a chain of cursors are never
//! reordered: of a stream's live cursor, or of one of its windows.

// The stages, in the order an event meets them.
pub mod fetch;

pub mod dedup;

pub mod map;

pub mod upload;

pub mod commit;

// Beside the fetchers: vaults and items.
pub mod snapshot;

// What two of them share: memory.
mod emptied;

// Another way in: what was set aside comes again.
pub mod retry;

use std::sync::Arc;

use opgraph_state::{Checkpoint, Epoch, Store, StoreError, UnixMs};
use tokio::{
    sync::{mpsc::channel, watch},
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error_span};

pub use self::emptied::Emptied;
use self::{
    commit::Commits,
    snapshot::{Outlet, Snapshooting, Snapshots},
};
use crate::{
    allowance::Allowance,
    clock::Clock,
    http::{Failure, Halt, Remedy},
    sink::{Sink, SinkError},
    source::{Lister, NoLister, Pace, Reading, Source, pages},
    stream::{Mapping, Stream},
    telemetry::Meter,
};

/// How much may be in flight at once. Memory follows from these numbers, not
/// from what is ingested or how long a sink is down.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Pages waiting between two stages.
    pub pages: usize,
    /// Bytes of pages between the fetchers and the sink, as they will be when mapped.
    pub bytes: usize,
    /// Events of each stream that dedup remembers outside a rewind. Has to
    /// cover every page that is not committed yet.
    pub recent: usize,
    /// Entries a tenant's quarantine may hold before the tenant halts.
    pub quarantine: u64,
    /// Readers of each stream's past, beside its live cursor. 1: the live cursor reads the past itself.
    pub readers: usize,
    /// Pages that a window of the past holds, about. A past of fewer than two
    /// windows is not split. One window in two, or each, costs a request more than its
    /// events do, and the last of them is read alone: one answer after the other.
    pub window: u32,
}

/// What a tenant's pipeline may have in memory.
#[derive(Clone, Debug)]
pub struct Room {
    /// Bytes of pages between the fetchers and the sink, as they weigh.
    pub pages: Allowance,
    /// Bytes of shared records in uploads, as they weigh.
    pub shared: Allowance,
    /// Memory of mapped pages, to be used again.
    pub emptied: Emptied,
}

impl Room {
    /// Room that is shared with nobody, for so many bytes of pages.
    pub fn alone(pages: usize) -> Room {
        let shared = Allowance::alone(24 << 20);
        Room { pages: Allowance::alone(pages), shared, emptied: Emptied::default() }
    }
}

/// Readers of a stream's past unless the operator says otherwise: those of three
/// streams make nine requests a second, which are allowed, if none takes longer than 1.3 s.
pub const READERS: usize = 4;

/// Pages a window: in pasts of up to 48 pages, which take 15 s at 300 ms each,
/// nothing is split.
pub const WINDOW: u32 = 24;

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            pages: 4,
            bytes: 8 << 20,
            recent: 262_144,
            quarantine: 10_000,
            readers: READERS,
            window: WINDOW,
        }
    }
}

/// One life of a tenant's pipeline: everything a run works with.
#[derive(Debug)]
pub struct Run<S, K, T, L = NoLister> {
    /// The tenant.
    pub tenant: Arc<str>,
    /// The number of this run.
    pub epoch: Epoch,
    /// Where pages come from.
    pub source: Arc<S>,
    /// What vaults and items are listed by, if they are.
    pub snapshots: Option<Snapshots<L>>,
    /// Where records go.
    pub sink: Arc<K>,
    /// What survives a crash.
    pub store: T,
    /// The streams to read, and where each stands.
    pub streams: Vec<(Stream, Checkpoint)>,
    /// Where a rewind goes when nothing else is known of the stream.
    pub first: UnixMs,
    /// What happens when a stream has caught up.
    pub pace: Pace,
    /// How events are mapped.
    pub mapping: Mapping,
    /// How much may be in flight.
    pub limits: Limits,
    /// The tenant's part in the memory of all; without it, what `limits` say to itself.
    pub room: Option<Room>,
    /// The wall clock.
    pub clock: Clock,
    /// The tenant's counters.
    pub meter: Arc<Meter>,
    /// Closes the fetchers when it is cancelled; the rest drains.
    pub closing: CancellationToken,
}

/// How a run ended when no stage failed: every fetched page is committed.
#[derive(Debug, Default)]
pub struct Drained {
    /// Streams whose fetcher gave up, and why. The others were not affected.
    pub halted: Vec<(Stream, Failure)>,
    /// Why no more snapshots were made, if they failed. No stream was affected.
    pub snapshots: Option<Failure>,
}

/// Runs the pipeline until its fetchers have ended and everything is committed,
/// or until a stage fails.
///
/// # Errors
///
/// On failure every stage is dropped with all it held. Nothing is lost by
/// that: the next run starts from the checkpoints, and only from them.
pub async fn run<S, K, T, L>(run: Run<S, K, T, L>) -> Result<Drained, Stopped>
where
    S: Source,
    K: Sink,
    T: Store + Clone,
    L: Lister,
{
    let Run { tenant, epoch, source, sink, store, streams, limits, clock, meter, closing, .. } = run;
    let seen = dedup::Memory::load(&store, &tenant, &streams, limits.recent).await?;
    let Room { pages: allowance, shared, emptied } = run.room.unwrap_or_else(|| Room::alone(limits.bytes));

    let (fetched_out, fetched) = channel(limits.pages);
    let (fresh_out, fresh) = channel(limits.pages);
    let (mapped_out, mapped) = channel(limits.pages);
    let (acks_out, acks) = channel(limits.pages);
    let (count, committed) = watch::channel(0);
    meter.queues.clear();
    meter.queues.watch("fetched", &fetched_out);
    meter.queues.watch("fresh", &fresh_out);
    meter.queues.watch("mapped", &mapped_out);
    meter.queues.watch("acks", &acks_out);
    meter.queues.weigh(&allowance);

    let mut fetchers = JoinSet::new();
    for (stream, checkpoint) in streams {
        let (source, clock, meter) = (source.clone(), clock.clone(), meter.clone());
        let (first, pace) = (run.first, run.pace);
        let Limits { readers, window, .. } = limits;
        let (live, windows) =
            pages(Reading { source, stream, checkpoint, first, pace, readers, window, clock, meter });
        // A chain that fails ends those beside it.
        let ending = closing.child_token();
        let span = error_span!("stream", %tenant, stream = stream.name());
        let outlet = || (ending.clone(), allowance.clone(), fetched_out.clone());
        let fetch = fetch::run(live, outlet());
        fetchers.spawn(async move { (stream, fetch.await) }.instrument(span.clone()));
        for window in windows {
            let fetch = fetch::run(window, outlet());
            fetchers.spawn(async move { (stream, fetch.await) }.instrument(span.clone()));
        }
    }
    drop(fetched_out);

    let mut listing = JoinSet::new();
    let last = closing.child_token();
    if let Some(snapshots) = run.snapshots {
        let with = Snapshooting {
            snapshots,
            store: store.clone(),
            tenant: tenant.clone(),
            epoch,
            account_name: run.mapping.account_name.clone(),
            pace: run.pace,
            clock: clock.clone(),
            meter: meter.clone(),
            outlet: Outlet { out: mapped_out.clone(), allowance },
        };
        listing.spawn(snapshot::run(with, last.clone()).instrument(error_span!("snapshots", %tenant)));
    }

    let mut stages = JoinSet::new();
    stages.spawn(
        dedup::run(fetched, seen, store.clone(), tenant.clone(), meter.clone(), fresh_out).in_current_span(),
    );
    stages.spawn(map::run(fresh, run.mapping, meter.clone(), emptied.clone(), mapped_out).in_current_span());
    let (name, counts) = (tenant.clone(), meter.clone());
    stages.spawn(
        upload::run(mapped, sink, name, acks_out, committed, (shared, emptied), counts).in_current_span(),
    );
    let ceiling = limits.quarantine;
    let commits = Commits { store, tenant, epoch, ceiling, clock, meter: meter.clone(), committed: count };
    stages.spawn(commit::run(acks, commits).in_current_span());

    let mut drained = Drained::default();
    while !(fetchers.is_empty() && listing.is_empty() && stages.is_empty()) {
        tokio::select! {
            Some(ended) = stages.join_next() => ended.map_err(Stopped::Panic)??,
            Some(ended) = fetchers.join_next() => {
                if let (stream, Err(failure)) = ended.map_err(Stopped::Panic)?
                    && drained.halted.iter().all(|(halted, _)| *halted != stream)
                {
                    fetch::report(stream, &failure, &meter);
                    drained.halted.push((stream, failure));
                }
                // A run that reads no stream any more has nothing to go on for.
                if fetchers.is_empty() && run.pace != Pace::Once {
                    last.cancel();
                }
            }
            Some(ended) = listing.join_next() => {
                drained.snapshots = ended.map_err(Stopped::Panic)??;
                if let Some(failure) = &drained.snapshots {
                    snapshot::report(failure, &meter);
                }
            }
        }
    }
    Ok(drained)
}

/// Why a run stopped before it was drained.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// The destination failed.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The state failed, or refused a commit.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Too much is in quarantine.
    #[error("the quarantine would hold {entries} entries, more than the {ceiling} allowed")]
    Quarantine {
        /// Entries there would be.
        entries: u64,
        /// Entries there may be.
        ceiling: u64,
    },
    /// A page of a stream is missing between two others. Never happens; nothing is committed if it does.
    #[error("the pages of a stream do not join: {0}")]
    Gap(#[from] opgraph_state::NotJoined),
    /// A stage panicked.
    #[error("a stage panicked")]
    Panic(#[source] JoinError),
}

impl Stopped {
    /// What to do about it.
    pub fn remedy(&self) -> Remedy {
        match self {
            Stopped::Sink(error) => error.remedy.clone(),
            Stopped::Store(error) => crate::supervisor::store_remedy(error),
            Stopped::Quarantine { .. } => Remedy::Halt(Halt::Guard {
                hint:
                    "look at `opgraph quarantine list`: the API may have changed its shape. A newer opgraph \
                       may read the entries (`opgraph quarantine retry`); what nobody needs can go (`opgraph \
                       quarantine drop`)"
                        .to_owned(),
            }),
            // The next run starts from the checkpoints; if it happens again, it is reported again.
            Stopped::Gap(_) | Stopped::Panic(_) => Remedy::RETRY,
        }
    }
}
