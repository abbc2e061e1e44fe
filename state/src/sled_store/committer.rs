//! The one thread that writes: group commit.
//!
//! It takes whatever requests are waiting, decides them in order, writes the
//! accepted ones in one sled transaction, makes that durable, and only then
//! answers. While one group waits for the disk the next one gathers.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
};

use tokio::sync::{mpsc, oneshot};

use super::{
    OpenOptions, RENEW_BYTES, beside,
    content::{CONTENT_KEY, Content},
    current::Current,
    cursors_json::CursorsJson,
    decide,
    failure::{Failure, Poison},
    fsync::Durability,
    hours, open,
    overlay::Overlay,
    prune::Pruning,
    trees::{Tree, Trees},
    values::COMMITS_KEY,
};
use crate::{Checkpoint, Claim, Commit, Cursor, Epoch, QuarantineId, StoreError, UnixMs, UploadNote, die_at};

/// Requests in one group at most.
pub(super) const GROUP: usize = 256;

/// A group takes no more requests once it holds this many bytes: the memory a
/// group needs stays bounded, whatever the commits hold. It is many times that: sled
/// keeps old pages and new ones, and what it writes, until the transaction is over.
const GROUP_BYTES: usize = 2 << 20;

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// A request to the committer.
pub(super) enum Write {
    Claim {
        tenant: String,
        first: Vec<(String, Cursor)>,
        at: UnixMs,
        reply: Reply<Claim>,
    },
    Commit {
        commit: Box<Commit>,
        reply: Reply<()>,
    },
    Renew {
        tenant: String,
        epoch: Epoch,
        until: UnixMs,
        reply: Reply<()>,
    },
    Rewind {
        tenant: String,
        stream: String,
        to: Cursor,
        reply: Reply<Checkpoint>,
    },
    Import {
        tenant: String,
        checkpoints: BTreeMap<String, Checkpoint>,
        replace: bool,
        at: UnixMs,
        reply: Reply<()>,
    },
    NoteUpload {
        tenant: String,
        epoch: Epoch,
        note: UploadNote,
        reply: Reply<()>,
    },
    QuarantineDrop {
        tenant: String,
        ids: Vec<QuarantineId>,
        reply: Reply<()>,
    },
}

impl Write {
    /// What time it is, if the request says so.
    fn at(&self) -> Option<UnixMs> {
        match self {
            Write::Claim { at, .. } | Write::Import { at, .. } => Some(*at),
            Write::Commit { commit, .. } => Some(commit.at),
            Write::Renew { .. }
            | Write::Rewind { .. }
            | Write::NoteUpload { .. }
            | Write::QuarantineDrop { .. } => None,
        }
    }

    fn bytes(&self) -> usize {
        let Write::Commit { commit, .. } = self else { return 0 };
        let seen: u64 = commit.steps.iter().map(|step| 16 * step.events()).sum();
        let directory: usize = commit.directory.iter().map(|entry| entry.record.len()).sum();
        let quarantined: usize = commit.quarantined.iter().map(|entry| entry.body.len()).sum();
        // Their rows are about this long, with their keys.
        let listed = 200 * (commit.inventory.len() + commit.removed.len());
        seen as usize + directory + listed + quarantined
    }
}

/// An answer that waits until the group is durable, or has failed.
type Held = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

fn hold<T: Send + 'static>(reply: Reply<T>, decided: Result<T, StoreError>) -> Held {
    // The asker may have given up; the effect stands all the same.
    Box::new(move |durable| drop(reply.send(durable.and(decided))))
}

/// The state of the thread.
pub(super) struct Committer {
    pub(super) trees: Trees,
    pub(super) durability: Durability,
    pub(super) poison: Poison,
    /// The same trees, as everybody reads them.
    pub(super) current: Arc<Current>,
    pub(super) dir: PathBuf,
    pub(super) options: OpenOptions,
    /// Bytes of rows written since sled was opened.
    pub(super) written: u64,
    /// Bytes of rows that were read when it was opened anew last.
    pub(super) read: u64,
    pub(super) pruning: Pruning,
    /// The number of the last commit.
    pub(super) commits: u64,
    /// What all rows add up to.
    pub(super) content: Content,
    /// Where the streams stand, outside the database.
    pub(super) cursors: CursorsJson,
}

impl Committer {
    /// Serves requests until every handle is gone.
    pub(super) fn run(mut self, mut requests: mpsc::Receiver<Write>) {
        while let Some(first) = requests.blocking_recv() {
            let mut bytes = first.bytes();
            let mut group = vec![first];
            while group.len() < GROUP && bytes < GROUP_BYTES {
                let Ok(next) = requests.try_recv() else { break };
                bytes += next.bytes();
                group.push(next);
            }
            // sled panics on some damage. Nothing is known about the disk then.
            let at = group.iter().filter_map(Write::at).max();
            let served = catch_unwind(AssertUnwindSafe(|| self.serve(group)));
            if served.is_err() {
                self.poison.set(Failure::new("write the state", "the database panicked"));
            }
            if self.poison.check().is_ok() && self.written >= self.renew_after() {
                self.renew();
            }
            if self.poison.check().is_ok() {
                self.cursors.keep(&self.trees, at);
            }
        }
        if self.poison.check().is_ok() {
            self.cursors.close(&self.trees);
        }
    }

    /// After how many bytes the database is opened anew: more where an opening reads
    /// more, so that no more is read than was written.
    fn renew_after(&self) -> u64 {
        self.options.renew_bytes.saturating_mul(1 + self.read / RENEW_BYTES)
    }

    /// Closes the database and opens it again, between two groups.
    ///
    /// sled remembers where its pages are only when it opens, and after a crash
    /// reads its log from there on: without this, all that a long life has
    /// written. It also lets go of pages that sled would keep in memory.
    fn renew(&mut self) {
        let renewed = catch_unwind(AssertUnwindSafe(|| {
            let mut current = self.current.alone();
            *current = None;
            self.trees = Trees::default();
            self.durability.close();
            die_at!("renew.closed");
            beside::wait_until_closed(&self.dir)
                .map_err(|error| Failure::new("close the database of the state", error))?;
            let (db, trees, read) = open::again(&self.dir, &self.options, self.commits)
                .map_err(|error| Failure::of("open the state again", error))?;
            self.durability.go_on_with(db);
            self.trees = trees.clone();
            *current = Some(trees);
            (self.written, self.read) = (0, read);
            Ok(())
        }));
        let panicked = |_| Err(Failure::new("open the state again", "the database panicked"));
        if let Err(failure) = renewed.unwrap_or_else(panicked) {
            self.poison.set(failure);
        }
    }

    fn serve(&mut self, group: Vec<Write>) {
        let mut overlay = Overlay::over(&self.trees);
        let answers: Vec<Held> =
            group.into_iter().map(|request| decide_one(&mut overlay, &mut self.pruning, request)).collect();
        let durable = self.poison.check().and_then(|()| {
            if overlay.is_empty() {
                return Ok(());
            }
            let commits = self.commits + 1;
            let written = write(overlay, commits, self.content, &self.current, &self.durability);
            let Written { content, bytes } = written.map_err(|failure| {
                let error = failure.error();
                self.poison.set(failure);
                error
            })?;
            self.content = content;
            self.written += bytes;
            self.commits = commits;
            Ok(())
        });
        for answer in answers {
            answer(durable.as_ref().map_or_else(|_| Err(self.poison.or_stopped()), |()| Ok(())));
        }
    }
}

/// What a group has written.
pub(super) struct Written {
    /// What all rows add up to now.
    content: Content,
    /// The bytes of its rows.
    bytes: u64,
}

/// Writes a group.
pub(super) fn write(
    mut overlay: Overlay<'_>,
    commits: u64,
    content: Content,
    current: &Current,
    durability: &Durability,
) -> Result<Written, Failure> {
    let content = hours::keep_up(&mut overlay).and_then(|()| overlay.content_after(content));
    let content = content.map_err(|error| Failure::of("read the state before a commit", error))?;
    overlay.put_row(Tree::Meta, CONTENT_KEY.to_vec(), content.at(commits).into());
    overlay.put_row(Tree::Meta, COMMITS_KEY.to_vec(), commits.to_be_bytes().as_slice().into());
    overlay.accept();
    let bytes = overlay.bytes();
    {
        let _applying = current.alone();
        die_at!("transaction.before");
        overlay.write().map_err(|error| Failure::new("write a commit to the state", error))?;
    }
    die_at!("transaction.after");
    durability.make_durable(commits)?;
    Ok(Written { content, bytes })
}

fn decide_one(overlay: &mut Overlay<'_>, pruning: &mut Pruning, request: Write) -> Held {
    match request {
        Write::Claim { tenant, first, at, reply } => {
            hold(reply, draft(overlay, |draft| decide::claim(draft, &tenant, &first, at)))
        }
        Write::Commit { commit, reply } => {
            let sweeps = draft(overlay, |draft| decide::commit(draft, pruning, &commit));
            hold(reply, sweeps.map(|sweeps| sweeps.into_iter().for_each(|sweep| pruning.swept(sweep))))
        }
        Write::Renew { tenant, epoch, until, reply } => {
            hold(reply, draft(overlay, |draft| decide::renew(draft, &tenant, epoch, until)))
        }
        Write::Rewind { tenant, stream, to, reply } => {
            hold(reply, draft(overlay, |draft| decide::rewind(draft, &tenant, &stream, to)))
        }
        Write::Import { tenant, checkpoints, replace, at, reply } => {
            hold(reply, draft(overlay, |draft| decide::import(draft, &tenant, checkpoints, replace, at)))
        }
        Write::NoteUpload { tenant, epoch, note, reply } => {
            hold(reply, draft(overlay, |draft| decide::note_upload(draft, &tenant, epoch, &note)))
        }
        Write::QuarantineDrop { tenant, ids, reply } => {
            hold(reply, draft(overlay, |draft| decide::take_out(draft, &tenant, &ids)))
        }
    }
}

fn draft<T>(
    overlay: &mut Overlay<'_>,
    decide: impl FnOnce(&mut Overlay<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let decided = decide(overlay);
    match decided {
        Ok(_) => overlay.accept(),
        Err(_) => overlay.discard(),
    }
    decided
}
