//! The first failure after which nothing may be written, remembered for the rest of the process.

use std::{
    error::Error,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use super::beside;
use crate::StoreError;

/// What could not be done and why, or what is damaged.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    Io { doing: String, cause: Arc<dyn Error + Send + Sync> },
    Damaged { what: String },
}

impl Failure {
    pub(super) fn new(doing: impl Into<String>, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        Failure::Io { doing: doing.into(), cause: cause.into().into() }
    }

    /// What an error of the store means when it ends the store: damage stays damage.
    pub(super) fn of(doing: impl Into<String>, error: StoreError) -> Failure {
        match error {
            StoreError::Damaged { what } => Failure::Damaged { what },
            StoreError::Io { doing, cause } => Failure::Io { doing, cause },
            other => Failure::new(doing, other),
        }
    }

    pub(super) fn error(&self) -> StoreError {
        match self {
            Failure::Io { doing, cause } => StoreError::Io { doing: doing.clone(), cause: Arc::clone(cause) },
            Failure::Damaged { what } => StoreError::Damaged { what: what.clone() },
        }
    }
}

/// Shared by everything that touches the store; once set it stays set.
///
/// After a failed fsync the kernel may have dropped the dirty pages and a
/// second fsync may say `Ok`. So nothing is ever tried again: the process has
/// to stop, and the next one reads what the disk really holds.
#[derive(Clone)]
pub(super) struct Poison {
    first: Arc<OnceLock<Failure>>,
    dir: Arc<PathBuf>,
}

impl Poison {
    /// Nothing has failed yet in this state directory.
    pub(super) fn of(dir: &Path) -> Poison {
        Poison { first: Arc::default(), dir: Arc::new(dir.to_owned()) }
    }

    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.first.get().map_or(Ok(()), |failure| Err(failure.error()))
    }

    /// Remembers `failure`, unless there was one before. Of damage it leaves a
    /// mark on the disk: the next open reads everything.
    pub(super) fn set(&self, failure: Failure) {
        self.first.get_or_init(|| {
            tracing::error!(error = %failure.error(), "the state can no longer be used");
            if let Failure::Damaged { what } = &failure
                && let Err(error) = beside::suspect(&self.dir, what)
            {
                // Found again behind the next start, then.
                tracing::warn!(error = %error, "could not note that the state is damaged");
            }
            failure
        });
    }

    /// Remembers what a read has found out.
    pub(super) fn found(&self, error: StoreError) {
        self.set(Failure::of("read the state", error));
    }

    /// The answer when a thread of the store is gone.
    pub(super) fn or_stopped(&self) -> StoreError {
        let stopped = || Failure::new("reach the state: its thread has ended", "it panicked or was closed");
        self.check().err().unwrap_or_else(|| stopped().error())
    }
}
