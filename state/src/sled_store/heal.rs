//! What takes the place of a damaged state: an empty one that knows where to read on.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    OpenOptions, SledStore, beside, committer,
    current::Current,
    cursors_json::{self, Kept},
    decide,
    failure::Failure,
    open,
    open::Extent,
    overlay::Overlay,
};
use crate::{CursorsFile, StoreError, UnixMs};

/// What was done about a damaged state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Healed {
    /// What was damaged.
    pub damage: String,
    /// Where the damaged directory is now, whole.
    pub moved_to: PathBuf,
    /// Where reading goes on. A stream that is not among them starts anew.
    pub cursors: CursorsFile,
    /// Why nothing was known of the cursors, if nothing was.
    pub unknown: Option<String>,
}

impl SledStore {
    /// Opens a state directory as [`SledStore::open`] does. If it is damaged, it
    /// is moved aside as a whole, and a new one takes its place. Blocks.
    ///
    /// The new one holds no ids, no shared records, no inventory and no
    /// quarantine, but where each stream goes on: `plan` decides it from what `cursors.json` knew,
    /// which may be less than was committed, never more. `at` is the time, and
    /// `stamp` the same in the words of a file's name: the damaged directory
    /// becomes `<dir>.damaged-<stamp>`. Both change their names in one step.
    ///
    /// # Errors
    ///
    /// As for [`SledStore::open`]: what may be no damage (a directory in use,
    /// of a newer format, or one the system cannot read) moves nothing. A
    /// directory that cannot be locked or moved stays where it is.
    pub fn open_or_heal(
        dir: &Path,
        options: OpenOptions,
        at: UnixMs,
        stamp: &str,
        plan: impl FnOnce(CursorsFile) -> CursorsFile,
    ) -> Result<(SledStore, Option<Healed>), StoreError> {
        let lock = open::lock(dir)?;
        let (lock, error) = match open::open_under(lock, dir, &options, Extent::AllButIds) {
            Ok(opened) => return Ok((SledStore::start(dir, opened, &options)?, None)),
            Err(failed) => *failed,
        };
        let StoreError::Damaged { what } = error else { return Err(error) };
        let healed = heal(dir, &options, what, at, stamp, plan);
        // Nobody else gets at the directory before it has changed its name.
        drop(lock);
        let healed = healed?;
        Ok((SledStore::open(dir, options)?, Some(healed)))
    }
}

fn heal(
    dir: &Path,
    options: &OpenOptions,
    damage: String,
    at: UnixMs,
    stamp: &str,
    plan: impl FnOnce(CursorsFile) -> CursorsFile,
) -> Result<Healed, StoreError> {
    let doing = || format!("move the damaged state directory `{}` aside ({damage})", dir.display());
    let io = |error: std::io::Error| Failure::new(doing(), error).error();
    let known = cursors_json::read(dir).map_err(io)?;
    let (known, unknown) = match known {
        Kept::File(file) => (file, None),
        Kept::Missing => (CursorsFile::default(), Some("there is no `cursors.json`".to_owned())),
        Kept::Unusable(why) => {
            (CursorsFile::default(), Some(format!("`cursors.json` cannot be used: {why}")))
        }
    };
    let cursors = plan(known);
    let dir = fs::canonicalize(dir).map_err(io)?;
    let new = beside::sibling(&dir, beside::HEALING);
    if new.exists() {
        fs::remove_dir_all(&new).map_err(io)?;
    }
    furnish(&new, options, &cursors, at)?;
    let moved_to = free_name(&dir, stamp);
    fs::rename(&new, &moved_to).map_err(io)?;
    if let Err(error) = beside::exchange(&dir, &moved_to) {
        // What bears the name of the damaged one is still the new one.
        let _ = fs::remove_dir_all(&moved_to);
        let why = format!("{error}; if it is a mount point, move its files elsewhere by hand");
        return Err(io(std::io::Error::new(error.kind(), why)));
    }
    Ok(Healed { damage, moved_to, cursors, unknown })
}

/// Makes a state that holds nothing but cursors, and closes it.
fn furnish(dir: &Path, options: &OpenOptions, cursors: &CursorsFile, at: UnixMs) -> Result<(), StoreError> {
    let opened =
        open::open_under(open::lock(dir)?, dir, options, Extent::AllButIds).map_err(|failed| failed.1)?;
    let mut overlay = Overlay::over(&opened.trees);
    for (tenant, streams) in &cursors.tenants {
        decide::import(&mut overlay, tenant, streams.clone(), false, at)?;
        overlay.accept();
    }
    if !overlay.is_empty() {
        let written = committer::write(
            overlay,
            1,
            opened.content,
            &Current::new(opened.trees.clone()),
            &opened.durability,
        );
        written.map_err(|failure| failure.error())?;
        let doing = || format!("write the cursors of `{}`", dir.display());
        cursors_json::write(dir, cursors).map_err(|error| Failure::new(doing(), error).error())?;
    }
    Ok(())
}

/// The first name for a damaged directory that nothing has.
fn free_name(dir: &Path, stamp: &str) -> PathBuf {
    let named = |number: u32| match number {
        1 => beside::sibling(dir, &format!("damaged-{stamp}")),
        _ => beside::sibling(dir, &format!("damaged-{stamp}-{number}")),
    };
    let taken = |path: &PathBuf| path.symlink_metadata().is_ok();
    (1..).map(named).find(|path| !taken(path)).unwrap_or_else(|| named(0))
}
