//! What Connect was asked and what it listed: all that the oracle knows of a client's view.
//!
//! A client that removes must be as careful as this: an item is gone when a complete list of its vault lacks it, a
//! vault when two complete lists in a row lack it; an empty list where there was something is not believed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::state::{ItemState, VaultState};
use crate::{ConnectReport, route::ConnectCall};

/// How many lists of vaults in a row must lack a vault before it counts as gone.
const LISTS_WITHOUT: u32 = 2;

/// What an answer shows.
#[derive(Clone, Debug)]
pub(crate) enum Shown {
    /// Every vault that the token may read.
    Vaults(Vec<Arc<VaultState>>),
    /// A vault's items.
    Items(Arc<VaultState>),
    /// No vault at all, whatever there is.
    NoVaults,
    /// No item of a vault, whatever there is.
    NoItems(u32),
    /// One item of a vault in full.
    Detail(u32, ItemState),
}

/// What Connect last listed. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listed {
    pub(crate) vaults: BTreeMap<u32, ListedVault>,
    /// By number, where the item was and how, when it was last told in full.
    pub(crate) details: Arc<HashMap<u64, (u32, ItemState), foldhash::fast::FixedState>>,
}

/// A vault that was listed.
#[derive(Clone, Debug)]
pub(crate) struct ListedVault {
    /// The vault when it was last listed.
    pub(crate) vault: Arc<VaultState>,
    /// The vault when its items were last listed.
    pub(crate) items: Option<Arc<VaultState>>,
    /// Lists in a row that lacked it.
    missing: u32,
}

impl Listed {
    /// Takes in an answer that was sent to its end.
    pub(crate) fn note(&mut self, shown: Shown) {
        match shown {
            Shown::Vaults(vaults) => self.note_vaults(vaults),
            Shown::Items(vault) => {
                let is_empty = vault.items == 0;
                self.note_items(vault.at, Some(vault), is_empty);
            }
            Shown::NoVaults => {}
            Shown::NoItems(at) => self.note_items(at, None, true),
            Shown::Detail(at, item) => {
                Arc::make_mut(&mut self.details).insert(item.number, (at, item));
            }
        }
    }

    fn note_vaults(&mut self, vaults: Vec<Arc<VaultState>>) {
        if vaults.is_empty() {
            return;
        }
        for known in self.vaults.values_mut() {
            known.missing += 1;
        }
        for vault in vaults {
            let known = self.vaults.entry(vault.at).or_insert_with(|| ListedVault {
                vault: Arc::clone(&vault),
                items: None,
                missing: 0,
            });
            *known = ListedVault { vault, missing: 0, items: known.items.take() };
        }
        self.vaults.retain(|_, known| known.missing < LISTS_WITHOUT);
    }

    fn note_items(&mut self, at: u32, items: Option<Arc<VaultState>>, is_empty: bool) {
        if let Some(known) = self.vaults.get_mut(&at)
            && !(is_empty && known.vault.items > 0)
        {
            known.items = items;
        }
    }
}

/// What was asked and what was listed.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) listed: Listed,
    pub(crate) asked: ConnectReport,
}

impl Ledger {
    /// Counts a request, whatever becomes of it.
    pub(crate) fn count(&mut self, call: &ConnectCall) {
        let asked = &mut self.asked;
        match call {
            ConnectCall::Vaults => asked.vault_lists += 1,
            ConnectCall::Vault(_) => asked.vaults += 1,
            ConnectCall::Items(vault) => {
                asked.item_lists += 1;
                *asked.item_lists_by_vault.entry(vault.clone()).or_default() += 1;
            }
            ConnectCall::Item(vault, _) => {
                asked.details += 1;
                *asked.details_by_vault.entry(vault.clone()).or_default() += 1;
            }
            _ => {}
        }
    }
}
