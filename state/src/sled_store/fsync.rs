//! Making what was written survive power loss.

use std::{fs::File, io, path::Path};

use super::{
    failure::Failure,
    record::{Record, RecordFile},
};
use crate::die_at;

/// Flushes, syncs and records, in that order.
pub(super) struct Durability {
    /// None while the database is closed and opened again.
    db: Option<sled::Db>,
    /// A read-only handle of sled's file. `sled::Db::flush` writes the bytes and
    /// starts their write-back (`sync_file_range`), but never waits for the disk;
    /// `fdatasync` does, through any handle of the file.
    file: File,
    record: RecordFile,
    format: u32,
}

impl Durability {
    pub(super) fn new(db: sled::Db, dir: &Path, format: u32) -> io::Result<Durability> {
        Ok(Durability {
            db: Some(db),
            file: File::open(dir.join("db"))?,
            record: RecordFile::in_dir(dir),
            format,
        })
    }

    /// Lets go of the database.
    pub(super) fn close(&mut self) {
        self.db = None;
    }

    /// Goes on with the database that was opened again.
    pub(super) fn go_on_with(&mut self, db: sled::Db) {
        self.db = Some(db);
    }

    /// Returns once everything written to the database before this call, and
    /// then the record that it was, survive power loss.
    ///
    /// # Errors
    ///
    /// The first [`Failure`]. It must not be called again after one.
    pub(super) fn make_durable(&self, commits: u64) -> Result<(), Failure> {
        die_at!("flush.before");
        let closed = || Failure::new("flush the state", "it is closed");
        let db = self.db.as_ref().ok_or_else(closed)?;
        db.flush().map_err(|error| Failure::new("flush the state", error))?;
        die_at!("flush.after");
        self.file.sync_data().map_err(|error| Failure::new("sync the state's file to the disk", error))?;
        die_at!("fsync.after");
        let path = self.record.path();
        let failed = |error| Failure::new(format!("write `{}`", path.display()), error);
        self.record.write(Record::new(self.format, commits)).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_that_fails_is_an_error_and_leaves_no_record() {
        let dir = tempfile::tempdir().unwrap();
        let db = sled::Config::new().path(dir.path()).flush_every_ms(None).open().unwrap();
        let mut durability = Durability::new(db, dir.path(), 1).unwrap();
        durability.make_durable(1).unwrap();
        // fdatasync of a device that cannot is EINVAL.
        durability.file = File::open("/dev/null").unwrap();
        let failure = durability.make_durable(2).unwrap_err();
        assert!(failure.error().to_string().contains("sync the state's file"));
        let found = std::fs::read_to_string(dir.path().join("commit.json")).unwrap();
        assert!(found.contains("\"commits\":1"), "{found}");
    }
}
