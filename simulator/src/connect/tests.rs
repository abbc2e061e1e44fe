//! What Connect tells has every variety, agrees with itself, and its secrets can be searched for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;
use crate::{Config, Stream};

const START: i64 = 1_767_225_600_000_000_000;

fn connect(config: Config) -> Contents {
    Contents { seed: config.seed, world: Arc::new(World::new(&config, START)) }
}

/// A vault, an item and an item in full, each as it began.
impl Contents {
    fn first_vault(&self, at: usize) -> Value {
        self.vault_json(&VaultState::began(at as u32, &self.world.cast))
    }

    fn first_item(&self, number: u64) -> Value {
        self.item_json(self.world.cast.items.vault_of(number) as u32, &ItemState::began(number))
    }

    fn first_detail(&self, number: u64) -> Value {
        self.detail_json(self.world.cast.items.vault_of(number) as u32, &ItemState::began(number))
    }
}

fn vaults(connect: &Contents) -> Vec<Value> {
    (0..connect.world.cast.vaults.len()).map(|at| connect.first_vault(at)).collect()
}

fn numbers(connect: &Contents) -> Vec<u64> {
    let items = connect.world.cast.items;
    (0..connect.world.cast.vaults.len()).flat_map(|vault| items.of_vault(vault)).collect()
}

/// The states of every field: there, absent, empty.
fn states(objects: &[Value]) -> BTreeMap<&str, BTreeSet<&'static str>> {
    let keys: BTreeSet<&str> = objects
        .iter()
        .flat_map(|object| object.as_object().expect("an object").keys())
        .map(String::as_str)
        .collect();
    let state = |value: Option<&Value>| match value {
        None => "absent",
        Some(Value::String(text)) if text.is_empty() => "empty",
        Some(Value::Array(list)) if list.is_empty() => "empty",
        Some(_) => "there",
    };
    keys.into_iter().map(|key| (key, objects.iter().map(|object| state(object.get(key))).collect())).collect()
}

/// Every text and number below a value.
fn leaves(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => fields.values().flat_map(leaves).collect(),
        Value::Array(list) => list.iter().flat_map(leaves).collect(),
        Value::String(text) => vec![text.clone()],
        Value::Number(number) => vec![number.to_string()],
        _ => vec![],
    }
}

#[test]
fn the_same_seed_gives_the_same_account_and_another_one_does_not() {
    let all = |seed| {
        let connect = connect(Config { seed, ..Config::default() });
        let items = numbers(&connect).into_iter().map(|number| connect.first_detail(number));
        (vaults(&connect), items.collect::<Vec<_>>())
    };
    let one = all(1);
    assert_eq!(one, all(1));
    assert_ne!(one, all(2));
}

#[test]
fn what_is_optional_is_somewhere_there_and_somewhere_absent() {
    let connect = connect(Config::default());
    let check = |objects: &[Value], required: &[&str], optional: &[&str]| {
        let states = states(objects);
        let names: BTreeSet<&str> = required.iter().chain(optional).copied().collect();
        assert_eq!(states.keys().copied().collect::<BTreeSet<_>>(), names);
        assert!(required.iter().all(|name| !states[name].contains("absent")));
        for name in optional {
            assert!(states[name].contains("absent") && states[name].contains("there"), "{name}");
        }
    };
    check(
        &vaults(&connect),
        &["id", "attributeVersion", "contentVersion", "items", "type"],
        &["name", "description", "createdAt", "updatedAt"],
    );
    let items: Vec<Value> = numbers(&connect).iter().map(|number| connect.first_item(*number)).collect();
    let required = ["id", "vault", "category", "version", "lastEditedBy"];
    let optional = ["title", "tags", "urls", "favorite", "createdAt", "updatedAt"];
    check(&items, &required, &optional);
    let details: Vec<Value> = numbers(&connect).iter().map(|number| connect.first_detail(*number)).collect();
    check(&details, &required, &[&optional[..], &["sections", "fields", "files"]].concat());
    let titles = || items.iter().filter_map(|item| item["title"].as_str());
    assert!(titles().any(str::is_empty) && titles().any(|title| title.chars().count() > 4096));
    assert!(titles().any(|title| !title.is_ascii()) && titles().any(|title| title.contains('\'')));
    let types: BTreeSet<_> = vaults(&connect).iter().map(|vault| vault["type"].to_string()).collect();
    assert_eq!(types.len(), 5, "{types:?}");
}

#[test]
fn an_item_is_the_same_in_a_list_and_in_full() {
    let connect = connect(Config::default());
    let cast = &connect.world.cast;
    for number in numbers(&connect) {
        let (item, full) = (connect.first_item(number), connect.first_detail(number));
        for (name, value) in item.as_object().expect("an object") {
            assert_eq!(full[name], *value, "{name}");
        }
        assert!(item["version"].as_u64() >= Some(1));
        let editor = item["lastEditedBy"].as_str().expect("a user");
        assert!(cast.user(editor).is_some() && !editor.bytes().any(|byte| byte.is_ascii_lowercase()));
        let time =
            |name: &str| item[name].as_str().map(|text| text.parse::<jiff::Timestamp>().expect("RFC 3339"));
        if let (Some(created), Some(updated)) = (time("createdAt"), time("updatedAt")) {
            assert!(created < updated && i128::from(START) > updated.as_nanosecond());
        }
    }
}

#[test]
fn a_vault_counts_its_items_and_their_versions() {
    let connect = connect(Config { items_per_vault: 7, ..Config::default() });
    for (at, vault) in vaults(&connect).into_iter().enumerate() {
        let versions: Vec<u64> = (connect.world.cast.items.of_vault(at))
            .map(|number| connect.first_item(number)["version"].as_u64().expect("a number"))
            .collect();
        assert_eq!(vault["items"], versions.len());
        let [content, attributes] =
            ["contentVersion", "attributeVersion"].map(|name| vault[name].as_u64().expect("a number"));
        assert_eq!(content, attributes + versions.iter().sum::<u64>());
    }
}

#[test]
fn every_secret_holds_a_canary_and_nothing_else_does() {
    let connect = connect(Config::default());
    let canaries = secret_canaries(connect.seed);
    let is_canary = |text: &str| canaries.iter().any(|canary| text.contains(canary));
    let mut seen = BTreeSet::new();
    for number in numbers(&connect) {
        let mut full = connect.first_detail(number);
        for field in full["fields"].as_array_mut().into_iter().flatten() {
            let recipe = &mut field["recipe"];
            let excluded = recipe.get("excludeCharacters").cloned();
            let secrets = ["value", "totp", "entropy"].map(|name| (name, field.get(name).cloned()));
            for (name, secret) in secrets.into_iter().chain([("recipe", excluded)]) {
                for text in secret.iter().flat_map(leaves) {
                    assert!(is_canary(&text), "{name}: {text}");
                    seen.insert(name);
                }
                field.as_object_mut().expect("an object").remove(name);
            }
        }
        for file in full["files"].as_array_mut().into_iter().flatten() {
            let file = file.as_object_mut().expect("an object");
            for name in ["id", "content_path"] {
                let text = file.remove(name).expect("always there");
                assert!(is_canary(text.as_str().expect("text")));
            }
            seen.insert("file");
        }
        assert!(!leaves(&full).iter().any(|text| is_canary(text)), "{full}");
    }
    assert_eq!(seen.len(), 5, "{seen:?}");
    assert!(!vaults(&connect).iter().flat_map(leaves).any(|text| is_canary(&text)));
}

#[test]
fn some_fields_name_a_section_that_is_not_there() {
    let connect = connect(Config::default());
    let (mut there, mut dangling) = (0, 0);
    for number in numbers(&connect) {
        let full = connect.first_detail(number);
        let list = |name: &str| full[name].as_array().cloned().unwrap_or_default();
        let sections: Vec<Value> = list("sections").iter().map(|section| section["id"].clone()).collect();
        for field in list("fields").iter().filter(|field| field["section"].is_object()) {
            let found = sections.contains(&field["section"]["id"]);
            *(if found { &mut there } else { &mut dangling }) += 1;
        }
    }
    assert!(there > 100 && dangling > 100, "{there} {dangling}");
}

#[test]
fn events_name_the_vaults_and_items_that_connect_tells() {
    let connect = connect(Config { events: 50_000, ..Config::default() });
    let world = &connect.world;
    let (mut active, mut deleted) = (0, 0);
    for index in 0..4000 {
        let mut out = Vec::new();
        world.write(Stream::ItemUsages, index, &world.event(Stream::ItemUsages, index), &mut out);
        let usage: Value = serde_json::from_slice(&out).expect("an event is JSON");
        let text = |name: &str| usage[name].as_str().filter(|text| !text.is_empty());
        let Some(item) = text("item_uuid") else { continue };
        assert!(is_id(item));
        let number = world.cast.items.number_of(item).expect("an item's id");
        let home = world.cast.items.vault_of(number);
        match world.cast.items.is_in(number, home) {
            false => deleted += 1,
            true => {
                active += 1;
                let home = connect.first_item(number)["vault"]["id"].clone();
                let told = text("vault_uuid").is_none_or(|vault| home == vault);
                assert!(told, "the usage is of the vault the item is in");
            }
        }
    }
    assert!(active > 3000 && deleted > 0, "{active} {deleted}");
}
