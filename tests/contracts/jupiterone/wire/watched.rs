//! A state that looks at JupiterOne whenever something is committed, and fails when it is told to.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    convert::identity,
    sync::{Arc, Mutex},
    time::Duration,
};

use opgraph_simulator::Simulator;
use opgraph_state::{Claim, Commit, Cursor, Epoch, MemoryStore, Store, StoreError, UnixMs, UploadNote};
use tokio::sync::Notify;

use crate::support::store::passed_on;

#[derive(Clone)]
pub(super) struct Watched {
    inner: MemoryStore,
    simulator: Arc<Simulator>,
    seen: Arc<Mutex<Seen>>,
    cut: Arc<Notify>,
}

#[derive(Default)]
pub(super) struct Seen {
    /// By run, the jobs it noted.
    noted: BTreeMap<Epoch, HashSet<String>>,
    /// Events behind the checkpoints.
    pub(super) committed: u64,
    /// Events and records in quarantine.
    set_aside: u64,
    /// Every commit that came too early.
    pub(super) wrong: Vec<String>,
    /// There is one upload in a run, so that all its jobs are behind its commit.
    pub(super) one_upload: bool,
    /// The next so many notes of jobs fail.
    pub(super) fail_notes: u32,
    /// The next so many commits fail, each once nothing is under way at JupiterOne any more.
    pub(super) fail_commits: u32,
    /// Commits made.
    pub(super) commits: u64,
    /// Where the run is to be cut off.
    pub(super) cut: Option<Cut>,
}

/// A commit that its run does not live through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// So many are made before.
    pub(super) commits: u32,
    /// It is made, and nobody hears of it; or it is not made.
    pub(super) behind: bool,
}

/// What a disk says that is full.
fn full(doing: &str) -> StoreError {
    StoreError::Io { doing: doing.to_owned(), cause: Arc::new(std::io::Error::other("disk full")) }
}

impl Watched {
    pub(super) fn new(simulator: Arc<Simulator>) -> Watched {
        let seen = Seen { one_upload: true, ..Seen::default() };
        Watched {
            inner: MemoryStore::default(),
            simulator,
            seen: Arc::new(Mutex::new(seen)),
            cut: Arc::default(),
        }
    }

    pub(super) fn seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock().unwrap())
    }

    /// Returns when a run has come to where it is to be cut off. It gets no further.
    pub(super) async fn is_cut(&self) {
        self.cut.notified().await;
    }

    /// Whether the next commit is the one to be cut off at.
    fn cut_here(&self) -> Option<Cut> {
        self.seen(|seen| match &mut seen.cut {
            Some(Cut { commits: 0, .. }) => seen.cut.take(),
            Some(cut) => {
                cut.commits -= 1;
                None
            }
            None => None,
        })
    }

    /// Every job that the commit settles is over, and FINISHED if this run started it.
    fn look(&self, commit: &Commit) {
        let states: HashMap<String, String> =
            self.simulator.jobs().into_iter().map(|job| (job.id, job.state)).collect();
        let held: u64 =
            self.simulator.jobs().iter().filter(|job| job.state == "FINISHED").map(|job| job.entities).sum();
        self.seen(|seen| {
            let own = seen.noted.get(&commit.epoch).cloned().unwrap_or_default();
            for name in &commit.settled {
                let Some(id) = name.strip_prefix("jupiterone/job/") else { continue };
                let state = states.get(id).map_or("unknown", String::as_str);
                let over = !state.starts_with("FINALIZ") && state != "AWAITING_UPLOADS";
                if !over || own.contains(id) && state != "FINISHED" {
                    seen.wrong.push(format!("committed while job {id} was {state}"));
                }
            }
            for id in own.iter().filter(|_| seen.one_upload) {
                let state = states.get(id).map_or("unknown", String::as_str);
                if state != "FINISHED" {
                    seen.wrong.push(format!("committed while job {id} of the only upload was {state}"));
                }
            }
            seen.committed += commit.steps.iter().map(|step| step.events()).sum::<u64>();
            // What was set aside is nowhere at JupiterOne, and durable with this commit.
            seen.set_aside += commit.quarantined.len() as u64;
            if seen.committed > held + seen.set_aside {
                seen.wrong.push(format!("{} events committed, {held} entities FINISHED", seen.committed));
            }
        });
    }

    /// Waits until no job is under way: an upload that finishes behind this one has its chance.
    pub(super) async fn quiet(&self) {
        let mut last = (Vec::new(), BTreeMap::new());
        let mut same = 0;
        while same < 3 {
            tokio::time::sleep(Duration::from_millis(25)).await;
            let now = (self.simulator.jobs(), self.simulator.report().requests);
            let busy = now.0.iter().any(|job| job.state.starts_with("FINALIZ"));
            same = if !busy && now == last { same + 1 } else { 0 };
            last = now;
        }
    }
}

fn take(count: &mut u32) -> bool {
    let due = *count > 0;
    *count = count.saturating_sub(1);
    due
}

impl Store for Watched {
    async fn claim(&self, tenant: &str, first: &[(String, Cursor)], at: UnixMs) -> Result<Claim, StoreError> {
        self.inner.claim(tenant, first, at).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        if self.seen(|seen| take(&mut seen.fail_commits)) {
            self.quiet().await;
            return Err(full("commit"));
        }
        let cut = self.cut_here();
        if cut.is_none_or(|cut| cut.behind) {
            self.look(&commit);
            self.inner.commit(commit).await?;
            self.seen(|seen| seen.commits += 1);
        }
        if cut.is_some() {
            self.cut.notify_one();
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn note_upload(&self, tenant: &str, epoch: Epoch, note: UploadNote) -> Result<(), StoreError> {
        if let Some(id) = note.name.strip_prefix("jupiterone/job/") {
            if self.seen(|seen| take(&mut seen.fail_notes)) {
                return Err(full("note an upload"));
            }
            self.seen(|seen| seen.noted.entry(epoch).or_default().insert(id.to_owned()));
        }
        self.inner.note_upload(tenant, epoch, note).await
    }

    passed_on! { identity;
        renew release rewind import seen directory directory_shard listed_vaults listed_items quarantined quarantine_list quarantine_entry
        quarantine_drop quarantine_len active_until checkpoints
    }
}

impl Seen {
    /// How many jobs were noted so far.
    pub(super) fn noted(&self) -> u64 {
        self.noted.values().map(|jobs| jobs.len() as u64).sum()
    }
}
