//! The items of the account: numbered, each in one vault, its id leading back to its number.

use super::uuid::Numbered;
use crate::mix::Dice;

/// Which items there are, and where. Nothing is kept of an item but that it has a number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Items {
    ids: Numbered,
    vaults: u64,
    each: u64,
}

impl Items {
    /// Puts `each` items into every vault; the last one of several stays empty.
    pub(crate) fn new(seed: u64, vaults: u32, each: u32) -> Items {
        Items {
            ids: Numbered::new(seed ^ 0x6974_656d),
            vaults: u64::from(vaults.max(1)),
            each: u64::from(each),
        }
    }

    /// Returns the id of an item, there or deleted.
    pub(crate) fn id(&self, number: u64) -> String {
        self.ids.of(number).iter().map(|byte| char::from(byte.to_ascii_lowercase())).collect()
    }

    /// Returns the vault an item is in, or was.
    pub(crate) fn vault_of(&self, number: u64) -> usize {
        (number % self.vaults) as usize
    }

    /// Returns the number of the active item with this lower-case id.
    pub(crate) fn number_of(&self, id: &str) -> Option<u64> {
        let number = self.ids.number_of(id.to_ascii_uppercase().as_bytes())?;
        (number / self.vaults < self.count(self.vault_of(number))).then_some(number)
    }

    /// Returns how many active items a vault holds.
    pub(crate) fn count(&self, vault: usize) -> u64 {
        let is_empty = self.vaults > 1 && vault as u64 + 1 == self.vaults;
        if is_empty { 0 } else { self.each }
    }

    /// Returns the numbers of a vault's active items.
    pub(crate) fn of_vault(&self, vault: usize) -> impl Iterator<Item = u64> + use<> {
        let vaults = self.vaults;
        (0..self.count(vault)).map(move |slot| slot * vaults + vault as u64)
    }

    /// Picks an item that an event names; one in fifty was deleted since, and so was what the empty vault held.
    pub(crate) fn pick(&self, dice: &mut Dice) -> u64 {
        let all = self.vaults * self.each.max(1);
        let number = dice.below(all as usize) as u64;
        if dice.chance(2) { number + all } else { number }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_leads_back_to_its_item_while_it_is_there() {
        let items = Items::new(7, 3, 5);
        let all: Vec<u64> = (0..3).flat_map(|vault| items.of_vault(vault)).collect();
        assert_eq!(all, [0, 3, 6, 9, 12, 1, 4, 7, 10, 13], "the last vault is empty");
        for number in 0..40 {
            let active = all.contains(&number);
            assert_eq!(items.number_of(&items.id(number)), active.then_some(number));
        }
        assert_eq!(items.number_of(&Items::new(8, 3, 5).id(0)), None, "another account's");
        assert_eq!(Items::new(7, 1, 5).of_vault(0).count(), 5);
    }
}
