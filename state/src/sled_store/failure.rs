//! The first failed write, remembered for the rest of the process.

use std::{
    error::Error,
    sync::{Arc, OnceLock},
};

use crate::StoreError;

/// What could not be done, and why.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    doing: String,
    cause: Arc<dyn Error + Send + Sync>,
}

impl Failure {
    pub(super) fn new(doing: impl Into<String>, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        Failure { doing: doing.into(), cause: cause.into().into() }
    }

    pub(super) fn error(&self) -> StoreError {
        StoreError::Io { doing: self.doing.clone(), cause: Arc::clone(&self.cause) }
    }
}

/// Shared by everything that touches the store; once set it stays set.
///
/// After a failed fsync the kernel may have dropped the dirty pages and a
/// second fsync may say `Ok`. So nothing is ever tried again: the process has
/// to stop, and the next one reads what the disk really holds.
#[derive(Clone, Default)]
pub(super) struct Poison(Arc<OnceLock<Failure>>);

impl Poison {
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.0.get().map_or(Ok(()), |failure| Err(failure.error()))
    }

    /// Remembers `failure`, unless there was one before.
    pub(super) fn set(&self, failure: Failure) {
        self.0.get_or_init(|| failure);
    }

    /// The answer when a thread of the store is gone.
    pub(super) fn or_stopped(&self) -> StoreError {
        let stopped = || Failure::new("reach the state: its thread has ended", "it panicked or was closed");
        self.check().err().unwrap_or_else(|| stopped().error())
    }
}
