//! What is in the vaults, how it changes, and how it is listed: with failures, empty lists, and changes in between.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use opgraph::{
    graph::Records,
    http::{Failure, Remedy},
    source::{
        Lister,
        connect::{Item, Labels, Vault, records},
    },
};
use opgraph_state::{Commit, Epoch, InventoryChange, ListedItem};
use tokio::time::{Instant, sleep};

use super::world::World;
use crate::support::failure;

/// The vaults that there may be. Audit events name the first three.
const VAULTS: [&str; 5] = ["vault0", "vault1", "vault2", "vx", "vy"];
const ITEMS: u64 = 9;

type Held = (Vault, BTreeMap<String, Item>);

/// What is in the vaults now, and since when what was there before is not.
#[derive(Default)]
pub(super) struct Vaults {
    account: Mutex<Account>,
}

#[derive(Default)]
struct Account {
    there: BTreeMap<String, Held>,
    /// Vaults and items that may come back as they were.
    away: BTreeMap<String, Held>,
    taken: BTreeMap<String, Item>,
    /// By key: the last time a record was not true.
    absences: HashMap<String, Absence>,
    /// When the newest run began.
    began: Option<Instant>,
}

#[derive(Clone, Copy, Default)]
struct Absence {
    /// None: until now.
    until: Option<Instant>,
    /// Complete lists of vaults that were without it, since the state knows of one with it.
    lists: u32,
}

fn labels(item: &Item) -> Labels {
    Labels { sections: vec![format!("s{:?}", item.version)], files: vec![item.id.clone()] }
}

fn changed((vault, items): &mut Held) {
    vault.content_version = vault.content_version.map(|version| version + 1);
    vault.items = Some(items.values().filter(|item| item.is_active()).count() as u64);
}

impl Account {
    /// The records of everything that is there.
    fn truth(&self, details: bool) -> BTreeMap<String, String> {
        let mut all = Records::default();
        for (vault, items) in self.there.values() {
            records::vault(&mut all, vault, None);
            for item in items.values().filter(|item| item.is_active()) {
                records::secret(&mut all, vault, item, details.then(|| labels(item)).as_ref(), None);
            }
        }
        all.iter().map(|record| (record.key.to_owned(), record.json.to_owned())).collect()
    }

    /// Something happens, and it is noted what is true no more, and what is again.
    fn change(&mut self, mut dice: impl FnMut(u64) -> u64) {
        let before: BTreeSet<String> = self.truth(false).into_keys().collect();
        self.happen(&mut dice);
        let after: BTreeSet<String> = self.truth(false).into_keys().collect();
        for key in before.difference(&after) {
            self.absences.entry(key.clone()).or_default().until = None;
        }
        for key in after.difference(&before) {
            if let Some(absence) = self.absences.get_mut(key) {
                absence.until = Some(Instant::now());
            }
        }
    }

    fn happen(&mut self, dice: &mut impl FnMut(u64) -> u64) {
        let mut pick = |of: usize| dice(of as u64 - 1) as usize;
        let name = VAULTS[pick(VAULTS.len())].to_owned();
        let is_last = self.there.len() == 1;
        let Some(held) = self.there.get_mut(&name) else {
            // It comes, or comes back as it was.
            let fresh = Vault {
                id: name.clone(),
                name: Some(format!("Vault {name}")),
                attribute_version: Some(1),
                content_version: Some(1),
                items: Some(0),
                ..Vault::default()
            };
            let held = self.away.remove(&name).unwrap_or((fresh, BTreeMap::new()));
            self.there.insert(name, held);
            return;
        };
        let ids: Vec<String> = held.1.keys().cloned().collect();
        let item = (!ids.is_empty()).then(|| ids[pick(ids.len())].clone());
        match (pick(9), item) {
            (0, _) if !is_last => {
                let held = self.there.remove(&name).unwrap();
                self.away.insert(name, held);
            }
            (1, _) => {
                let version = held.0.attribute_version.unwrap() + 1;
                held.0.attribute_version = Some(version);
                held.0.name = Some(format!("Vault {name} {version}"));
            }
            (2, Some(id)) => {
                let item = held.1.remove(&id).unwrap();
                changed(held);
                self.taken.insert(id, item);
            }
            (3, Some(id)) => {
                let item = held.1.remove(&id).unwrap();
                changed(held);
                let to = self.there.keys().nth(pick(self.there.len())).unwrap().clone();
                let held = self.there.get_mut(&to).unwrap();
                held.1.insert(id, item);
                changed(held);
            }
            (4, Some(id)) => {
                let item = held.1.get_mut(&id).unwrap();
                item.state = item.is_active().then(|| "ARCHIVED".to_owned());
                changed(held);
            }
            (5, Some(id)) => {
                let item = held.1.get_mut(&id).unwrap();
                item.version = item.version.map(|version| version + 1);
                item.title = Some(format!("{id} {:?}", item.version));
                changed(held);
            }
            _ => {
                // One that was taken comes back as it was, or a new one comes.
                let id = format!("i{}", pick(ITEMS as usize));
                let held_by =
                    |held: &BTreeMap<String, Held>| held.values().any(|(_, items)| items.contains_key(&id));
                if held_by(&self.there) || held_by(&self.away) {
                    return;
                }
                let fresh =
                    Item { id: id.clone(), title: Some(id.clone()), version: Some(1), ..Item::default() };
                let item = self.taken.remove(&id).unwrap_or(fresh);
                let held = self.there.get_mut(&name).unwrap();
                held.1.insert(id, item);
                changed(held);
            }
        }
    }

    /// Whether a record was not true at some time since the newest run began.
    fn was_absent(&self, key: &str) -> Option<Absence> {
        let absence = self.absences.get(key)?;
        absence.until.is_none_or(|until| Some(until) >= self.began).then_some(*absence)
    }
}

impl Vaults {
    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap()
    }

    /// Makes a few vaults, and what is in them.
    pub(super) fn furnish(&self, mut dice: impl FnMut(u64) -> u64) {
        for _ in 0..20 {
            self.account().change(&mut dice);
        }
    }

    /// The newest run begins.
    pub(super) fn begun(&self) {
        self.account().began = Some(Instant::now());
    }

    /// What the graph has to hold of vaults and items in the end, stubs left out.
    pub(super) fn truth(&self, details: bool) -> BTreeMap<String, String> {
        self.account().truth(details)
    }

    /// Vaults and their active items, as the inventory has to know them in the end.
    pub(super) fn inventory(&self) -> BTreeMap<String, Vec<(String, u64)>> {
        let active = |items: &BTreeMap<String, Item>| {
            let active = items.values().filter(|item| item.is_active());
            active.map(|item| (item.id.clone(), item.version.unwrap())).collect()
        };
        self.account().there.iter().map(|(id, (_, items))| (id.clone(), active(items))).collect()
    }

    /// A commit was taken: the vaults it knows as listed have been missing from no list since.
    pub(super) fn committed(&self, commit: &Commit) {
        let mut account = self.account();
        for change in &commit.inventory {
            if let InventoryChange::Vault(vault) = change
                && vault.missing == 0
                && let Some(absence) = account.absences.get_mut(&format!("one_password_vault:{}", vault.id))
            {
                absence.lists = 0;
            }
        }
    }

    /// What is wrong with a commit that removes: each place of an item must have
    /// been seen without it, and a vault have been missing from two lists.
    /// `listed` is what the inventory knew of it before.
    pub(super) fn removed_by_mistake(&self, commit: &Commit, listed: &[ListedItem]) -> Option<String> {
        let account = self.account();
        let back: BTreeSet<&str> = commit.directory.iter().map(|entry| entry.key.as_str()).collect();
        let place =
            |vault: &str, item: &str| format!("one_password_vault:{vault}|has|one_password_secret:{item}");
        let wrong = |key: &&String| {
            let is_right = if let Some(item) = key.strip_prefix("one_password_secret:") {
                let mut places = listed.iter().filter(|known| known.id == item);
                back.contains(key.as_str())
                    || places.all(|known| account.was_absent(&place(&known.vault, item)).is_some())
            } else if key.contains('|') {
                account.was_absent(key).is_some()
            } else {
                account.was_absent(key).is_some_and(|absence| absence.lists >= 2)
            };
            !is_right
        };
        let wrong = commit.removed.iter().find(wrong)?;
        Some(format!("{wrong} is removed by mistake"))
    }
}

/// The lister of one run.
pub(super) struct Listed {
    pub(super) world: Arc<World>,
    pub(super) epoch: Epoch,
}

impl Listed {
    /// Takes its time, in which things may happen, and at times fails.
    async fn answer(&self, call: &str) -> Result<(), Failure> {
        let World { plan, watch, vaults, .. } = &*self.world;
        watch.note("list", &(self.epoch.0, call));
        self.world.linger(8).await;
        if self.world.happens(plan.list_fails) {
            let long = self.world.happens(50);
            sleep(Duration::from_millis(if long { 2_000 } else { 20 })).await;
            return Err(failure(Remedy::RETRY));
        }
        if self.world.happens(plan.halts) {
            return Err(failure(Remedy::halt("scripted")));
        }
        while self.world.happens(plan.changes) {
            vaults.account().change(|most| self.world.upto(most));
        }
        Ok(())
    }
}

impl Lister for Listed {
    async fn vaults(&self) -> Result<Vec<Vault>, Failure> {
        self.answer("vaults").await?;
        if self.world.happens(self.world.plan.empty_lists) {
            return Ok(Vec::new());
        }
        let mut account = self.world.vaults.account();
        for absence in account.absences.values_mut().filter(|absence| absence.until.is_none()) {
            absence.lists += 1;
        }
        Ok(account.there.values().map(|(vault, _)| vault.clone()).collect())
    }

    async fn items<C: Extend<Item> + Send>(
        &self,
        vault: &str,
        begin: impl Fn() -> C + Send + Sync,
    ) -> Result<C, Failure> {
        self.answer(vault).await?;
        let empty = self.world.happens(self.world.plan.empty_lists);
        let account = self.world.vaults.account();
        let (of, items) = account.there.get(vault).ok_or_else(|| failure(Remedy::RETRY))?;
        let mut list = begin();
        // An empty list of a vault that is not empty is a lie.
        if !(empty && of.items > Some(0)) {
            list.extend(items.values().cloned());
        }
        Ok(list)
    }

    async fn labels(&self, vault: &str, item: &str) -> Result<Option<Labels>, Failure> {
        self.answer(item).await?;
        let account = self.world.vaults.account();
        Ok(account.there.get(vault).and_then(|(_, items)| items.get(item)).map(labels))
    }
}
