//! What Connect's lists must have become: the oracle's own reading of the data model's table of vaults and secrets.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::compare::Facts;
use crate::{
    connect::{Contents, ItemState, Listed, ListedVault},
    keys::KeyId,
    kinds::{SECRET, VAULT, VAULT_HAS_SECRET},
    truth::cut,
};

/// The vaults and secrets that the graph must hold, and which vault has which.
#[derive(Debug)]
pub(crate) struct Vaults {
    contents: Arc<Contents>,
    listed: Listed,
    /// The vaults' names, by number; null of one without.
    names: BTreeMap<u32, Value>,
    /// The newest version of every item in use, with its vault. An item that was moved between two lists is listed by
    /// both vaults.
    items: HashMap<u64, (u32, ItemState), foldhash::fast::FixedState>,
    has: BTreeSet<KeyId>,
}

impl Vaults {
    /// Adds up what was listed last.
    pub(crate) fn new(contents: Arc<Contents>, listed: Listed) -> Vaults {
        let mut items = HashMap::<u64, (u32, ItemState), _>::default();
        let mut has = BTreeSet::new();
        for (at, known) in &listed.vaults {
            for item in known.items.iter().flat_map(|vault| contents.active(vault)) {
                has.insert(KeyId::vault_secret(*at, item.number));
                let newest = items.entry(item.number).or_insert((*at, item));
                if item.raised > newest.1.raised {
                    *newest = (*at, item);
                }
            }
        }
        let name = |known: &ListedVault| contents.vault_json(&known.vault)["name"].take();
        let names = listed.vaults.iter().map(|(at, known)| (*at, name(known))).collect();
        Vaults { contents, listed, names, items, has }
    }

    /// Returns the vaults that were listed.
    pub(crate) fn vaults(&self) -> impl Iterator<Item = KeyId> {
        self.listed.vaults.keys().map(|at| KeyId::new(VAULT, u64::from(*at)))
    }

    /// Returns the secrets, and the relationships of vaults with them.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = KeyId> {
        self.items.keys().map(|number| KeyId::new(SECRET, *number)).chain(self.has.iter().copied())
    }

    /// Whether the graph must hold this secret, or this relationship of a vault with one.
    pub(crate) fn contains(&self, id: KeyId) -> bool {
        match id.kind() {
            Some(SECRET) => self.items.contains_key(&id.number()),
            Some(VAULT_HAS_SECRET) => self.has.contains(&id),
            _ => false,
        }
    }

    /// Returns the facts of a vault or secret; `None` where Connect did not list it.
    pub(crate) fn facts(&self, id: KeyId) -> Option<Facts> {
        if id.kind() == Some(VAULT) {
            let known = self.listed.vaults.get(&(id.number() as u32))?;
            let told = self.contents.vault_json(&known.vault);
            return Some(facts(&told, "name", [vault(&told)].into()));
        }
        let (at, item) = self.items.get(&id.number())?;
        let name_of = |at: &u32| self.names.get(at).unwrap_or(&Value::Null);
        let told = self.contents.item_json(*at, item);
        let name = name_of(at);
        let detail = self.listed.details.get(&id.number()).filter(|(_, full)| full.raised >= item.raised);
        let Some((full_at, full)) = detail else {
            return Some(facts(&told, "title", secret(&told, name, None)));
        };
        let full_told = self.contents.detail_json(*full_at, full);
        let mut right = secret(&told, name, Some(&full_told));
        let mut all = facts(&told, "title", vec![]);
        if full.raised > item.raised {
            // It changed between its list and its detail: a client may go by either.
            right.extend(secret(&full_told, name_of(full_at), Some(&full_told)));
            let newer = facts(&full_told, "title", vec![]);
            all.names.extend(newer.names);
            all.displays.extend(newer.displays);
        }
        Some(Facts { properties: right, ..all })
    }
}

fn facts(told: &Value, name: &str, properties: Vec<Map<String, Value>>) -> Facts {
    let name = text(&told[name]).or(text(&told["id"])).unwrap_or_default();
    let names = vec![cut(name.to_owned())];
    Facts { displays: names.clone(), names, created_on: time(&told["createdAt"]), properties }
}

fn vault(told: &Value) -> Map<String, Value> {
    present([
        ("id", told["id"].clone()),
        ("description", json!(text(&told["description"]).map(|text| cut(text.to_owned()).to_string()))),
        ("type", told["type"].clone()),
        ("attributeVersion", told["attributeVersion"].clone()),
        ("contentVersion", told["contentVersion"].clone()),
        ("itemsCount", told["items"].clone()),
        ("createdOn", json!(time(&told["createdAt"]))),
        ("updatedOn", json!(time(&told["updatedAt"]))),
    ])
}

/// Returns what is right of a secret: more than one where its vault has no name, of which the data model says
/// either that it is the vault's id or that there is none.
fn secret(told: &Value, vault_name: &Value, full: Option<&Value>) -> Vec<Map<String, Value>> {
    let labels = |list: &str, label: &str| -> Value {
        let parts = full.and_then(|full| full[list].as_array()).into_iter().flatten();
        json!(parts.filter_map(|part| text(&part[label])).collect::<Vec<_>>())
    };
    let properties = |vault_name: &Value| {
        present([
            ("id", told["id"].clone()),
            ("favorite", told["favorite"].clone()),
            ("version", told["version"].clone()),
            ("lastEditedBy", told["lastEditedBy"].clone()),
            ("vaultId", told["vault"]["id"].clone()),
            ("vaultName", vault_name.clone()),
            ("category", told["category"].clone()),
            ("tags", told["tags"].clone()),
            ("sectionLabels", labels("sections", "label")),
            ("fileNames", labels("files", "name")),
            ("createdOn", json!(time(&told["createdAt"]))),
            ("updatedOn", json!(time(&told["updatedAt"]))),
        ])
    };
    match text(vault_name) {
        Some(_) => vec![properties(vault_name)],
        None => vec![properties(&told["vault"]["id"]), properties(&Value::Null)],
    }
}

/// Returns the properties that have a value: null and what is empty give none.
fn present<const N: usize>(properties: [(&str, Value); N]) -> Map<String, Value> {
    let has_value = |value: &Value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => true,
    };
    let there = properties.into_iter().filter(|(_, value)| has_value(value));
    there.map(|(name, value)| (name.to_owned(), value)).collect()
}

fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

/// Returns a time in whole milliseconds since the epoch, rounded down.
fn time(value: &Value) -> Option<i64> {
    let time: Timestamp = text(value)?.parse().ok()?;
    i64::try_from(time.as_nanosecond().div_euclid(1_000_000)).ok()
}
