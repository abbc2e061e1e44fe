//! The thread that reads.
//!
//! Reads have a thread of their own: `map` asks the directory for every page,
//! and would otherwise wait for the fsync of whichever tenant is committing. A
//! read may see a commit whose fsync is still under way. That is harmless: what
//! is read lives in memory only, and if the fsync fails, that memory ends with
//! the process.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use tokio::sync::mpsc;

use super::{
    committer::Reply,
    current::Current,
    failure::{Failure, Poison},
    hours,
    hours::Hourly,
    parts, rows,
    trees::{Tree, Trees},
    values,
    values::StreamAt,
};
use crate::{
    Checkpoint, Entry, Fingerprint, Listed, ListedItem, ListedVault, QuarantineId, Quarantined, StoreError,
    UnixMs,
};

/// Every checkpoint, by tenant and stream.
pub(super) type Checkpoints = BTreeMap<String, BTreeMap<String, Checkpoint>>;

/// A request to the reader.
pub(super) enum Read {
    Seen { tenant: String, stream: String, at_least: Option<usize>, reply: Reply<Vec<Fingerprint>> },
    Directory { tenant: String, keys: Vec<String>, reply: Reply<Vec<Option<Entry>>> },
    Shard { tenant: String, shard: u8, reply: Reply<Vec<Entry>> },
    Vaults { tenant: String, reply: Reply<Vec<ListedVault>> },
    Items { tenant: String, vault: String, reply: Reply<Vec<ListedItem>> },
    Quarantined { tenant: String, limit: usize, reply: Reply<Vec<Quarantined>> },
    QuarantineList { tenant: String, reply: Reply<Vec<Listed>> },
    QuarantineEntry { tenant: String, id: QuarantineId, reply: Reply<Option<Quarantined>> },
    QuarantineLen { tenant: String, reply: Reply<u64> },
    ActiveUntil { tenant: String, reply: Reply<Option<UnixMs>> },
    Checkpoints { reply: Reply<Checkpoints> },
}

/// The state of the thread.
pub(super) struct Reader {
    pub(super) current: Arc<Current>,
    pub(super) poison: Poison,
}

impl Reader {
    /// Serves requests until every handle is gone.
    pub(super) fn run(self, mut requests: mpsc::Receiver<Read>) {
        while let Some(request) = requests.blocking_recv() {
            self.serve(request);
        }
    }

    fn serve(&self, request: Read) {
        // The asker may have given up: then nobody wants the answer.
        match request {
            Read::Seen { tenant, stream, at_least, reply } => {
                let read = self.read(|trees| seen(trees, &tenant, &stream, at_least));
                // The open has not looked at them. From here on nothing is written that builds on it.
                drop(reply.send(read.inspect_err(|error| {
                    if let StoreError::Damaged { what } = error {
                        self.poison.set(Failure::Damaged { what: what.clone() });
                    }
                })));
            }
            Read::Directory { tenant, keys, reply } => {
                let one = |trees: &Trees, key: &String| values::directory(trees, &tenant, key);
                drop(reply.send(self.read(|trees| keys.iter().map(|key| one(trees, key)).collect())));
            }
            Read::Shard { tenant, shard, reply } => {
                drop(reply.send(self.read(|trees| directory_shard(trees, &tenant, shard))));
            }
            Read::Vaults { tenant, reply } => {
                drop(reply.send(self.read(|trees| listed(trees, &rows::vaults(&tenant)))));
            }
            Read::Items { tenant, vault, reply } => {
                drop(reply.send(self.read(|trees| listed(trees, &rows::items(&tenant, &vault)))));
            }
            Read::Quarantined { tenant, limit, reply } => {
                drop(reply.send(self.read(|trees| quarantine(trees, &tenant).take(limit).collect())));
            }
            Read::QuarantineList { tenant, reply } => {
                // One body at a time is in memory.
                let listed = |trees: &Trees| -> Result<Vec<Listed>, StoreError> {
                    quarantine(trees, &tenant).map(|entry| Ok(entry?.listed())).collect()
                };
                drop(reply.send(self.read(listed)));
            }
            Read::QuarantineEntry { tenant, id, reply } => {
                drop(reply.send(self.read(|trees| values::quarantined(trees, &tenant, &id))));
            }
            Read::QuarantineLen { tenant, reply } => {
                drop(reply.send(self.read(|trees| quarantine_len(trees, &tenant))));
            }
            Read::ActiveUntil { tenant, reply } => {
                let run = |trees: &Trees| values::run(trees, &tenant);
                drop(reply.send(self.read(|trees| Ok(run(trees)?.and_then(|run| run.active_until)))));
            }
            Read::Checkpoints { reply } => drop(reply.send(self.read(checkpoints))),
        }
    }

    fn read<T>(&self, read: impl FnOnce(&Trees) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.current.read(&self.poison, |trees| {
            catch_unwind(AssertUnwindSafe(|| read(trees))).unwrap_or_else(|_| {
                Err(StoreError::Damaged { what: "the database panicked while it was read".to_owned() })
            })
        })
    }
}

fn seen(
    trees: &Trees,
    tenant: &str,
    stream: &str,
    at_least: Option<usize>,
) -> Result<Vec<Fingerprint>, StoreError> {
    if at_least == Some(0) {
        return Ok(Vec::new());
    }
    let stream = rows::stream(tenant, stream);
    let newest_first = (trees.scan(Tree::Hours, &stream).rev(), trees.scan(Tree::Seen, &stream).rev());
    let mut hourly = Hourly::new(newest_first.0, newest_first.1);
    // Room that is not used takes no memory; room that has to grow takes it twice.
    let mut ids = Vec::with_capacity(at_least.map_or_else(|| hours::most(trees, &stream), Ok)?);
    let mut enough = false;
    // The last hour is read to its end: only a whole one can be compared.
    while !enough
        && hourly
            .next(|key, bytes| {
                if !enough {
                    ids.extend(values::from_seen(key, bytes)?);
                    let reached = at_least.is_some_and(|wanted| ids.len() >= wanted);
                    enough = reached && rows::is_first_of_page(key);
                }
                Ok(())
            })?
            .is_some()
    {}
    Ok(ids)
}

fn directory_shard(trees: &Trees, tenant: &str, shard: u8) -> Result<Vec<Entry>, StoreError> {
    let stored = parts::join(Tree::Directory, trees.scan(Tree::Directory, &rows::shard(tenant, shard)));
    let entries = stored.map(|value| value.and_then(|(key, bytes)| values::from_entry(&key, &bytes)));
    let mut entries = entries.collect::<Result<Vec<_>, _>>()?;
    // Cut names sort last among the rows.
    entries.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(entries)
}

/// Reads what was listed under a prefix, by id.
fn listed<T: values::Listing>(trees: &Trees, prefix: &[u8]) -> Result<Vec<T>, StoreError> {
    let stored = parts::join(Tree::Inventory, trees.scan(Tree::Inventory, prefix));
    let listed = stored.map(|value| value.and_then(|(key, bytes)| values::from_listed(&key, &bytes)));
    let mut listed = listed.collect::<Result<Vec<T>, _>>()?;
    // Cut names sort apart from their place.
    listed.sort_by(|one, other| one.id().cmp(other.id()));
    Ok(listed)
}

fn quarantine(trees: &Trees, tenant: &str) -> impl Iterator<Item = Result<Quarantined, StoreError>> + use<> {
    let stored = parts::join(Tree::Quarantine, trees.scan(Tree::Quarantine, &rows::quarantine(tenant)));
    let entry = |(key, bytes): (sled::IVec, Vec<u8>)| values::from_json(Tree::Quarantine, &key, &bytes);
    stored.map(move |value| value.and_then(entry))
}

fn quarantine_len(trees: &Trees, tenant: &str) -> Result<u64, StoreError> {
    let mut len = 0;
    for row in trees.scan(Tree::Quarantine, &rows::quarantine_index(tenant)) {
        row?;
        len += 1;
    }
    Ok(len)
}

pub(super) fn checkpoints(trees: &Trees) -> Result<Checkpoints, StoreError> {
    let mut all = Checkpoints::new();
    for value in parts::join(Tree::Checkpoints, trees.scan(Tree::Checkpoints, &[])) {
        let (key, bytes) = value?;
        let StreamAt { tenant, stream, checkpoint } = values::from_stream_at(&key, &bytes)?;
        all.entry(tenant).or_default().insert(stream, checkpoint);
    }
    Ok(all)
}
