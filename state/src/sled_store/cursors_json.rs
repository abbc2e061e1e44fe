//! `cursors.json`: where the streams stand, kept outside the database.
//!
//! When the database cannot be read any more, this says where reading has to
//! begin again. It may be older than the database: then more is read again.

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
};

use super::{failure::Failure, reader, record, trees::Trees};
use crate::{BadCursors, CursorsFile, UnixMs};

/// How often it is written at most, in milliseconds by the clock of those who commit.
const EVERY: u64 = 60_000;

/// The name of the file.
pub(super) const NAME: &str = "cursors.json";

/// Writes the file now and then.
pub(super) struct CursorsJson {
    dir: PathBuf,
    written: CursorsFile,
    written_at: Option<UnixMs>,
}

impl CursorsJson {
    pub(super) fn in_dir(dir: &Path) -> CursorsJson {
        CursorsJson { dir: dir.to_owned(), written: CursorsFile::default(), written_at: None }
    }

    /// Writes it, if a minute has gone by since it was last written. `at` is
    /// the newest time that a request has told, if one did.
    pub(super) fn keep(&mut self, trees: &Trees, at: Option<UnixMs>) {
        let Some(at) = at else { return };
        // A clock that was put back must not put the file off.
        if self.written_at.is_none_or(|before| at.0.abs_diff(before.0) >= EVERY) {
            self.written_at = Some(at);
            self.close(trees);
        }
    }

    /// Writes it, unless it says already what there is to say.
    ///
    /// A failure stops nothing: the older file is as good, and a state that
    /// cannot be written will say so itself.
    pub(super) fn close(&mut self, trees: &Trees) {
        let written = reader::checkpoints(trees).and_then(|tenants| {
            let file = CursorsFile { tenants };
            if file != self.written {
                let doing = || format!("write `{}`", self.dir.join(NAME).display());
                write(&self.dir, &file).map_err(|error| Failure::new(doing(), error).error())?;
                self.written = file;
            }
            Ok(())
        });
        if let Err(error) = written {
            let cause = error.source().map(ToString::to_string);
            tracing::warn!(%error, cause, "the cursors could not be copied out of the state");
        }
    }
}

/// Replaces the file; when it returns `Ok`, the new content survives power loss.
pub(super) fn write(dir: &Path, file: &CursorsFile) -> io::Result<()> {
    record::replace(dir, NAME, file.to_json().as_bytes())
}

/// What is found in a directory.
#[derive(Debug)]
pub(super) enum Kept {
    File(CursorsFile),
    Missing,
    Unusable(BadCursors),
}

/// Reads the file.
///
/// # Errors
///
/// If it is there and the system cannot read it: that is no damage.
pub(super) fn read(dir: &Path) -> io::Result<Kept> {
    let path = dir.join(NAME);
    if path.is_dir() {
        return Ok(Kept::Unusable(BadCursors::Nonsense { why: "it is a directory".to_owned() }));
    }
    match fs::read(&path) {
        Ok(bytes) => {
            Ok(CursorsFile::from_json(&String::from_utf8_lossy(&bytes))
                .map_or_else(Kept::Unusable, Kept::File))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Kept::Missing),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A state that is healed without them would start its streams anew.
    /// Reading the first page of `/proc/self/mem` is EIO.
    #[cfg(target_os = "linux")]
    #[test]
    fn cursors_that_the_disk_cannot_read_are_not_taken_for_missing() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(read(dir.path()), Ok(Kept::Missing)));
        std::os::unix::fs::symlink("/proc/self/mem", dir.path().join(NAME)).unwrap();
        read(dir.path()).unwrap_err();
    }
}
