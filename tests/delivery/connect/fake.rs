//! A lister that answers from memory, as it is told to.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use opgraph::{
    http::{Failure, Remedy},
    source::{
        Lister,
        connect::{Item, Labels, Vault},
    },
};
use tokio::sync::watch;

use crate::support::failure;

/// What Connect has, and how it answers.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) vaults: BTreeMap<String, (Vault, BTreeMap<String, Item>)>,
    /// Calls that fail, by their names: `vaults`, `items V`, `labels V I`.
    pub(super) fails: BTreeMap<String, Remedy>,
    /// Lists that are answered as they are here: ids of vaults, or of a vault's items.
    pub(super) vault_list: Option<Vec<Vault>>,
    pub(super) item_lists: BTreeMap<String, Vec<Item>>,
    pub(super) calls: Vec<String>,
}

/// A scripted lister. Clones share the account.
#[derive(Clone, Debug)]
pub(super) struct Fake {
    account: Arc<Mutex<Account>>,
    /// Counts the steps taken, for a test that ends the run at one of them.
    pub(super) steps: Arc<watch::Sender<u64>>,
    /// The step at which nothing more is answered.
    pub(super) stands_at: Arc<Mutex<Option<u64>>>,
}

impl Default for Fake {
    fn default() -> Fake {
        Fake { account: Arc::default(), steps: Arc::new(watch::channel(0).0), stands_at: Arc::default() }
    }
}

/// The labels of every item tell its id.
pub(super) fn labels(item: &str) -> Labels {
    Labels { sections: vec![format!("section of {item}")], files: vec![format!("{item}.pem")] }
}

pub(super) fn item(id: &str, version: u64) -> Item {
    Item {
        id: id.to_owned(),
        title: Some(format!("Title {id} {version}")),
        category: Some("LOGIN".to_owned()),
        version: Some(version),
        created_at: Some("2026-01-01T00:00:00Z".to_owned()),
        ..Item::default()
    }
}

impl Fake {
    pub(super) fn with<R>(&self, change: impl FnOnce(&mut Account) -> R) -> R {
        change(&mut self.account.lock().unwrap())
    }

    pub(super) fn forget_calls(&self) {
        self.with(|account| account.calls.clear());
    }

    pub(super) fn calls(&self) -> Vec<String> {
        self.with(|account| account.calls.clone())
    }

    /// How many calls begin like this.
    pub(super) fn count(&self, start: &str) -> usize {
        self.calls().iter().filter(|call| call.starts_with(start)).count()
    }

    async fn step(&self) {
        let mut now = 0;
        self.steps.send_modify(|steps| {
            *steps += 1;
            now = *steps;
        });
        if *self.stands_at.lock().unwrap() == Some(now) {
            std::future::pending::<()>().await;
        }
        tokio::task::yield_now().await;
    }

    async fn call(&self, name: String) -> Result<(), Failure> {
        self.step().await;
        let fails = self.with(|account| {
            account.calls.push(name.clone());
            account.fails.get(&name).cloned()
        });
        fails.map_or(Ok(()), |remedy| Err(failure(remedy)))
    }
}

impl Account {
    pub(super) fn vault(&mut self, id: &str, items: &[&str]) {
        let vault = Vault {
            id: id.to_owned(),
            name: Some(format!("Vault {id}")),
            attribute_version: Some(1),
            content_version: Some(1),
            ..Vault::default()
        };
        self.vaults.insert(id.to_owned(), (vault, BTreeMap::new()));
        for name in items {
            self.put(id, item(name, 1));
        }
    }

    /// Adds or edits an item.
    pub(super) fn put(&mut self, vault: &str, item: Item) {
        let (at, items) = self.vaults.get_mut(vault).unwrap();
        items.insert(item.id.clone(), item);
        changed(at, items);
    }

    pub(super) fn edit(&mut self, vault: &str, id: &str, change: impl FnOnce(&mut Item)) {
        let (at, items) = self.vaults.get_mut(vault).unwrap();
        change(items.get_mut(id).unwrap());
        changed(at, items);
    }

    pub(super) fn take(&mut self, vault: &str, id: &str) -> Item {
        let (at, items) = self.vaults.get_mut(vault).unwrap();
        let taken = items.remove(id).unwrap();
        changed(at, items);
        taken
    }

    /// Something happened in a vault of which nothing can be seen.
    pub(super) fn touch(&mut self, vault: &str) {
        let (at, items) = self.vaults.get_mut(vault).unwrap();
        at.content_version = at.content_version.map(|version| version + 2);
        changed(at, items);
    }

    pub(super) fn rename(&mut self, vault: &str, name: &str) {
        let (at, _) = self.vaults.get_mut(vault).unwrap();
        at.name = Some(name.to_owned());
        at.attribute_version = at.attribute_version.map(|version| version + 1);
    }
}

fn changed(vault: &mut Vault, items: &BTreeMap<String, Item>) {
    vault.content_version = vault.content_version.map(|version| version + 1);
    vault.items = Some(items.values().filter(|item| item.is_active()).count() as u64);
}

impl Lister for Fake {
    async fn vaults(&self) -> Result<Vec<Vault>, Failure> {
        self.call("vaults".to_owned()).await?;
        let list = self.with(|account| {
            let all = || account.vaults.values().map(|(vault, _)| vault.clone()).collect();
            account.vault_list.clone().unwrap_or_else(all)
        });
        self.step().await;
        Ok(list)
    }

    async fn items<C: Extend<Item> + Send>(
        &self,
        vault: &str,
        begin: impl Fn() -> C + Send + Sync,
    ) -> Result<C, Failure> {
        self.call(format!("items {vault}")).await?;
        let list: Vec<Item> = self.with(|account| {
            let all = || account.vaults[vault].1.values().cloned().collect();
            account.item_lists.get(vault).cloned().unwrap_or_else(all)
        });
        // A list that broke off first: half of it arrived, and is begun anew.
        let mut broken = begin();
        broken.extend(list.iter().take(list.len() / 2).cloned());
        drop(broken);
        let mut whole = begin();
        list.into_iter().for_each(|item| whole.extend([item]));
        self.step().await;
        Ok(whole)
    }

    async fn labels(&self, vault: &str, item: &str) -> Result<Option<Labels>, Failure> {
        self.call(format!("labels {vault} {item}")).await?;
        Ok(self.with(|account| account.vaults.get(vault)?.1.get(item).map(|item| labels(&item.id))))
    }
}
