//! The newest version of every shared record.

use super::{claim, commit, entry, hours};
use crate::{Entry, Store, shard_of};

async fn put(store: &impl Store, tenant: &str, entries: Vec<Entry>) {
    let run = claim(store, tenant, &[]).await;
    let mut whole = commit(tenant, run.epoch, hours(1), vec![]);
    whole.directory = entries;
    store.commit(whole).await.expect("commits");
}

async fn get(store: &impl Store, tenant: &str, key: &str) -> Option<Entry> {
    store.directory(tenant, vec![key.to_owned()]).await.expect("reads").remove(0)
}

fn permutations(entries: &[Entry]) -> Vec<Vec<Entry>> {
    if entries.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for at in 0..entries.len() {
        let mut rest = entries.to_vec();
        let first = rest.remove(at);
        all.extend(permutations(&rest).into_iter().map(|mut order| {
            order.insert(0, first.clone());
            order
        }));
    }
    all
}

/// In whatever order versions arrive, in one commit or in several, and again
/// after a replay, the same one is kept: also when only the content decides.
pub async fn the_newest_version_wins_in_any_order<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let long = "x".repeat(20_000);
    let versions = [
        entry("k", 2, 5, "late"),
        entry("k", 2, 5, "later"),
        entry("k", 2, 4, &long),
        entry("k", 0, 9, "stub"),
    ];
    for (at, order) in permutations(&versions).into_iter().enumerate() {
        let (together, apart) = (format!("{at} together"), format!("{at} apart"));
        put(&store, &together, order.clone()).await;
        let (first, rest) = order.split_at(at % order.len());
        put(&store, &apart, first.to_vec()).await;
        put(&store, &apart, rest.to_vec()).await;
        put(&store, &apart, first.to_vec()).await;
        for tenant in [together, apart] {
            assert_eq!(get(&store, &tenant, "k").await.as_ref(), Some(&versions[1]), "{tenant}: {order:?}");
        }
    }
}

/// What knows more is kept, whatever the times; between equals the time decides.
pub async fn a_fuller_version_beats_a_newer_stub<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let cases = [(0, 9, 0, 9), (2, 1, 2, 1), (1, 99, 2, 1), (2, 1, 2, 1), (2, 2, 2, 2), (2, -7, 2, 2)];
    for (rank, at, kept_rank, kept_at) in cases {
        put(&store, "acme", vec![entry("k", rank, at, "{}")]).await;
        assert_eq!(get(&store, "acme", "k").await, Some(entry("k", kept_rank, kept_at, "{}")));
    }
}

/// One answer for each key, also for keys that are not there or asked for twice.
pub async fn answers_come_in_the_order_asked<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let (a, b) = (entry("a", 2, 1, "A"), entry("b", 2, 1, "B"));
    put(&store, "acme", vec![a.clone(), b.clone()]).await;
    let keys = ["b", "missing", "a", "b", ""].map(str::to_owned).to_vec();
    let answers = store.directory("acme", keys).await.expect("reads");
    assert_eq!(answers, [Some(b.clone()), None, Some(a), Some(b), None]);
    assert_eq!(store.directory("nobody", vec!["a".to_owned()]).await.expect("reads"), [None]);
    assert_eq!(store.directory("acme", vec![]).await.expect("reads"), []);
}

/// Every record is in the shard of its key, sorted by key, and in no other.
pub async fn a_shard_holds_its_records_by_key_and_the_shards_hold_all<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let mut entries: Vec<_> = (0..600).map(|at| entry(&format!("user:{at}"), 2, at, "{}")).collect();
    entries.push(entry(&"long".repeat(200), 2, 1, "{}"));
    entries.push(entry("\0", 2, 1, "{}"));
    put(&store, "acme", entries.clone()).await;
    let mut found = Vec::new();
    for shard in 0..=255 {
        let in_shard = store.directory_shard("acme", shard).await.expect("reads");
        assert!(in_shard.is_sorted_by_key(|entry| &entry.key));
        assert!(in_shard.iter().all(|entry| shard_of(&entry.key) == shard));
        found.extend(in_shard);
    }
    let by_key = |entries: &mut Vec<Entry>| entries.sort_by(|one, other| one.key.cmp(&other.key));
    by_key(&mut found);
    by_key(&mut entries);
    assert_eq!(found, entries);
    assert_eq!(store.directory_shard("nobody", 0).await.expect("reads"), []);
}

/// Growing and shrinking records are whole, and their neighbours too.
pub async fn a_record_of_any_length_comes_back_whole<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let neighbours = [entry("j", 2, 1, "before"), entry("l", 2, 1, "after")];
    put(&store, "acme", neighbours.to_vec()).await;
    for (at, len) in [0, 5_900, 6_000, 8_192, 30_000, 100_000, 12_000, 1].into_iter().enumerate() {
        let version = entry("k", 2, at as i64, &"é".repeat(len / 2));
        put(&store, "acme", vec![version.clone()]).await;
        assert_eq!(get(&store, "acme", "k").await.as_ref(), Some(&version), "{len}");
        assert_eq!(store.directory_shard("acme", shard_of("k")).await.expect("reads"), [version]);
    }
    for neighbour in neighbours {
        assert_eq!(get(&store, "acme", &neighbour.key).await, Some(neighbour));
    }
}
