//! The account as it changes: what every change does to versions, lists and details.

use std::time::Duration;

use opgraph_simulator::{Change, ChangeError, Config};
use serde_json::{Value, json};

use crate::{
    reader::{get, id, list},
    support::{Rig, config, rig, told},
};

fn small() -> Config {
    Config { events: 0, vaults: 4, items_per_vault: 6, ..config() }
}

async fn vault(rig: &Rig, vault: &str) -> Value {
    told(get(rig, &format!("/v1/vaults/{vault}"))).await.1
}

async fn items(rig: &Rig, vault: &str) -> Vec<Value> {
    list(rig, &format!("/v1/vaults/{vault}/items")).await
}

async fn item(rig: &Rig, vault: &str, item: &str) -> (u16, Value) {
    told(get(rig, &format!("/v1/vaults/{vault}/items/{item}"))).await
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap()
}

/// By how much a vault's items, content version and attribute version are more than before.
fn moved(before: &Value, after: &Value) -> [i64; 3] {
    ["items", "contentVersion", "attributeVersion"]
        .map(|name| after[name].as_i64().unwrap() - before[name].as_i64().unwrap())
}

#[tokio::test]
async fn an_edit_raises_the_versions_of_the_item_and_of_its_vault_and_tells_who_did_it() {
    let rig = rig(small()).await;
    let account = rig.sim.connect();
    let home = &account.vaults()[0];
    let mut texts = 0;
    for edited in account.items(home) {
        let (before, was) = (vault(&rig, home).await, item(&rig, home, &edited).await.1);
        account.edit_item(home, &edited).unwrap();
        let (after, is) = (vault(&rig, home).await, item(&rig, home, &edited).await.1);
        assert_eq!(moved(&before, &after), [0, 1, 0]);
        assert_eq!(number(&is, "version"), number(&was, "version") + 1);
        assert_eq!(is["createdAt"], was["createdAt"]);
        assert!(is["updatedAt"].is_string() && is["updatedAt"] != was["updatedAt"]);
        assert!(is["lastEditedBy"].as_str().unwrap().len() == 26);
        texts += u32::from(is["title"] != was["title"]);
        let listed = items(&rig, home).await.into_iter().find(|one| id(one) == edited).unwrap();
        assert!(listed.as_object().unwrap().iter().all(|(name, value)| is[name] == *value));
        assert!(is.get("state").is_none());
    }
    assert!(texts >= 4, "{texts}");
}

#[tokio::test]
async fn what_is_made_archived_restored_or_deleted_raises_the_content_version_and_moves_the_count() {
    let rig = rig(small()).await;
    let account = rig.sim.connect();
    let home = &account.vaults()[1];
    let mut before = vault(&rig, home).await;
    let mut step = async |change: &str, expect: [i64; 3]| {
        let after = vault(&rig, home).await;
        assert_eq!(moved(&before, &after), expect, "{change}");
        assert_eq!(number(&after, "items"), items(&rig, home).await.len() as u64, "{change}");
        before = after;
    };
    let made = account.create_item(home).unwrap();
    step("create", [1, 1, 0]).await;
    assert_eq!(number(&item(&rig, home, &made).await.1, "version"), 1);
    account.archive_item(home, &made).unwrap();
    step("archive", [-1, 1, 0]).await;
    assert_eq!(item(&rig, home, &made).await.0, 404, "Connect returns no trashed item");
    account.restore_item(home, &made).unwrap();
    step("restore", [1, 1, 0]).await;
    assert_eq!(number(&item(&rig, home, &made).await.1, "version"), 3);
    let first = account.items(home)[0].clone();
    account.delete_item(home, &first).unwrap();
    step("delete", [-1, 1, 0]).await;
    assert_eq!(item(&rig, home, &first).await.0, 404);
    assert_eq!(account.restore_item(home, &first), Err(ChangeError::NoItem(first.clone())), "gone for good");
    assert_eq!(account.edit_item(home, &first), Err(ChangeError::NoItem(first)));
    assert_eq!(account.create_item("nowhere"), Err(ChangeError::NoVault("nowhere".to_owned())));
}

#[tokio::test]
async fn a_moved_item_turns_up_in_the_other_vault_with_its_id_and_a_later_version() {
    let rig = rig(small()).await;
    let account = rig.sim.connect();
    let vaults = account.vaults();
    let (from, to) = (&vaults[0], &vaults[3]);
    let moving = account.items(from)[2].clone();
    for (from, to) in [(from, to), (to, from)] {
        let (was, before) =
            (item(&rig, from, &moving).await.1, [vault(&rig, from).await, vault(&rig, to).await]);
        account.move_item(from, &moving, to).unwrap();
        let after = [vault(&rig, from).await, vault(&rig, to).await];
        assert_eq!(moved(&before[0], &after[0]), [-1, 1, 0]);
        assert_eq!(moved(&before[1], &after[1]), [1, 1, 0]);
        assert_eq!(item(&rig, from, &moving).await.0, 404);
        let is = item(&rig, to, &moving).await.1;
        assert_eq!((id(&is["vault"]), &is["title"]), (to.as_str(), &was["title"]));
        assert_eq!(number(&is, "version"), number(&was, "version") + 1);
        assert!(!account.items(from).contains(&moving) && account.items(to).contains(&moving));
    }
    assert_eq!(items(&rig, from).await.len(), 6, "back again, and once");
}

#[tokio::test]
async fn vaults_come_go_and_are_renamed() {
    let rig = rig(small()).await;
    let account = rig.sim.connect();
    let named = account.vaults()[0].clone();
    let before = vault(&rig, &named).await;
    account.rename_vault(&named, "Ops / \"new\"").unwrap();
    let after = vault(&rig, &named).await;
    assert_eq!(moved(&before, &after), [0, 0, 1]);
    assert_eq!(after["name"], "Ops / \"new\"");
    assert!(after["updatedAt"] != before["updatedAt"]);
    let same = |name: &str| before.get(name) == after.get(name);
    assert!(["description", "type", "createdAt"].into_iter().all(same), "a rename changes nothing else");
    let made = account.create_vault().unwrap();
    let told_new = vault(&rig, &made).await;
    assert_eq!((number(&told_new, "items"), number(&told_new, "contentVersion")), (0, 1));
    let within = account.create_item(&made).unwrap();
    assert_eq!(items(&rig, &made).await.iter().map(id).collect::<Vec<_>>(), [within.as_str()]);
    account.delete_vault(&made).unwrap();
    assert_eq!(told(get(&rig, &format!("/v1/vaults/{made}/items"))).await.0, 404);
    assert!(list(&rig, "/v1/vaults").await.iter().all(|vault| id(vault) != made));
    assert_eq!(account.delete_vault(&made), Err(ChangeError::NoVault(made.clone())));
    assert_ne!(account.create_vault().unwrap(), made, "no id is used twice");
}

#[tokio::test]
async fn a_token_of_some_vaults_reads_no_vault_that_is_made_later() {
    let rig = rig(small()).await;
    let account = rig.sim.connect();
    let first = account.vaults()[0].clone();
    let made = account.create_vault().unwrap();
    let token = rig.sim.connect_token_for(&[&first]);
    let url = format!("{}/v1/vaults", rig.sim.connect_url());
    let (_, mine) = told(rig.client.get(&url).bearer_auth(&token)).await;
    assert_eq!(mine.as_array().unwrap().iter().map(id).collect::<Vec<_>>(), [first.as_str()]);
    assert_eq!(told(rig.client.get(format!("{url}/{made}")).bearer_auth(&token)).await.0, 403);
}

#[tokio::test]
async fn trashed_items_are_listed_with_their_state_where_that_is_asked_for() {
    let rig = rig(Config { connect_lists_trashed: true, ..small() }).await;
    let account = rig.sim.connect();
    let home = &account.vaults()[0];
    let ids = account.items(home);
    account.archive_item(home, &ids[0]).unwrap();
    account.delete_item(home, &ids[1]).unwrap();
    account.move_item(home, &ids[2], &account.vaults()[1]).unwrap();
    let states: Vec<_> = items(&rig, home).await.iter().map(|item| item["state"].clone()).collect();
    assert_eq!(states, [json!("ARCHIVED"), json!("DELETED"), Value::Null, Value::Null, Value::Null]);
    assert_eq!(number(&vault(&rig, home).await, "items"), 3, "the count is of active items");
}

/// Everything that Connect tells.
async fn everything(rig: &Rig) -> Value {
    let mut all = Vec::new();
    for vault in list(rig, "/v1/vaults").await {
        let listed = items(rig, id(&vault)).await;
        all.push(json!([vault, listed]));
    }
    json!(all)
}

#[tokio::test]
async fn the_same_seed_and_number_of_changes_give_the_same_account() {
    let run = async |seed, steps: &[u64]| {
        let rig = rig(Config { seed, ..small() }).await;
        steps.iter().for_each(|n| rig.sim.connect().change(*n));
        everything(&rig).await
    };
    // The times of changes that are ordered are the clock's: the texts and versions are compared.
    let timeless = |mut all: Value| {
        for part in all.as_array_mut().unwrap() {
            let (vault, items) = (part[0].take(), part[1].take());
            let bare = |value: &Value| {
                let keep = value.as_object().unwrap().iter().filter(|(name, _)| !name.ends_with("At"));
                keep.map(|(name, value)| (name.clone(), value.clone())).collect::<serde_json::Map<_, _>>()
            };
            let items: Vec<_> = items.as_array().unwrap().iter().map(bare).collect();
            *part = json!([bare(&vault), items]);
        }
        all
    };
    let one = timeless(run(5, &[300]).await);
    assert_eq!(timeless(run(5, &[100, 1, 199]).await), one);
    assert_ne!(timeless(run(6, &[300]).await), one);
    assert_ne!(timeless(run(5, &[301]).await), one);
}

#[tokio::test(start_paused = true)]
async fn changes_come_with_time_at_the_rate_that_was_set_however_often_somebody_looks() {
    let run = async |looks: u32| {
        let rig = rig(Config { connect_changes_per_hour: 3600.0, ..small() }).await;
        let account = rig.sim.connect();
        let first = account.vaults();
        assert_eq!(rig.sim.report().connect.changes, 0);
        for look in 1..=looks {
            tokio::time::advance(Duration::from_secs(500) / looks).await;
            assert_eq!(rig.sim.report().connect.changes, u64::from(500 * look / looks));
        }
        let items = |vault: String| (account.items(&vault), vault);
        let all: Vec<_> = account.vaults().into_iter().map(items).collect();
        assert!(first.len() < all.len(), "500 changes make vaults");
        all
    };
    assert_eq!(run(1).await, run(5).await);
    let still = rig(small()).await;
    tokio::time::advance(Duration::from_secs(86_400)).await;
    assert_eq!(still.sim.report().connect.changes, 0, "nothing changes by itself");
}

#[tokio::test]
async fn every_change_can_be_ordered_over_http() {
    let rig = rig(small()).await;
    let account = rig.sim.connect();
    let url = format!("{}/change", rig.sim.connect_url());
    let order = async |change: Value| told(rig.client.post(&url).body(change.to_string())).await;
    let (vaults, items) = (account.vaults(), account.items(&account.vaults()[0]));
    let (home, item) = (&vaults[0], &items[0]);
    let changes = [
        json!({"change": "edit_item", "vault": home, "item": item}),
        json!({"change": "archive_item", "vault": home, "item": item}),
        json!({"change": "restore_item", "vault": home, "item": item}),
        json!({"change": "move_item", "vault": home, "item": item, "to_vault": vaults[1]}),
        json!({"change": "delete_item", "vault": vaults[1], "item": item}),
        json!({"change": "rename_vault", "vault": home, "name": "x"}),
        json!({"change": "delete_vault", "vault": home}),
        json!({"change": "any", "n": 5}),
    ];
    for change in &changes {
        assert_eq!(order(change.clone()).await, (200, json!({"id": null})), "{change}");
        let read: Change = serde_json::from_value(change.clone()).unwrap();
        assert_eq!(json!(read), *change);
    }
    let (_, made) = order(json!({"change": "create_vault"})).await;
    let (status, made) = order(json!({"change": "create_item", "vault": made["id"]})).await;
    assert!(status == 200 && made["id"].is_string());
    assert_eq!(rig.sim.report().connect.changes, 14);
    for bad in [json!({"change": "edit_item", "vault": home, "item": item}), json!({"change": "explode"})] {
        let (status, answer) = order(bad).await;
        assert!(status == 400 && answer["error"].is_string(), "{answer}");
    }
}
