//! Items of a long list, held in as few bytes as they take, and no longer than they are needed.

use crate::source::connect::Item;

/// From this size on, a stretch is followed by another. Large enough for the
/// allocator to give it back to the system when it is freed.
const STRETCH: usize = 256 * 1024;

/// Items, one behind the other in a few texts: none has memory of its own for each of its texts.
#[derive(Debug, Default)]
pub(super) struct Packed {
    stretches: Vec<Vec<u8>>,
}

/// Where an item lies. In the order in which they were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    stretch: u32,
    start: u32,
    end: u32,
}

fn small(number: usize) -> u32 {
    number.try_into().expect("a list of less than 4 GB: it is in memory")
}

impl Packed {
    /// Adds an item.
    pub(super) fn push(&mut self, item: &Item) -> Slot {
        self.add(|stretch| {
            serde_json::to_writer(stretch, item).expect("texts and numbers are JSON, and memory takes all");
        })
    }

    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Slot {
        if self.stretches.last().is_none_or(|stretch| stretch.len() >= STRETCH) {
            self.stretches.push(Vec::with_capacity(STRETCH));
        }
        let number = self.stretches.len() - 1;
        let stretch = &mut self.stretches[number];
        let start = stretch.len();
        write(stretch);
        Slot { stretch: small(number), start: small(start), end: small(stretch.len()) }
    }

    /// Puts items into another order, and leaves out all that are not named.
    pub(super) fn sorted(self, slots: impl IntoIterator<Item = Slot>) -> (Packed, Vec<Slot>) {
        let mut sorted = Packed::default();
        let copied = |slot| sorted.add(|stretch| stretch.extend_from_slice(self.text(slot)));
        let slots = slots.into_iter().map(copied).collect();
        (sorted, slots)
    }

    fn text(&self, Slot { stretch, start, end }: Slot) -> &[u8] {
        &self.stretches[stretch as usize][start as usize..end as usize]
    }

    /// Unpacks items, in the order in which they were added here, and lets go of
    /// all that lies before the last of them.
    pub(super) fn take(&mut self, slots: &[Slot]) -> Vec<Item> {
        let item = |slot: &Slot| serde_json::from_slice(self.text(*slot));
        let items = slots.iter().map(|slot| item(slot).expect("what was written here can be read: tested"));
        let items = items.collect();
        if let Some(last) = slots.last() {
            self.stretches[..last.stretch as usize].fill_with(Vec::new);
        }
        items
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option::of, prelude::*};

    use super::*;

    fn items() -> impl Strategy<Value = Item> {
        let texts = (any::<String>(), vec(of(any::<String>()), 6), of(vec(any::<String>(), 0..3)));
        (texts, of(any::<u64>()), of(any::<bool>())).prop_map(|((id, mut texts, tags), version, favorite)| {
            let mut text = || texts.pop().flatten();
            let (title, category, state) = (text(), text(), text());
            let (created_at, updated_at, last_edited_by) = (text(), text(), text());
            Item {
                id,
                title,
                category,
                favorite,
                tags,
                version,
                state,
                created_at,
                updated_at,
                last_edited_by,
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_the_same(items in vec(items(), 0..5)) {
            let mut packed = Packed::default();
            let slots: Vec<Slot> = items.iter().map(|item| packed.push(item)).collect();
            prop_assert!(slots.is_sorted());
            let (mut backwards, there) = packed.sorted(slots.into_iter().rev());
            prop_assert!(there.is_sorted());
            let items: Vec<Item> = items.into_iter().rev().collect();
            prop_assert_eq!(backwards.take(&there), items);
        }
    }

    #[test]
    fn what_has_been_taken_is_let_go_of() {
        let item = Item { title: Some("x".repeat(STRETCH / 4)), ..Item::default() };
        let mut packed = Packed::default();
        let slots: Vec<Slot> = (0..20).map(|_| packed.push(&item)).collect();
        let held = |packed: &Packed| packed.stretches.iter().map(Vec::capacity).sum::<usize>();
        let all = held(&packed);
        for (taken, some) in slots.chunks(4).enumerate() {
            assert_eq!(packed.take(some), vec![item.clone(); some.len()]);
            assert!(held(&packed) <= all - taken * STRETCH, "{taken}");
        }
    }
}
