//! Listings, and what they take out of a sink.

use std::collections::BTreeMap;

use opgraph::{
    graph::{
        EntityType, Records, RelationshipType,
        records::{FULL, STUB},
    },
    page::{Coverage, Listing},
    sink::{Sink, Upload, graph::GraphReader},
};
use opgraph_state::{UnixMs, Version};
use rusqlite::Connection;

use super::{Contents, Feed, Graph, Subject, upload};

pub(super) fn version(rank: u8, at: i64) -> Version {
    Version { rank, at: UnixMs(at) }
}

pub(super) fn vault(records: &mut Records, id: &str, name: &str, version: Version) {
    let mut vault = records.entity(EntityType::Vault, id, version);
    vault.text("name", Some(name));
    vault.text("displayName", Some(name));
    vault.close();
}

pub(super) fn item(records: &mut Records, vault: &str, id: &str) {
    let mut item = records.entity(EntityType::Secret, id, version(FULL, 1));
    item.text("name", Some(id));
    item.text("vaultId", Some(vault));
    item.close();
    records.relationship(RelationshipType::VaultHasSecret, vault, id, UnixMs(0));
}

fn contents(records: &Records) -> Contents {
    records.iter().map(|record| (record.key.to_owned(), record.json.to_owned())).collect()
}

/// The vaults `V` and `W`, and `U0`, which the events of a feed name, with two items each.
pub(super) fn listed() -> Records {
    let mut records = Records::default();
    for id in ["V", "W", "U0"] {
        vault(&mut records, id, &format!("the vault {id}"), version(FULL, 1_000));
        item(&mut records, id, &format!("{id}1"));
        item(&mut records, id, &format!("{id}2"));
    }
    records
}

pub(super) async fn list<K: Sink>(sink: &K, records: Records, removed: &[&str]) {
    let mut coverage = Coverage::default();
    let removed = removed.iter().map(|key| (*key).to_owned()).collect();
    coverage.list(Listing { records, removed, ..Listing::default() });
    let ack = sink.open().finish(coverage).await.unwrap();
    assert_eq!(ack.steps().len(), 0, "a listing moves no cursor");
}

/// What is held after the events of a feed and the listing.
pub(super) async fn filled<S: Subject>() -> (S, Contents) {
    let (subject, feed) = (S::new(), Feed::new(6));
    let _ = upload(subject.sink(), &feed, 0..6).await.unwrap();
    list(subject.sink(), listed(), &[]).await;
    let mut all = feed.contents();
    all.extend(contents(&listed()));
    assert_eq!(subject.contents(), all);
    (subject, all)
}

pub(super) async fn what_is_removed_is_gone_and_all_else_stays_as_it_was<S: Subject>() {
    let (subject, mut expect) = filled::<S>().await;
    let gone = [
        "one_password_secret:V1",
        "one_password_vault:V|has|one_password_secret:V1",
        "one_password_secret:W1",
        "one_password_secret:W2",
        "one_password_vault:W",
        "one_password_vault:W|has|one_password_secret:W1",
        "one_password_vault:W|has|one_password_secret:W2",
    ];
    // The second time nothing of it is there.
    for _ in 0..2 {
        list(subject.sink(), Records::default(), &gone).await;
        gone.iter().for_each(|key| drop(expect.remove(*key)));
        assert_eq!(subject.contents(), expect);
    }
    // It may come back, in any version.
    let mut again = Records::default();
    vault(&mut again, "W", "a vault again", version(STUB, 0));
    item(&mut again, "W", "W2");
    expect.extend(contents(&again));
    list(subject.sink(), again, &[]).await;
    assert_eq!(subject.contents(), expect);
}

pub(super) async fn a_vault_that_is_gone_and_still_named_by_events_is_a_stub_again<S: Subject>() {
    let (subject, mut expect) = filled::<S>().await;
    let gone = [
        "one_password_secret:U01",
        "one_password_secret:U02",
        "one_password_vault:U0",
        "one_password_vault:U0|has|one_password_secret:U01",
        "one_password_vault:U0|has|one_password_secret:U02",
    ];
    let mut stub = Records::default();
    vault(&mut stub, "U0", "U0", version(STUB, 0));
    gone.iter().for_each(|key| drop(expect.remove(*key)));
    expect.extend(contents(&stub));
    list(subject.sink(), stub, &gone).await;
    // Who has done something with the vault is known as before.
    assert!(expect.keys().any(|key| key.ends_with("|performed|one_password_vault:U0")));
    assert_eq!(subject.contents(), expect);
}

#[tokio::test]
async fn rows_and_views_of_the_graph_lose_what_is_removed_and_no_row_is_left_nameless() {
    let (graph, _) = filled::<Graph>().await;
    let connection = Connection::open(graph.sink().path()).unwrap();
    let count = |from: &str| -> i64 {
        connection.query_row(&format!("SELECT count(*) FROM {from}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!((count("one_password_secret"), count("one_password_vault_has_secret")), (6, 6));
    let keys: Vec<String> = GraphReader::open(graph.sink().path())
        .unwrap()
        .records()
        .unwrap()
        .into_keys()
        .filter(|key| key.contains("one_password_secret:W") || key == "one_password_vault:W")
        .collect();
    assert_eq!(keys.len(), 5);
    list(graph.sink(), Records::default(), &keys.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!((count("one_password_secret"), count("one_password_vault_has_secret")), (4, 4));
    assert_eq!(
        (count("records_one_password_secret"), count("records_one_password_vault_has_secret")),
        (4, 4)
    );
    assert_eq!(count("records_one_password_vault WHERE json IS NULL OR key = 'one_password_vault:W'"), 0);
}

/// A row id that is free may be given out again, so one that a relationship names must not become free.
#[tokio::test]
async fn a_row_that_is_still_named_never_becomes_another_vaults() {
    let (graph, before) = filled::<Graph>().await;
    let named: Vec<&str> = before
        .keys()
        .map(String::as_str)
        .filter(|key| key.contains("|performed|one_password_vault:"))
        .collect();
    let vaults: Vec<&str> = before
        .keys()
        .map(String::as_str)
        .filter(|key| key.starts_with("one_password_vault:U") && !key.contains('|'))
        .collect();
    assert!(!named.is_empty());
    // Without a stub, which nobody asks for.
    list(graph.sink(), Records::default(), &vaults).await;
    let mut new = Records::default();
    (0..9).for_each(|n| vault(&mut new, &format!("N{n}"), "new", version(FULL, 1)));
    list(graph.sink(), new, &[]).await;
    let after: BTreeMap<_, _> = graph.contents();
    assert!(named.iter().all(|key| after.contains_key(*key)));
    assert!(!after.keys().any(|key| key.contains("|performed|one_password_vault:N")));
}
