//! Files of JupiterOne's SDK, read as the SDK reads them: every file under `graph/`, at any depth.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use opgraph_simulator::{Held, HeldInFull};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// What the SDK takes of a file.
#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow, default)]
    entities: Vec<&'a RawValue>,
    #[serde(borrow, default)]
    relationships: Vec<&'a RawValue>,
}

/// Every file under a folder, with its bytes.
pub(crate) fn all(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        let path = entry.path();
        match path.is_dir() {
            true => found.extend(all(&path)),
            false => drop(found.insert(path.clone(), fs::read(path).unwrap())),
        }
    }
    found
}

/// The text of every record, by key.
pub(crate) fn records(dir: &Path) -> BTreeMap<String, String> {
    let mut records = BTreeMap::new();
    for (path, bytes) in all(&dir.join(".j1-integration/graph")) {
        let file: File<'_> =
            serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        for record in file.entities.into_iter().chain(file.relationships) {
            let value: Value = serde_json::from_str(record.get()).unwrap();
            let key = value["_key"].as_str().unwrap().to_owned();
            let before = records.insert(key.clone(), record.get().to_owned());
            assert!(before.is_none(), "{key} is there twice, the second time in {path:?}");
        }
    }
    records
}

/// Every record in the oracle's words.
pub(crate) fn held(dir: &Path) -> Vec<HeldInFull> {
    records(dir).into_values().map(|text| in_oracles_words(serde_json::from_str(&text).unwrap())).collect()
}

fn in_oracles_words(record: Value) -> HeldInFull {
    let text = |name: &str| record[name].as_str().map(str::to_owned);
    let entity = record["_fromEntityKey"].is_null();
    let class = if entity { record["_class"][0].as_str().map(str::to_owned) } else { text("_class") };
    let held = Held {
        key: text("_key").unwrap(),
        type_: text("_type").unwrap(),
        class,
        from: text("_fromEntityKey"),
        to: text("_toEntityKey"),
        name: entity.then(|| text("name")).flatten(),
        display_name: text("displayName"),
        created_on: entity.then(|| record["createdOn"].as_i64()),
    };
    let listed = ["one_password_vault", "one_password_secret"].contains(&held.type_.as_str());
    match record {
        Value::Object(properties) if listed => held.with_properties(properties),
        _ => held.into(),
    }
}
