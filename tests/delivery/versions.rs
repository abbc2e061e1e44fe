//! Versions of users, vaults and items that come late and in any order, from any stream and from Connect.

use std::{collections::BTreeMap, sync::Arc};

use opgraph::{
    graph::{Records, Sharing},
    page::{Coverage, Listing, Page, Place},
    sink::{
        Sink, Upload,
        graph::{GraphReader, GraphSink},
        memory::MemorySink,
    },
    source::connect::{Item, Labels, Vault, records},
    stream::{Mapping, Stream, read_page},
};
use opgraph_state::{
    Advance, Cursor, Fingerprint, MemoryStore, OpenOptions, SledStore, SourceInfo, Store, UnixMs, Version,
};
use proptest::prelude::*;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::START;

const TENANT: &str = "acme";

/// Something that is told of people, vaults and items, once.
#[derive(Clone, Debug)]
enum Telling {
    /// An event names a person, fully or by the id alone, and an audit event a vault.
    Event { stream: Stream, person: u8, minute: i64, named: bool },
    /// Connect lists a vault.
    Vault { vault: u8, attributes: u64, contents: u64 },
    /// Connect lists an item, and it was opened or not.
    Item { item: u8, version: u64, attributes: u64, opened: bool },
}

fn telling() -> impl Strategy<Value = Telling> {
    let stream = prop::sample::select(Stream::ALL.to_vec());
    prop_oneof![
        3 => (stream, 0..2u8, 0..6i64, any::<bool>())
            .prop_map(|(stream, person, minute, named)| Telling::Event { stream, person, minute, named }),
        1 => (0..2u8, 1..4u64, 1..4u64)
            .prop_map(|(vault, attributes, contents)| Telling::Vault { vault, attributes, contents }),
        2 => (0..2u8, 1..4u64, 1..3u64, any::<bool>())
            .prop_map(|(item, version, attributes, opened)| Telling::Item { item, version, attributes, opened }),
    ]
}

impl Telling {
    /// Its records; events number `n` and following tell different names.
    fn records(&self, n: usize) -> Records {
        let mut all = Records::default();
        match self {
            Telling::Event { stream, person, minute, named } => {
                let at = jiff::Timestamp::from_millisecond(START.0 + 60_000 * minute).unwrap();
                let who = ["target_user", "user", "actor_details"][*stream as usize];
                let name = if *named { format!(r#","name":"Ann {n}""#) } else { String::new() };
                let body = format!(
                    r#"{{"cursor":"c","has_more":false,"items":[{{"uuid":"E{n}","timestamp":"{at}","{who}":{{"uuid":"USER{person}"{name}}},"action":"grant","object_type":"uva","object_uuid":"v{person}"}}]}}"#
                );
                let read = read_page(*stream, body.into_bytes()).unwrap();
                read.events.map(&Mapping { raw_data: false, account_name: None }, &mut all);
            }
            Telling::Vault { vault, .. } => {
                let Telling::Vault { attributes, contents, .. } = *self else { unreachable!() };
                let vault = Vault {
                    // Which vault has grown to which sum says which of its versions it is.
                    name: Some(format!("Vault {attributes} {contents}")),
                    attribute_version: Some(attributes),
                    content_version: Some(contents),
                    ..Vault { id: format!("v{vault}"), ..Vault::default() }
                };
                records::vault(&mut all, &vault, None);
            }
            Telling::Item { item, version, attributes, opened } => {
                let vault = Vault {
                    id: "v0".to_owned(),
                    name: Some(format!("Vault {attributes}")),
                    attribute_version: Some(*attributes),
                    ..Vault::default()
                };
                let item = Item { id: format!("i{item}"), version: Some(*version), ..Item::default() };
                // What sorts before and behind every other property.
                let labels = Labels { sections: vec!["!".to_owned()], files: vec!["~".to_owned()] };
                records::secret(&mut all, &vault, &item, opened.then_some(&labels), None);
            }
        }
        all
    }
}

/// Every record that is told, and which version each is.
type Held = BTreeMap<String, (Version, String)>;

/// The places where records are kept, and how far each stream has come.
struct Places {
    dir: TempDir,
    store: MemoryStore,
    sink: MemorySink,
    cursors: BTreeMap<Stream, usize>,
}

/// Tells all of it in this order; after the ones that `ends` names an upload
/// ends, and after the ones that `restarts` names the run.
async fn outcome(told: &[(usize, Telling)], ends: &[bool], restarts: &[bool]) -> Held {
    let mut places = Places {
        dir: tempfile::tempdir().unwrap(),
        store: MemoryStore::default(),
        sink: MemorySink::default(),
        cursors: BTreeMap::new(),
    };
    let mut left = told;
    let mut at = 0;
    while !left.is_empty() {
        let mut uploads = Vec::new();
        let mut upload = Vec::new();
        while let Some(((n, telling), rest)) = left.split_first() {
            (left, at) = (rest, at + 1);
            upload.push((*n, telling.clone()));
            let restart = restarts[at % restarts.len()];
            if ends[at % ends.len()] || restart || left.is_empty() {
                uploads.push(std::mem::take(&mut upload));
            }
            if restart {
                break;
            }
        }
        run(&mut places, uploads).await;
    }
    places.agree().await
}

/// One run: it opens everything, and goes on where the last one ended.
async fn run(places: &mut Places, uploads: Vec<Vec<(usize, Telling)>>) {
    let state = places.dir.path().join("state");
    let sled = SledStore::open(&state, OpenOptions::default()).unwrap();
    let graph = GraphSink::open(&places.dir.path().join("graph.db"), GraphSink::LIMITS).unwrap();
    let first: Vec<_> =
        Stream::ALL.iter().map(|stream| (stream.name().to_owned(), Cursor::Since(START))).collect();
    let epoch = sled.claim(TENANT, &first, START).await.unwrap().epoch;
    assert_eq!(places.store.claim(TENANT, &first, START).await.unwrap().epoch, epoch);
    for upload in uploads {
        let (mut into_memory, mut into_graph) = (places.sink.open(), graph.open());
        let mut covered = Coverage::default();
        for (n, telling) in upload {
            let records = telling.records(n);
            let Telling::Event { stream, .. } = telling else {
                covered.list(Listing { records, ..Listing::default() });
                continue;
            };
            let turn = places.cursors.entry(stream).or_default();
            let cursor = |turn: usize| match turn {
                0 => Cursor::Since(START),
                turn => Cursor::Token(turn.to_string()),
            };
            let advance = Advance::new(cursor(*turn), cursor(*turn + 1));
            *turn += 1;
            let mut page = Page::new(records, Place::new(stream, advance, SourceInfo::default()), None);
            page.remember(vec![Fingerprint(n as u128)]);
            covered.add(&page).unwrap();
            let page = Arc::new(page);
            into_memory.write(page.clone()).await.unwrap();
            into_graph.write(page).await.unwrap();
        }
        let ack = into_graph.finish(covered.clone()).await.unwrap();
        let _ = into_memory.finish(covered).await.unwrap();
        let commit = ack.into_commit(TENANT, epoch, START);
        places.store.commit(commit.clone()).await.unwrap();
        sled.commit(commit).await.unwrap();
    }
}

impl Places {
    /// What they hold of shared records: the same everywhere.
    async fn agree(self) -> Held {
        let held = self.sink.held().records.clone().into_iter();
        let shared = held.filter(|(_, kept)| kept.of.sharing() == Sharing::Shared);
        let held: Held = shared.map(|(key, kept)| (key, (kept.version, kept.json))).collect();
        let sled = SledStore::open(&self.dir.path().join("state"), OpenOptions::default()).unwrap();
        assert_eq!(directory(&sled).await, held, "the directory of the store on disk");
        assert_eq!(directory(&self.store).await, held, "the directory of the store in memory");
        let graph = GraphReader::open(&self.dir.path().join("graph.db")).unwrap().records().unwrap();
        let graph = graph.into_iter().filter(|(_, kept)| kept.of.sharing() == Sharing::Shared);
        let graph: BTreeMap<String, String> = graph.map(|(key, kept)| (key, kept.json)).collect();
        let json: BTreeMap<_, _> = held.iter().map(|(key, (_, json))| (key.clone(), json.clone())).collect();
        assert_eq!(graph, json, "the local graph");
        held
    }
}

async fn directory<T: Store>(store: &T) -> Held {
    let mut held = Held::new();
    for shard in 0..=u8::MAX {
        for entry in store.directory_shard(TENANT, shard).await.unwrap() {
            held.insert(entry.key, (entry.version, entry.record));
        }
    }
    held
}

/// Whether what is held of each person, vault and item is the newest that was told.
fn is_newest(told: &[(usize, Telling)], held: &Held) {
    for (key, (_, json)) in held.iter().filter(|(key, _)| !key.contains('|')) {
        let json: Value = serde_json::from_str(json).unwrap();
        let tells = |n: usize, telling: &Telling| telling.records(n).iter().any(|record| record.key == key);
        let of: Vec<&(usize, Telling)> = told.iter().filter(|(n, telling)| tells(*n, telling)).collect();
        let newest = of.iter().map(|(n, telling)| match *telling {
            Telling::Event { minute, named, .. } if !key.contains("_vault:") => {
                (u64::from(named), minute as u64, *n as u64)
            }
            Telling::Event { .. } => (0, 0, 0),
            Telling::Vault { attributes, contents, .. } => (1, attributes + contents, 0),
            Telling::Item { version, attributes, opened, .. } => (version, attributes, u64::from(opened)),
        });
        let newest = newest.max().unwrap();
        let said = |name: &str| json[name].as_u64().unwrap_or(0);
        if key.contains("_secret:") {
            let opened = u64::from(json["sectionLabels"][0] == "!" && json["fileNames"][0] == "~");
            let of_vault = json["vaultName"].as_str().unwrap().strip_prefix("Vault ").unwrap();
            assert_eq!((said("version"), of_vault.parse().unwrap(), opened), newest, "{key}");
        } else if key.contains("_vault:") {
            let is_stub = json["name"] == json["id"];
            assert_eq!(u64::from(!is_stub), newest.0, "{key}");
            assert_eq!(said("attributeVersion") + said("contentVersion"), newest.1, "{key}");
        } else {
            // Of two that were told for the same minute, either.
            let name = json["name"].as_str().and_then(|name| name.strip_prefix("Ann "));
            let by = of.iter().find(|(n, _)| name == Some(n.to_string().as_str()));
            let (named, minute) = match by {
                Some((_, Telling::Event { minute, .. })) => (1, *minute as u64),
                _ => (0, newest.1),
            };
            assert_eq!((named, minute), (newest.0, newest.1), "{key}: {json}");
        }
    }
}

fn wait_for<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

    #[test]
    fn the_newest_version_is_held_whatever_the_order_of_arrival(
        (told, again) in prop::collection::vec(telling(), 1..24)
            .prop_map(|told| told.into_iter().enumerate().collect::<Vec<_>>())
            .prop_flat_map(|told| (Just(told.clone()), Just(told).prop_shuffle())),
        ends in prop::collection::vec(any::<bool>(), 1..6),
        restarts in prop::collection::vec(prop::bool::weighted(0.15), 1..9),
    ) {
        let held = wait_for(outcome(&told, &ends, &restarts));
        is_newest(&told, &held);
        prop_assert_eq!(wait_for(outcome(&again, &restarts, &ends[..1])), held);
    }
}

#[test]
fn an_opened_item_beats_the_same_version_unopened_in_either_order() {
    for opened_first in [false, true] {
        let told: Vec<_> = [opened_first, !opened_first]
            .map(|opened| Telling::Item { item: 0, version: 7, attributes: 3, opened })
            .into_iter()
            .enumerate()
            .collect();
        is_newest(&told, &wait_for(outcome(&told, &[true], &[false])));
    }
}

#[test]
fn a_version_of_an_item_beats_every_version_of_its_vault_and_none_is_too_great() {
    let version = |version: u64, attributes: u64, opened: bool| {
        let telling = Telling::Item { item: 0, version, attributes, opened };
        telling.records(0).iter().next().unwrap().version
    };
    assert!(version(2, 1, false) > version(1, u64::MAX, true));
    assert!(version(1, 2, false) > version(1, 1, true));
    assert!(version(u64::MAX, u64::MAX, true) >= version(1 << 38, 1, true));
    assert_eq!(version(0, 0, false), Version { rank: 2, at: UnixMs(0) });
}
