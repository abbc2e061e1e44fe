//! What was listed, and what is no more.

use super::{claim, commit, entry, hours, step};
use crate::{Commit, InventoryChange, ListedItem, ListedVault, Refused, Store, StoreError};

fn vault(id: &str, version: u64) -> ListedVault {
    ListedVault {
        id: id.to_owned(),
        attribute_version: Some(version),
        content_version: (version > 1).then_some(version * 10),
        details: version.is_multiple_of(2),
        missing: version as u32 % 3,
        ..ListedVault::default()
    }
}

fn item(vault: &str, id: &str, version: u64) -> ListedItem {
    ListedItem { vault: vault.to_owned(), id: id.to_owned(), version, details: version.is_multiple_of(2) }
}

fn vault_gone(id: &str) -> InventoryChange {
    InventoryChange::VaultGone { vault: id.to_owned() }
}

fn item_gone(vault: &str, id: &str) -> InventoryChange {
    InventoryChange::ItemGone { vault: vault.to_owned(), item: id.to_owned() }
}

/// A commit of a new run of the tenant, without steps.
async fn next(store: &impl Store, tenant: &str) -> Commit {
    let run = claim(store, tenant, &[]).await;
    commit(tenant, run.epoch, hours(1), vec![])
}

async fn list(store: &impl Store, tenant: &str, inventory: Vec<InventoryChange>) {
    let whole = Commit { inventory, ..next(store, tenant).await };
    store.commit(whole).await.expect("commits");
}

async fn vaults(store: &impl Store, tenant: &str) -> Vec<ListedVault> {
    store.listed_vaults(tenant).await.expect("reads")
}

async fn items(store: &impl Store, tenant: &str, vault: &str) -> Vec<ListedItem> {
    store.listed_items(tenant, vault).await.expect("reads")
}

/// Ids that a careless key would take for one another, in their order; three
/// are longer than a key holds.
fn ids() -> Vec<String> {
    let long = "n".repeat(130);
    let mut ids = ["", "\0", "\0\0", "\0\u{1}", "a", "a\0", "a\0b", "aa", "i", "v", "va", "é"]
        .map(str::to_owned)
        .to_vec();
    ids.extend([format!("{long}2"), format!("{long}1"), long, "nn".to_owned(), "z".to_owned()]);
    ids.sort();
    ids
}

/// A key that a commit removes and stores is what it stores, whatever was there
/// before; what it only removes is gone, in its shard too.
pub async fn removed_keys_go_before_the_directory_is_stored<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let long = "x".repeat(20_000);
    let full = vec![entry("both", 2, 9, &long), entry("gone", 2, 9, &long), entry("kept", 2, 9, "kept")];
    store.commit(Commit { directory: full, ..next(&store, "acme").await }).await.expect("commits");
    let replaced = Commit {
        removed: ["both", "gone", "never there"].map(str::to_owned).to_vec(),
        directory: vec![entry("both", 0, 1, "stub"), entry("kept", 0, 99, "stub")],
        ..next(&store, "acme").await
    };
    store.commit(replaced).await.expect("commits");
    let keys = ["both", "gone", "kept", "never there"].map(str::to_owned).to_vec();
    let expected = [Some(entry("both", 0, 1, "stub")), None, Some(entry("kept", 2, 9, "kept")), None];
    assert_eq!(store.directory("acme", keys).await.expect("reads"), expected);
    let shard = store.directory_shard("acme", crate::shard_of("gone")).await.expect("reads");
    assert!(shard.iter().all(|entry| entry.key != "gone"), "{shard:?}");
    // What is gone may come again, as anything.
    let again = Commit { directory: vec![entry("gone", 0, 1, "stub")], ..next(&store, "acme").await };
    store.commit(again).await.expect("commits");
    let gone = store.directory("acme", vec!["gone".to_owned()]).await.expect("reads");
    assert_eq!(gone, [Some(entry("gone", 0, 1, "stub"))]);
}

/// The last change of a vault or an item counts; one that is not there may go.
pub async fn changes_of_the_inventory_take_effect_in_their_order<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let changes = vec![
        vault_gone("v"),
        item_gone("v", "i"),
        InventoryChange::Vault(vault("v", 9)),
        InventoryChange::Vault(vault("v", 1)),
        InventoryChange::Vault(vault("w", 2)),
        InventoryChange::Item(item("v", "i", 9)),
        InventoryChange::Item(item("v", "i", 1)),
        InventoryChange::Item(item("v", "j", 1)),
        InventoryChange::Item(item("v", "k", 1)),
        item_gone("v", "j"),
        item_gone("v", "k"),
        InventoryChange::Item(item("v", "k", 3)),
    ];
    list(&store, "acme", changes).await;
    assert_eq!(vaults(&store, "acme").await, [vault("v", 1), vault("w", 2)]);
    assert_eq!(items(&store, "acme", "v").await, [item("v", "i", 1), item("v", "k", 3)]);
    list(&store, "acme", vec![InventoryChange::Vault(vault("w", 4)), vault_gone("w"), vault_gone("v")]).await;
    assert_eq!(vaults(&store, "acme").await, []);
    // Its items go by themselves.
    assert_eq!(items(&store, "acme", "v").await.len(), 2);
}

/// Whatever their ids are, vaults and items come back as they were listed,
/// sorted by id; an item of two vaults is in both until it goes from one.
pub async fn vaults_and_items_come_back_by_id_whatever_their_ids<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let ids = ids();
    let mut changes = Vec::new();
    for (v, vault_id) in ids.iter().enumerate().rev() {
        changes.push(InventoryChange::Vault(vault(vault_id, v as u64)));
        let of = ids.iter().enumerate().rev();
        changes.extend(of.map(|(i, id)| InventoryChange::Item(item(vault_id, id, (v * 100 + i) as u64))));
    }
    list(&store, "acme", changes).await;
    let expected: Vec<_> = ids.iter().zip(0..).map(|(id, version)| vault(id, version)).collect();
    assert_eq!(vaults(&store, "acme").await, expected);
    let gone = ids.iter().map(|vault| item_gone(vault, &ids[3])).take(1).collect();
    list(&store, "acme", gone).await;
    for (v, vault_id) in ids.iter().enumerate() {
        let expected: Vec<_> = ids
            .iter()
            .enumerate()
            .filter(|(i, _)| (v, *i) != (0, 3))
            .map(|(i, id)| item(vault_id, id, (v * 100 + i) as u64))
            .collect();
        assert_eq!(items(&store, "acme", vault_id).await, expected, "{vault_id:?}");
    }
    assert_eq!(items(&store, "acme", "nobody's").await, []);
    assert_eq!(vaults(&store, "nobody").await, []);
}

/// Whatever tenants are called, each has what was listed for it, and one's
/// removals are nobody else's.
pub async fn inventories_of_tenants_never_mix<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let tenants = ids();
    for (tenant, version) in tenants.iter().zip(1..) {
        let whole = Commit {
            inventory: vec![
                InventoryChange::Vault(vault("v", version)),
                InventoryChange::Item(item("v", "i", version)),
            ],
            directory: vec![entry("k", 2, 1, tenant)],
            ..next(&store, tenant).await
        };
        store.commit(whole).await.expect("commits");
    }
    let emptied = Commit {
        inventory: vec![item_gone("v", "i"), vault_gone("v")],
        removed: vec!["k".to_owned()],
        ..next(&store, &tenants[4]).await
    };
    store.commit(emptied).await.expect("commits");
    for (at, tenant) in tenants.iter().enumerate() {
        let version = at as u64 + 1;
        let stored = (at != 4).then(|| (vault("v", version), item("v", "i", version)));
        let (vault, item): (Vec<_>, Vec<_>) = stored.into_iter().unzip();
        assert_eq!(vaults(&store, tenant).await, vault, "{tenant:?}");
        assert_eq!(items(&store, tenant, "v").await, item, "{tenant:?}");
        let record = store.directory(tenant, vec!["k".to_owned()]).await.expect("reads").remove(0);
        assert_eq!(record.map(|entry| entry.record).as_ref(), (at != 4).then_some(tenant));
    }
}

/// A commit that is refused, for a step or for what it releases, removes
/// nothing and lists nothing.
pub async fn a_refused_commit_lists_and_removes_nothing<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let run = claim(&store, "acme", &["s"]).await;
    let listed = vec![InventoryChange::Vault(vault("v", 1)), InventoryChange::Item(item("v", "i", 1))];
    let before = Commit {
        inventory: listed,
        directory: vec![entry("k", 2, 1, "kept")],
        ..commit("acme", run.epoch, hours(1), vec![])
    };
    store.commit(before).await.expect("commits");
    let changes = |base: Commit| Commit {
        inventory: vec![item_gone("v", "i"), vault_gone("v"), InventoryChange::Vault(vault("w", 1))],
        removed: vec!["k".to_owned()],
        ..base
    };
    let wrong_place = changes(commit("acme", run.epoch, hours(1), vec![step("s", "wrong", "b")]));
    store.commit(wrong_place).await.expect_err("the cursor is another");
    let mut not_there = changes(commit("acme", run.epoch, hours(1), vec![step("s", "a", "b")]));
    let id = crate::QuarantineId { stream: "s".to_owned(), body: crate::Fingerprint(7) };
    not_there.released = vec![id];
    let refused = store.commit(not_there).await;
    assert!(matches!(refused, Err(StoreError::Refused(Refused::NotInQuarantine { .. }))), "{refused:?}");
    claim(&store, "acme", &[]).await;
    let fenced = store.commit(changes(commit("acme", run.epoch, hours(1), vec![]))).await;
    super::assert_fenced(&fenced, 2, 1);
    assert_eq!(vaults(&store, "acme").await, [vault("v", 1)]);
    assert_eq!(items(&store, "acme", "v").await, [item("v", "i", 1)]);
    let kept = store.directory("acme", vec!["k".to_owned()]).await.expect("reads");
    assert_eq!(kept, [Some(entry("k", 2, 1, "kept"))]);
}
