//! The past in windows: one commit with the live cursor, chains of their own.

use std::time::Duration;

use super::{assert_fenced, claim, commit, hours, ids, newest_first, seen_of, step, stored, token};
use crate::{
    Advance, Checkpoint, Cursor, EDGE, Epoch, OfWindow, Refused, Split, Step, Store, StoreError, UnixMs,
    Window,
};

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

/// The split of a stream that stands at `a`, as if that were hour 0: from there
/// to hour 10 in five windows, numbered from `number` on.
fn split(from: Cursor, number: u32) -> Step {
    let split = Split::cut(hours(0), hours(10), 5, number, None);
    let advance = Advance::new(from, Cursor::Since(split.since));
    Step { advance, split: Some(split), ..step("s", "", "") }
}

/// A step of a window.
fn of(number: u32, from: Cursor, to: Cursor) -> Step {
    let window = Some(OfWindow { number, begun: 0, done: false });
    Step { advance: Advance::new(from, to), window, ..step("s", "", "") }
}

fn done(step: Step) -> Step {
    Step { window: step.window.map(|of| OfWindow { done: true, ..of }), ..step }
}

async fn windows(store: &impl Store) -> Vec<Window> {
    stored(store, "acme", "s").await.map(|stored| stored.windows).unwrap_or_default()
}

async fn first(store: &impl Store, number: u32) -> Cursor {
    let windows = windows(store).await;
    windows.into_iter().find(|window| window.number == number).expect("the window is there").cursor
}

/// The windows come with the live cursor that leaves them out, and reach from
/// where the stream stood to a little past it, without a gap.
pub async fn a_split_opens_its_windows_with_the_commit_that_moves_the_cursor<S: Store>(
    fresh: &impl Fn() -> S,
) {
    let store = fresh();
    let run = claim(&store, "acme", &["s", "t"]).await;
    let other = stored(&store, "acme", "t").await;
    store.commit(commit("acme", run.epoch, hours(58), vec![split(token("a"), 0)])).await.expect("commits");
    let after = stored(&store, "acme", "s").await.expect("is there");
    assert_eq!((&after.cursor, after.since), (&Cursor::Since(hours(10)), Some(hours(10))));
    assert_eq!((after.newest_event, after.rewinding), (Some(hours(10)), false));
    let seam = hours(10).plus(EDGE);
    assert_eq!(after.seam, Some(seam));
    let borders: Vec<_> = after.windows.iter().map(|window| (window.start, window.end)).collect();
    assert_eq!((borders.len(), borders[0].0, borders[4].1), (5, hours(0), seam));
    assert!(borders.windows(2).all(|two| two[0].1 == two[1].0), "{borders:?}");
    for window in &after.windows {
        let (from, to) = (window.start.minus(EDGE), window.end.plus(EDGE));
        assert_eq!(window.cursor, Cursor::Between { from, to, turn: 0 });
    }
    assert_eq!(stored(&store, "acme", "t").await, other);
    // Whoever comes next finds them.
    let next = claim(&store, "acme", &["s"]).await;
    assert_eq!(next.checkpoints["s"], after);
    assert_fenced(
        &store.commit(commit("acme", run.epoch, hours(58), vec![split(token("a"), 9)])).await,
        2,
        1,
    );
}

/// A window's step moves its own cursor and nothing of the stream's but the
/// counts; the last one ends it. One commit may split, and read a window to its end.
pub async fn a_window_is_a_chain_of_its_own<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let run = claim(&store, "acme", &["s"]).await;
    let beginning = Split::cut(hours(0), hours(10), 5, 0, None).windows;
    let read = Step {
        seen: vec![ids(0..3)],
        latest: Some(hours(1)),
        newest_event: Some(hours(99)),
        ..done(of(0, beginning[0].cursor.clone(), token("w")))
    };
    let steps = vec![split(token("a"), 0), read, of(1, beginning[1].cursor.clone(), token("x"))];
    store.commit(commit("acme", run.epoch, hours(58), steps)).await.expect("commits");
    let after = stored(&store, "acme", "s").await.expect("is there");
    assert_eq!(after.cursor, Cursor::Since(hours(10)));
    // What a window holds says nothing of where the live cursor is.
    assert_eq!((after.newest_event, after.commits, after.events), (Some(hours(10)), 3, 3));
    assert_eq!(after.windows.iter().map(|window| window.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(first(&store, 1).await, token("x"));
    assert_eq!(windows(&store).await[1..], beginning[2..]);

    let live = Step { advance: Advance::new(Cursor::Since(hours(10)), token("b")), ..step("s", "", "") };
    store.commit(commit("acme", run.epoch, hours(59), vec![live])).await.expect("commits");
    assert_eq!(windows(&store).await.len(), 4);
    for (number, cursor) in [(1, token("x"))]
        .into_iter()
        .chain(beginning[2..].iter().map(|window| (window.number, window.cursor.clone())))
    {
        let last = done(of(number, cursor.clone(), cursor));
        store.commit(commit("acme", run.epoch, hours(59), vec![last])).await.expect("commits");
    }
    let after = stored(&store, "acme", "s").await.expect("is there");
    assert_eq!((after.windows.len(), after.cursor), (0, token("b")));
}

/// A step that does not start at the window's cursor, or is of no window, is
/// refused with all it came with.
pub async fn a_step_of_a_window_is_chained_and_fenced<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let run = claim(&store, "acme", &["s"]).await;
    store.commit(commit("acme", run.epoch, hours(58), vec![split(token("a"), 0)])).await.expect("commits");
    let before = stored(&store, "acme", "s").await;
    let begin = first(&store, 2).await;
    for (number, from) in [(2, token("?")), (2, Cursor::Since(hours(10))), (7, begin.clone())] {
        let sound = of(3, first(&store, 3).await, token("z"));
        let bad = vec![sound, of(number, from, token("y"))];
        let answer = store.commit(commit("acme", run.epoch, hours(59), bad)).await;
        let refused = match answer {
            Err(StoreError::Refused(refused)) => refused,
            other => panic!("{other:?}"),
        };
        assert_eq!(matches!(refused, Refused::NoSuchWindow { number: 7, .. }), number == 7, "{refused}");
        assert_eq!(stored(&store, "acme", "s").await, before);
    }
    claim(&store, "acme", &["s"]).await;
    let late = commit("acme", run.epoch, hours(59), vec![of(2, begin, token("y"))]);
    assert_fenced(&store.commit(late).await, 2, 1);
    assert_eq!(run.epoch, Epoch(1));
}

/// A window that is begun anew is where it began, by another cursor, and what it
/// holds is compared until it is done; the live cursor has no part in it.
pub async fn a_window_is_begun_anew_without_the_live_cursor<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let run = claim(&store, "acme", &["s"]).await;
    store.commit(commit("acme", run.epoch, hours(58), vec![split(token("a"), 0)])).await.expect("commits");
    let before = stored(&store, "acme", "s").await.expect("is there");
    let window = &before.windows[1];
    let anew = Window::beginning(window.start, window.end, 1);
    let back = Step {
        window: Some(OfWindow { number: 1, begun: 1, done: false }),
        rewound: true,
        ..of(1, token("w"), anew.clone())
    };
    let steps = vec![of(1, window.cursor.clone(), token("w"))];
    store.commit(commit("acme", run.epoch, hours(59), steps)).await.expect("commits");
    store.commit(commit("acme", run.epoch, hours(59), vec![back])).await.expect("commits");
    let after = stored(&store, "acme", "s").await.expect("is there");
    let expected = Window { cursor: anew, turn: 1, again: true, ..window.clone() };
    assert_eq!(after.windows[1], expected);
    assert_eq!((after.rewinding, after.rewound_from, &after.cursor), (false, None, &before.cursor));
}

/// Ids are kept from the oldest window on that is not done, however far the
/// live cursor has come, and go with it.
pub async fn ids_are_kept_as_long_as_a_window_may_come_by_them_again<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let run = claim(&store, "acme", &["s"]).await;
    store.commit(commit("acme", run.epoch, hours(58), vec![split(token("a"), 0)])).await.expect("commits");
    let latest = |at: UnixMs| Some(at.plus(minutes(30)));
    let steps = vec![
        Step { seen: vec![ids(0..2)], latest: latest(hours(0)), ..of(0, first(&store, 0).await, token("v")) },
        Step { seen: vec![ids(2..4)], latest: latest(hours(2)), ..of(1, first(&store, 1).await, token("w")) },
        Step {
            seen: vec![ids(4..6)],
            latest: Some(hours(500)),
            newest_event: Some(hours(500)),
            advance: Advance::new(Cursor::Since(hours(10)), token("b")),
            ..step("s", "", "")
        },
    ];
    store.commit(commit("acme", run.epoch, hours(500), steps)).await.expect("commits");
    assert_eq!(seen_of(&store, "acme", "s").await, newest_first(0..6));
    let mut kept = vec![2..6, 4..6].into_iter();
    for (number, cursor) in [(0, token("v")), (1, token("w"))] {
        let last = done(of(number, cursor.clone(), cursor));
        store.commit(commit("acme", run.epoch, hours(500), vec![last])).await.expect("commits");
        // The others begin at hours 4, 6 and 8; nothing of them was read.
        assert_eq!(seen_of(&store, "acme", "s").await, newest_first(kept.next().expect("two")), "{number}");
    }
}

/// Windows behind the time that a person goes back to are no more: the live
/// cursor comes by them. One that lies across ends at it. The others go on.
pub async fn a_rewind_by_a_person_takes_what_lies_behind_it_from_the_windows<S: Store>(
    fresh: &impl Fn() -> S,
) {
    let store = fresh();
    let run = claim(&store, "acme", &["s"]).await;
    store.commit(commit("acme", run.epoch, hours(58), vec![split(token("a"), 0)])).await.expect("commits");
    let before = windows(&store).await;
    // To a place where no window is; then into the third, and to where the second begins.
    let check = async |to: UnixMs, left: usize, seam: Option<UnixMs>| {
        let rewound = store.rewind("acme", "s", Cursor::Since(to), hours(60)).await.expect("rewinds");
        assert_eq!(rewound.windows.len(), left, "{to}");
        assert_eq!(rewound.seam, seam, "{to}");
        for (window, was) in rewound.windows.iter().zip(&before) {
            let end = was.end.min(to.plus(EDGE));
            let was = Window { end: if rewound.since == Some(to) { end } else { was.end }, ..was.clone() };
            assert_eq!(*window, was);
        }
        rewound
    };
    let Checkpoint { since, .. } = check(hours(11), 5, Some(hours(10).plus(EDGE))).await;
    assert_eq!(since, Some(hours(10)));
    let third = before[2].start.plus(minutes(30));
    check(third, 3, Some(third.plus(EDGE))).await;
    let second = before[1].start;
    check(second, 1, Some(second.plus(EDGE).min(before[0].end)).filter(|seam| *seam > second)).await;
    check(hours(-1), 0, None).await;
}

/// What one commit does to a stream counts as a whole: what a window's last step
/// would let go of stays if the live cursor goes back in the same commit.
pub async fn a_rewind_keeps_what_a_window_before_it_would_let_go_of<S: Store>(fresh: &impl Fn() -> S) {
    let store = fresh();
    let run = claim(&store, "acme", &["s"]).await;
    store.commit(commit("acme", run.epoch, hours(58), vec![split(token("a"), 0)])).await.expect("commits");
    let (mut left, mut last) = (Vec::new(), None);
    for number in 0..5 {
        let step = done(of(number, first(&store, number).await, token("end")));
        if number < 4 { left.push(step) } else { last = Some(step) }
    }
    let live = |step: Step, from| Step { advance: Advance::new(from, token("live")), ..step };
    let late = Step { newest_event: Some(hours(200)), ..step("s", "", "") };
    left.push(live(late, Cursor::Since(hours(10))));
    store.commit(commit("acme", run.epoch, hours(200), left)).await.expect("commits");

    let last = Step { seen: vec![ids(0..1)], latest: Some(hours(9)), ..last.expect("is the fifth") };
    let back = live(Step { rewound: true, ..step("s", "", "") }, token("live"));
    store.commit(commit("acme", run.epoch, hours(201), vec![last, back])).await.expect("commits");
    assert_eq!(windows(&store).await, []);
    assert_eq!(seen_of(&store, "acme", "s").await, newest_first(0..1));
}
