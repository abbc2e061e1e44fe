//! The oracle of what Connect tells: it accepts the right graph, and finds everything that is wrong with another one.

use opgraph_simulator::{Config, HeldInFull};
use serde_json::{Value, json};

use crate::{
    reader::{Reader, get, id, list},
    support::{Rig, config, counts, held, rig, told},
};

fn small() -> Config {
    Config { events: 0, vaults: 4, items_per_vault: 8, ..config() }
}

/// Something done to a graph on purpose.
type Spoil<'a> = &'a dyn Fn(&mut Vec<HeldInFull>);

fn place(graph: &[HeldInFull], type_: &str) -> usize {
    graph.iter().position(|one| one.record.type_ == type_).unwrap()
}

#[tokio::test]
async fn nothing_is_expected_of_what_was_not_read() {
    let rig = rig(small()).await;
    assert_eq!(rig.sim.expectations().total(), 0);
    told(get(&rig, "/v1/vaults?filter=name%20eq%20%22Engineering%22")).await;
    assert_eq!(rig.sim.expectations().total(), 0, "a filtered list is not a complete one");
    list(&rig, "/v1/vaults").await;
    assert_eq!(rig.sim.expectations().total(), 4, "the vaults, and nothing in them");
}

#[tokio::test]
async fn a_graph_made_by_the_table_is_exact_with_and_without_details() {
    for details in [false, true] {
        for seed in 0..10 {
            let rig = rig(Config { seed, vaults: 12, ..small() }).await;
            let mut reader = Reader::default();
            reader.snapshot(&rig, details).await;
            let comparison = rig.sim.compare(reader.graph());
            assert!(comparison.is_exact() && comparison.expected == 12 + 11 * 16, "{seed}: {comparison:#?}");
        }
    }
}

#[tokio::test]
async fn a_client_that_follows_the_changes_stays_exact_after_every_snapshot() {
    for seed in 0..12 {
        let rig = rig(Config { seed, ..small() }).await;
        let mut reader = Reader::default();
        for round in 0..15 {
            rig.sim.connect().change(1 + (seed + round) % 12);
            reader.snapshot(&rig, seed % 2 == 0).await;
            let comparison = rig.sim.compare(reader.graph());
            assert!(comparison.is_exact(), "seed {seed}, round {round}: {comparison:#?}");
        }
    }
}

#[tokio::test]
async fn the_expectation_written_out_is_exact_in_jupiterone_too() {
    let rig = rig(Config { events: 2000, ..small() }).await;
    rig.read_all().await;
    Reader::default().snapshot(&rig, true).await;
    let records: Vec<_> = rig.sim.expectations().collect();
    assert!(records.iter().any(|record| record.type_ == "one_password_secret"));
    rig.sync_records(&records).await;
    let report = rig.sim.report();
    assert!(report.is_exact() && report.graph.expected == records.len() as u64, "{:#?}", report.graph);
    let mut spoilt = records.clone();
    let secret = spoilt.iter().position(|record| record.type_ == "one_password_secret").unwrap();
    spoilt[secret].properties[0].insert("version".to_owned(), json!(1000));
    rig.sync_records(&spoilt).await;
    let graph = rig.sim.report().graph;
    assert_eq!(counts(&graph), [0, 0, 0, 0, 1]);
    assert!(graph.wrong.examples[0].contains("its version is not"), "{:?}", graph.wrong);
}

#[tokio::test]
async fn every_wrong_property_of_a_vault_or_secret_is_found() {
    let rig = rig(Config { items_per_vault: 60, ..small() }).await;
    let mut reader = Reader::default();
    reader.snapshot(&rig, true).await;
    let graph = reader.graph();
    let mut names = std::collections::BTreeSet::new();
    for type_ in ["one_password_vault", "one_password_secret"] {
        let all: Vec<usize> = (0..graph.len()).filter(|at| graph[*at].record.type_ == type_).collect();
        let with = |name: &str| {
            let told = |at: &&usize| {
                let value = &graph[**at].properties.as_ref().unwrap()[name];
                !(value.is_null() || *value == json!([]) || *value == "")
            };
            all.iter().find(told).copied()
        };
        for name in graph[all[0]].properties.as_ref().unwrap().keys() {
            let at = with(name).unwrap_or_else(|| panic!("no {type_} has a {name}"));
            names.insert(name.clone());
            for value in [Value::Null, json!("other"), json!(["other"]), json!(-1), json!({"a": 1})] {
                let mut spoilt = graph.clone();
                spoilt[at].properties.as_mut().unwrap().insert(name.clone(), value.clone());
                let comparison = rig.sim.compare(spoilt);
                assert_eq!(counts(&comparison), [0, 0, 0, 0, 1], "{type_} {name} {value}");
                assert!(comparison.wrong.examples[0].contains(name.as_str()), "{:?}", comparison.wrong);
            }
        }
        let mut spoilt = graph.clone();
        spoilt[all[0]].properties.as_mut().unwrap().insert("password".to_owned(), json!("x"));
        assert_eq!(counts(&rig.sim.compare(spoilt)), [0, 0, 0, 0, 1], "a property too many");
        for spoil in [
            (|one: &mut HeldInFull| one.record.name = Some("other".to_owned())) as fn(&mut HeldInFull),
            |one| one.record.display_name = Some("other".to_owned()),
            |one| one.record.created_on = Some(Some(1)),
            |one| one.record.class = Some("Record".to_owned()),
        ] {
            let mut spoilt = graph.clone();
            spoil(&mut spoilt[all[0]]);
            assert_eq!(counts(&rig.sim.compare(spoilt))[4], 1);
        }
    }
    assert_eq!(names.len(), 17, "{names:?}");
}

#[tokio::test]
async fn a_secret_that_is_missing_twice_or_without_its_vault_is_found() {
    let rig = rig(small()).await;
    let mut reader = Reader::default();
    reader.snapshot(&rig, false).await;
    let graph = reader.graph();
    let secret = place(&graph, "one_password_secret");
    let has = place(&graph, "one_password_vault_has_secret");
    let vault = place(&graph, "one_password_vault");
    let check = |spoil: Spoil<'_>| {
        let mut graph = graph.clone();
        spoil(&mut graph);
        counts(&rig.sim.compare(graph))
    };
    assert_eq!(check(&|_| {}), [0; 5]);
    assert_eq!(check(&|all| drop(all.remove(secret))), [1, 0, 0, 1, 0], "its relationship dangles");
    assert_eq!(check(&|all| drop(all.remove(has))), [1, 0, 0, 0, 0]);
    assert_eq!(check(&|all| all.push(all[secret].clone())), [0, 0, 1, 0, 0]);
    let of_vault =
        graph.iter().filter(|one| one.record.from == Some(graph[vault].record.key.clone())).count();
    assert_eq!(check(&|all| drop(all.remove(vault))), [1, 0, 0, of_vault as u64, 0]);
    let upper = |all: &mut Vec<HeldInFull>| {
        let (type_, id) = all[secret].record.key.split_once(':').unwrap();
        all[secret].record.key = format!("{type_}:{}", id.to_uppercase());
    };
    assert_eq!(check(&upper)[1], 1, "an id in another case is another id");
}

#[tokio::test]
async fn a_stale_secret_and_one_that_should_be_gone_are_found() {
    let rig = rig(small()).await;
    let account = rig.sim.connect();
    let mut reader = Reader::default();
    reader.snapshot(&rig, true).await;
    let (old, home) = (reader.graph(), account.vaults()[0].clone());
    let ids = account.items(&home);
    account.edit_item(&home, &ids[0]).unwrap();
    assert!(rig.sim.compare(old.clone()).is_exact(), "nobody could know of the edit yet");
    reader.snapshot(&rig, true).await;
    let comparison = rig.sim.compare(old.clone());
    assert_eq!(counts(&comparison), [0, 0, 0, 0, 2], "the vault and the secret: {comparison:#?}");
    assert!(rig.sim.compare(reader.graph()).is_exact());
    for (at, gone) in [(1, "archived"), (2, "deleted"), (3, "moved")] {
        let before = reader.graph();
        match gone {
            "archived" => account.archive_item(&home, &ids[at]).unwrap(),
            "deleted" => account.delete_item(&home, &ids[at]).unwrap(),
            _ => account.move_item(&home, &ids[at], &account.vaults()[1]).unwrap(),
        }
        reader.snapshot(&rig, true).await;
        let found = counts(&rig.sim.compare(before));
        let expect = match gone {
            // The relationship with the old vault is too many and the new one missing; the secret and two vaults are stale.
            "moved" => [1, 1, 0, 0, 3],
            // The secret and its relationship are too many; the vault's counts are stale.
            _ => [0, 2, 0, 0, 1],
        };
        assert_eq!(found, expect, "{gone}");
        assert!(rig.sim.compare(reader.graph()).is_exact(), "{gone}");
    }
}

#[tokio::test]
async fn a_moved_item_that_both_vaults_list_is_of_both_until_the_first_is_listed_again() {
    let rig = rig(small()).await;
    let account = rig.sim.connect();
    let vaults = account.vaults();
    Reader::default().snapshot(&rig, false).await;
    let moving = account.items(&vaults[0])[0].clone();
    account.move_item(&vaults[0], &moving, &vaults[1]).unwrap();
    let holders = || {
        let to = format!("one_password_secret:{moving}");
        let all = rig.sim.expectations().filter(|record| record.to.as_ref() == Some(&to));
        all.map(|record| record.from.unwrap()).collect::<Vec<_>>().len()
    };
    let vault_id = || {
        let key = format!("one_password_secret:{moving}");
        let secret = rig.sim.expectations().find(|record| record.key == key).unwrap();
        secret.properties[0]["vaultId"].as_str().unwrap().to_owned()
    };
    assert_eq!((holders(), vault_id()), (1, vaults[0].clone()));
    list(&rig, &format!("/v1/vaults/{}/items", vaults[1])).await;
    assert_eq!((holders(), vault_id()), (2, vaults[1].clone()), "the newer version is of the other vault");
    list(&rig, &format!("/v1/vaults/{}/items", vaults[0])).await;
    assert_eq!((holders(), vault_id()), (1, vaults[1].clone()));
}

#[tokio::test]
async fn a_vault_is_gone_after_two_complete_lists_without_it_and_a_stub_again_if_events_name_it() {
    let rig = rig(Config { events: 2000, ..small() }).await;
    rig.read_all().await;
    let stubs: Vec<_> = rig.sim.expectations().filter(|one| one.type_ == "one_password_vault").collect();
    assert!(!stubs.is_empty() && stubs.iter().all(|stub| stub.properties[0].len() == 1));
    let mut reader = Reader::default();
    reader.snapshot(&rig, false).await;
    let events: Vec<HeldInFull> = (rig.sim.expectations())
        .filter(|one| !one.type_.contains("secret") && one.type_ != "one_password_vault")
        .map(|one| held(&one).into())
        .collect();
    let with_vaults = |reader: &Reader| events.iter().cloned().chain(reader.graph()).collect::<Vec<_>>();
    assert!(rig.sim.compare(with_vaults(&reader)).is_exact());
    // A stub where Connect listed the vault in full.
    let stub = &stubs[0];
    let mut stubbed = with_vaults(&reader);
    let at = stubbed.iter().position(|one| one.record.key == stub.key).unwrap();
    stubbed[at] = held(stub).with_properties(stub.properties[0].clone());
    let comparison = rig.sim.compare(stubbed);
    assert_eq!(counts(&comparison), [0, 0, 0, 0, 1], "{comparison:#?}");
    let account = rig.sim.connect();
    let vault = stub.key.rsplit(':').next().unwrap().to_owned();
    account.delete_vault(&vault).unwrap();
    let full = reader.graph();
    reader.snapshot(&rig, false).await;
    assert!(rig.sim.compare(with_vaults(&reader)).is_exact(), "one list without it proves nothing");
    reader.snapshot(&rig, false).await;
    let mut gone = with_vaults(&reader);
    let comparison = rig.sim.compare(gone.clone());
    assert_eq!(comparison.missing.examples, std::slice::from_ref(&stub.key), "{comparison:#?}");
    gone.push(held(stub).with_properties(stub.properties[0].clone()));
    assert!(rig.sim.compare(gone).is_exact(), "a stub again");
    let stays = events.iter().cloned().chain(full).collect::<Vec<_>>();
    let [missing, unexpected, _, _, wrong] = counts(&rig.sim.compare(stays));
    assert_eq!((missing, unexpected > 0, wrong), (0, true, 1), "its secrets are too many, and it is no stub");
    // One that no event names is gone altogether.
    let made = account.create_vault().unwrap();
    reader.snapshot(&rig, false).await;
    let key = format!("one_password_vault:{made}");
    let expected = |rig: &Rig| rig.sim.expectations().any(|record| record.key == key);
    assert!(expected(&rig));
    account.delete_vault(&made).unwrap();
    list(&rig, "/v1/vaults").await;
    assert!(expected(&rig));
    list(&rig, "/v1/vaults").await;
    assert!(!expected(&rig));
}

#[tokio::test]
async fn a_rename_is_expected_of_the_vault_and_of_its_secrets() {
    let rig = rig(small()).await;
    let account = rig.sim.connect();
    let mut reader = Reader::default();
    reader.snapshot(&rig, false).await;
    let before = reader.graph();
    let vault = account.vaults()[0].clone();
    account.rename_vault(&vault, "Another").unwrap();
    reader.snapshot(&rig, false).await;
    assert!(rig.sim.compare(reader.graph()).is_exact());
    assert_eq!(counts(&rig.sim.compare(before)), [0, 0, 0, 0, 9], "the vault and eight secrets");
}

#[tokio::test]
async fn labels_and_file_names_are_of_the_listed_version_or_of_none() {
    let rig = rig(Config { vaults: 1, items_per_vault: 40, ..small() }).await;
    let account = rig.sim.connect();
    let vault = account.vaults()[0].clone();
    let mut reader = Reader::default();
    reader.snapshot(&rig, true).await;
    let full = reader.graph();
    let has_labels = |one: &&HeldInFull| {
        let labels = one.properties.as_ref().and_then(|properties| properties.get("sectionLabels"));
        labels.is_some_and(|labels| *labels != json!([]))
    };
    let labelled = full.iter().filter(has_labels).count() as u64;
    assert!(labelled > 10);
    // Between its list and its detail an item changed: either is right.
    let item = id(&list(&rig, &format!("/v1/vaults/{vault}/items")).await[0]).to_owned();
    account.edit_item(&vault, &item).unwrap();
    let newer = told(get(&rig, &format!("/v1/vaults/{vault}/items/{item}"))).await.1;
    let expected = rig.sim.expectations().find(|one| one.key.ends_with(&item) && one.from.is_none()).unwrap();
    let versions: Vec<_> = expected.properties.iter().map(|one| one["version"].as_u64().unwrap()).collect();
    let listed = newer["version"].as_u64().unwrap();
    assert_eq!(versions, [listed - 1, listed]);
    // Once a newer version is listed, the labels of an older one say nothing.
    account.edit_item(&vault, &item).unwrap();
    list(&rig, &format!("/v1/vaults/{vault}/items")).await;
    let expected = rig.sim.expectations().find(|one| one.key.ends_with(&item) && one.from.is_none()).unwrap();
    let [only] = &expected.properties[..] else { panic!("{expected:?}") };
    assert_eq!(only["version"], listed + 1);
    assert!(!only.contains_key("sectionLabels") && !only.contains_key("fileNames"));
    // Without details, all labels are too many; with them, none may be missing.
    let bare = crate::support::rig(Config { vaults: 1, items_per_vault: 40, ..small() }).await;
    Reader::default().snapshot(&bare, false).await;
    assert!(bare.sim.compare(full.clone()).wrong.count >= labelled);
}

#[tokio::test]
async fn requests_are_counted_by_call_and_by_vault() {
    let rig = rig(small()).await;
    let mut reader = Reader::default();
    reader.snapshot(&rig, true).await;
    let account = rig.sim.connect();
    let first = &account.vaults()[0];
    account.edit_item(first, &account.items(first)[0]).unwrap();
    reader.snapshot(&rig, false).await;
    told(get(&rig, &format!("/v1/vaults/{}", rig.sim.connect().vaults()[1]))).await;
    told(rig.client.get(format!("{}/v1/vaults", rig.sim.connect_url()))).await;
    let asked = rig.sim.report().connect;
    assert_eq!((asked.vault_lists, asked.vaults, asked.item_lists, asked.details), (3, 1, 5, 24));
    let vaults = rig.sim.connect().vaults();
    let by_vault: Vec<_> = vaults.iter().map(|vault| asked.item_lists_by_vault[vault]).collect();
    assert_eq!(by_vault, [2, 1, 1, 1]);
    assert_eq!(asked.details_by_vault, vaults[..3].iter().map(|vault| (vault.clone(), 8)).collect());
    assert_eq!(asked.changes, 1);
}

#[tokio::test]
async fn a_list_of_a_hundred_thousand_items_is_one_answer_that_nothing_holds() {
    let rig = rig(Config { vaults: 50, items_per_vault: 100_000, ..small() }).await;
    rig.sim.connect().change(1000);
    let vault = rig.sim.connect().vaults()[0].clone();
    let mut answer = get(&rig, &format!("/v1/vaults/{vault}/items")).send().await.unwrap();
    assert!(answer.content_length().is_none(), "nobody knows its length before it is made");
    let (mut bytes, mut pieces) = (0, 0);
    while let Some(piece) = answer.chunk().await.unwrap() {
        bytes += piece.len();
        pieces += 1;
        assert!(piece.len() < 1 << 20, "in small pieces");
    }
    assert!(bytes > 20_000_000 && pieces > 50, "{bytes} {pieces}");
}
