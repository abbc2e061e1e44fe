//! The items of a vault as one answer, made while it is sent: nothing holds all of it.

use std::sync::Arc;

use super::{
    Contents,
    state::{Presence, VaultState},
};

/// A list of a vault's items, not yet made.
#[derive(Debug)]
pub(crate) struct ItemList {
    pub(super) contents: Arc<Contents>,
    pub(super) vault: Arc<VaultState>,
    /// Only items with this title.
    pub(super) title: Option<String>,
    /// Whether items that were archived or deleted are listed too, each with its `state`.
    pub(super) with_trashed: bool,
}

impl ItemList {
    /// Returns the list as pieces of one JSON text. `when_made` runs just before the last one is handed out.
    pub(crate) fn pieces(self, when_made: impl FnOnce() + Send + 'static) -> impl Iterator<Item = Vec<u8>> {
        let cast = &self.contents.world.cast;
        let later: Vec<u64> = self.vault.later(cast).collect();
        let numbers = cast.items.of_vault(self.vault.at as usize).chain(later);
        let mut is_first = true;
        let items = numbers.filter_map(move |number| {
            let state = self.vault.item(number, &self.contents.world.cast)?;
            let item = self.contents.item(self.vault.at, &state);
            let is_listed = self.with_trashed || state.presence == Presence::Active;
            if !is_listed || self.title.is_some() && self.title != item.title {
                return None;
            }
            let mut piece = if is_first { vec![] } else { vec![b','] };
            is_first = false;
            // A struct of strings and numbers is always JSON.
            serde_json::to_writer(&mut piece, &item).ok()?;
            Some(piece)
        });
        let mut when_made = Some(when_made);
        let last = std::iter::once_with(move || {
            if let Some(when_made) = when_made.take() {
                when_made();
            }
            vec![b']']
        });
        std::iter::once(vec![b'[']).chain(items).chain(last)
    }

    /// Returns the whole list.
    pub(crate) fn whole(self) -> Vec<u8> {
        self.pieces(|| ()).flatten().collect()
    }
}
