//! Giving space back: every row into a new database, which then takes the old one's place.

use std::{fs, io, path::Path};

use super::{
    OpenOptions, beside,
    cursors_json::{self, Kept},
    failure::Failure,
    format::FORMAT,
    fsync::Durability,
    lock::Lock,
    open,
    open::{Extent, Opened},
    record,
    trees::{Tree, Trees},
};
use crate::StoreError;

/// Rows that are written at once.
const ROWS: usize = 500;

/// What compacting a state directory came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// The bytes of its files before.
    pub before: u64,
    /// The bytes of its files after.
    pub after: u64,
    /// The rows it holds.
    pub rows: u64,
}

/// Writes a state directory anew without the space that nothing uses. Blocks.
///
/// The new directory is made next to the old one, synced, read through, and
/// takes its place in one step: killed at any point, the name leads to one of
/// the two, each whole. What is left of the other is removed at the next open.
/// `progress` is told how many rows are written, and how many there are.
///
/// # Errors
///
/// As for [`super::SledStore::open`]; [`StoreError::Io`] if the disk has no
/// room for both, or the file system cannot let two directories trade places.
/// Then the old one is as it was.
pub fn compact(
    dir: &Path,
    options: &OpenOptions,
    mut progress: impl FnMut(u64, u64),
) -> Result<Compacted, StoreError> {
    let doing = format!("compact the state directory `{}`", dir.display());
    let io = |error: io::Error| Failure::new(doing.clone(), error).error();
    let dir = fs::canonicalize(dir).map_err(io)?;
    let opened = open::open(&dir, options, Extent::All)?;
    let before = beside::size(&dir).map_err(io)?;
    let new = beside::sibling(&dir, beside::COMPACTING);
    if new.exists() {
        fs::remove_dir_all(&new).map_err(io)?;
    }

    let rows = opened.rows;
    copy(&opened, &dir, &new, options, &mut |done| progress(done.min(rows), rows))?;
    let lock = Lock::of(&new)?;
    let looked = open::look(&new, options, &lock, Extent::All)?;
    if let Some(what) = looked.findings.damage() {
        return Err(io(io::Error::other(what)));
    }
    // What the ids of each hour add up to is part of it, and the ids were compared with that.
    if looked.sums.kept != opened.content {
        return Err(io(io::Error::other("the new directory does not hold what the old one does")));
    }
    drop(looked);
    drop(lock);

    // The old database is closed, and nobody else can open it yet.
    let Opened { trees, durability, lock, .. } = opened;
    drop(trees);
    drop(durability);
    progress(rows, rows);
    beside::exchange(&dir, &new).map_err(io)?;
    progress(rows, rows);
    drop(lock);
    beside::clean(&dir);
    Ok(Compacted { before, after: beside::size(&dir).map_err(io)?, rows })
}

/// Copies every row, and makes the copy durable.
fn copy(
    from: &Opened,
    dir: &Path,
    new: &Path,
    options: &OpenOptions,
    progress: &mut dyn FnMut(u64),
) -> Result<(), StoreError> {
    let doing = || format!("write the new state directory `{}`", new.display());
    let io = |error: io::Error| Failure::new(doing(), error).error();
    let lock = open::lock(new)?;
    let (db, trees) = open::open_trees(new, options)?;
    let durability = Durability::new(db, new, FORMAT).map_err(io)?;
    let mut done = 0;
    for tree in Tree::ALL {
        done = copy_tree(&from.trees, &trees, tree, done, progress)?;
    }
    durability.make_durable(from.commits).map_err(|failure| failure.error())?;
    // The record goes along as it is: what it has to tell of a state that went
    // backwards has to be told until the next commit.
    match fs::read(dir.join(record::NAME)) {
        Ok(bytes) => record::replace(new, record::NAME, &bytes).map_err(io)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::remove_file(new.join(record::NAME)).map_err(io)?;
        }
        Err(error) => return Err(io(error)),
    }
    if let Kept::File(file) = cursors_json::read(dir).map_err(io)? {
        cursors_json::write(new, &file).map_err(io)?;
    }
    drop(trees);
    drop(durability);
    drop(lock);
    beside::sync_parent(new).map_err(io)
}

fn copy_tree(
    from: &Trees,
    to: &Trees,
    tree: Tree,
    mut done: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<u64, StoreError> {
    let to = &to.all()[tree as usize];
    let cannot = |error| Failure::new("write the new database", error).error();
    let (mut batch, mut waiting) = (sled::Batch::default(), 0);
    for row in from.scan(tree, &[]) {
        let (key, value) = row?;
        batch.insert(key, value);
        waiting += 1;
        if waiting == ROWS {
            to.apply_batch(std::mem::take(&mut batch)).map_err(cannot)?;
            done += std::mem::take(&mut waiting) as u64;
            progress(done);
        }
    }
    to.apply_batch(batch).map_err(cannot)?;
    done += waiting as u64;
    progress(done);
    Ok(done)
}
