//! Vaults and items as they are at one moment: only what differs from the account as it began.

use std::collections::BTreeMap;

use crate::generate::{Cast, MOST_VAULTS};

/// Whether and how an item is in a vault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Presence {
    /// In use.
    #[default]
    Active,
    /// Put away; it can come back.
    Archived,
    /// Gone for good.
    Deleted,
    /// In another vault by now.
    Moved,
}

/// An item of a vault. The item as it began is the default one with its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ItemState {
    pub(crate) number: u64,
    /// What its version was raised by since it began.
    pub(crate) raised: u32,
    /// Edits since it began: which texts it tells.
    pub(crate) edits: u32,
    pub(crate) presence: Presence,
    /// Whether it was made after the account began: then its version began at 1, and this is when, nanoseconds.
    pub(crate) made: Option<i64>,
    /// When it last changed, nanoseconds, and by which user. `None`: as it began.
    pub(crate) changed: Option<(i64, u32)>,
}

impl ItemState {
    pub(crate) fn began(number: u64) -> ItemState {
        ItemState { number, ..ItemState::default() }
    }
}

/// A vault with its items. Cheap to keep: it grows with its changes, not with its items.
#[derive(Clone, Debug, Default)]
pub(crate) struct VaultState {
    pub(crate) at: u32,
    /// Active items.
    pub(crate) items: u64,
    /// What its two versions were raised by since it began.
    pub(crate) attributes_raised: u64,
    pub(crate) contents_raised: u64,
    /// Its name, when it was given another one.
    pub(crate) name: Option<String>,
    /// Whether and when it was made after the account began, nanoseconds.
    pub(crate) made: Option<i64>,
    /// When its attributes last changed, nanoseconds.
    pub(crate) changed: Option<i64>,
    /// Items that are not as they began, by number.
    pub(crate) differing: BTreeMap<u64, ItemState>,
}

impl VaultState {
    /// Returns a vault as it began.
    pub(crate) fn began(at: u32, cast: &Cast) -> VaultState {
        debug_assert!(at < MOST_VAULTS);
        VaultState { at, items: cast.items.count(at as usize), ..VaultState::default() }
    }

    /// Returns an item that is here, whether it is active or was put away.
    pub(crate) fn item(&self, number: u64, cast: &Cast) -> Option<ItemState> {
        let state = self
            .differing
            .get(&number)
            .copied()
            .or_else(|| cast.items.is_in(number, self.at as usize).then(|| ItemState::began(number)))?;
        (state.presence != Presence::Moved).then_some(state)
    }

    /// Returns how many places [`place`](Self::place) knows.
    pub(crate) fn places(&self, cast: &Cast) -> u64 {
        cast.items.count(self.at as usize) + self.later(cast).count() as u64
    }

    /// Returns the item in one place, if there is still one.
    pub(crate) fn place(&self, at: u64, cast: &Cast) -> Option<ItemState> {
        let began = cast.items.count(self.at as usize);
        let number = match at.checked_sub(began) {
            None => cast.items.in_place(self.at as usize, at),
            Some(nth) => self.later(cast).nth(nth as usize)?,
        };
        self.item(number, cast)
    }

    /// Returns every item, active or put away: those from the beginning in their order, then the others.
    pub(crate) fn all<'a>(&'a self, cast: &'a Cast) -> impl Iterator<Item = ItemState> + 'a {
        let began = cast.items.of_vault(self.at as usize);
        began.chain(self.later(cast)).filter_map(|number| self.item(number, cast))
    }

    /// Returns the numbers of the items that were not here from the beginning.
    pub(crate) fn later<'a>(&'a self, cast: &'a Cast) -> impl Iterator<Item = u64> + 'a {
        self.differing.keys().copied().filter(|number| !cast.items.is_in(*number, self.at as usize))
    }
}
