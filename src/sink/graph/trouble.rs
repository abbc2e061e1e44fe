//! What a failure of SQLite means.

use std::{error::Error, io, path::Path};

use rusqlite::{ErrorCode, ffi};

use super::schema::Unfit;
use crate::{
    http::{Halt, Remedy},
    sink::SinkError,
};

/// Decides what a failure means.
///
/// | SQLite says                                   | remedy                            |
/// |-----------------------------------------------|-----------------------------------|
/// | busy, locked, protocol, no memory, interrupted | retry                            |
/// | corrupt, not a database                       | halt: state                       |
/// | full                                          | halt: free some space             |
/// | read-only, permission, cannot open            | halt: check the file and its folder |
/// | input/output error                            | halt: check the disk              |
/// | anything else                                 | halt: report it                   |
///
/// A failed fsync is an input/output error: what the disk holds is unknown
/// then, and trying again may report a success that is none.
pub(super) fn remedy(error: &rusqlite::Error, path: &Path) -> Remedy {
    let Some(ffi::Error { code, extended_code }) = error.sqlite_error() else {
        return Remedy::halt("please report this");
    };
    let at = path.display();
    match code {
        _ if *extended_code == ffi::SQLITE_IOERR_NOMEM => Remedy::RETRY,
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::OutOfMemory
        | ErrorCode::OperationInterrupted => Remedy::RETRY,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => state(format!(
            "{at} is damaged or no graph: move it away with its -wal file; `opgraph cursors rewind` fills a new one"
        )),
        ErrorCode::DiskFull => full(path),
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen => Remedy::halt(format!(
            "check that this user may write {at} and into its folder (SQLite keeps {at}-wal and {at}-shm beside it)"
        )),
        ErrorCode::SystemIoFailure => {
            Remedy::halt(format!("check the disk of {at}, then start opgraph again"))
        }
        _ => Remedy::halt("please report this"),
    }
}

/// Halts because there is no room.
fn full(path: &Path) -> Remedy {
    Remedy::halt(format!(
        "free some space on the disk of {}; nothing is lost, and opgraph goes on where it stopped",
        path.display()
    ))
}

/// Says why the file cannot be made.
pub(super) fn not_made(path: &Path, folder: &Path, error: io::Error) -> SinkError {
    let remedy = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => full(path),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Remedy::halt(format!("check that this user may write into {}", folder.display()))
        }
        _ => Remedy::halt(format!("check the disk of {}", folder.display())),
    };
    refused("open", path, remedy, error)
}

/// Halts because the file is not what it should be.
pub(super) fn state(hint: String) -> Remedy {
    Remedy::Halt(Halt::State { hint })
}

/// Says what could not be done with the graph file.
pub(super) fn failed(doing: &str, path: &Path, error: rusqlite::Error) -> SinkError {
    let remedy = remedy(&error, path);
    refused(doing, path, remedy, error)
}

/// Says why the file cannot be a graph.
pub(super) fn unfit(doing: &str, path: &Path, unfit: Unfit) -> SinkError {
    let at = path.display();
    let remedy = match &unfit {
        Unfit::Sqlite(error) => remedy(error, path),
        Unfit::Foreign(_) => {
            state(format!("name another file for the graph; {at} belongs to something else"))
        }
        Unfit::Newer(_) => {
            state(format!("run the newer opgraph that wrote {at}, or name another file for the graph"))
        }
        Unfit::NoLog(_) => Remedy::halt(format!("put {at} on a local disk")),
    };
    refused(doing, path, remedy, unfit)
}

/// Puts an error together.
pub(super) fn refused(
    doing: &str,
    path: &Path,
    remedy: Remedy,
    cause: impl Into<Box<dyn Error + Send + Sync>>,
) -> SinkError {
    SinkError { doing: format!("{doing} the graph {}", path.display()), remedy, cause: cause.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_of_the_file_has_its_remedy() {
        let check = |codes: &[i32], expect: &str| {
            for &code in codes {
                let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
                let remedy = remedy(&error, Path::new("graph.db"));
                let found = match &remedy {
                    Remedy::Halt(Halt::State { .. }) => "state",
                    other => other.name(),
                };
                assert_eq!(found, expect, "{code}");
                assert_eq!(remedy.hint().is_some(), expect != "retry", "a person needs a hint");
            }
        };
        let transient =
            [ffi::SQLITE_BUSY, ffi::SQLITE_BUSY_SNAPSHOT, ffi::SQLITE_LOCKED, ffi::SQLITE_PROTOCOL];
        check(&transient, "retry");
        check(&[ffi::SQLITE_NOMEM, ffi::SQLITE_IOERR_NOMEM, ffi::SQLITE_INTERRUPT], "retry");
        check(&[ffi::SQLITE_CORRUPT, ffi::SQLITE_CORRUPT_INDEX, ffi::SQLITE_NOTADB], "state");
        check(&[ffi::SQLITE_FULL, ffi::SQLITE_READONLY, ffi::SQLITE_PERM, ffi::SQLITE_CANTOPEN], "halt");
        check(&[ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_CONSTRAINT], "halt");
    }
}
