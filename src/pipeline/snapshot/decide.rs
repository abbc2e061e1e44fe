//! What lists of vaults and items mean, held against the inventory. Pure.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use opgraph_state::{ListedItem, ListedVault, UnixMs};

use super::packed::{Packed, Slot};
use crate::source::connect::{Item, Vault};

/// How many complete lists in a row must not name a vault before it is gone.
const GONE_AFTER: u32 = 2;

/// What a list of vaults means.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Vaults {
    /// Every vault of the list, once.
    pub(super) listed: HashMap<String, Vault>,
    /// Vaults whose items have to be listed, by id, and what is known of them.
    pub(super) changed: Vec<(Vault, Option<ListedVault>)>,
    /// Vaults that were not named and may come back, as they are to be known now.
    pub(super) missing: Vec<ListedVault>,
    /// Vaults that are no more.
    pub(super) gone: Vec<String>,
}

/// When a vault that is not listed counts as missing: the same passing trouble,
/// met by two snapshots that follow each other closely, is met once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    /// The snapshot repeats a failed one early: nothing counts.
    pub(super) early: bool,
    /// The wall clock.
    pub(super) now: UnixMs,
    /// How long after it was counted a vault is counted again. A run that ends
    /// and starts again does not make it shorter.
    pub(super) after: Duration,
}

impl Counts {
    fn count(&self, vault: &ListedVault) -> bool {
        // Either way: a clock that was far ahead once must not keep a vault for ever.
        let apart = |at: UnixMs| self.now.since(at).max(at.since(self.now));
        !self.early && vault.missing_at.is_none_or(|at| apart(at) >= self.after)
    }
}

/// Holds a complete list of vaults against the inventory.
///
/// | the vault is                | known as             | then                                  |
/// |-----------------------------|----------------------|---------------------------------------|
/// | listed                      | the same, `missing` 0| nothing: it costs no request          |
/// | listed                      | anything else        | its items are listed                  |
/// | not listed, counts          | missing less than 1  | missing once more                     |
/// | not listed, counts          | missing 1 or more    | gone                                  |
/// | not listed, does not count  | missing, or not      | nothing                               |
///
/// `counts` tells when not being listed counts. `None`: an empty list where
/// vaults are known is not believed at all.
pub(super) fn vaults(
    list: Vec<Vault>,
    known: Vec<ListedVault>,
    details: bool,
    counts: Counts,
) -> Option<Vaults> {
    if list.is_empty() && !known.is_empty() {
        return None;
    }
    let mut decided = Vaults::default();
    for vault in list {
        let newest = decided.listed.entry(vault.id.clone()).or_insert_with(|| vault.clone());
        if versions(&vault) > versions(newest) {
            *newest = vault;
        }
    }
    let mut known: HashMap<String, ListedVault> =
        known.into_iter().map(|vault| (vault.id.clone(), vault)).collect();
    for vault in decided.listed.values() {
        let before = known.remove(&vault.id);
        if !before.as_ref().is_some_and(|before| is_same(vault, before, details)) {
            decided.changed.push((vault.clone(), before));
        }
    }
    for (id, vault) in known {
        if !counts.count(&vault) {
            continue;
        }
        let missing = vault.missing.saturating_add(1);
        if missing >= GONE_AFTER {
            decided.gone.push(id);
        } else {
            decided.missing.push(ListedVault { missing, missing_at: Some(counts.now), ..vault });
        }
    }
    decided.changed.sort_by(|(one, _), (other, _)| one.id.cmp(&other.id));
    decided.missing.sort_by(|one, other| one.id.cmp(&other.id));
    decided.gone.sort();
    Some(decided)
}

fn versions(vault: &Vault) -> (Option<u64>, Option<u64>) {
    (vault.content_version, vault.attribute_version)
}

/// Whether nothing has happened in a vault since all of it was acknowledged.
fn is_same(vault: &Vault, before: &ListedVault, details: bool) -> bool {
    before.missing == 0
        && before.details >= details
        && vault.content_version.is_some()
        && vault.content_version == before.content_version
        && vault.attribute_version == before.attribute_version
}

/// What is known of a vault's items, by id.
pub(super) type Known = Arc<HashMap<Box<str>, KnownItem>>;

/// What is known of an item.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownItem {
    version: u64,
    details: bool,
}

impl KnownItem {
    pub(super) fn of(items: Vec<ListedItem>) -> Known {
        let known = |item: ListedItem| {
            (item.id.into_boxed_str(), KnownItem { version: item.version, details: item.details })
        };
        Arc::new(items.into_iter().map(known).collect())
    }

    /// Whether an item is known as it is listed, with its details.
    pub(super) fn is_opened(self, item: &Item) -> bool {
        self.details && self.version == item.version.unwrap_or(0)
    }
}

/// Takes a vault's list in as it arrives, and keeps of each item only what is
/// needed: its record's content if that has to be sent again, else its version.
#[derive(Debug)]
pub(super) struct Sieve {
    known: Known,
    /// Every item's record is sent again.
    all: bool,
    details: bool,
    found: HashMap<Box<str>, Found>,
    packed: Packed,
}

#[derive(Debug)]
struct Found {
    version: u64,
    active: bool,
    /// What its record is made of, if it has to be sent.
    send: Option<Slot>,
}

/// What a whole list of items means.
#[derive(Debug, Default)]
pub(super) struct Items {
    /// Active items whose record has to be sent, by id, and what they are.
    pub(super) changed: Vec<Slot>,
    pub(super) packed: Packed,
    /// Known items that the list does not name as active, by id.
    pub(super) gone: Vec<String>,
    /// How many active items there are.
    pub(super) active: u64,
    /// Whether the details of all items that are not sent were opened.
    pub(super) details: bool,
}

impl Sieve {
    pub(super) fn new(known: Known, all: bool, details: bool) -> Sieve {
        Sieve { known, all, details, found: HashMap::new(), packed: Packed::default() }
    }

    fn has_to_be_sent(&self, item: &Item, version: u64) -> bool {
        let known = self.known.get(item.id.as_str());
        self.all || known.is_none_or(|known| known.version != version || self.details && !known.details)
    }

    /// Decides, once the list is whole.
    pub(super) fn decided(self) -> Items {
        let Sieve { known, found, packed, .. } = self;
        let is_active = |id: &str| found.get(id).is_some_and(|found| found.active);
        let gone = known.keys().filter(|id| !is_active(id));
        let mut gone: Vec<String> = gone.map(|id| id.clone().into_string()).collect();
        gone.sort();
        let mut items = Items { gone, details: true, ..Items::default() };
        let mut changed = Vec::new();
        for (id, found) in found {
            if !found.active {
                continue;
            }
            items.active += 1;
            match found.send {
                Some(slot) => changed.push((id, slot)),
                None => items.details &= known.get(&id).is_some_and(|known| known.details),
            }
        }
        // By id, as the state has them: in another order a long list takes twice as long (docs/PERFORMANCE.md).
        changed.sort_unstable();
        (items.packed, items.changed) = packed.sorted(changed.into_iter().map(|(_, slot)| slot));
        items
    }
}

impl Extend<Item> for Sieve {
    fn extend<I: IntoIterator<Item = Item>>(&mut self, items: I) {
        for item in items {
            let (version, active) = (item.version.unwrap_or(0), item.is_active());
            // Named twice: the higher version counts, and an active one of the same version.
            if self.found.get(item.id.as_str()).is_some_and(|at| (at.version, at.active) >= (version, active))
            {
                continue;
            }
            let send = active && self.has_to_be_sent(&item, version);
            let send = send.then(|| self.packed.push(&item));
            self.found.insert(item.id.into_boxed_str(), Found { version, active, send });
        }
    }
}

/// Takes a few items out of a vault's list.
#[derive(Debug)]
pub(super) struct Picked {
    pub(super) wanted: Arc<HashSet<String>>,
    pub(super) found: HashMap<String, Item>,
}

impl Extend<Item> for Picked {
    fn extend<I: IntoIterator<Item = Item>>(&mut self, items: I) {
        for item in items {
            let newer = self.found.get(&item.id).is_none_or(|found| found.version < item.version);
            if newer && self.wanted.contains(&item.id) {
                self.found.insert(item.id.clone(), item);
            }
        }
    }
}
