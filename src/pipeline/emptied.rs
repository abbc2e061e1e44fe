//! The memory of mapped pages, used again.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::graph::Records;

/// Pages whose memory waits, of all tenants: as many as may wait for one sink, which
/// takes several at once when it had to wait itself.
const MOST: usize = 4;

/// How much more memory than it needs a page may be given.
const ROOM: usize = 8;

/// Memory of mapped pages that the sinks are done with, for those to come. Clones share it.
///
/// Memory that is new for every page costs as much as mapping does, because the
/// system has to clear it.
#[derive(Clone, Default)]
pub struct Emptied(Arc<Mutex<Vec<Records>>>);

impl Emptied {
    /// Room for about so many bytes of records.
    pub(super) fn take(&self, bytes: usize) -> Records {
        let waiting = self.lock().pop();
        match waiting {
            Some(mut records) if records.capacity() <= ROOM * bytes => {
                records.clear();
                records
            }
            _ => Records::with_capacity(bytes),
        }
    }

    /// Keeps the memory of these records, unless enough of it is waiting.
    pub(super) fn put(&self, records: Records) {
        let mut waiting = self.lock();
        if waiting.len() < MOST {
            waiting.push(records);
        }
    }

    /// Gives back the memory that waits.
    pub fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Records>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Emptied {
    /// Never the records: they are somebody's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Emptied").field(&self.lock().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_much_waits_and_none_once_it_is_forgotten() {
        let emptied = Emptied::default();
        (0..2 * MOST).for_each(|_| emptied.put(Records::with_capacity(1000)));
        assert_eq!(emptied.lock().len(), MOST);
        emptied.clone().forget();
        assert_eq!(emptied.lock().len(), 0);
        assert!(emptied.take(10).capacity() < 100);
    }
}
