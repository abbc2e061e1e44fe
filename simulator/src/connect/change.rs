//! What can change in the account: one change at a time, ordered or rolled.

use serde::{Deserialize, Serialize};

/// A change of the account's vaults and items, by their ids. In JSON, the body of `POST /change`:
/// `{"change":"move_item","vault":"…","item":"…","to_vault":"…"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// Makes an item.
    CreateItem {
        /// In this vault.
        vault: String,
    },
    /// Gives an active item other texts.
    EditItem {
        /// The vault it is in.
        vault: String,
        /// The item.
        item: String,
    },
    /// Puts an active item away.
    ArchiveItem {
        /// The vault it is in.
        vault: String,
        /// The item.
        item: String,
    },
    /// Makes an archived item active again.
    RestoreItem {
        /// The vault it is in.
        vault: String,
        /// The item.
        item: String,
    },
    /// Puts an active item into another vault, where it keeps its id.
    ///
    /// No source says whether the id stays; one that stays is the harder case.
    MoveItem {
        /// The vault it is in.
        vault: String,
        /// The item.
        item: String,
        /// The vault it goes to.
        to_vault: String,
    },
    /// Deletes an item, active or archived, for good.
    DeleteItem {
        /// The vault it is in.
        vault: String,
        /// The item.
        item: String,
    },
    /// Makes an empty vault.
    CreateVault,
    /// Gives a vault another name.
    RenameVault {
        /// The vault.
        vault: String,
        /// The name.
        name: String,
    },
    /// Deletes a vault with everything in it.
    DeleteVault {
        /// The vault.
        vault: String,
    },
    /// Makes changes of every sort, rolled from the seed and the number of changes so far.
    Any {
        /// How many.
        n: u64,
    },
}

/// Why the account could not change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// There is no such vault, or no longer.
    #[error("there is no vault {0}")]
    NoVault(String),
    /// The vault has no such item, or not in the state that the change needs.
    #[error("the vault has no item {0} to which that can be done")]
    NoItem(String),
    /// No account has more vaults than this (2^20).
    #[error("there are too many vaults")]
    TooManyVaults,
}
