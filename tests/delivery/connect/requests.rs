//! What a snapshot costs.

use super::{Place, fake::item};

#[tokio::test(start_paused = true)]
async fn an_unchanged_account_costs_one_request_and_an_edited_item_three() {
    const VAULTS: usize = 50;
    const ITEMS: usize = 200;
    let place = Place { details: false, ..Place::new() };
    place.fake.with(|account| {
        for vault in 0..VAULTS {
            let vault = format!("v{vault:02}");
            account.vault(&vault, &[]);
            (0..ITEMS).for_each(|n| account.put(&vault, item(&format!("{vault}i{n:04}"), 1)));
        }
    });
    let meter = place.whole().await;
    assert_eq!((place.fake.count("vaults"), place.fake.count("items")), (1, VAULTS));
    assert_eq!(meter.snapshots.items.get(), (VAULTS * ITEMS) as u64);
    assert_eq!(place.held(), place.truth());

    let meter = place.whole().await;
    assert_eq!(place.fake.calls(), ["vaults"]);
    // Only the streams' own pages, which tell nothing new, were committed.
    assert_eq!(meter.records().map(|(_, n)| n).sum::<u64>(), 0);

    // Opened from now on: the items of one vault that changes, and those never opened.
    let place = Place { details: true, ..Place::new() };
    place.fake.with(|account| {
        account.vault("v", &["a", "b", "c"]);
        account.vault("w", &["d"]);
    });
    place.whole().await;
    assert_eq!(place.fake.count("labels"), 4);
    place.fake.with(|account| account.put("v", item("b", 2)));
    let meter = place.whole().await;
    assert_eq!(place.fake.calls(), ["vaults", "items v", "labels v b"]);
    // The vault, the item, and its place in the vault.
    assert_eq!(meter.records().map(|(_, n)| n).sum::<u64>(), 3);
    place.is_exact().await;
}

#[tokio::test(start_paused = true)]
async fn a_renamed_vault_is_told_by_its_items_and_opens_none() {
    let place = Place::new();
    place.fake.with(|account| account.vault("v", &["a", "b"]));
    place.whole().await;
    place.fake.with(|account| account.rename("v", "Other"));
    place.whole().await;
    assert_eq!(place.fake.calls(), ["vaults", "items v"]);
    place.is_exact().await;
}
