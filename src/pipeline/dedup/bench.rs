//! The door of the benches into dedup.

use std::fmt;

use opgraph_state::{Fingerprint, Store, StoreError};

use super::Memory;
use crate::stream::{Events, Stream};

/// What dedup remembers, and the stream that is read.
pub struct Remembered(Memory, Stream);

impl Remembered {
    /// Remembers the newest `recent` ids of what is to come.
    pub fn new(stream: Stream, recent: usize) -> Remembered {
        Remembered(Memory::new(recent), stream)
    }

    /// Reads back what is remembered during a rewind: the whole horizon.
    ///
    /// # Errors
    ///
    /// If the state cannot be read.
    pub async fn recalled<T: Store>(
        store: &T,
        tenant: &str,
        stream: Stream,
        recent: usize,
    ) -> Result<Remembered, StoreError> {
        let mut memory = Memory::new(recent);
        memory.recall(store, tenant, stream).await?;
        Ok(Remembered(memory, stream))
    }

    /// Drops the events that were seen; answers the ids of the others.
    pub fn pass(&mut self, events: &mut Events) -> Vec<Fingerprint> {
        self.0.pass(self.1, None, events)
    }

    /// How many ids are remembered, and the bytes that takes.
    pub fn size(&self) -> (usize, usize) {
        self.0.size()
    }
}

impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Remembered").field(&self.size()).finish()
    }
}
