//! Why a run ended, and what to do about it.

use std::time::Duration;

use opgraph_state::{Refused, StoreError};

use crate::{
    http::{Failure, Halt, Remedy},
    pipeline::Stopped,
};

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// 1Password's API failed.
    #[error(transparent)]
    Source(#[from] Failure),
    /// The pipeline stopped.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The token could not be read, or belongs to another account.
    #[error("{what}")]
    Setup {
        /// What is wrong.
        what: String,
        /// What to do about it.
        remedy: Remedy,
    },
    /// The pages in flight were not committed within the deadline. Nothing is lost: the next run reads them again.
    #[error("the pipeline did not drain within {0:?}")]
    NotDrained(Duration),
}

impl RunError {
    /// The supervisor itself ended; what it said of that has been logged.
    pub(crate) fn unexpected() -> RunError {
        RunError::Setup {
            what: "the supervisor of the tenant panicked".to_owned(),
            remedy: Remedy::halt("start again, and please report it with the log"),
        }
    }

    /// What is shown of it: why, and what a person can do.
    pub(crate) fn said(&self) -> String {
        match self.remedy().hint() {
            Some(hint) => format!("{}; hint: {hint}", chain(self)),
            None => chain(self),
        }
    }

    /// What to do about it.
    pub fn remedy(&self) -> Remedy {
        match self {
            RunError::Source(failure) => failure.remedy.clone(),
            RunError::Stopped(stopped) => stopped.remedy(),
            RunError::Setup { remedy, .. } => remedy.clone(),
            RunError::NotDrained(_) => {
                Remedy::halt("start again: the next run reads what was in flight once more")
            }
        }
    }
}

impl From<StoreError> for RunError {
    fn from(error: StoreError) -> RunError {
        RunError::Stopped(error.into())
    }
}

/// What to do about a failed store.
pub fn store_remedy(error: &StoreError) -> Remedy {
    let hint = match error {
        StoreError::Refused(Refused::Fenced { .. }) => {
            "another run has taken this tenant over: run it in one place only"
        }
        StoreError::Refused(Refused::NotInQuarantine { .. }) => {
            return Remedy::halt("nothing was changed: see what is there with `opgraph quarantine list`");
        }
        // A page went missing between two others: start again from the checkpoint.
        StoreError::Refused(Refused::NotChained { .. } | Refused::NoSuchWindow { .. }) => {
            return Remedy::RETRY;
        }
        StoreError::Refused(Refused::HasCheckpoints { .. }) => {
            "say `--force` to replace them: the next run reads again from the imported ones"
        }
        StoreError::InUse { .. } => "stop the other opgraph, or give this one a `state_dir` of its own",
        StoreError::TooNew { .. } => "run the newer opgraph that wrote it",
        StoreError::Damaged { .. } => {
            "start `opgraph run`: it moves a damaged state directory aside and reads again with overlap; `opgraph state verify` says what is damaged"
        }
        StoreError::Io { .. } if error.is_disk_full() => {
            "free some space on the disk of the state directory, then start again; nothing is lost"
        }
        StoreError::Io { .. } => "check the disk (space, permissions, health), then start again",
    };
    Remedy::Halt(Halt::State { hint: hint.to_owned() })
}

/// An error with its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
