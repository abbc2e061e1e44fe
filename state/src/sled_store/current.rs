//! The open database, as the threads of a store share it.

use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use super::{failure::Poison, trees::Trees};
use crate::StoreError;

/// The trees; none while the database is closed and opened again.
///
/// Who reads holds it for as long as that takes; the committer takes it for
/// itself while it applies a transaction, so that no read sees half of one.
pub(super) struct Current(RwLock<Option<Trees>>);

impl Current {
    pub(super) fn new(trees: Trees) -> Current {
        Current(RwLock::new(Some(trees)))
    }

    /// Reads while nothing is applied.
    pub(super) fn read<T>(
        &self,
        poison: &Poison,
        read: impl FnOnce(&Trees) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        // It may have failed while this waited.
        poison.check()?;
        current.as_ref().map_or_else(|| Err(poison.or_stopped()), read)
    }

    /// Keeps everybody else away.
    pub(super) fn alone(&self) -> RwLockWriteGuard<'_, Option<Trees>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
