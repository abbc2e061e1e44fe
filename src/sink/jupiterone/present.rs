//! The shared records as they are once an upload is in the graph.

use std::collections::{BTreeMap, BTreeSet};

use opgraph_state::{Entry, Store, shard_of};

use super::{Home, directory::Directory};
use crate::{page::Coverage, sink::SinkError};

/// What the state knows, with what it does not know yet and without what the
/// upload removes. The state is read a part at a time, never as a whole.
pub(super) struct Present {
    fresh: BTreeMap<u8, BTreeMap<String, Entry>>,
    removed: BTreeSet<String>,
}

impl Present {
    /// Looks at a directory into which the coverage has been merged.
    pub(super) fn of(directory: &Directory, coverage: &Coverage) -> Present {
        let mut fresh: BTreeMap<u8, BTreeMap<String, Entry>> = BTreeMap::new();
        for entry in directory.fresh() {
            fresh.entry(shard_of(&entry.key)).or_default().insert(entry.key.clone(), entry.clone());
        }
        Present { fresh, removed: coverage.removed().clone() }
    }

    /// Everything in one shard, in the order of the keys.
    pub(super) async fn shard<S: Store>(
        &self,
        home: &Home<S>,
        shard: u8,
    ) -> Result<BTreeMap<String, Entry>, SinkError> {
        let stored = home.store.directory_shard(&home.tenant, shard).await;
        let stored = stored.map_err(|error| home.failed("read the directory", error))?;
        let stays = stored.into_iter().filter(|entry| !self.removed.contains(&entry.key));
        let mut all: BTreeMap<String, Entry> = stays.map(|entry| (entry.key.clone(), entry)).collect();
        // What is fresh supersedes what is stored.
        all.extend(
            self.fresh.get(&shard).into_iter().flatten().map(|(key, entry)| (key.clone(), entry.clone())),
        );
        Ok(all)
    }

    /// Those of the records with these keys that are there, in this order.
    pub(super) async fn named<S: Store>(
        &self,
        home: &Home<S>,
        keys: Vec<String>,
    ) -> Result<Vec<Entry>, SinkError> {
        let stored = home.store.directory(&home.tenant, keys.clone()).await;
        let stored = stored.map_err(|error| home.failed("look up the directory", error))?;
        let pick = |(key, stored): (String, Option<Entry>)| {
            let fresh = self.fresh.get(&shard_of(&key)).and_then(|shard| shard.get(&key));
            fresh.cloned().or_else(|| stored.filter(|_| !self.removed.contains(&key)))
        };
        Ok(keys.into_iter().zip(stored).filter_map(pick).collect())
    }

    /// The keys of what the state may not know yet.
    pub(super) fn fresh(&self) -> impl Iterator<Item = &str> {
        self.fresh.values().flat_map(BTreeMap::keys).map(String::as_str)
    }
}
