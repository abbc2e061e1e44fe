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

    /// Returns the id of an item, there or not.
    pub(crate) fn id(&self, number: u64) -> String {
        self.ids.lower(number)
    }

    /// Returns the vault an item that was there from the start is in, or was.
    pub(crate) fn vault_of(&self, number: u64) -> usize {
        (number % self.vaults) as usize
    }

    /// Returns the number of the item with this lower-case id, there or not.
    pub(crate) fn number_of(&self, id: &str) -> Option<u64> {
        self.ids.lower_number_of(id)
    }

    /// Whether a vault holds this item from the start.
    pub(crate) fn is_in(&self, number: u64, vault: usize) -> bool {
        number % self.vaults == vault as u64 && number / self.vaults < self.count(vault)
    }

    /// Returns how many active items a vault holds from the start; a vault that was made later holds none.
    pub(crate) fn count(&self, vault: usize) -> u64 {
        let is_last = self.vaults > 1 && vault as u64 + 1 == self.vaults;
        if is_last || vault as u64 >= self.vaults { 0 } else { self.each }
    }

    /// Returns the number of the `nth` item that is made later, from 0. No event names it.
    pub(crate) fn later(&self, nth: u64) -> u64 {
        2 * self.vaults * self.each.max(1) + nth
    }

    /// Returns the numbers of a vault's active items.
    pub(crate) fn of_vault(&self, vault: usize) -> impl Iterator<Item = u64> + use<> {
        let vaults = self.vaults;
        (0..self.count(vault)).map(move |slot| slot * vaults + vault as u64)
    }

    /// Returns the number in one place of a vault that is below its [`count`](Self::count).
    pub(crate) fn in_place(&self, vault: usize, slot: u64) -> u64 {
        slot * self.vaults + vault as u64
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
    fn an_id_leads_back_to_its_item_and_the_item_to_its_vault() {
        let items = Items::new(7, 3, 5);
        let all: Vec<u64> = (0..3).flat_map(|vault| items.of_vault(vault)).collect();
        assert_eq!(all, [0, 3, 6, 9, 12, 1, 4, 7, 10, 13], "the last vault is empty");
        for number in 0..40 {
            assert_eq!(items.number_of(&items.id(number)), Some(number));
            let holders: Vec<usize> = (0..5).filter(|vault| items.is_in(number, *vault)).collect();
            let home = all.contains(&number).then(|| items.vault_of(number));
            assert_eq!(holders, home.into_iter().collect::<Vec<_>>());
        }
        assert_eq!(items.number_of(&items.id(3).to_uppercase()), None, "an id in another case is another id");
        assert!((0..1000).all(|seed| items.pick(&mut Dice::new(seed)) < items.later(0)));
        assert_eq!(items.number_of(&Items::new(8, 3, 5).id(0)), None, "another account's");
        assert_eq!(Items::new(7, 1, 5).of_vault(0).count(), 5);
    }
}
