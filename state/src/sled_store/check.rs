//! Reading the ids through, right behind a start.
//!
//! The open leaves them out, because a start does not depend on them: whoever
//! reads some compares them then. This finds damage in what nobody reads, so
//! that it does not lie there until a rewind needs it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Instant,
};

use tokio::sync::watch;

use super::{current::Current, failure::Poison, hours};
use crate::StoreError;

/// How much longer than an hour took it waits before the next one: those that
/// have something to do at a start have the processor first.
const PAUSE: u32 = 3;

/// The state of the thread.
pub(super) struct Check {
    pub(super) current: Arc<Current>,
    pub(super) poison: Poison,
    /// Disconnected when the store is closed: what is left is checked behind the next start.
    pub(super) closing: Receiver<()>,
    pub(super) done: watch::Sender<bool>,
}

impl Check {
    /// Reads every hour once. Between two of them commits and reads have their turn.
    pub(super) fn run(self) {
        let mut last = Vec::new();
        while self.poison.check().is_ok() {
            let begun = Instant::now();
            let next = self.current.read(&self.poison, |trees| {
                catch_unwind(AssertUnwindSafe(|| hours::check_next(trees, &last))).unwrap_or_else(|_| {
                    let what = "the database panicked while its ids were read".to_owned();
                    Err(StoreError::Damaged { what })
                })
            });
            match next {
                Ok(Some(hour)) => last = hour,
                Ok(None) => break,
                Err(error) => {
                    self.poison.found(error);
                    break;
                }
            }
            if self.closing.recv_timeout(PAUSE * begun.elapsed()) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
        self.done.send_replace(true);
    }
}
