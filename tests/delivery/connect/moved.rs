//! Items that move from vault to vault while something is wrong.

use opgraph::http::Remedy;

use super::Place;

#[tokio::test(start_paused = true)]
async fn an_item_that_moves_while_one_of_its_vaults_cannot_be_listed_is_right_in_the_end() {
    for (fails, from, to) in
        [("items v", "v", "w"), ("items w", "v", "w"), ("items v", "w", "v"), ("items w", "w", "v")]
    {
        let place = Place::new();
        place.fake.with(|account| {
            account.vault("v", &["a", "b"]);
            account.vault("w", &["c", "d"]);
            account.rename("w", "renamed often");
        });
        place.whole().await;
        place.fake.with(|account| {
            let moves = account.vaults[from].1.keys().next().unwrap().clone();
            let item = account.take(from, &moves);
            account.put(to, item);
            account.fails.insert(fails.to_owned(), Remedy::RETRY);
        });
        let (ended, _) = place.snapshot().await;
        assert!(ended.unwrap().snapshots.is_some());
        place.fake.with(|account| account.fails.clear());
        place.whole().await;
        place.is_exact().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_that_was_away_in_a_vault_where_it_could_not_be_opened_has_its_labels_again() {
    for seen_at_home in [true, false] {
        let place = Place::new();
        place.fake.with(|account| {
            account.vault("v", &["a", "b"]);
            account.vault("w", &["c"]);
            // Its version makes what is told of `w` the newer of the two.
            account.rename("w", "renamed");
        });
        place.whole().await;
        place.fake.with(|account| {
            let moved = account.take("v", "a");
            account.put("w", moved);
            account.fails.insert("labels w a".into(), Remedy::RETRY);
            if !seen_at_home {
                account.fails.insert("items v".into(), Remedy::RETRY);
            }
        });
        assert!(place.snapshot().await.0.unwrap().snapshots.is_some());
        place.fake.with(|account| {
            let moved = account.take("w", "a");
            account.put("v", moved);
            account.fails.clear();
        });
        place.whole().await;
        place.is_exact().await;
    }
}
