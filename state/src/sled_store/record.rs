//! `commit.json`: the number of the last commit, kept outside the database.
//!
//! sled answers some damage by going back to an older state without a word.
//! This file is how that is found out.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::values::HIGHEST;
use crate::die_at;

/// The name of the file.
pub(super) const NAME: &str = "commit.json";

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The format of everything in the directory.
    pub(super) format: u32,
    /// The number of the last commit.
    pub(super) commits: u64,
    crc32: u32,
}

impl Record {
    pub(super) fn new(format: u32, commits: u64) -> Record {
        Record { format, commits, crc32: checksum(format, commits) }
    }
}

fn checksum(format: u32, commits: u64) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&format.to_be_bytes());
    crc.update(&commits.to_be_bytes());
    crc.finalize()
}

/// A record of another shape than ours, which a newer version may have written.
#[derive(Deserialize)]
struct Foreign {
    format: u32,
    #[serde(default)]
    crc32: Option<u32>,
}

/// What was found in place of the file.
#[derive(Debug)]
pub(super) enum Found {
    Record(Record),
    /// A record of another shape, of this format.
    Foreign(u32),
    Missing,
    /// Why it cannot be read.
    Damaged(String),
}

impl Found {
    /// Reads what is in the file.
    pub(super) fn read(bytes: &[u8]) -> Found {
        match serde_json::from_slice::<Record>(bytes) {
            Ok(record) if record.crc32 != checksum(record.format, record.commits) => {
                Found::Damaged("its checksum is wrong".to_owned())
            }
            Ok(record) if record.commits > HIGHEST => Found::Damaged("its number makes no sense".to_owned()),
            Ok(record) => Found::Record(record),
            Err(error) => match serde_json::from_slice::<Foreign>(bytes) {
                Ok(Foreign { format, crc32: None }) => Found::Foreign(format),
                _ => Found::Damaged(error.to_string()),
            },
        }
    }
}

/// Where the record is.
pub(super) struct RecordFile {
    dir: PathBuf,
}

impl RecordFile {
    pub(super) fn in_dir(dir: &Path) -> RecordFile {
        RecordFile { dir: dir.to_owned() }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.join(NAME)
    }

    /// # Errors
    ///
    /// If it is there and the system cannot read it: that is no damage.
    pub(super) fn read(&self) -> io::Result<Found> {
        let bytes = match fs::read(self.path()) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Missing),
            Err(error) => return Err(error),
        };
        Ok(Found::read(&bytes))
    }

    /// Replaces the file; when it returns `Ok`, the new content survives power loss.
    pub(super) fn write(&self, record: Record) -> io::Result<()> {
        replace(&self.dir, NAME, &serde_json::to_vec(&record)?)
    }
}

/// Replaces a file in `dir` by way of `<name>.new`; when it returns `Ok`, the
/// new content survives power loss.
pub(super) fn replace(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = dir.join(format!("{name}.new"));
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    die_at!("file.written");
    fs::rename(&new, dir.join(name))?;
    die_at!("file.renamed");
    File::open(dir)?.sync_all()?;
    die_at!("file.synced");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_and_a_bent_one_is_found_out() {
        let dir = tempfile::tempdir().unwrap();
        let file = RecordFile::in_dir(dir.path());
        assert!(matches!(file.read().unwrap(), Found::Missing));
        file.write(Record::new(1, 41)).unwrap();
        file.write(Record::new(1, 42)).unwrap();
        assert!(matches!(file.read().unwrap(), Found::Record(record) if record == Record::new(1, 42)));
        let text = fs::read_to_string(file.path()).unwrap();
        for bent in ["", "{", "[]", &text.replace("42", "43"), &text.replace("\"format\":1", "\"format\":2")]
        {
            fs::write(file.path(), bent).unwrap();
            assert!(matches!(file.read().unwrap(), Found::Damaged(_)), "{bent}");
        }
    }

    #[test]
    fn a_number_that_nobody_can_have_reached_is_damage() {
        let read = |commits| Found::read(&serde_json::to_vec(&Record::new(2, commits)).unwrap());
        assert!(matches!(read(HIGHEST), Found::Record(record) if record.commits == HIGHEST));
        for commits in [HIGHEST + 1, u64::MAX] {
            assert!(matches!(read(commits), Found::Damaged(_)), "{commits}");
        }
    }

    /// Reading the first page of `/proc/self/mem` is EIO.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_record_that_the_disk_cannot_read_is_not_taken_for_missing() {
        let dir = tempfile::tempdir().unwrap();
        let file = RecordFile::in_dir(dir.path());
        std::os::unix::fs::symlink("/proc/self/mem", file.path()).unwrap();
        file.read().unwrap_err();
    }
}
