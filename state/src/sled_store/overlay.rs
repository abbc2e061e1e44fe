//! The trees with the changes of a group on top, before they are written.

use std::collections::{BTreeMap, BTreeSet};

use sled::{
    Batch, IVec,
    transaction::{TransactionError, Transactional},
};

use super::{
    content::Content,
    parts, rows,
    trees::{Row, Rows, Tree, Trees},
};
use crate::StoreError;

type Changes = BTreeMap<Vec<u8>, Option<IVec>>;

/// Lets the requests of a group see one another's effects, and lets a refused
/// one leave no trace: its changes are a draft until it is accepted.
///
/// The committer is the only writer, so what was read from the trees stays true
/// until the group is written; deciding needs no lock.
pub(super) struct Overlay<'a> {
    trees: &'a Trees,
    accepted: [Changes; Tree::ALL.len()],
    draft: [Changes; Tree::ALL.len()],
}

impl Overlay<'_> {
    pub(super) fn over(trees: &Trees) -> Overlay<'_> {
        Overlay { trees, accepted: Default::default(), draft: Default::default() }
    }

    /// Takes the draft in.
    pub(super) fn accept(&mut self) {
        for (accepted, draft) in self.accepted.iter_mut().zip(&mut self.draft) {
            accepted.append(draft);
        }
    }

    /// Forgets the draft.
    pub(super) fn discard(&mut self) {
        self.draft = Default::default();
    }

    /// Whether nothing was accepted that changes anything.
    pub(super) fn is_empty(&self) -> bool {
        self.accepted.iter().all(Changes::is_empty)
    }

    /// Sets a row.
    pub(super) fn put_row(&mut self, tree: Tree, key: Vec<u8>, bytes: IVec) {
        debug_assert!(bytes.len() <= rows::ROW_BYTES);
        self.draft[tree as usize].insert(key, Some(bytes));
    }

    /// Removes a row.
    pub(super) fn remove_row(&mut self, tree: Tree, key: Vec<u8>) {
        self.draft[tree as usize].insert(key, None);
    }

    /// Sets a value of any length.
    pub(super) fn put(&mut self, tree: Tree, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        // The value before may have had more parts.
        self.remove(tree, key)?;
        for (key, bytes) in parts::split(key, value) {
            self.put_row(tree, key, bytes);
        }
        Ok(())
    }

    /// Removes a value of any length.
    pub(super) fn remove(&mut self, tree: Tree, key: &[u8]) -> Result<(), StoreError> {
        for key in parts::keys(self, tree, key)? {
            self.remove_row(tree, key);
        }
        Ok(())
    }

    fn changes(&self, tree: Tree) -> impl Iterator<Item = &Changes> {
        [&self.accepted[tree as usize], &self.draft[tree as usize]].into_iter()
    }

    /// Returns all rows whose keys start with `prefix`, by key.
    pub(super) fn scan(&self, tree: Tree, prefix: &[u8]) -> Result<Vec<Row>, StoreError> {
        let mut rows: BTreeMap<IVec, IVec> = self.trees.scan(tree, prefix).collect::<Result<_, _>>()?;
        for changes in self.changes(tree) {
            let changed = changes.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
            for (key, bytes) in changed {
                let key = IVec::from(key.as_slice());
                match bytes {
                    Some(bytes) => rows.insert(key, bytes.clone()),
                    None => rows.remove(&key),
                };
            }
        }
        Ok(rows.into_iter().collect())
    }

    /// Returns the first `limit` keys from `from` up to and without `below`.
    pub(super) fn first_keys(
        &self,
        tree: Tree,
        from: &[u8],
        below: &[u8],
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut changed: BTreeMap<&[u8], bool> = BTreeMap::new();
        for changes in self.changes(tree) {
            let changes = changes.range(from.to_vec()..below.to_vec());
            changed.extend(changes.map(|(key, bytes)| (key.as_slice(), bytes.is_some())));
        }
        let mut keys: BTreeSet<Vec<u8>> = BTreeSet::new();
        for key in self.trees.keys(tree, from, below) {
            let key = key?;
            if !changed.contains_key(&*key) {
                keys.insert(key.to_vec());
            }
            if keys.len() == limit {
                break;
            }
        }
        keys.extend(changed.into_iter().filter(|(_, there)| *there).map(|(key, _)| key.to_vec()));
        Ok(keys.into_iter().take(limit).collect())
    }

    /// What was accepted of a tree: new rows, and `None` for rows that go.
    pub(super) fn accepted(&self, tree: Tree) -> impl Iterator<Item = (&[u8], Option<&IVec>)> {
        self.accepted[tree as usize].iter().map(|(key, bytes)| (key.as_slice(), bytes.as_ref()))
    }

    /// Reads a row as it is without what was accepted.
    pub(super) fn stored(&self, tree: Tree, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        self.trees.get(tree, key)
    }

    /// The bytes of everything accepted.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = |(key, bytes): (&Vec<u8>, &Option<IVec>)| {
            key.len() + bytes.as_ref().map_or(0, |bytes| bytes.len())
        };
        self.accepted.iter().flatten().map(bytes).sum::<usize>() as u64
    }

    /// Returns what all rows add up to once everything accepted is written,
    /// given what they add up to now.
    pub(super) fn content_after(&self, now: Content) -> Result<Content, StoreError> {
        let mut content = now;
        for tree in Tree::ALL.into_iter().filter(|tree| !matches!(tree, Tree::Seen | Tree::Meta)) {
            for (key, bytes) in &self.accepted[tree as usize] {
                if let Some(old) = self.trees.get(tree, key)? {
                    content.remove(tree, key, &old);
                }
                if let Some(new) = bytes {
                    content.add(tree, key, new);
                }
            }
        }
        Ok(content)
    }

    /// Writes everything accepted in one transaction.
    pub(super) fn write(self) -> sled::Result<()> {
        let batches = self.accepted.map(|changes| {
            let mut batch = Batch::default();
            for (key, bytes) in changes {
                match bytes {
                    Some(bytes) => batch.insert(key, bytes),
                    None => batch.remove(key),
                }
            }
            batch
        });
        let written = self.trees.all().transaction(|trees| {
            for (tree, batch) in trees.iter().zip(&batches) {
                tree.apply_batch(batch)?;
            }
            Ok(())
        });
        written.map_err(|error| match error {
            TransactionError::Storage(error) => error,
            TransactionError::Abort(()) => {
                sled::Error::ReportableBug("an abort that nobody asked for".into())
            }
        })
    }
}

impl Rows for Overlay<'_> {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        let changed = |changes: &[Changes]| changes[tree as usize].get(key).cloned();
        match changed(&self.draft).or_else(|| changed(&self.accepted)) {
            Some(bytes) => Ok(bytes),
            None => self.trees.get(tree, key),
        }
    }
}
