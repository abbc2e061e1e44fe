//! Shared records: the newest version of each, beyond what the state has committed.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use opgraph_state::{Entry, Store};

use super::{
    Home,
    pack::{Kind, Origin},
};
use crate::{graph::Written, http::Remedy, page::Coverage, sink::SinkError};

/// Where quarantined shared records are kept: they are of no one stream.
pub(super) const DIRECTORY: Origin = "directory";

/// What this run has sent and the state may not know yet.
#[derive(Debug)]
pub(super) struct Directory {
    /// Bounded by the uploads between their merge and their commit: what the
    /// state knows is forgotten here at the next merge.
    fresh: HashMap<String, Arc<Entry>>,
    /// Whether the directory scopes hold all that the state knows (plan `scope`).
    pub(super) whole: bool,
    /// Jobs of this run may still be open in directory scopes (plan `scope`).
    pub(super) in_doubt: bool,
    /// Directory scopes that this run has sent. Of the others nobody knows what
    /// they hold: a run that was killed may have sent a version that it never
    /// committed, with another content between two that are the same (plan `scope`).
    pub(super) sent: HashSet<(u8, Kind)>,
}

/// A shared record to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Newest {
    /// Its newest version, wherever that is from.
    pub(super) entry: Arc<Entry>,
    /// In what it differs from what was known.
    pub(super) change: Change,
}

/// What an upload says of a record, beside what was known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing that is newer.
    Nothing,
    /// The same, by something newer.
    Version,
    /// Something else, or the first there is.
    Content,
}

impl Directory {
    /// Starts with nothing sent.
    pub(super) fn new(whole: bool) -> Directory {
        Directory { fresh: HashMap::new(), whole, in_doubt: false, sent: HashSet::new() }
    }

    /// Answers the newest version of each record that the upload names.
    ///
    /// Whoever merges later sends later (the caller holds the turn, or this
    /// directory's lock), so a newer version is never followed by an older one.
    pub(super) async fn newest<S: Store>(
        &mut self,
        home: &Home<S>,
        coverage: &Coverage,
    ) -> Result<Vec<Newest>, SinkError> {
        let named: HashSet<&String> = coverage.shared().map(|entry| &entry.key).collect();
        let others = self.fresh.keys().filter(|key| !named.contains(key)).cloned();
        let keys: Vec<String> = others.chain(named.iter().map(|key| (*key).clone())).collect();
        drop(named);
        let stored = home.store.directory(&home.tenant, keys).await;
        let stored = stored.map_err(|error| home.failed("look up the directory", error))?;
        Ok(self.merge(coverage, stored.into_iter().flatten()))
    }

    /// The pure part: `stored` is what the state knows of the named and the fresh keys.
    fn merge(&mut self, coverage: &Coverage, stored: impl Iterator<Item = Entry>) -> Vec<Newest> {
        // What is removed was neither sent nor stored: it is what the upload says.
        let stored = stored.filter(|entry| !coverage.removed().contains(&entry.key));
        let stored: HashMap<String, Arc<Entry>> =
            stored.map(|entry| (entry.key.clone(), Arc::new(entry))).collect();
        self.fresh.retain(|key, _| !coverage.removed().contains(key));
        self.fresh.retain(|key, fresh| stored.get(key).is_none_or(|stored| fresh.supersedes(stored)));

        let mut newest = Vec::new();
        for entry in coverage.shared() {
            // Fresh ones supersede stored ones, or they would be gone.
            let known = self.fresh.get(&entry.key).or_else(|| stored.get(&entry.key));
            match known {
                Some(known) if !entry.supersedes(known) => {
                    newest.push(Newest { entry: known.clone(), change: Change::Nothing });
                }
                known => {
                    let same = known.is_some_and(|known| known.record == entry.record);
                    let change = if same { Change::Version } else { Change::Content };
                    self.fresh.insert(entry.key.clone(), entry.clone());
                    newest.push(Newest { entry: entry.clone(), change });
                }
            }
        }
        newest
    }

    /// What the state may not know yet.
    pub(super) fn fresh(&self) -> impl Iterator<Item = &Entry> {
        self.fresh.values().map(|entry| &**entry)
    }
}

/// What kind of record an entry is.
///
/// # Errors
///
/// If the record is not one that opgraph has written.
pub(super) fn head(entry: &Entry) -> Result<Written<'_>, SinkError> {
    Written::read(&entry.record).ok_or_else(|| SinkError {
        doing: "read a shared record of the state".to_owned(),
        remedy: Remedy::halt("run `opgraph state verify`"),
        cause: format!("`{}` is not a record", entry.key).into(),
    })
}

#[cfg(test)]
mod tests {
    use opgraph_state::{Advance, Cursor, SourceInfo, UnixMs, Version};

    use super::*;
    use crate::{
        graph::{EntityType, Records},
        page::{Listing, Page, Place},
        stream::Stream,
    };

    fn coverage(name: &str, at: i64) -> Coverage {
        let mut records = Records::default();
        let version = Version { rank: 2, at: UnixMs(at) };
        let mut user = records.entity(EntityType::ItemUsageUser, "u", version);
        user.text("name", Some(name));
        user.close();
        let advance = Advance::new(Cursor::Since(UnixMs(0)), Cursor::Since(UnixMs(1)));
        let mut coverage = Coverage::default();
        let place = Place::new(Stream::ItemUsages, advance, SourceInfo::default());
        coverage.add(&Arc::new(Page::new(records, place, None))).unwrap();
        coverage
    }

    fn entry(name: &str, at: i64) -> Entry {
        Entry::clone(coverage(name, at).shared().next().unwrap())
    }

    #[test]
    fn the_newest_version_is_sent_whoever_knows_it() {
        // What this run sent before, what the state knows, what the upload
        // names, and what is sent; in what it differs, and how much is kept.
        type Told = Option<(&'static str, i64)>;
        let check = |fresh: Told, stored: Told, named: (&str, i64), expect: (&str, i64), change, kept| {
            let mut directory = Directory::new(true);
            if let Some((name, at)) = fresh {
                directory.merge(&coverage(name, at), std::iter::empty());
            }
            let stored = stored.map(|(name, at)| entry(name, at));
            let newest = directory.merge(&coverage(named.0, named.1), stored.into_iter());
            assert_eq!(newest, [Newest { entry: Arc::new(entry(expect.0, expect.1)), change }]);
            assert_eq!(directory.fresh().count(), kept, "what the state knows is forgotten");
        };
        check(None, None, ("a", 1), ("a", 1), Change::Content, 1);
        check(None, Some(("a", 1)), ("a", 1), ("a", 1), Change::Nothing, 0);
        check(None, Some(("a", 1)), ("a", 2), ("a", 2), Change::Version, 1);
        check(None, Some(("a", 1)), ("b", 2), ("b", 2), Change::Content, 1);
        check(None, Some(("a", 2)), ("b", 1), ("a", 2), Change::Nothing, 0);
        check(Some(("a", 2)), None, ("b", 1), ("a", 2), Change::Nothing, 1);
        check(Some(("a", 2)), None, ("b", 3), ("b", 3), Change::Content, 1);
        check(Some(("a", 2)), Some(("a", 2)), ("b", 1), ("a", 2), Change::Nothing, 0);
        check(Some(("a", 2)), Some(("c", 5)), ("b", 3), ("c", 5), Change::Nothing, 0);
        check(Some(("a", 9)), Some(("c", 5)), ("b", 7), ("a", 9), Change::Nothing, 1);
    }

    #[test]
    fn what_is_removed_was_neither_sent_nor_stored() {
        let key = entry("a", 1).key;
        let mut directory = Directory::new(true);
        directory.merge(&coverage("newest", 9), std::iter::empty());
        let mut removal = Coverage::default();
        removal.list(Listing { removed: [key.clone()].into(), ..Listing::default() });
        assert_eq!(directory.merge(&removal, [entry("newest", 9)].into_iter()), []);
        assert_eq!(directory.fresh().count(), 0, "nothing that the state does not know is left of it");

        // Removed, and there again in a version that would not supersede the one before.
        directory.merge(&coverage("newest", 9), std::iter::empty());
        let mut records = Records::default();
        let version = Version { rank: 0, at: UnixMs(0) };
        records.entity(EntityType::ItemUsageUser, "u", version).close();
        let mut again = Coverage::default();
        again.list(Listing { removed: [key.clone()].into(), records, ..Listing::default() });
        let stub = again.shared().next().unwrap().clone();
        let newest = directory.merge(&again, [entry("newest", 9)].into_iter());
        assert_eq!(newest, [Newest { entry: stub.clone(), change: Change::Content }]);
        assert_eq!(directory.fresh().collect::<Vec<_>>(), [&*stub]);
    }
}
