//! The inventory: which vaults and items were listed last and acknowledged by
//! every sink, and which a sink may have got before a crash.

use serde::{Deserialize, Serialize};

use crate::UnixMs;

/// A vault as it was when it was last listed and every sink had what it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedVault {
    /// Its id.
    pub id: String,
    /// The version of its own properties, as the lister numbers them.
    #[serde(default)]
    pub attribute_version: Option<u64>,
    /// The version of what is in it. Only together with this are all its items
    /// known: `None` while they have not all been acknowledged.
    #[serde(default)]
    pub content_version: Option<u64>,
    /// Whether the items' details were opened.
    #[serde(default)]
    pub details: bool,
    /// How many complete lists in a row did not name it.
    #[serde(default)]
    pub missing: u32,
    /// When it was last counted as not named, by the wall clock.
    #[serde(default)]
    pub missing_at: Option<UnixMs>,
    /// Items were found to be gone from it. Until that is committed, a sink may
    /// have lost records of items that are still known here.
    #[serde(default)]
    pub removing: bool,
}

/// An item as it was when it was last listed and every sink had it, or one that is only announced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedItem {
    /// The vault it is in.
    pub vault: String,
    /// Its id.
    pub id: String,
    /// Its version, as the lister numbers it.
    pub version: u64,
    /// Whether its detail was opened.
    #[serde(default)]
    pub details: bool,
}

impl ListedItem {
    /// An item that no sink has acknowledged: whether one has its record, nobody knows.
    pub fn announced(vault: &str, id: &str) -> ListedItem {
        ListedItem { vault: vault.to_owned(), id: id.to_owned(), version: u64::MAX, details: false }
    }

    /// Whether every sink had this item when it was stored.
    pub fn is_acknowledged(&self) -> bool {
        self.version != u64::MAX
    }
}

/// A change of the inventory. An item is known by its vault and its id: while
/// it is moved, two vaults may list it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InventoryChange {
    /// A vault was listed.
    Vault(ListedVault),
    /// A vault is no more. Its items go by themselves, before it.
    VaultGone {
        /// Its id.
        vault: String,
    },
    /// An item was listed.
    Item(ListedItem),
    /// An item is no more in this vault.
    ItemGone {
        /// The vault's id.
        vault: String,
        /// The item's id.
        item: String,
    },
}
