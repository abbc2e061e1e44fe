//! How long the past ahead of a live cursor is, and into how many windows it goes.
//!
//! Windows cost requests: what was read before they were made is read again, and
//! each ends with a page that is not full, and may need another answer to say so.
//! An account with little to read must not pay for that. So a past is read by
//! the live cursor until some pages tell that much of it is ahead, and is cut into
//! windows that hold many pages each. And more readers only help where answers are
//! what takes the time: a chain that waits for the stages below is fast enough.
//!
//! What is told here decides about speed alone. Wherever a past is cut, and
//! however wrong the guess is, nothing is left out.

use std::{collections::VecDeque, time::Duration};

use opgraph_state::UnixMs;

/// The pages that tell, always the last ones.
const TELLING: usize = 3;

/// For each page that was read, so many windows may be made: one busy hour looks
/// like a busy year, and who has read little may have little left to read.
const A_PAGE: u64 = 6;
/// After so many pages there may be any number.
const ENOUGH: u64 = 8;

/// Windows a reader, at most. The oldest that is not done decides how many ids
/// are kept, so those that are being read may not be most of the past.
const EACH: u64 = 12;

/// The last pages of a chain of cursors, by the time in the middle of each: half
/// of its events may be late, or by clocks that are wrong, and it is still near.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    last: VecDeque<Told>,
    /// How many pages there were in all.
    read: u64,
}

/// What a page tells.
#[derive(Clone, Copy, Debug)]
struct Told {
    middle: UnixMs,
    /// How long the answer was waited for.
    asked: Duration,
    /// How long it was, before that, until the page before had been taken.
    taken: Duration,
}

impl Ahead {
    /// Takes the next page, how long its answer was waited for, and how long it
    /// took until the page before it was taken; one without a readable time tells nothing.
    pub(super) fn add(&mut self, middle: Option<UnixMs>, asked: Duration, taken: Duration) {
        let Some(middle) = middle else { return };
        if self.last.len() == TELLING {
            self.last.pop_front();
        }
        self.last.push_back(Told { middle, asked, taken });
        self.read += 1;
    }

    /// Forgets all pages: what comes is from another time, or is all there is.
    pub(super) fn forget(&mut self) {
        *self = Ahead::default();
    }

    /// Into how many windows of about `pages` pages goes what lies before `to`, if
    /// it is to be cut. With these windows what lies behind `from` is read again.
    ///
    /// | readers | pages up to `to`, should they go on like the last ones | answer              |
    /// |---------|---------------------------------------------------------|--------------------|
    /// | 1       | any                                                     | none               |
    /// | more    | nobody can tell yet                                     | none               |
    /// | more    | any, and waiting until pages are taken takes longer than waiting for answers | none: more readers would wait as well |
    /// | more    | fewer than two windows hold                             | none               |
    /// | more    | more, and in less time than is read again                | none: they cost more than they save |
    /// | more    | more, into more than six windows for each page read     | none: it reads on, up to the eighth page |
    /// | more    | more                                                    | as many as hold them; where readers take turns, each as many; 12 a reader at most |
    pub(super) fn windows(&self, from: UnixMs, to: UnixMs, readers: usize, pages: u32) -> Option<u32> {
        let (first, last) = (self.last.front()?.middle, self.last.back()?.middle);
        if readers < 2 || self.last.len() < TELLING || to.since(last) < last.since(from) {
            return None;
        }
        let all = |time: fn(&Told) -> Duration| self.last.iter().map(time).sum::<Duration>();
        if all(|told| told.asked) < all(|told| told.taken) {
            return None;
        }
        let took = last.since(first).max(Duration::from_millis(1));
        let ahead = to.since(last).as_millis() * (TELLING as u128 - 1) / took.as_millis();
        let readers = readers as u64;
        let windows = (ahead / u128::from(pages.max(1))).min((EACH * readers).into()) as u64;
        let windows = if windows > readers { windows.next_multiple_of(readers) } else { windows };
        let is_told = windows <= A_PAGE * self.read || self.read >= ENOUGH;
        u32::try_from(windows).ok().filter(|windows| *windows > 1 && is_told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    /// A page is read of which nothing is known but its time.
    fn read(ahead: &mut Ahead, middle: Option<UnixMs>) {
        ahead.add(middle, Duration::ZERO, Duration::ZERO);
    }

    /// A page an hour has been read, from hour 0 on.
    fn hourly(pages: i64) -> Ahead {
        let mut ahead = Ahead::default();
        (0..pages).for_each(|hour| read(&mut ahead, Some(UnixMs(hour * HOUR))));
        ahead
    }

    #[test]
    fn a_past_is_cut_once_pages_tell_that_two_windows_are_ahead() {
        let check = |read: i64, ahead: i64, readers, expect| {
            let to = UnixMs((read - 1 + ahead) * HOUR);
            let told = hourly(read).windows(UnixMs(0), to, readers, 10);
            assert_eq!(told, expect, "{ahead} pages behind {read}, {readers} readers");
        };
        check(2, 10_000, 4, None);
        check(3, 10_000, 1, None);
        check(3, 19, 4, None);
        check(3, 20, 4, Some(2));
        check(3, 49, 4, Some(4));
        // Five or six for four readers: one of them would be alone with the last.
        check(3, 50, 4, Some(8));
        check(3, 69, 4, Some(8));
        check(3, 160, 4, Some(16));
        // More than three pages can tell of.
        check(3, 180, 4, None);
        check(4, 180, 4, Some(20));
        check(4, 10_000, 2, Some(24));
        check(7, 10_000, 4, None);
        check(8, 10_000, 4, Some(48));
        check(8, 10_000, 32, Some(384));
        // What was read since then is as long as what is left.
        check(40, 38, 4, None);
        check(40, 39, 4, Some(3));
    }

    #[test]
    fn the_last_pages_tell_and_one_that_knows_no_time_says_nothing() {
        let mut ahead = hourly(3);
        let windows = |ahead: &Ahead| ahead.windows(UnixMs(0), UnixMs(1000 * HOUR), 2, 100);
        assert_eq!(windows(&ahead), Some(10));
        read(&mut ahead, None);
        assert_eq!(windows(&ahead), Some(10));
        // It has become quiet: a page takes ten days.
        [240, 480, 720].into_iter().for_each(|hour| read(&mut ahead, Some(UnixMs(hour * HOUR))));
        assert_eq!(ahead.windows(UnixMs(700 * HOUR), UnixMs(1000 * HOUR), 2, 1), None);
        // And busy, all at once.
        (0..3).for_each(|_| read(&mut ahead, Some(UnixMs(730 * HOUR))));
        assert!(ahead.last.len() == TELLING && ahead.read == 9);
        assert_eq!(ahead.windows(UnixMs(700 * HOUR), UnixMs(1000 * HOUR), 2, 100), Some(24));
        ahead.forget();
        assert_eq!(windows(&ahead), None);
    }

    #[test]
    fn a_chain_that_waits_for_the_stages_below_is_not_cut() {
        let told = |asked: [u64; 3], taken: [u64; 3]| {
            let mut ahead = Ahead::default();
            for (hour, (asked, taken)) in (0..).zip(asked.into_iter().zip(taken)) {
                ahead.add(
                    Some(UnixMs(hour * HOUR)),
                    Duration::from_millis(asked),
                    Duration::from_millis(taken),
                );
            }
            ahead.windows(UnixMs(0), UnixMs(102 * HOUR), 4, 10)
        };
        assert_eq!(told([300, 300, 300], [0, 5, 5]), Some(12));
        assert_eq!(told([2, 2, 2], [0, 10, 12]), None);
        // The three pages together decide.
        assert_eq!(told([300, 5, 5], [0, 100, 100]), Some(12));
        assert_eq!(told([5, 5, 5], [0, 0, 16]), None);
    }
}
