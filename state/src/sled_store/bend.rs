//! Damage as sled itself would make it, for tests of those who use a store.

use std::{fs::File, io, path::Path};

use super::trees::Tree;

/// Loses the newest row of ids of a closed directory, without a word anywhere.
///
/// # Errors
///
/// If it has none, or cannot be opened.
pub fn lose_ids(dir: &Path) -> io::Result<()> {
    let db = sled::Config::new().path(dir).flush_every_ms(None).open()?;
    let lost = db.open_tree(Tree::Seen.name())?.pop_max()?;
    db.flush()?;
    drop(db);
    // sled's threads may hold its lock for a moment longer.
    File::open(dir.join("db"))?.lock()?;
    lost.map(drop).ok_or_else(|| io::Error::other("there are no ids"))
}
