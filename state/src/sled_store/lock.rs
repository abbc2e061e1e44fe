//! One process at a time: the lock on a state directory.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use super::failure::Failure;
use crate::StoreError;

/// Held as long as the store is open. The file says the process's id, for people.
pub(super) struct Lock {
    file: File,
    db: PathBuf,
}

impl Lock {
    /// Takes the lock of a directory.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`], [`StoreError::Io`], and [`StoreError::Damaged`]
    /// where the lock is a directory: nobody can lock that.
    pub(super) fn of(dir: &Path) -> Result<Lock, StoreError> {
        let path = dir.join("lock");
        if path.is_dir() {
            let what =
                format!("{}: it is no file; remove it once no other opgraph is running", path.display());
            return Err(StoreError::Damaged { what });
        }
        let doing = || format!("open the state directory `{}`", dir.display());
        let lock = Lock::take(dir).map_err(|error| Failure::new(doing(), error).error())?;
        lock.ok_or_else(|| StoreError::InUse { path: dir.display().to_string() })
    }

    /// Takes the lock of a directory; `None` if somebody else has it.
    fn take(dir: &Path) -> io::Result<Option<Lock>> {
        let mut options = fs::OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(dir.join("lock"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Some(Lock { file, db: dir.join("db") }))
    }
}

impl Drop for Lock {
    /// Lets go once sled has let go of its own lock: its thread pool may hold
    /// the file for a moment after the database was dropped, and whoever opens
    /// the directory next should not stumble over that.
    #[expect(
        clippy::disallowed_methods,
        reason = "at the end of the store's life, when nothing waits for it"
    )]
    fn drop(&mut self) {
        if let Ok(db) = File::open(&self.db) {
            for _ in 0..2_000 {
                match db.try_lock() {
                    Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(1)),
                    _ => break,
                }
            }
        }
        // Closing the file would do; this also holds if a child process inherited it.
        let _ = self.file.unlock();
    }
}
