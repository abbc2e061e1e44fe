//! Which format a state has: what this version reads, and what it makes of older ones.

use std::{convert::Infallible, path::Path};

use sled::{Transactional, transaction::ConflictableTransactionError};

use super::{
    content::{CONTENT_KEY, Content},
    failure::Failure,
    trees::{Rows, Tree, Trees},
    values,
    values::FORMAT_KEY,
    walk::Sums,
};
use crate::StoreError;

/// The format this version writes, and the newest it reads.
///
/// | format | since 1 is new                                                        |
/// |--------|-----------------------------------------------------------------------|
/// | 2      | `meta`/`content`: what all rows add up to                             |
/// | 3      | `inventory`; `hours`: what the ids of an hour add up to               |
///
/// An older one is upgraded at open.
pub(super) const FORMAT: u32 = 3;

/// The format that knew what all rows add up to, ids among them.
pub(super) const ADDED_UP: u32 = 2;

/// Refuses a format that only a newer version knows.
pub(super) fn known(dir: &Path, found: u32) -> Result<(), StoreError> {
    if found > FORMAT {
        return Err(StoreError::TooNew { path: dir.display().to_string(), found, known: FORMAT });
    }
    Ok(())
}

/// The format of a database; `None` if it is new.
pub(super) fn read_format(trees: &Trees) -> Result<Option<u32>, StoreError> {
    let Some(stored) = trees.get(Tree::Meta, FORMAT_KEY)? else { return Ok(None) };
    let number = values::from_number(FORMAT_KEY, &stored)?;
    match u32::try_from(number) {
        Ok(format) if format > 0 => Ok(Some(format)),
        _ => Err(Tree::Meta.damaged(FORMAT_KEY, "not a version of the format")),
    }
}

/// Writes the format of a new state, or of one that an older version has left,
/// and what its rows add up to. Answers that.
pub(super) fn write_format(trees: &Trees, commits: u64, sums: &Sums) -> Result<Content, StoreError> {
    let (mut content, mut hours, mut meta) = (sums.kept, sled::Batch::default(), sled::Batch::default());
    for (hour, sum) in &sums.hours {
        content.add(Tree::Hours, hour, &sum.to_bytes());
        hours.insert(hour.as_slice(), sum.to_bytes());
    }
    meta.insert(FORMAT_KEY, &u64::from(FORMAT).to_be_bytes());
    meta.insert(CONTENT_KEY, content.at(commits));
    let all = trees.all();
    let written =
        (&all[Tree::Hours as usize], &all[Tree::Meta as usize]).transaction(|(of_hours, of_meta)| {
            of_hours.apply_batch(&hours)?;
            of_meta.apply_batch(&meta)?;
            Ok::<_, ConflictableTransactionError<Infallible>>(())
        });
    written.map_err(|error| Failure::new("write the format of the state", error).error())?;
    Ok(content)
}
