//! Lists vaults and items beside the streams, and takes out what is no more.
//!
//! ```text
//!  list vaults ──► list the changed ones' items ──► remove ──► (interval)
//!      decide          decide, open details     once all of it
//!                                                is committed
//! ```
//!
//! A snapshot stands for no cursor: what was acknowledged is in the inventory,
//! and one that ends early is made again from there. What a sink is about to
//! get for the first time is announced there before: what a killed run has
//! sent is known to the next one, which may find that it is no more. It fails by itself: no
//! failure of the lister ends a run or moves a stream.

// The steps, in the order in which a snapshot takes them.
mod decide;

mod packed;

mod list;

mod remove;

mod send;

use std::{convert::Infallible, sync::Arc, time::Duration};

use backoff::{ExponentialBackoff, ExponentialBackoffBuilder, backoff::Backoff};
use opgraph_state::{Commit, Epoch, InventoryChange, Store, StoreError, die_at};
use tokio::{
    sync::mpsc::{Receiver, channel},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::decide::Counts;
pub(super) use self::send::Outlet;
use super::Stopped;
use crate::{
    clock::Clock,
    http::{Failure, Outcome, Remedy},
    page::Trail,
    source::{Lister, Pace},
    telemetry::{Meter, StreamState},
};

/// The first pause before a failed snapshot is made again.
const FIRST_PAUSE: Duration = Duration::from_secs(60);

/// How often, with pace `Once`, a snapshot that is not whole is made again, and
/// the longest pause before it: somebody waits for the end.
const ONCE_AGAIN: u32 = 4;
const ONCE_PAUSE: Duration = Duration::from_secs(2);

/// How snapshots are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// From the start of one to the start of the next.
    pub interval: Duration,
    /// Whether items are opened for their section labels and file names. The
    /// server records each as a use of the item.
    pub details: bool,
    /// How many items are opened at once; at least one is.
    pub at_once: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { interval: Duration::from_secs(3600), details: true, at_once: 4 }
    }
}

/// The snapshots of a run.
#[derive(Debug)]
pub struct Snapshots<L> {
    /// What is asked.
    pub lister: L,
    /// How.
    pub settings: Settings,
}

/// What a tenant's snapshots work with.
pub(super) struct Snapshooting<L, T> {
    pub(super) snapshots: Snapshots<L>,
    pub(super) store: T,
    pub(super) tenant: Arc<str>,
    pub(super) epoch: Epoch,
    pub(super) account_name: Option<String>,
    pub(super) pace: Pace,
    pub(super) clock: Clock,
    pub(super) meter: Arc<Meter>,
    pub(super) outlet: Outlet,
}

/// Why a snapshot ended early.
#[derive(Debug)]
enum Ended {
    /// The lister failed.
    Failed(Failure),
    /// The state failed.
    Store(StoreError),
    /// The run is over.
    Closed,
}

impl From<StoreError> for Ended {
    fn from(error: StoreError) -> Ended {
        Ended::Store(error)
    }
}

/// Makes a snapshot at once, and one every interval unless the pace is `Once`;
/// a failed one is made again earlier. Answers the failure that ended them, if
/// any did: one that only a person can mend or, with pace `Once`, one that does not pass.
pub(super) async fn run<L: Lister, T: Store>(
    with: Snapshooting<L, T>,
    closing: CancellationToken,
) -> Result<Option<Failure>, Stopped> {
    let once = with.pace == Pace::Once;
    let interval = if once { ONCE_PAUSE } else { with.snapshots.settings.interval };
    let mut backoff = pauses(interval);
    let mut repeats = 0;
    let mut due = Instant::now() + interval;
    // An early repeat does not count a vault as missing once more.
    let mut early = false;
    loop {
        with.meter.snapshots.state.set(StreamState::Reading);
        let ended = tokio::select! {
            biased;
            ended = with.make(early) => ended,
            () = closing.cancelled() => return Ok(None),
        };
        let failure = match ended {
            Ok(None) => {
                with.meter.snapshots.done.add(1);
                with.meter.snapshots.done_at.set(with.clock.now());
                with.meter.snapshots.state.set(StreamState::CaughtUp);
                backoff.reset();
                None
            }
            Ok(Some(failure)) | Err(Ended::Failed(failure)) => {
                with.meter.snapshots.failed.add(1);
                Some(failure)
            }
            Err(Ended::Store(error)) => return Err(error.into()),
            Err(Ended::Closed) => return Ok(None),
        };
        let mut next = due;
        if let Some(failure) = failure {
            let Remedy::Retry { after } = failure.remedy else { return Ok(Some(failure)) };
            if once && repeats == ONCE_AGAIN {
                return Ok(Some(failure));
            }
            repeats += 1;
            let pause = backoff.next_backoff().unwrap_or(interval).max(after.unwrap_or_default());
            next = next.min(Instant::now() + pause);
            warn!(error = %failure, cause = %failure.cause, ?pause, "the snapshot is not whole, making it again");
        } else if once {
            return Ok(None);
        }
        tokio::select! {
            biased;
            () = sleep_until(next) => (),
            () = closing.cancelled() => return Ok(None),
        }
        early = next < due || once;
        if !early {
            due = Instant::now() + interval;
        }
    }
}

/// The pauses before a failed snapshot is made again: a minute at first, the
/// interval later. Without chance: nobody else asks the same server.
fn pauses(interval: Duration) -> ExponentialBackoff {
    ExponentialBackoffBuilder::new()
        .with_initial_interval(FIRST_PAUSE.min(interval))
        .with_max_interval(interval)
        .with_randomization_factor(0.0)
        .with_max_elapsed_time(None)
        .build()
}

/// Tells people that no more snapshots are made.
pub(crate) fn report(failure: &Failure, meter: &Meter) {
    let hint = failure.remedy.hint().unwrap_or_default();
    let text = format!("{failure}: {}", failure.cause);
    error!(error = %text, hint, "snapshots halted");
    meter.halts.add(1);
    meter.snapshots.state.set(StreamState::Halted(text));
}

/// Held by the listings of one part of a snapshot.
fn trail() -> (Trail, Receiver<Infallible>) {
    channel(1)
}

impl<L: Lister, T: Store> Snapshooting<L, T> {
    /// Makes one snapshot; when it ends, all it sent is committed. Answers the
    /// first failure that a later snapshot may not meet: it is not whole then,
    /// and removes nothing that it could not see.
    async fn make(&self, early: bool) -> Result<Option<Failure>, Ended> {
        die_at!("snapshot.before");
        let list = self.snapshots.lister.vaults().await.map_err(Ended::Failed)?;
        die_at!("snapshot.vaults");
        let known = self.store.listed_vaults(&self.tenant).await?;
        let (listed, details) = (list.len(), self.snapshots.settings.details);
        let after = match self.pace {
            // Each run is somebody's wish.
            Pace::Once => Duration::ZERO,
            Pace::Every(_) => self.snapshots.settings.interval / 2,
        };
        let counts = Counts { early, now: self.clock.now(), after };
        let Some(decided) = decide::vaults(list, known, details, counts) else {
            let doing = "list the vaults";
            return Ok(Some(unbelieved(doing, "the list is empty, and there were vaults before")));
        };
        self.meter.snapshots.vaults.add(listed as u64);

        let (trail, mut settled) = trail();
        let mut lists = list::Lists::new(self, trail);
        for vault in decided.missing {
            info!(vault = vault.id, "a vault is not listed any more; gone if the next list says so too");
            lists.missing(vault);
        }
        // One that is back is known to be, whatever comes of its items: only lists in a row make it gone.
        let new =
            decided.changed.iter().filter(|(_, before)| before.as_ref().is_none_or(|it| it.missing > 0));
        let new = new.map(|(vault, before)| list::unfinished(vault, before.as_ref()));
        self.announce(new.map(InventoryChange::Vault).collect()).await?;
        let mut failed = None;
        for (vault, before) in &decided.changed {
            match lists.list(vault, before.as_ref()).await {
                Ok(()) => (),
                Err(Ended::Failed(failure)) if matches!(failure.remedy, Remedy::Retry { .. }) => {
                    warn!(vault = vault.id, error = %failure, cause = %failure.cause, "vault left for the next snapshot");
                    failed.get_or_insert(failure);
                }
                Err(ended) => return Err(ended),
            }
        }
        let seen = lists.end().await?;
        // The inventory says from here on what was seen.
        settled.recv().await;
        let mut failed = failed.or(seen.failed);
        if let Some(failure) = remove::run(self, &decided.listed, seen.whole, decided.gone).await? {
            failed.get_or_insert(failure);
        }
        die_at!("snapshot.done");
        Ok(failed)
    }

    /// Stores vaults and items that no sink has yet. When it ends they are known,
    /// whatever comes of the records that are sent next.
    async fn announce(&self, new: Vec<InventoryChange>) -> Result<(), Ended> {
        if new.is_empty() {
            return Ok(());
        }
        let (tenant, at) = (self.tenant.to_string(), self.clock.now());
        self.store
            .commit(Commit { tenant, epoch: self.epoch, at, inventory: new, ..Commit::default() })
            .await?;
        die_at!("snapshot.announced");
        Ok(())
    }

    /// Opens an item, and names it in the answer.
    async fn open<'i>(&self, vault: &str, item: &'i str) -> Result<(&'i str, Opened), Ended> {
        let opened = match self.snapshots.lister.labels(vault, item).await {
            Ok(labels) => {
                self.meter.snapshots.details.add(1);
                labels.map_or(Opened::Gone, Opened::Labels)
            }
            Err(failure) if matches!(failure.remedy, Remedy::Retry { .. }) => Opened::Failed(failure),
            Err(failure) => return Err(Ended::Failed(failure)),
        };
        Ok((item, opened))
    }
}

/// What came of opening an item.
enum Opened {
    Labels(crate::source::connect::Labels),
    /// It is not there any more.
    Gone,
    Failed(Failure),
}

/// An answer that arrived whole and cannot be true.
fn unbelieved(doing: &str, cause: &str) -> Failure {
    Failure {
        doing: doing.to_owned(),
        status: None,
        code: None,
        outcome: Outcome::NotDone,
        remedy: Remedy::RETRY,
        cause: cause.into(),
    }
}
