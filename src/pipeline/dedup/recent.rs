//! The newest ids, in 21 bytes each.

use opgraph_state::Fingerprint;

/// The newest ids, up to a fixed number: a ring of ids, and an index of where
/// in the ring each is. 16 and 5 bytes an id when it is full; memory comes with
/// the ids, by doubling, and there is none without any.
///
/// The index is a table with linear probing in which whoever is further from
/// home goes first (Robin Hood hashing): probes stay short at a load of 4/5, and
/// what is taken out leaves no gap behind, so the table is never tidied.
#[derive(Debug)]
pub(super) struct Recent {
    pub(super) ring: Vec<Fingerprint>,
    oldest: usize,
    pub(super) most: usize,
    slots: Box<[Slot]>,
    /// Decides about homes; another one when too many have the same.
    seed: u64,
}

/// Where an id lies in the ring (18 bits), how far the slot is from the id's
/// home (7 bits), and some bits of the id, so that the ring need not be looked
/// at for most of the others (7 bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot(u32);

/// The most ids: as many as a slot can name.
const MOST: usize = 1 << 18;
/// The ids for which there is memory at first.
const FIRST: usize = 64;
/// The furthest from home. At the load that there is nobody gets there; should
/// it happen all the same, everybody moves.
const FURTHEST: u32 = 126;

impl Slot {
    /// Further from home than anybody is.
    const EMPTY: Slot = Slot(u32::MAX);
    const STEP: u32 = 1 << 7;

    fn new(place: usize, tag: u32) -> Slot {
        Slot((place as u32) << 14 | tag)
    }

    fn place(self) -> usize {
        (self.0 >> 14) as usize
    }

    fn distance(self) -> u32 {
        self.0 >> 7 & 0x7f
    }

    fn tag(self) -> u32 {
        self.0 & 0x7f
    }

    fn further(self) -> Slot {
        Slot(self.0 + Slot::STEP)
    }

    fn nearer(self) -> Slot {
        Slot(self.0 - Slot::STEP)
    }
}

/// A fingerprint is a hash already.
fn tag(id: Fingerprint) -> u32 {
    id.0 as u32 & 0x7f
}

impl Recent {
    /// Remembers at most so many.
    pub(super) fn new(most: usize) -> Recent {
        Recent { ring: Vec::new(), oldest: 0, most: most.clamp(1, MOST), slots: Box::default(), seed: 0 }
    }

    /// How many ids there are.
    pub(super) fn len(&self) -> usize {
        self.ring.len()
    }

    /// The bytes that they take.
    pub(super) fn bytes(&self) -> usize {
        self.ring.capacity() * size_of::<Fingerprint>() + size_of_val(&*self.slots)
    }

    /// All of them, in no order.
    pub(super) fn ids(&self) -> &[Fingerprint] {
        &self.ring
    }

    /// Whether the id is known.
    pub(super) fn contains(&self, id: Fingerprint) -> bool {
        self.find(id, |recent, slot| recent.ring[slot.place()] == id).is_some()
    }

    /// Remembers an id, forgetting the oldest if need be; false if it is known.
    pub(super) fn insert(&mut self, id: Fingerprint) -> bool {
        if self.contains(id) {
            return false;
        }
        let place = if self.ring.len() < self.most {
            if self.ring.len() == self.ring.capacity() {
                self.grow();
            }
            self.ring.push(id);
            self.ring.len() - 1
        } else {
            let place = self.oldest;
            self.forget(place);
            self.ring[place] = id;
            self.oldest = (place + 1) % self.most;
            place
        };
        if !self.index(place) {
            self.move_all();
            self.rebuild(self.slots.len());
        }
        true
    }

    fn home(&self, id: Fingerprint) -> usize {
        let halves = [id.0 as u64 ^ self.seed, (id.0 >> 64) as u64];
        let product = u128::from(halves[0]) * u128::from(halves[1]);
        let mixed = (product >> 64) as u32 ^ product as u32 ^ (product >> 32) as u32;
        ((u64::from(mixed) * self.slots.len() as u64) >> 32) as usize
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }

    /// The slot of an id that `is` says is the one.
    fn find(&self, id: Fingerprint, is: impl Fn(&Recent, Slot) -> bool) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let (mut at, mut far, tag) = (self.home(id), 0, tag(id));
        loop {
            let slot = self.slots[at];
            // Whoever is nearer to home than we are would have made room for us.
            if slot == Slot::EMPTY || slot.distance() < far {
                return None;
            }
            if slot.tag() == tag && is(self, slot) {
                return Some(at);
            }
            (at, far) = (self.after(at), far + 1);
        }
    }

    /// Enters a place of the ring into the index; false if there is no room near its home.
    fn index(&mut self, place: usize) -> bool {
        let id = self.ring[place];
        let (mut at, mut slot) = (self.home(id), Slot::new(place, tag(id)));
        loop {
            let there = self.slots[at];
            if there == Slot::EMPTY {
                self.slots[at] = slot;
                return true;
            }
            if there.distance() < slot.distance() {
                self.slots[at] = slot;
                slot = there;
            }
            if slot.distance() == FURTHEST {
                return false;
            }
            (at, slot) = (self.after(at), slot.further());
        }
    }

    /// Takes a place of the ring out of the index; those behind it move up.
    fn forget(&mut self, place: usize) {
        let Some(mut at) = self.find(self.ring[place], |_, slot| slot.place() == place) else { return };
        loop {
            let next = self.after(at);
            let slot = self.slots[next];
            if slot == Slot::EMPTY || slot.distance() == 0 {
                self.slots[at] = Slot::EMPTY;
                return;
            }
            self.slots[at] = slot.nearer();
            at = next;
        }
    }

    /// Makes room for twice as many ids.
    fn grow(&mut self) {
        let room = (2 * self.ring.len()).clamp(FIRST.min(self.most), self.most);
        self.ring.reserve_exact(room - self.ring.len());
        self.rebuild(room * 5 / 4 + 1);
    }

    /// Makes the index anew, with so many slots.
    fn rebuild(&mut self, slots: usize) {
        loop {
            self.slots = vec![Slot::EMPTY; slots].into();
            if (0..self.ring.len()).all(|place| self.index(place)) {
                return;
            }
            self.move_all();
        }
    }

    /// Gives everybody another home.
    fn move_all(&mut self) {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    /// Every id is found where it is, and nobody else is in the index.
    fn is_whole(recent: &Recent) -> bool {
        let indexed = recent.slots.iter().filter(|slot| **slot != Slot::EMPTY).count();
        let found =
            |(place, id): (usize, &Fingerprint)| recent.find(*id, |_, slot| slot.place() == place).is_some();
        indexed == recent.len() && recent.ring.iter().enumerate().all(found)
    }

    /// Ids with few homes between them, so that they are in each other's way.
    fn crowded() -> impl Strategy<Value = u128> {
        (0u128..40, 0u128..4, 0u128..3).prop_map(|(id, home, tag)| id << 64 | home << 20 | tag)
    }

    proptest! {
        #[test]
        fn the_newest_ids_are_remembered_and_no_others(
            most in 1usize..200,
            ids in prop::collection::vec(prop_oneof![0u128..40, crowded(), any::<u128>()], 0..600),
        ) {
            let mut recent = Recent::new(most);
            let mut model: VecDeque<u128> = VecDeque::new();
            for id in ids {
                let new = !model.contains(&id);
                prop_assert_eq!(recent.insert(Fingerprint(id)), new);
                if new {
                    model.push_back(id);
                    if model.len() > most {
                        model.pop_front();
                    }
                }
                prop_assert_eq!(recent.len(), model.len());
                prop_assert!(recent.contains(Fingerprint(id)));
            }
            prop_assert!(is_whole(&recent));
        }
    }

    #[test]
    fn two_hundred_ids_of_one_home_are_all_remembered() {
        let mut recent = Recent::new(200);
        for round in 0..3 {
            for id in 0..200u128 {
                assert_eq!(recent.insert(Fingerprint(id << 64)), round == 0, "{id}");
            }
        }
        assert!(is_whole(&recent));
    }

    #[test]
    fn an_id_takes_21_bytes_when_all_are_there_and_none_takes_any() {
        let mut recent = Recent::new(MOST);
        assert_eq!(recent.bytes(), 0);
        for id in 0..3 * MOST as u32 {
            assert!(recent.insert(Fingerprint::of(&id.to_string())));
        }
        assert_eq!((recent.len(), recent.bytes() / MOST), (MOST, 21));
        assert!(is_whole(&recent));
        let furthest = recent.slots.iter().filter(|slot| **slot != Slot::EMPTY).map(|slot| slot.distance());
        assert!(furthest.max() < Some(FURTHEST / 2), "there is room to spare");
    }

    #[test]
    fn two_ids_that_share_half_their_bits_are_two_ids() {
        let mut recent = Recent::new(8);
        assert!(recent.insert(Fingerprint(1)));
        assert!(recent.insert(Fingerprint(1 | 1 << 100)));
        assert!(!recent.insert(Fingerprint(1)));
    }
}
