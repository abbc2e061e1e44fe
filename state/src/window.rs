//! Windows: parts of a stream's past that are read beside its live cursor.
//!
//! One chain of cursors is serial. So a long past is *split*: the live cursor
//! is opened close to the present, and what lies before it is cut into windows
//! of time, each with a cursor of its own. All of it is in the checkpoint, so
//! no crash comes between the live cursor and the windows that make up for it.
//!
//! At all times (live cursor's `since` .. now) ∪ windows in the checkpoint ∪
//! committed windows covers all that was ever asked for. An event belongs to
//! one of them, by its time alone: nothing has to be remembered of the borders.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Checkpoint, Cursor, Refused, Step, UnixMs};

/// How much more is asked for than belongs to a window, at either end: whether
/// the ends are inclusive, and how precisely they are compared, is not
/// documented. So much lies in the live cursor's reach and is the last window's.
pub const EDGE: Duration = Duration::from_secs(1);

/// No window is cut shorter than this.
pub const SHORTEST: Duration = Duration::from_secs(3600);

/// A part of a stream's past that is not read to its end yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// What it is known by among the stream's windows. No number comes again within a run.
    pub number: u32,
    /// The events from this instant on are the window's,
    pub start: UnixMs,
    /// up to this one, which is not.
    pub end: UnixMs,
    /// Where its next request starts.
    pub cursor: Cursor,
    /// How often it was begun anew because its cursor was refused.
    #[serde(default)]
    pub turn: u32,
    /// Some of it may have been read before: ids are compared until it is done.
    #[serde(default)]
    pub again: bool,
}

impl Window {
    /// A window that nothing was read of yet.
    pub fn new(number: u32, start: UnixMs, end: UnixMs) -> Window {
        let cursor = Window::beginning(start, end, 0);
        Window { number, start, end, cursor, turn: 0, again: false }
    }

    /// The cursor of the window's first request, for the `turn`th time. Each
    /// beginning is a cursor of its own, as a place in the chain and for sinks
    /// that name what they hold by it.
    pub fn beginning(start: UnixMs, end: UnixMs, turn: u32) -> Cursor {
        Cursor::Between { from: start.minus(EDGE), to: end.plus(EDGE), turn }
    }

    /// Whether something of it may have been committed.
    pub fn is_begun(&self) -> bool {
        self.again || matches!(self.cursor, Cursor::Token(_))
    }

    /// Whether an event of this time is the window's. One whose time nobody can
    /// read is everybody's.
    pub fn owns(&self, at: Option<UnixMs>) -> bool {
        at.is_none_or(|at| (self.start..self.end).contains(&at))
    }
}

/// What a step of the live stream leaves to windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// From here on the live cursor is asked.
    pub since: UnixMs,
    /// Up to here, which is a little later, events are the windows'.
    pub seam: UnixMs,
    /// What lies between where the stream stood and `seam`, without a gap.
    pub windows: Vec<Window>,
}

impl Split {
    /// Cuts what lies between `at` and `since` into `most` windows at most, of
    /// [`SHORTEST`] at least, the oldest first, numbered from `number` on. What begins
    /// before `known` may have been read before.
    pub fn cut(at: UnixMs, since: UnixMs, most: u32, number: u32, known: Option<UnixMs>) -> Split {
        let seam = since.plus(EDGE);
        let span = seam.since(at).as_millis();
        let count = (span / SHORTEST.as_millis()).clamp(1, u128::from(most.max(1)));
        let border = |nth: u128| match nth {
            0 => at,
            nth if nth == count => seam,
            // On whole seconds, should a server know no others.
            nth => {
                UnixMs(at.plus(Duration::from_millis((span * nth / count) as u64)).0.div_euclid(1000) * 1000)
            }
        };
        let window = |nth: u32| {
            let (start, end) = (border(nth.into()), border(u128::from(nth) + 1));
            let again = known.is_some_and(|known| start < known);
            Window { again, ..Window::new(number.wrapping_add(nth), start, end) }
        };
        Split { since, seam, windows: (0..count as u32).map(window).collect() }
    }

    /// Joins the split of a later step of the same stream.
    pub fn then(self, next: Split) -> Split {
        let windows = self.windows.into_iter().chain(next.windows).collect();
        Split { windows, ..next }
    }
}

/// The part of a step that is about a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfWindow {
    /// Which window's chain the step belongs to.
    pub number: u32,
    /// How often the window is begun anew within the step.
    pub begun: u32,
    /// The window is read to its end, and is no more.
    pub done: bool,
}

impl Checkpoint {
    /// Decides a step of a window, as [`advanced`](Checkpoint::advanced) does
    /// one of the live cursor, which it leaves where it is.
    ///
    /// | stored window, cursor | step                 | answer                       |
    /// |-----------------------|----------------------|------------------------------|
    /// | 3, `a`                | 3, `a → b`           | `b`                          |
    /// | 3, `a`                | 3, `a → b`, done     | the window is no more        |
    /// | 3, `b`                | 3, `a → b`           | [`Refused::NotChained`]      |
    /// | none                  | 3, `a → b`           | [`Refused::NoSuchWindow`]    |
    pub(crate) fn advanced_in(&self, of: OfWindow, step: &Step, at: UnixMs) -> Result<Checkpoint, Refused> {
        let mut windows = self.windows.clone();
        let place = windows.iter().position(|window| window.number == of.number);
        let Some(place) = place else {
            return Err(Refused::NoSuchWindow { stream: step.stream.clone(), number: of.number });
        };
        let window = &mut windows[place];
        if *step.advance.from() != window.cursor {
            return Err(Refused::NotChained {
                stream: step.stream.clone(),
                stored: window.cursor.clone(),
                from: step.advance.from().clone(),
            });
        }
        if of.done {
            windows.remove(place);
        } else {
            window.cursor = step.advance.to().clone();
            window.turn = window.turn.saturating_add(of.begun);
            window.again |= of.begun > 0;
        }
        Ok(Checkpoint {
            windows,
            source: step.source.clone(),
            committed_at: Some(at),
            commits: self.commits + 1,
            events: self.events + step.events(),
            ..self.clone()
        })
    }

    /// Leaves to the live cursor what lies behind `to`, where it is put before
    /// all it was ever asked from; what windows are read before `to` goes on.
    ///
    /// | window         | becomes                               |
    /// |----------------|---------------------------------------|
    /// | ends before    | as it was                             |
    /// | lies across    | ends a little behind `to`, at the seam |
    /// | begins at or behind | no more: the live cursor reads it |
    pub(crate) fn cut_back(&mut self, to: UnixMs) {
        let end = to.plus(EDGE);
        self.windows.retain(|window| window.start < to);
        self.windows.iter_mut().for_each(|window| window.end = window.end.min(end));
        self.seam = self.windows.iter().map(|window| window.end).max().filter(|seam| *seam > to);
    }

    /// Whether windows have, or had, what lies before the live cursor.
    pub(crate) fn is_split(&self) -> bool {
        self.seam.is_some() || !self.windows.is_empty()
    }

    /// Whether an event of this time, which the live cursor has brought, is a window's.
    pub fn is_of_a_window(&self, at: Option<UnixMs>) -> bool {
        match (at, self.since, self.seam) {
            (Some(at), Some(since), Some(seam)) => (since..seam).contains(&at),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    #[test]
    fn a_past_is_cut_without_a_gap_into_windows_that_share_nothing() {
        for (span, most, expect) in [
            (0, 9, 1),
            (HOUR, 9, 1),
            (2 * HOUR, 9, 2),
            (48 * HOUR + 7, 5, 5),
            (1_000 * HOUR + 123_456, 48, 48),
            (HOUR, 0, 1),
        ] {
            let at = UnixMs(-777);
            let since = UnixMs(at.0 + span);
            let Split { seam, windows, .. } = Split::cut(at, since, most, 3, None);
            assert_eq!((windows.len(), seam), (expect, since.plus(EDGE)), "{span}");
            assert_eq!((windows[0].start, windows[expect - 1].end), (at, seam));
            for (two, number) in windows.windows(2).zip(3..) {
                assert_eq!((two[0].end, two[0].number), (two[1].start, number));
                assert_eq!(two[0].end.0 % 1000, 0, "on whole seconds");
            }
            for at in [at, UnixMs(at.0 + span / 2), since, UnixMs(seam.0 - 1)] {
                assert_eq!(windows.iter().filter(|window| window.owns(Some(at))).count(), 1, "{at}");
            }
            assert!(!windows.iter().any(|window| window.owns(Some(seam))));
            assert!(windows.iter().all(|window| window.owns(None)));
        }
    }

    #[test]
    fn only_windows_that_begin_before_what_was_read_may_hold_what_was_read() {
        let again = |known| {
            let split = Split::cut(UnixMs(0), UnixMs(10 * HOUR), 5, 0, known);
            split.windows.iter().filter(|window| window.again).count()
        };
        assert_eq!([None, Some(UnixMs(0)), Some(UnixMs(1)), Some(UnixMs(3 * HOUR))].map(again), [0, 0, 1, 2]);
        assert_eq!(again(Some(UnixMs(i64::MAX))), 5);
    }

    #[test]
    fn of_two_splits_all_windows_stay_and_the_later_place() {
        let one = Split::cut(UnixMs(0), UnixMs(2 * HOUR), 2, 0, None);
        let other = Split::cut(one.seam, UnixMs(5 * HOUR), 2, 2, None);
        let both = one.clone().then(other.clone());
        assert_eq!((both.since, both.seam), (other.since, other.seam));
        assert_eq!(both.windows, [one.windows, other.windows].concat());
    }

    #[test]
    fn a_state_that_is_healed_reads_windows_on_and_the_live_cursor_no_further_back_than_to_them() {
        let split = Split::cut(UnixMs(0), UnixMs(100 * HOUR), 4, 0, None);
        let check = |cursor: Cursor, newest: i64, expect: Cursor| {
            let was = Checkpoint {
                newest_event: Some(UnixMs(newest * HOUR)),
                since: Some(split.since),
                seam: Some(split.seam),
                windows: split.windows.clone(),
                ..Checkpoint::starting_at(cursor)
            };
            let again = was.read_again(None, Duration::from_millis(48 * HOUR as u64));
            assert_eq!((again.cursor, again.windows, again.seam), (expect, was.windows, was.seam));
        };
        let (since, token) = (|hour| Cursor::Since(UnixMs(hour * HOUR)), Cursor::Token("t".to_owned()));
        check(since(100), 100, since(100));
        check(token.clone(), 120, since(100));
        check(token, 200, since(152));
    }
}
