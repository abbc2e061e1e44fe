//! Plan `scope` with a state that has lost something: nothing is deleted from JupiterOne.

use std::collections::{BTreeMap, BTreeSet};

use opgraph::{graph::Records, page::Page, stream::Stream};
use opgraph_state::{Cursor, MemoryStore, Store, UnixMs, shard_of};

use super::{Rig, TENANT, audit, event, page, scope, token};

/// What JupiterOne holds, by scope.
fn graph(rig: &Rig) -> BTreeMap<String, BTreeSet<String>> {
    let names: Vec<String> = rig.fake.world().graph.keys().cloned().collect();
    names.into_iter().map(|name| (name.clone(), rig.fake.keys(&name))).collect()
}

fn assert_nothing_is_gone(rig: &Rig, before: &BTreeMap<String, BTreeSet<String>>) {
    let after = graph(rig);
    for (name, keys) in before {
        let gone: Vec<_> = keys.difference(&after[name]).collect();
        assert!(gone.is_empty(), "{name} has lost {gone:?}");
    }
    assert!(rig.fake.world().jobs.iter().all(|job| job.deleted == (0, 0)));
}

/// A page of one audit event by an actor of its own.
fn by(from: &str, to: &str, user: &'static str) -> Page<Records> {
    page(Stream::AuditEvents, from, to, &[from], move |records, id| {
        event(records, &format!("e{id}"), user, user, 1, "{}");
    })
}

/// Actors of one directory scope: it is sent whole whenever one of them changes.
fn users() -> [&'static str; 6] {
    let shard = |user: &str| shard_of(&format!("one_password_audit_event_actor_details:{user}"));
    let mut users = (1..).map(|number| format!("u{number}")).filter(|user| shard(user) == shard("u1"));
    std::array::from_fn(|_| &*users.next().unwrap().leak())
}

/// Delivers a page for each user, each from the cursor of its number on.
async fn all_users(rig: &Rig, users: [&'static str; 6]) -> Vec<MemoryStore> {
    let run = rig.start().await.unwrap();
    let mut states = vec![rig.store.copied()];
    for (number, user) in users.into_iter().enumerate() {
        run.deliver([by(&number.to_string(), &(number + 1).to_string(), user)]).await;
        states.push(rig.store.copied());
    }
    states
}

#[tokio::test]
async fn a_state_that_went_backwards_deletes_nothing_from_the_directory_or_the_events() {
    let users = users();
    for back in 0..users.len() {
        let mut rig = Rig::new(scope()).await;
        let states = all_users(&rig, users).await;
        let before = graph(&rig);
        rig.store = states[back].copied();
        // The claim's note says that the directory is whole; it is older than that.
        let run = rig.start().await.unwrap();
        let from = back.to_string();
        run.deliver([by(&from, "x", users[back])]).await;
        assert_nothing_is_gone(&rig, &before);
        // And once more, in the run after.
        let run = rig.start().await.unwrap();
        run.deliver([by("x", "y", "u9")]).await;
        assert_nothing_is_gone(&rig, &before);
    }
}

#[tokio::test]
async fn a_state_that_was_lost_and_healed_deletes_nothing_from_the_directory_or_the_events() {
    let mut rig = Rig::new(scope()).await;
    let users = users();
    all_users(&rig, users).await;
    let before = graph(&rig);
    // What a damaged state is replaced by: cursors, marked as rewinding, and nothing else.
    let known = rig.store.checkpoints().await.unwrap().remove(TENANT).unwrap();
    rig.store = MemoryStore::default();
    let overlap = std::time::Duration::from_secs(1);
    let again = known.into_iter().map(|(name, stands)| (name, stands.read_again(None, overlap))).collect();
    rig.store.import(TENANT, again, false, UnixMs(5)).await.unwrap();
    let stands = rig.store.checkpoints().await.unwrap()[TENANT]["auditevents"].clone();
    assert!(stands.rewinding);
    let Cursor::Token(from) = stands.cursor else { panic!("no event time is known of these pages") };

    let run = rig.start().await.unwrap();
    run.deliver([by(&from, "x", users[0])]).await;
    assert_nothing_is_gone(&rig, &before);
    let run = rig.start().await.unwrap();
    run.deliver([by("x", "y", "u9")]).await;
    assert_nothing_is_gone(&rig, &before);
}

/// The note of a job that was committed comes back with an older state. What
/// its scope holds is taken for uncommitted, and comes again from the same cursor.
#[tokio::test]
async fn a_note_that_an_older_state_brings_back_costs_nothing_that_does_not_come_again() {
    let mut rig = Rig::new(scope()).await;
    let run = rig.start().await.unwrap();
    let ack = run.upload([audit("0", "1", &["e0", "e1"])]).await.unwrap();
    let noted = rig.store.copied();
    run.commit(ack).await;
    let before = graph(&rig);
    rig.store = noted;
    let run = rig.start().await.unwrap();
    assert_eq!(run.claim.checkpoints["auditevents"].cursor, token("0"));
    run.deliver([audit("0", "1", &["e0", "e1"])]).await;
    assert_eq!(graph(&rig), before);
    assert!(rig.fake.duplicates().is_empty(), "{:?}", rig.fake.duplicates());
}
