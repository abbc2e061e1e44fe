//! What bodies are packed with: how large they become, and whose memory it is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::allowance::{Allowance, Share};

/// Bytes on the wire after which a body is sent, where there is memory for such
/// bodies. A compressed one of the largest text has fewer; one that is sent as it
/// is would take as much memory as it has text, several times over.
pub(super) const ENOUGH: usize = 1_000_000;

/// Bytes on the wire that a body may have without asking: what most tenants have in a minute.
const FREE: usize = 32 << 10;

/// Bodies whose memory waits for those to come, of all tenants: as many as one has
/// in flight by default, because several are taken at once.
const EMPTIED: usize = 4;

/// How the bodies of a tenant are packed. Clones share the memory.
#[derive(Clone, Debug)]
pub struct Packing {
    enough: usize,
    /// Bytes of bodies that are being packed. Whoever gets none of it sends small bodies.
    half_full: Allowance,
    emptied: EmptiedBodies,
}

impl Default for Packing {
    /// For one tenant with memory to itself.
    fn default() -> Packing {
        Packing::new(EmptiedBodies::default(), ENOUGH, Allowance::alone(8 << 20))
    }
}

/// Memory of bodies that were taken, for those to come.
pub type EmptiedBodies = Arc<Mutex<Vec<Vec<u8>>>>;

impl Packing {
    /// Packs bodies of about so many bytes on the wire at most, as far as there is memory for them.
    pub fn new(emptied: EmptiedBodies, enough: usize, half_full: Allowance) -> Packing {
        Packing { enough: enough.clamp(FREE, ENOUGH), half_full, emptied }
    }

    /// Whether a body of so many bytes on the wire is sent, with this room or that it
    /// could still get.
    pub(super) fn is_enough(&self, on_wire: usize, room: &mut Option<Share>) -> bool {
        if on_wire > FREE && room.is_none() {
            *room = self.half_full.try_take(self.enough);
        }
        on_wire > if room.is_some() { self.enough } else { FREE }
    }

    /// Memory for a body: of one that was taken, or new.
    pub(super) fn take(&self) -> Vec<u8> {
        let fits = |memory: &Vec<u8>| memory.capacity() <= 2 * self.memory();
        self.lock().pop().filter(fits).unwrap_or_else(|| Vec::with_capacity(self.memory()))
    }

    /// Keeps the memory of a body that was taken.
    pub(super) fn put(&self, memory: Vec<u8>) {
        let mut waiting = self.lock();
        if waiting.len() < EMPTIED && memory.capacity() >= self.memory() {
            waiting.push(memory);
        }
    }

    /// What a body takes when nothing more comes into it: a stretch was tried that is no longer in it.
    fn memory(&self) -> usize {
        self.enough + FREE
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.emptied.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_small_while_there_is_no_memory_for_others() {
        let packing = Packing::new(EmptiedBodies::default(), 100_000, Allowance::alone(100_000));
        let (mut one, mut two) = (None, None);
        assert!(!packing.is_enough(FREE, &mut one) && one.is_none(), "so much needs no room");
        assert!(!packing.is_enough(100_000, &mut one) && one.is_some());
        assert!(packing.is_enough(100_001, &mut one));
        assert!(packing.is_enough(FREE + 1, &mut two) && two.is_none());
        one = None;
        assert!(!packing.is_enough(FREE + 1, &mut two) && one.is_none());
    }

    #[test]
    fn memory_is_used_again_and_only_so_much_waits() {
        let packing = Packing::default();
        (0..2 * EMPTIED).for_each(|_| packing.put(packing.take()));
        let memory: Vec<_> = (0..EMPTIED).map(|_| packing.take()).collect();
        assert_eq!(packing.lock().len(), 0);
        memory.into_iter().chain([Vec::with_capacity(2 * FREE)]).for_each(|memory| packing.put(memory));
        assert_eq!(packing.lock().len(), EMPTIED);
        // Who packs smaller bodies takes none that are many times as large.
        let small = Packing { enough: FREE, ..packing };
        assert!(small.take().capacity() <= 4 * FREE);
    }
}
