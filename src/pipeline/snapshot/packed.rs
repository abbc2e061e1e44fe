//! Items of a long list, held in as few bytes as they take.

use std::ops::Range;

use crate::source::connect::Item;

/// Items, one behind the other in one text: none has memory of its own for each of its texts.
#[derive(Debug, Default)]
pub(super) struct Packed {
    text: Vec<u8>,
}

/// Where an item lies.
pub(super) type Slot = Range<usize>;

impl Packed {
    /// Adds an item.
    pub(super) fn push(&mut self, item: &Item) -> Slot {
        let start = self.text.len();
        serde_json::to_writer(&mut self.text, item)
            .expect("texts and numbers are JSON, and memory takes all");
        start..self.text.len()
    }

    /// Unpacks items that were added here.
    pub(super) fn items(&self, slots: &[Slot]) -> Vec<Item> {
        let item = |slot: &Slot| serde_json::from_slice(&self.text[slot.clone()]);
        slots.iter().map(|slot| item(slot).expect("what was written here can be read: tested")).collect()
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
            prop_assert_eq!(packed.items(&slots), items);
        }
    }
}
