//! What can be wrong with the files, and what to do about it.

use std::{
    error::Error,
    io,
    path::{Path, PathBuf},
};

use super::folder::Folder;
use crate::{
    http::{Halt, Remedy},
    sink::SinkError,
};

/// Why files cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The system refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A file is not as it was written.
    #[error("{0}: {1}")]
    Damaged(PathBuf, String),
    /// Files are missing.
    #[error("of {expected} records {found} are there")]
    Missing {
        /// Records there should be at least.
        expected: u64,
        /// Records there are.
        found: u64,
    },
    /// An earlier upload ended halfway; only what lies in the folder tells how far.
    #[error("an earlier upload ended halfway")]
    Halfway,
    /// A record that is none of ours.
    #[error("the shared record `{0}` cannot be read")]
    NoRecord(String),
}

impl Trouble {
    /// What to tell of it.
    pub(super) fn told(self, folder: &Folder) -> SinkError {
        let dir = folder.dir();
        let at = dir.display();
        let again = format!(
            "remove {at}/.j1-integration: the next run reads everything again, as far back as `--start` says"
        );
        let remedy = match &self {
            Trouble::Io(_) => {
                let Trouble::Io(error) = self else { return cannot("write to", dir, io::Error::other(self)) };
                return cannot("write to", dir, error);
            }
            Trouble::Damaged(..) | Trouble::Missing { .. } => Remedy::Halt(Halt::State { hint: again }),
            Trouble::Halfway => Remedy::RETRY,
            Trouble::NoRecord(_) => Remedy::halt("please report this"),
        };
        refused("use", dir, remedy, self)
    }
}

/// Says that the folder is not for these files.
pub(super) fn unfit(dir: &Path, what: impl Into<String>, hint: &str) -> SinkError {
    let remedy = Remedy::Halt(Halt::Configuration { hint: hint.to_owned() });
    refused("write files to", dir, remedy, what.into())
}

/// Says what the system refuses.
pub(super) fn cannot(doing: &str, dir: &Path, error: io::Error) -> SinkError {
    let at = dir.display();
    let remedy = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Remedy::halt(format!(
            "free some space on the disk of {at}; nothing is lost, and opgraph goes on where it stopped"
        )),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            Remedy::halt(format!("check that this user may write into {at}"))
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            Remedy::Halt(Halt::Configuration { hint: "name a folder".to_owned() })
        }
        io::ErrorKind::ResourceBusy => {
            Remedy::Halt(Halt::State { hint: "stop the other opgraph, or name another folder".to_owned() })
        }
        // What a failed fsync has left is unknown; trying again may report a success that is none.
        _ => Remedy::halt(format!("check the disk of {at}, then start again")),
    };
    refused(doing, dir, remedy, error)
}

fn refused(
    doing: &str,
    dir: &Path,
    remedy: Remedy,
    cause: impl Into<Box<dyn Error + Send + Sync>>,
) -> SinkError {
    SinkError { doing: format!("{doing} the folder {}", dir.display()), remedy, cause: cause.into() }
}
