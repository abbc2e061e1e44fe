//! Letting go of ids that no rewind can reach.

use std::{collections::HashMap, time::Duration};

use super::{overlay::Overlay, rows, trees::Tree};
use crate::{Checkpoint, StoreError, seen::oldest_hour_kept};

/// Rows that one commit removes at most, beyond twice what it adds: it always
/// removes more than it adds, and never holds the other tenants up for long.
const ROWS: usize = 64;

/// Remembers how far each stream was swept, so that only a commit that moves
/// the limit looks for rows. What is forgotten at a restart costs one look.
pub(super) struct Pruning {
    horizon: Duration,
    swept: HashMap<Vec<u8>, i64>,
}

/// A sweep that is part of a draft.
pub(super) struct Sweep {
    stream: Vec<u8>,
    /// Nothing from before this hour is left; `None` if something may be.
    done_to: Option<i64>,
}

impl Pruning {
    pub(super) fn new(horizon: Duration) -> Pruning {
        Pruning { horizon, swept: HashMap::new() }
    }

    /// Removes a stream's oldest rows, as far as `checkpoint` (the one after the
    /// commit) allows. `stream` is the key of the stream, `added` how many rows
    /// the commit adds and `arrival` the hour they are filed under.
    pub(super) fn sweep(
        &self,
        overlay: &mut Overlay<'_>,
        stream: Vec<u8>,
        checkpoint: &Checkpoint,
        added: usize,
        arrival: i64,
    ) -> Result<Option<Sweep>, StoreError> {
        let Some(oldest) = oldest_hour_kept(checkpoint, self.horizon) else { return Ok(None) };
        if self.swept.get(&stream) == Some(&oldest) && arrival >= oldest {
            return Ok(None);
        }
        let limit = ROWS + 2 * added;
        let keys = overlay.first_keys(Tree::Seen, &stream, &rows::seen_hour(&stream, oldest), limit)?;
        let done_to = (keys.len() < limit).then_some(oldest);
        for key in keys {
            overlay.remove_row(Tree::Seen, key);
        }
        Ok(Some(Sweep { stream, done_to }))
    }

    /// Remembers a sweep whose draft was accepted.
    pub(super) fn swept(&mut self, sweep: Sweep) {
        match sweep.done_to {
            Some(hour) => self.swept.insert(sweep.stream, hour),
            None => self.swept.remove(&sweep.stream),
        };
    }
}
