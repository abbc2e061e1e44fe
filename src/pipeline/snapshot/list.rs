//! Lists what is in the vaults that changed, and sends what changed in them.

use std::collections::{HashMap, HashSet};

use futures::{StreamExt, stream::FuturesUnordered};
use opgraph_state::{InventoryChange, ListedItem, ListedVault, Store, die_at};
use serde::Deserialize;

use super::{
    Ended, Opened, Snapshooting,
    decide::{Items, Known, KnownItem, Sieve},
    send::{FULL, weight},
    unbelieved,
};
use crate::{
    graph::EntityType,
    http::Failure,
    page::{Listing, Trail},
    source::{
        Lister,
        connect::{Item, Labels, Vault, records},
    },
};

/// Items that are announced, and whose labels are asked for, together.
const CHUNK: usize = 500;

/// Details that may fail in one snapshot before no more are opened: whatever
/// keeps them from being opened is left to the next one.
const MOST_FAILED: usize = 10;

/// A vault whose items were all listed and sent.
#[derive(Debug)]
pub(super) struct Whole {
    /// As it is to be known once what is gone has been removed.
    pub(super) vault: ListedVault,
    /// Items that are not in it any more, by id.
    pub(super) gone: Vec<String>,
}

/// What the lists have shown.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Vaults that were listed whole and in which something is gone.
    pub(super) whole: Vec<Whole>,
    /// The first failure of a detail.
    pub(super) failed: Option<Failure>,
}

/// The lists of one snapshot, on their way into listings.
pub(super) struct Lists<'a, L, T> {
    with: &'a Snapshooting<L, T>,
    trail: Trail,
    listing: Listing,
    seen: Seen,
    failed: usize,
    /// Whether any listing was sent.
    sent: bool,
}

impl<'a, L: Lister, T: Store> Lists<'a, L, T> {
    pub(super) fn new(with: &'a Snapshooting<L, T>, trail: Trail) -> Lists<'a, L, T> {
        Lists { with, trail, listing: Listing::default(), seen: Seen::default(), failed: 0, sent: false }
    }

    /// Notes a vault that was not listed.
    pub(super) fn missing(&mut self, vault: ListedVault) {
        self.listing.inventory.push(InventoryChange::Vault(vault));
    }

    /// Lists a vault's items and sends on what changed.
    pub(super) async fn list(&mut self, vault: &Vault, before: Option<&ListedVault>) -> Result<(), Ended> {
        let with = self.with;
        let before_attributes = before.and_then(|before| before.attribute_version);
        let unfinished = unfinished(vault, before);
        records::vault(&mut self.listing.records, vault, with.account_name.as_deref());
        self.listing.inventory.push(InventoryChange::Vault(unfinished.clone()));

        let known = with.store.listed_items(&with.tenant, &vault.id).await?;
        let known = KnownItem::of(known);
        // The vault's name is in every item's record. And what a removal that was
        // never committed has taken out of a sink, nobody knows.
        let all = unfinished.removing || before.is_none() || before_attributes != vault.attribute_version;
        let details = with.snapshots.settings.details;
        let sieve = || Sieve::new(known.clone(), all, details);
        let items = with.snapshots.lister.items(&vault.id, sieve).await.map_err(Ended::Failed)?.decided();
        die_at!("snapshot.items");
        if items.active == 0 && vault.items.is_some_and(|count| count > 0) {
            let doing = format!("list the items of vault `{}`", vault.id);
            return Err(Ended::Failed(unbelieved(&doing, "the list is empty, and the vault is not")));
        }
        with.meter.snapshots.items.add(items.active);

        let Items { changed, mut packed, gone, details: mut all_opened, .. } = items;
        let mut whole = true;
        for chunk in changed.chunks(CHUNK) {
            let chunk = packed.take(chunk);
            let new = chunk.iter().filter(|item| !known.contains_key(item.id.as_str()));
            let announced = new.map(|item| InventoryChange::Item(ListedItem::announced(&vault.id, &item.id)));
            with.announce(announced.collect()).await?;
            let (opened, taken) = self.take(vault, &known, &chunk).await?;
            all_opened &= opened;
            whole &= taken;
        }
        let finished = ListedVault {
            attribute_version: vault.attribute_version,
            content_version: vault.content_version.filter(|_| whole),
            details: all_opened,
            removing: unfinished.removing && !whole,
            ..unfinished
        };
        if gone.is_empty() {
            self.listing.inventory.push(InventoryChange::Vault(finished));
        } else {
            // All of it is known only when what is gone has been removed.
            let still = ListedVault { content_version: None, removing: true, ..finished.clone() };
            self.listing.inventory.push(InventoryChange::Vault(still));
            self.seen.whole.push(Whole { vault: finished, gone });
        }
        self.send_if_full().await
    }

    /// Sends the records of some items. Answers whether every one's details
    /// are opened, and whether every one could be taken as it should be.
    async fn take(&mut self, vault: &Vault, known: &Known, items: &[Item]) -> Result<(bool, bool), Ended> {
        let with = self.with;
        let is_opened = |item: &Item| known.get(item.id.as_str()).is_some_and(|known| known.is_opened(item));
        let known_well: Vec<String> =
            items.iter().filter(|item| is_opened(item)).map(|item| item.id.clone()).collect();
        let mut told = with.told(&vault.id, known_well).await?;
        let open = with.snapshots.settings.details;
        let to_open: Vec<&Item> = items.iter().filter(|item| open && !told.contains_key(&item.id)).collect();
        let mut waiting = to_open.into_iter();
        let mut opening = FuturesUnordered::new();
        let (mut is_gone, mut whole) = (HashSet::new(), true);
        loop {
            while opening.len() < with.snapshots.settings.at_once.max(1)
                && self.failed < MOST_FAILED
                && let Some(item) = waiting.next()
            {
                opening.push(with.open(&vault.id, &item.id));
            }
            let Some((id, came)) = opening.next().await.transpose()? else { break };
            match came {
                Opened::Labels(labels) => {
                    told.insert(id.to_owned(), labels);
                }
                // The next list tells whether it is archived, moved or no more.
                Opened::Gone => {
                    is_gone.insert(id);
                }
                Opened::Failed(failure) => {
                    self.failed += 1;
                    self.seen.failed.get_or_insert(failure);
                }
            }
        }
        let mut all_opened = true;
        for item in items {
            if is_gone.contains(item.id.as_str()) {
                whole = false;
                continue;
            }
            let labels = told.get(&item.id);
            all_opened &= labels.is_some();
            whole &= labels.is_some() || !with.snapshots.settings.details;
            let account_name = with.account_name.as_deref();
            records::secret(&mut self.listing.records, vault, item, labels, account_name);
            self.listing.inventory.push(InventoryChange::Item(ListedItem {
                vault: vault.id.clone(),
                id: item.id.clone(),
                version: item.version.unwrap_or(0),
                details: labels.is_some(),
            }));
            self.send_if_full().await?;
        }
        Ok((all_opened, whole))
    }

    async fn send_if_full(&mut self) -> Result<(), Ended> {
        if weight(&self.listing) >= FULL {
            self.send().await?;
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), Ended> {
        let listing = std::mem::take(&mut self.listing);
        self.sent |= weight(&listing) > 0;
        self.with.meter.mapped(&listing.records);
        self.with.outlet.send(listing, &self.trail).await
    }

    /// Sends the rest, and lets go of the trail.
    pub(super) async fn end(mut self) -> Result<Seen, Ended> {
        self.send().await?;
        // Only if something is waited for.
        if self.sent {
            self.with.outlet.settle().await?;
        }
        Ok(self.seen)
    }
}

/// A vault that is known before its items are, and as unfinished until all of them are.
pub(super) fn unfinished(vault: &Vault, before: Option<&ListedVault>) -> ListedVault {
    ListedVault {
        id: vault.id.clone(),
        attribute_version: before.and_then(|before| before.attribute_version),
        removing: before.is_some_and(|before| before.removing || before.missing > 0),
        ..ListedVault::default()
    }
}

/// What a secret's record in the directory says.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Told {
    pub(super) vault_id: String,
    pub(super) version: Option<u64>,
    section_labels: Vec<String>,
    file_names: Vec<String>,
}

impl Told {
    pub(super) fn labels(self) -> Labels {
        Labels { sections: self.section_labels, files: self.file_names }
    }
}

/// The key of an item's record.
pub(super) fn secret_key(item: &str) -> String {
    format!("{}:{item}", EntityType::Secret.name())
}

impl<L, T: Store> Snapshooting<L, T> {
    /// Reads the labels of items that were opened in a vault from what the
    /// directory says of them. What it says of another vault may come from an
    /// item that was never opened there.
    async fn told(&self, vault: &str, ids: Vec<String>) -> Result<HashMap<String, Labels>, Ended> {
        let told = self.secrets(&ids).await?.into_iter();
        let told = ids.into_iter().zip(told).filter_map(|(id, told)| Some((id, told?)));
        Ok(told.filter(|(_, told)| told.vault_id == vault).map(|(id, told)| (id, told.labels())).collect())
    }

    /// Reads what the directory says of items, in the order asked.
    pub(super) async fn secrets(&self, ids: &[String]) -> Result<Vec<Option<Told>>, Ended> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let keys = ids.iter().map(|id| secret_key(id)).collect();
        let entries = self.store.directory(&self.tenant, keys).await?.into_iter();
        Ok(entries.map(|entry| serde_json::from_str(&entry?.record).ok()).collect())
    }
}
