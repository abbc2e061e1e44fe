//! What a test does to the vaults and items that Connect tells.

use crate::{Change, ChangeError, connect::Presence, host::Host};

/// The vaults and items of a running simulator, to look at and to change. Looking counts as no request.
#[derive(Clone, Copy, Debug)]
pub struct Vaults<'a> {
    host: &'a Host,
}

impl<'a> Vaults<'a> {
    pub(crate) fn new(host: &'a Host) -> Vaults<'a> {
        Vaults { host }
    }

    /// Returns the ids of the vaults there are.
    pub fn vaults(&self) -> Vec<String> {
        let cast = &self.host.world.cast;
        let account = self.host.connect.account(self.host.now());
        account.vaults().map(|vault| cast.vault_id(vault.at).into_owned()).collect()
    }

    /// Returns the ids of a vault's active items, in the order of its list; none of a vault that is not there.
    pub fn items(&self, vault: &str) -> Vec<String> {
        let cast = &self.host.world.cast;
        let account = self.host.connect.account(self.host.now());
        let Some(vault) = account.vault(vault) else { return Vec::new() };
        let active = vault.all(cast).filter(|item| item.presence == Presence::Active);
        active.map(|item| cast.items.id(item.number)).collect()
    }

    /// Makes one change, now. Returns the id of the vault or item that it made, if it made one.
    pub fn apply(&self, change: &Change) -> Result<Option<String>, ChangeError> {
        let now = self.host.now();
        self.host.connect.account(now).apply(change, now)
    }

    /// Makes `n` changes of every sort, rolled from the seed and the number of changes so far.
    pub fn change(&self, n: u64) {
        // Rolled changes name nothing, so there is nothing to refuse.
        let _ = self.apply(&Change::Any { n });
    }

    /// Makes an item in a vault and returns its id.
    pub fn create_item(&self, vault: &str) -> Result<String, ChangeError> {
        let made = self.apply(&Change::CreateItem { vault: vault.to_owned() })?;
        Ok(made.unwrap_or_default())
    }

    /// Gives an item other texts.
    pub fn edit_item(&self, vault: &str, item: &str) -> Result<(), ChangeError> {
        self.on(vault, item, |vault, item| Change::EditItem { vault, item })
    }

    /// Archives an item.
    pub fn archive_item(&self, vault: &str, item: &str) -> Result<(), ChangeError> {
        self.on(vault, item, |vault, item| Change::ArchiveItem { vault, item })
    }

    /// Makes an archived item active again.
    pub fn restore_item(&self, vault: &str, item: &str) -> Result<(), ChangeError> {
        self.on(vault, item, |vault, item| Change::RestoreItem { vault, item })
    }

    /// Deletes an item for good.
    pub fn delete_item(&self, vault: &str, item: &str) -> Result<(), ChangeError> {
        self.on(vault, item, |vault, item| Change::DeleteItem { vault, item })
    }

    /// Puts an item into another vault, where it keeps its id.
    pub fn move_item(&self, vault: &str, item: &str, to_vault: &str) -> Result<(), ChangeError> {
        let to_vault = to_vault.to_owned();
        self.on(vault, item, |vault, item| Change::MoveItem { vault, item, to_vault })
    }

    /// Makes an empty vault and returns its id.
    pub fn create_vault(&self) -> Result<String, ChangeError> {
        Ok(self.apply(&Change::CreateVault)?.unwrap_or_default())
    }

    /// Gives a vault another name.
    pub fn rename_vault(&self, vault: &str, name: &str) -> Result<(), ChangeError> {
        let change = Change::RenameVault { vault: vault.to_owned(), name: name.to_owned() };
        self.apply(&change).map(drop)
    }

    /// Deletes a vault with everything in it.
    pub fn delete_vault(&self, vault: &str) -> Result<(), ChangeError> {
        self.apply(&Change::DeleteVault { vault: vault.to_owned() }).map(drop)
    }

    fn on(
        &self,
        vault: &str,
        item: &str,
        change: impl FnOnce(String, String) -> Change,
    ) -> Result<(), ChangeError> {
        self.apply(&change(vault.to_owned(), item.to_owned())).map(drop)
    }
}
