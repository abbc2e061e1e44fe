//! Going back, and what is kept.

use super::{assert_fenced, claim, commit, hours, ids, newest_first, seen_of, step, stored, token};
use crate::{Advance, Checkpoint, Cursor, Epoch, Step, Store, UnixMs};

/// The cursor moves, the epoch rises, the stream is rewinding, and nothing newer
/// counts as read; ids, counts and what is known of the earlier run stay.
pub async fn a_rewind_fences_the_run_and_keeps_everything_but_the_place<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let run = claim(&store, "acme", &["s", "t"]).await;
    store.renew("acme", run.epoch, hours(4)).await.expect("renews");
    let first = Step { seen: vec![ids(0..4)], newest_event: Some(hours(2)), ..step("s", "a", "b") };
    store.commit(commit("acme", run.epoch, hours(3), vec![first])).await.expect("commits");
    let before = store.checkpoints().await.expect("reads")["acme"].clone();

    let back = Cursor::Since(hours(-46));
    let rewound = store.rewind("acme", "s", back.clone(), hours(5)).await.expect("rewinds");
    let (since, newest_event) = (Some(hours(-46)), Some(hours(-46)));
    let known = before["s"].clone();
    let rewound_from = Some(hours(2));
    assert_eq!(
        rewound,
        Checkpoint { cursor: back, rewinding: true, rewound_from, since, newest_event, ..known }
    );
    assert_eq!(stored(&store, "acme", "s").await, Some(rewound.clone()));
    assert_eq!(stored(&store, "acme", "t").await.as_ref(), before.get("t"));
    assert_eq!(seen_of(&store, "acme", "s").await, newest_first(0..4));

    let late = commit("acme", run.epoch, hours(5), vec![step("s", "b", "c")]);
    assert_fenced(&store.commit(late).await, 2, 1);
    let next = claim(&store, "acme", &["s"]).await;
    assert_eq!(next.epoch, Epoch(3));
    assert_eq!(next.active_until, Some(hours(4)));
    assert_eq!(next.checkpoints["s"], rewound);
}

/// A person may say where a stream starts before its first run.
pub async fn a_rewind_of_a_stream_never_seen_creates_it<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let to = Cursor::Since(UnixMs(7));
    let rewound = store.rewind("acme", "s", to.clone(), hours(1)).await.expect("rewinds");
    assert_eq!(rewound, Checkpoint { rewinding: true, ..Checkpoint::starting_at(to) });
    let run = claim(&store, "acme", &["s"]).await;
    assert_eq!((run.epoch, run.active_until), (Epoch(2), None));
    assert_eq!(run.checkpoints["s"], rewound);
}

/// Whichever way a rewind came about, it lasts until a step is through the overlap.
pub async fn a_stream_is_rewinding_until_it_is_through<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let run = claim(&store, "acme", &["s"]).await;
    let since = Cursor::Since(hours(1));
    let moved = |from: &Cursor, to: &Cursor| Advance::new(from.clone(), to.clone());
    let (a, b, c, d) = (token("a"), token("b"), token("c"), token("d"));
    let plain = step("s", "", "");
    let cases = [
        // A step that ends at an instant is a rewind.
        (Step { advance: moved(&a, &since), ..plain.clone() }, true),
        (Step { advance: moved(&since, &b), ..plain.clone() }, true),
        (Step { advance: moved(&b, &c), through: true, ..plain.clone() }, false),
        (Step { advance: moved(&c, &d), ..plain.clone() }, false),
        // So is one with a rewind inside.
        (Step { advance: moved(&d, &a), rewound: true, ..plain.clone() }, true),
        (Step { advance: moved(&a, &b), ..plain.clone() }, true),
        // One step may hold a rewind and all of what had to be read again.
        (Step { advance: moved(&b, &c), rewound: true, through: true, ..plain }, false),
    ];
    for (at, (step, expected)) in cases.into_iter().enumerate() {
        store.commit(commit("acme", run.epoch, hours(1), vec![step])).await.expect("commits");
        let rewinding = stored(&store, "acme", "s").await.map(|stored| stored.rewinding);
        assert_eq!(rewinding, Some(expected), "step {at}");
    }
    // Until then it is known how far the stream had been read.
    let read = Step { newest_event: Some(hours(7)), latest: Some(hours(9)), ..step("s", "c", "d") };
    let back = Step { rewound: true, latest: Some(hours(8)), ..step("s", "d", "e") };
    let through = Step { through: true, ..step("s", "e", "f") };
    for (step, expected) in [(read, None), (back, Some(hours(8))), (through, None)] {
        store.commit(commit("acme", run.epoch, hours(1), vec![step])).await.expect("commits");
        assert_eq!(stored(&store, "acme", "s").await.and_then(|stored| stored.rewound_from), expected);
    }
}
