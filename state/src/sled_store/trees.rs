//! The trees, and reading rows from them.

use std::io;

use sled::IVec;

use super::failure::Failure;
use crate::StoreError;

/// One of the trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tree {
    Claims,
    Checkpoints,
    Seen,
    Directory,
    Quarantine,
    Uploads,
    Inventory,
    Hours,
    Meta,
}

impl Tree {
    pub(super) const ALL: [Tree; 9] = [
        Tree::Claims,
        Tree::Checkpoints,
        Tree::Seen,
        Tree::Directory,
        Tree::Quarantine,
        Tree::Uploads,
        Tree::Inventory,
        Tree::Hours,
        Tree::Meta,
    ];

    /// The tree's name on disk.
    pub(super) fn name(self) -> &'static str {
        match self {
            Tree::Claims => "claims",
            Tree::Checkpoints => "checkpoints",
            Tree::Seen => "seen",
            Tree::Directory => "directory",
            Tree::Quarantine => "quarantine",
            Tree::Uploads => "uploads",
            Tree::Inventory => "inventory",
            Tree::Hours => "hours",
            Tree::Meta => "meta",
        }
    }

    /// The error for a row that cannot be what it says.
    pub(super) fn damaged(self, key: &[u8], why: &str) -> StoreError {
        let what = format!("tree `{}`, key `{}`: {why}", self.name(), key.escape_ascii());
        StoreError::Damaged { what }
    }

    fn unreadable(self, error: sled::Error) -> StoreError {
        match error {
            // Bytes that are not there are no trouble of the disk's.
            sled::Error::Io(error) if !is_missing(&error) => {
                Failure::new(format!("read the tree `{}` of the state", self.name()), error).error()
            }
            other => StoreError::Damaged { what: format!("tree `{}`: {}", self.name(), said(&other)) },
        }
    }
}

/// Whether an error says that something that should be there is not, and
/// nothing about the system's being able to read.
pub(super) fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound)
}

/// What sled says, without the empty backtrace at its end.
pub(super) fn said(error: &sled::Error) -> String {
    error.to_string().trim_end_matches(" backtrace ()").to_owned()
}

/// After how many bytes of rows one of them is used again, and how often: see
/// [`make_room`]. A page has tens of kilobytes, so it comes to 64 uses of each.
const ROOM: (usize, usize) = (6_000, 8);

/// A row: key and value.
pub(super) type Row = (IVec, IVec);

/// Where single rows can be read: the trees, or the trees with changes on top.
pub(super) trait Rows {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<IVec>, StoreError>;
}

/// All trees of an open database.
#[derive(Clone, Default)]
pub(super) struct Trees(Vec<sled::Tree>);

impl Trees {
    /// Opens every tree, making those that do not exist.
    pub(super) fn open(db: &sled::Db) -> Result<Trees, StoreError> {
        let open = |tree: Tree| db.open_tree(tree.name()).map_err(|error| tree.unreadable(error));
        Ok(Trees(Tree::ALL.into_iter().map(open).collect::<Result<_, _>>()?))
    }

    /// The trees in the order of [`Tree::ALL`].
    pub(super) fn all(&self) -> &[sled::Tree] {
        &self.0
    }

    /// Returns the rows whose keys start with `prefix`, by key; from either end.
    pub(super) fn scan(
        &self,
        tree: Tree,
        prefix: &[u8],
    ) -> impl DoubleEndedIterator<Item = Result<Row, StoreError>> + use<> {
        self.rows(tree, self.0[tree as usize].scan_prefix(prefix))
    }

    /// Returns the rows whose keys are not before `from`, by key.
    pub(super) fn from(
        &self,
        tree: Tree,
        from: &[u8],
    ) -> impl Iterator<Item = Result<Row, StoreError>> + use<> {
        self.rows(tree, self.0[tree as usize].range(from..))
    }

    fn rows(
        &self,
        tree: Tree,
        rows: sled::Iter,
    ) -> impl DoubleEndedIterator<Item = Result<Row, StoreError>> + use<> {
        let (sled, mut read) = (self.0[tree as usize].clone(), 0);
        rows.map(move |row| {
            let (key, value) = row.map_err(|error| tree.unreadable(error))?;
            read += key.len() + value.len();
            if read >= ROOM.0 {
                read = 0;
                make_room(&sled, &key);
            }
            Ok((key, value))
        })
    }

    /// Returns the keys from `from` up to and without `below`.
    pub(super) fn keys(
        &self,
        tree: Tree,
        from: &[u8],
        below: &[u8],
    ) -> impl Iterator<Item = Result<IVec, StoreError>> + use<> {
        let rows = self.0[tree as usize].range(from..below);
        rows.keys().map(move |key| key.map_err(|error| tree.unreadable(error)))
    }
}

/// Has sled look whether it keeps too much in memory, after a row of this key was read.
///
/// sled deals its pages to 256 shards, and looks at one whenever it was used 64
/// times. Who reads many pages once each never brings that about: all of them
/// would stay, whatever the cache may hold.
fn make_room(tree: &sled::Tree, key: &[u8]) {
    for _ in 0..ROOM.1 {
        // It is in memory. If it cannot be read, the next one who needs it is told.
        let _ = tree.contains_key(key);
    }
}

impl Rows for Trees {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        self.0[tree as usize].get(key).map_err(|error| tree.unreadable(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_told_in_the_words_of_the_database() {
        let corruption = sled::Error::Corruption { at: None, bt: () };
        let told = Tree::Seen.unreadable(corruption).to_string();
        assert_eq!(told, "the state is damaged: tree `seen`: Read corrupted data at file offset None");
    }

    /// What is taken for damage is moved aside; a disk that cannot be read must not have that done to it.
    #[test]
    fn a_disk_that_cannot_be_read_is_no_damage_and_bytes_that_are_not_there_are() {
        let told = |kind: io::ErrorKind| Tree::Seen.unreadable(sled::Error::Io(kind.into()));
        for kind in [io::ErrorKind::Other, io::ErrorKind::PermissionDenied, io::ErrorKind::TimedOut] {
            assert!(matches!(told(kind), StoreError::Io { .. }), "{kind}");
        }
        for kind in [io::ErrorKind::UnexpectedEof, io::ErrorKind::NotFound] {
            assert!(matches!(told(kind), StoreError::Damaged { .. }), "{kind}");
        }
    }
}
