//! Listings of vaults and items at JupiterOne, and what they take out of it, in both plans.

use std::collections::BTreeMap;

use opgraph::{
    graph::{EntityType, Records, RelationshipType, records::STUB},
    http::{Halt, Remedy},
    page::{Coverage, Listing},
    sink::{Ack, Sink, SinkError, Upload},
    stream::Stream,
};
use opgraph_state::{InventoryChange, ListedItem, ListedVault, Store, UnixMs, Version};
use serde_json::Value;

use super::{
    Plan, Rig, Run, TENANT, audit, event,
    fake::{Fault, On, refusal},
    instance, page, scope, version,
};

/// What the graph must hold: `name` of each record, by key.
type Names = BTreeMap<String, Value>;

/// A listing of vaults, each with its name and its items.
fn listing(vaults: &[(&str, &str, &[&str])], at: i64) -> Listing {
    let mut listing = Listing::default();
    for (id, name, items) in vaults {
        let records = &mut listing.records;
        let mut vault = records.entity(EntityType::Vault, id, version(1_000 + at));
        vault.text("name", Some(name));
        vault.close();
        for item in *items {
            let mut secret = records.entity(EntityType::Secret, item, version(at));
            secret.text("name", Some(&format!("{item} in {name}")));
            secret.text("vaultId", Some(id));
            secret.close();
            records.relationship(RelationshipType::VaultHasSecret, id, item, UnixMs(0));
            let (vault, id) = ((*id).to_owned(), (*item).to_owned());
            let item = ListedItem { vault, id, version: at as u64, details: false };
            listing.inventory.push(InventoryChange::Item(item));
        }
        let id = (*id).to_owned();
        let vault = ListedVault { id, ..ListedVault::default() };
        listing.inventory.push(InventoryChange::Vault(vault));
    }
    listing
}

/// Takes these items out of a vault; the secrets themselves only where they are `gone`.
fn removal(vault: &str, items: &[&str], gone: bool) -> Listing {
    let mut listing = Listing::default();
    for item in items {
        listing.removed.insert(format!("one_password_vault:{vault}|has|one_password_secret:{item}"));
        if gone {
            listing.removed.insert(format!("one_password_secret:{item}"));
        }
        let (vault, item) = (vault.to_owned(), (*item).to_owned());
        listing.inventory.push(InventoryChange::ItemGone { vault, item });
    }
    listing
}

/// Takes a vault out, with these items.
fn without(vault: &str, items: &[&str]) -> Listing {
    let mut listing = removal(vault, items, true);
    listing.removed.insert(format!("one_password_vault:{vault}"));
    listing.inventory.push(InventoryChange::VaultGone { vault: vault.to_owned() });
    listing
}

impl Run {
    async fn list(&self, listing: Listing) -> Result<Ack, SinkError> {
        let mut coverage = Coverage::default();
        coverage.list(listing);
        self.sink.open().finish(coverage).await
    }

    async fn know(&self, listing: Listing) {
        let ack = self.list(listing).await.unwrap();
        self.commit(ack).await;
    }
}

/// Everything in the graph; nothing is there twice.
fn held(rig: &Rig) -> Names {
    assert!(rig.fake.duplicates().is_empty(), "{:?}", rig.fake.duplicates());
    let world = rig.fake.world();
    assert!(world.crowded.is_empty(), "{:?}", world.crowded);
    let records = world.graph.values().flatten();
    records.map(|(key, record)| (key.clone(), record["name"].clone())).collect()
}

/// The same without these keys.
fn less(mut names: Names, keys: impl IntoIterator<Item = impl AsRef<str>>) -> Names {
    keys.into_iter().for_each(|key| assert!(names.remove(key.as_ref()).is_some(), "{}", key.as_ref()));
    names
}

/// Two vaults with items, and events that name a third.
async fn filled(plan: Plan) -> (Rig, Run) {
    let rig = Rig::new(plan).await;
    let run = rig.start().await.unwrap();
    let named = page(Stream::AuditEvents, "0", "1", &["e0"], |records: &mut Records, id| {
        event(records, id, "u1", "Ann", 1, "{}");
        let mut stub = records.entity(EntityType::Vault, "E", Version { rank: STUB, at: UnixMs(1) });
        stub.text("name", Some("E"));
        stub.close();
        records.relationship(RelationshipType::ActorPerformedVault, "u1", "E", UnixMs(1));
    });
    run.deliver([named]).await;
    let vaults: &[(&str, &str, &[&str])] =
        &[("V", "Wine", &["a", "b", "c"]), ("W", "Water", &["d"]), ("E", "Events", &["e"])];
    run.know(listing(vaults, 1)).await;
    assert_eq!(
        held(&rig).len(),
        5 + 2 + 2 * 5,
        "an event, its actor, the vaults, two relationships; the items"
    );
    (rig, run)
}

#[tokio::test]
async fn a_removed_item_disappears_and_all_else_stays_with_its_properties() {
    for plan in [instance(), scope()] {
        let (rig, run) = filled(plan).await;
        let before = held(&rig);
        let gone = removal("V", &["b"], true);
        let keys = gone.removed.clone();
        run.know(gone).await;
        assert_eq!(held(&rig), less(before.clone(), &keys));
        // Of the deleted, no more than was asked for, and once.
        let deleted: Vec<_> =
            rig.fake.world().jobs.iter().map(|job| job.deleted).filter(|of| *of != (0, 0)).collect();
        assert_eq!(deleted, [(1, 1)]);
        // What is not there any more is removed again without harm.
        run.know(removal("V", &["b"], true)).await;
        run.deliver([audit("1", "2", &["e1"])]).await;
        assert_eq!(held(&rig).len(), before.len() - 2 + 2);
        assert!(!rig.unsettled().await.iter().any(|name| name.contains("/job/")));
    }
}

#[tokio::test]
async fn a_removed_vault_goes_with_its_items_and_one_that_events_name_becomes_a_stub() {
    for plan in [instance(), scope()] {
        let (rig, run) = filled(plan).await;
        let before = held(&rig);
        let gone = without("W", &["d"]);
        let keys = gone.removed.clone();
        run.know(gone).await;
        let mut expect = less(before, &keys);
        assert_eq!(held(&rig), expect);
        assert!(rig.fake.keys("1p/acme/vault/W").is_empty());

        let mut gone = without("E", &["e"]);
        let mut stub = gone.records.entity(EntityType::Vault, "E", Version { rank: STUB, at: UnixMs(0) });
        stub.text("name", Some("E"));
        stub.close();
        expect = less(expect, gone.removed.iter().filter(|key| key.contains("secret")));
        expect.insert("one_password_vault:E".to_owned(), "E".into());
        run.know(gone).await;
        assert_eq!(held(&rig), expect);
    }
}

#[tokio::test]
async fn a_jupiterone_that_deletes_more_than_was_removed_stops_the_tenant() {
    for plan in [instance(), scope()] {
        let (rig, run) = filled(plan).await;
        // Something that the state knows nothing of, and that a removal does not mention.
        let scope = rig
            .fake
            .world()
            .graph
            .iter()
            .find_map(|(name, all)| all.contains_key("one_password_secret:a").then(|| name.clone()));
        let record = serde_json::json!({ "_key": "one_password_secret:x", "_type": "one_password_secret" });
        let key = "one_password_secret:x".to_owned();
        rig.fake.world().graph.get_mut(&scope.unwrap()).unwrap().insert(key, record);
        let error = run.list(removal("V", &["b"], true)).await.unwrap_err();
        assert!(matches!(error.remedy, Remedy::Halt(Halt::Guard { .. })), "{error:?}");
        // Told once: whoever starts it again knows.
        rig.start().await.unwrap().know(removal("V", &["b"], true)).await;
    }
}

#[tokio::test]
async fn a_run_that_ends_before_it_saw_the_end_of_a_removal_leaves_the_guard_to_the_next() {
    for plan in [instance(), scope()] {
        let (rig, run) = filled(plan).await;
        rig.fake.fault(On::Finalize, Fault::Refuse(refusal(401, "UNAUTHORIZED")));
        let _ = run.list(removal("V", &["b"], true)).await.unwrap_err();
        let last = rig.fake.world().jobs.len() - 1;
        rig.fake.world().jobs[last].state = "FINISHED".to_owned();
        rig.fake.world().jobs[last].deleted = (1, 2);
        let error = rig.start().await.map(drop).unwrap_err();
        assert!(matches!(error.remedy, Remedy::Halt(Halt::Guard { .. })), "{error:?}");
        let _ = rig.start().await.unwrap();
    }
}

#[tokio::test]
async fn a_removal_that_was_cut_off_anywhere_is_exact_once_it_is_repeated() {
    for plan in [instance(), scope()] {
        for finished in [false, true] {
            let (rig, run) = filled(plan.clone()).await;
            let before = held(&rig);
            if finished {
                // In the graph, and never committed.
                let _ = run.list(removal("V", &["b"], true)).await.unwrap();
            } else {
                rig.fake.fault(On::Finalize, Fault::Refuse(refusal(401, "UNAUTHORIZED")));
                let _ = run.list(removal("V", &["b"], true)).await.unwrap_err();
            }
            let run = rig.start().await.unwrap();
            let aborted = rig.fake.world().jobs.iter().filter(|job| job.state == "ABORTED").count();
            assert_eq!(aborted, usize::from(!finished));
            run.deliver([audit("1", "2", &["e1"])]).await;
            let keys = removal("V", &["b"], true).removed;
            run.know(removal("V", &["b"], true)).await;
            run.know(removal("V", &["b"], true)).await;
            let expect = less(before, &keys);
            let held = held(&rig);
            assert!(expect.iter().all(|(key, name)| held.get(key) == Some(name)));
            assert_eq!(held.len(), expect.len() + 2, "and the event that came meanwhile");
            assert!(!rig.unsettled().await.iter().any(|name| name.contains("/job/")));
        }
    }
}

#[tokio::test]
async fn what_jupiterone_refuses_to_take_again_goes_to_the_quarantine_and_trips_no_guard() {
    for plan in [instance(), scope()] {
        let (rig, run) = filled(plan).await;
        rig.fake.world().dislikes = Some("\"name\":\"c in Wine\"");
        run.know(removal("V", &["b"], true)).await;
        let aside = rig.store.quarantined(TENANT, 9).await.unwrap();
        assert_eq!(aside.len(), 1, "{aside:?}");
        assert!(!held(&rig).contains_key("one_password_secret:c"));
    }
}

#[tokio::test]
async fn a_vault_scope_never_shrinks_in_an_upload_that_removes_nothing() {
    let rig = Rig::new(scope()).await;
    let run = rig.start().await.unwrap();
    let one = run.list(listing(&[("V", "Wine", &["a"])], 1)).await.unwrap();
    // The first is not committed yet.
    let two = run.list(listing(&[("V", "Wine", &["b"])], 1)).await.unwrap();
    let last = rig.fake.world().jobs.last().unwrap().clone();
    assert_eq!(
        (last.scope.as_str(), last.entities.len(), last.relationships.len()),
        ("1p/acme/vault/V", 2, 2)
    );
    run.commit(one).await;
    run.commit(two).await;
    run.know(listing(&[("V", "Wine", &["c"])], 1)).await;
    let run = rig.start().await.unwrap();
    run.know(listing(&[("V", "Wine", &["d"])], 1)).await;
    assert_eq!(rig.fake.keys("1p/acme/vault/V").len(), 8);
    assert!(rig.fake.world().jobs.iter().all(|job| job.deleted == (0, 0)));
    assert_eq!(rig.fake.world().jobs.last().unwrap().entities.len(), 4, "whole");
    let world = rig.fake.world();
    let label = &world.graph["1p/acme/vault/V"]["one_password_vault:V|has|one_password_secret:a"];
    assert!(label["_fromEntityScope"].as_str().unwrap().contains("/directory/"), "{label}");
    assert!(label.get("_toEntityScope").is_none(), "its secret is in the same scope");
}

#[tokio::test]
async fn an_item_that_is_moved_is_in_both_vaults_and_then_in_one() {
    for plan in [instance(), scope()] {
        let (rig, run) = filled(plan).await;
        let before = held(&rig);
        run.know(listing(&[("W", "Water", &["b"])], 2)).await;
        let key = "one_password_vault:V|has|one_password_secret:b";
        let there = |scope: &str| rig.fake.keys(scope).contains("one_password_secret:b");
        if rig.settings.plan == scope() {
            assert!(there("1p/acme/vault/V") && there("1p/acme/vault/W"));
        }
        run.know(removal("V", &["b"], false)).await;
        let mut expect = less(before, [key]);
        expect.insert(key.replace(":V|", ":W|"), Value::Null);
        expect.insert("one_password_secret:b".to_owned(), "b in Water".into());
        assert_eq!(held(&rig), expect);
    }
}

#[tokio::test]
async fn a_vault_that_is_renamed_sends_its_items_again_and_deletes_nothing() {
    for plan in [instance(), scope()] {
        let (rig, run) = filled(plan).await;
        let before = held(&rig);
        run.know(listing(&[("V", "Cellar", &["a", "b", "c"])], 2)).await;
        let after = held(&rig);
        assert!(after.keys().eq(before.keys()));
        assert_eq!(after["one_password_secret:a"], "a in Cellar");
        assert_eq!(after["one_password_vault:V"], "Cellar");
        assert!(rig.fake.world().jobs.iter().all(|job| job.deleted == (0, 0)));
    }
}

#[tokio::test]
async fn vault_scopes_that_were_never_sent_here_are_sent_with_the_directory() {
    let (mut rig, _) = filled(scope()).await;
    rig.settings.plan = Plan::Scope { prefix: "1p/moved".to_owned() };
    let run = rig.start().await.unwrap();
    run.deliver([audit("1", "2", &["e1"])]).await;
    assert_eq!(
        ["V", "W", "E"].map(|vault| rig.fake.keys(&format!("1p/moved/vault/{vault}")).len()),
        [6, 2, 2]
    );
}
