//! What lies beside the database and beside the directory: files of the right
//! kind, and other directories that take a state's place.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::record;
use crate::StoreError;

/// Directories next to a state in which another one is being made, or an old
/// one is being removed. Nothing in them is ever needed.
const UNFINISHED: [&str; 2] = [HEALING, COMPACTING];

/// Where a state that takes the place of a damaged one is made.
pub(super) const HEALING: &str = "healing";

/// Where a state that takes the place of a larger one is made.
pub(super) const COMPACTING: &str = "compacting";

/// How long a database may take to let go of its file.
const CLOSING: Duration = Duration::from_secs(10);

/// Finds out whether what should be a file is one, and a directory a directory.
pub(super) fn check_kinds(dir: &Path) -> Result<(), StoreError> {
    let check = |name: &str, directory: bool| {
        let path = dir.join(name);
        // What cannot be looked at is told by whoever wants to read it.
        let Ok(found) = fs::metadata(&path) else { return Ok(()) };
        if found.is_dir() == directory && (directory || found.is_file()) {
            return Ok(());
        }
        let should = if directory { "is no directory" } else { "is no file" };
        Err(StoreError::Damaged { what: format!("{}: it {should}", path.display()) })
    };
    for file in ["db", "conf", record::NAME] {
        check(file, false)?;
    }
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if let Some(name) = entry.file_name().to_str().filter(|name| name.starts_with("snap.")) {
            check(name, false)?;
        }
    }
    check("blobs", true)
}

/// The file that says that something in the directory was found damaged, and what.
const SUSPECT: &str = "suspect";

/// Leaves word that something was found damaged, so that the next open reads everything.
pub(super) fn suspect(dir: &Path, what: &str) -> io::Result<()> {
    let mut file =
        File::options().write(true).create(true).truncate(true).mode(0o600).open(dir.join(SUSPECT))?;
    writeln!(file, "{what}")?;
    file.sync_all()?;
    File::open(dir)?.sync_all()
}

/// Whether something was found damaged when the directory was open last.
pub(super) fn is_suspect(dir: &Path) -> bool {
    dir.join(SUSPECT).symlink_metadata().is_ok()
}

/// Takes the word back: everything was read, and is as it should be.
pub(super) fn clear(dir: &Path) {
    // Where it stays, everything is read again next time.
    if let Err(error) = fs::remove_file(dir.join(SUSPECT))
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(error = %error, "could not remove `{SUSPECT}`");
    }
}

/// Waits until a database that was dropped has let go of its file: threads of sled's may hold it for a moment longer.
pub(super) fn wait_until_closed(dir: &Path) -> io::Result<()> {
    let file = File::open(dir.join("db"))?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return file.unlock(),
            Err(TryLockError::WouldBlock) if begun.elapsed() < CLOSING => {
                thread::park_timeout(Duration::from_millis(1))
            }
            Err(TryLockError::WouldBlock) => return Err(io::Error::other("it stays locked")),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// Makes the names of the folders that lead to a new state durable: any of them
/// may be as new as it is.
pub(super) fn sync_way_to(dir: &Path) -> io::Result<()> {
    let dir = fs::canonicalize(dir)?;
    let device = fs::metadata(&dir)?.dev();
    for folder in dir.ancestors().skip(1) {
        if fs::metadata(folder)?.dev() != device {
            break;
        }
        match File::open(folder) {
            Ok(folder) => folder.sync_all()?,
            // What this user may not read, it has not made.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Makes sled's settings durable, which sled leaves out.
pub(super) fn sync_settings(dir: &Path) -> io::Result<()> {
    File::open(dir.join("conf"))?.sync_all()
}

/// Removes the snapshots that sled had not finished when the process ended.
///
/// sled takes them for its newest and refuses to open when they are torn. It
/// does not need them: it finds out again from `db`.
pub(super) fn remove_unfinished_snapshots(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Removes sled's settings, so that it writes them again; they are always the same.
pub(super) fn remove_settings(dir: &Path) -> io::Result<()> {
    match fs::remove_file(dir.join("conf")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The bytes of all files in a directory.
pub(super) fn size(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let found = entry.metadata()?;
        bytes += if found.is_dir() { size(&entry.path())? } else { found.len() };
    }
    Ok(bytes)
}

/// The directory `<dir>.<end>`. `dir` has to be canonical.
pub(super) fn sibling(dir: &Path, end: &str) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(".");
    name.push(end);
    name.into()
}

/// Removes what an earlier process has left unfinished next to a directory.
/// What cannot be removed is in nobody's way.
pub(super) fn clean(dir: &Path) {
    let Ok(dir) = fs::canonicalize(dir) else { return };
    for end in UNFINISHED {
        let left = sibling(&dir, end);
        match fs::remove_dir_all(&left) {
            Ok(()) => tracing::info!(dir = %left.display(), "removed what was left unfinished"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(dir = %left.display(), %error, "cannot be removed"),
        }
    }
}

/// Makes two directories trade places, durably: whatever happens, each name
/// leads to one of the two.
///
/// # Errors
///
/// What the system says: not every file system can, and nothing can move a
/// directory that something is mounted on. Then nothing has changed.
pub(super) fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?;
    sync_parent(one)
}

/// Makes what was made or renamed in a directory's parent survive power loss.
pub(super) fn sync_parent(dir: &Path) -> io::Result<()> {
    let dir = fs::canonicalize(dir)?;
    dir.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_directory_is_that_of_all_its_files() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(size(dir.path()).unwrap(), 0);
        fs::create_dir(dir.path().join("blobs")).unwrap();
        for (name, bytes) in [("db", 1000), ("conf", 20), ("blobs/1", 3)] {
            fs::write(dir.path().join(name), vec![7; bytes]).unwrap();
        }
        assert_eq!(size(dir.path()).unwrap(), 1023);
    }

    #[test]
    fn of_the_snapshots_only_unfinished_ones_are_removed_and_of_the_rest_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["db", "snap.0000", "snap.0001.generating", "old.generating"];
        names.iter().for_each(|name| fs::write(dir.path().join(name), "").unwrap());
        remove_unfinished_snapshots(dir.path()).unwrap();
        let there = names.map(|name| dir.path().join(name).exists());
        assert_eq!(there, [true, true, false, true]);
    }

    #[test]
    fn settings_that_are_not_there_are_removed_and_those_that_cannot_be_are_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let conf = dir.path().join("conf");
        remove_settings(dir.path()).unwrap();
        fs::write(&conf, "torn").unwrap();
        remove_settings(dir.path()).unwrap();
        assert!(!conf.exists());
        fs::create_dir(&conf).unwrap();
        remove_settings(dir.path()).unwrap_err();
    }

    #[test]
    fn what_was_left_unfinished_next_to_a_state_is_removed_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let place = fs::canonicalize(place.path()).unwrap();
        let names = ["state", "state.healing", "state.compacting", "state.damaged-1", "healing"];
        names.iter().for_each(|name| fs::create_dir(place.join(name)).unwrap());
        fs::write(place.join("state.healing/db"), "half of it").unwrap();
        clean(&place.join("state"));
        assert_eq!(names.map(|name| place.join(name).exists()), [true, false, false, true, true]);
    }
}
