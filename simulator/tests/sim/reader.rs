//! A plain reader of Connect that keeps what was listed, and a graph made of it by the data model's table: written
//! here once more, so that the oracle is not judged by itself.

use std::collections::BTreeMap;

use opgraph_simulator::{Held, HeldInFull};
use reqwest::RequestBuilder;
use serde_json::{Map, Value, json};

use crate::support::{Rig, told};

/// What a client of Connect keeps from one snapshot to the next.
#[derive(Default)]
pub(crate) struct Reader {
    /// By id, with the lists in a row that lacked them.
    vaults: BTreeMap<String, (Value, u32)>,
    /// By vault and id, with the detail where it was read.
    items: BTreeMap<(String, String), (Value, Option<Value>)>,
}

pub(crate) fn get(rig: &Rig, path: &str) -> RequestBuilder {
    rig.client.get(format!("{}{path}", rig.sim.connect_url())).bearer_auth(rig.sim.connect_token())
}

pub(crate) async fn list(rig: &Rig, path: &str) -> Vec<Value> {
    let (status, answer) = told(get(rig, path)).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer.as_array().unwrap().clone()
}

pub(crate) fn id(value: &Value) -> &str {
    value["id"].as_str().unwrap()
}

impl Reader {
    /// Reads everything once: vaults, the items of those whose content changed, items in full if `details`.
    pub(crate) async fn snapshot(&mut self, rig: &Rig, details: bool) {
        let listed = list(rig, "/v1/vaults").await;
        self.vaults.values_mut().for_each(|(_, missing)| *missing += 1);
        for vault in listed {
            let (at, items) = (id(&vault).to_owned(), format!("/v1/vaults/{}/items", id(&vault)));
            let known = self.vaults.insert(at.clone(), (vault.clone(), 0));
            if known.is_some_and(|(known, _)| known["contentVersion"] == vault["contentVersion"]) {
                continue;
            }
            let mut now = BTreeMap::new();
            for item in list(rig, &items).await {
                let key = (at.clone(), id(&item).to_owned());
                let full = match details {
                    true => Some(told(get(rig, &format!("{items}/{}", key.1))).await.1),
                    false => None,
                };
                now.insert(key, (item, full));
            }
            self.items.retain(|(of, _), _| *of != at);
            self.items.extend(now);
        }
        self.vaults.retain(|_, (_, missing)| *missing < 2);
        self.items.retain(|(vault, _), _| self.vaults.contains_key(vault));
    }

    /// Returns the graph of what was read.
    pub(crate) fn graph(&self) -> Vec<HeldInFull> {
        let mut graph = Vec::new();
        for (vault, _) in self.vaults.values() {
            let properties = json!({
                "id": vault["id"], "description": text(&vault["description"]), "type": vault["type"],
                "attributeVersion": vault["attributeVersion"], "contentVersion": vault["contentVersion"],
                "itemsCount": vault["items"], "createdOn": time(&vault["createdAt"]),
                "updatedOn": time(&vault["updatedAt"]),
            });
            let name = text(&vault["name"]).unwrap_or(id(vault));
            graph.push(entity("one_password_vault", "Vault", id(vault), name, properties));
        }
        let mut newest: BTreeMap<&str, (&Value, &Option<Value>)> = BTreeMap::new();
        for ((vault, item), (told, full)) in &self.items {
            let best = newest.entry(item).or_insert((told, full));
            if told["version"].as_u64() > best.0["version"].as_u64() {
                *best = (told, full);
            }
            let (from, to) = (format!("one_password_vault:{vault}"), format!("one_password_secret:{item}"));
            let record = Held {
                key: format!("{from}|has|{to}"),
                type_: "one_password_vault_has_secret".to_owned(),
                class: Some("HAS".to_owned()),
                from: Some(from),
                to: Some(to),
                display_name: Some("HAS".to_owned()),
                ..Held::default()
            };
            graph.push(record.into());
        }
        for (item, (told, full)) in newest {
            let parts = |list: &str, label: &str| -> Vec<String> {
                let all = full.iter().flat_map(|full| full[list].as_array()).flatten();
                all.filter_map(|part| text(&part[label]).map(str::to_owned)).collect()
            };
            let vault = id(&told["vault"]);
            let properties = json!({
                "id": item, "favorite": told["favorite"], "version": told["version"],
                "lastEditedBy": told["lastEditedBy"], "vaultId": vault,
                "vaultName": text(&self.vaults[vault].0["name"]), "category": told["category"],
                "tags": told["tags"], "sectionLabels": parts("sections", "label"),
                "fileNames": parts("files", "name"), "createdOn": time(&told["createdAt"]),
                "updatedOn": time(&told["updatedAt"]),
            });
            let title: String = text(&told["title"]).unwrap_or(item).chars().take(4096).collect();
            graph.push(entity("one_password_secret", "Secret", item, &title, properties));
        }
        graph
    }
}

fn entity(type_: &str, class: &str, id: &str, name: &str, properties: Value) -> HeldInFull {
    let Value::Object(properties) = properties else { unreachable!("an object was made") };
    let properties: Map<String, Value> = properties;
    let record = Held {
        key: format!("{type_}:{id}"),
        type_: type_.to_owned(),
        class: Some(class.to_owned()),
        name: Some(name.to_owned()),
        display_name: Some(name.to_owned()),
        created_on: Some(properties["createdOn"].as_i64()),
        ..Held::default()
    };
    record.with_properties(properties)
}

fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

fn time(value: &Value) -> Option<i64> {
    value.as_str().map(|text| text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}
