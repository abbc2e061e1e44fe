//! The ids that dedup remembers.

use super::{claim, commit, hours, ids, newest_first, seen_of, step};
use crate::{Step, Store};

/// The exact reverse of the order in which they were committed.
pub async fn ids_come_back_newest_first<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let run = claim(&store, "acme", &["s"]).await;
    let commits = [
        (1, "a", "b", vec![ids(0..3), ids(3..5)]),
        (1, "b", "c", vec![ids(5..6)]),
        (2, "c", "d", vec![ids(6..9), vec![], ids(9..12)]),
        (30, "d", "e", vec![ids(12..13)]),
    ];
    for (at, from, to, seen) in commits {
        let step = Step { seen, ..step("s", from, to) };
        store.commit(commit("acme", run.epoch, hours(at), vec![step])).await.expect("commits");
    }
    assert_eq!(seen_of(&store, "acme", "s").await, newest_first(0..13));
}

/// At least as many as asked for, and no page more than that takes.
pub async fn a_limit_is_met_with_whole_pages<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let run = claim(&store, "acme", &["s"]).await;
    let seen = vec![ids(0..1000), ids(1000..1001), ids(1001..2001)];
    let step = Step { seen, ..step("s", "a", "b") };
    store.commit(commit("acme", run.epoch, hours(1), vec![step])).await.expect("commits");
    let whole = newest_first(0..2001);
    for (at_least, expected) in
        [(0, 0), (1, 1000), (999, 1000), (1000, 1000), (1001, 1001), (1002, 2001), (5000, 2001)]
    {
        let seen = store.seen("acme", "s", Some(at_least)).await.expect("reads");
        assert_eq!(seen.len(), expected, "at least {at_least}");
        assert_eq!(seen, whole[..expected]);
    }
}

/// However a store cuts its rows, a page is whole and in order.
pub async fn a_page_of_any_length_comes_back_whole<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let lens = [1, 374, 375, 376, 499, 500, 501, 1000, 2500];
    for len in lens {
        let tenant = format!("page of {len}");
        let run = claim(&store, &tenant, &["s"]).await;
        let step = Step { seen: vec![ids(0..len)], ..step("s", "a", "b") };
        store.commit(commit(&tenant, run.epoch, hours(1), vec![step])).await.expect("commits");
        assert_eq!(seen_of(&store, &tenant, "s").await, newest_first(0..len), "{len}");
    }
}
