//! What a seed chooses before its history begins.

use std::time::Duration;

use opgraph::{pipeline::Limits, sink::UploadLimits};

/// The choices of one seed.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Most events of a stream.
    pub(super) events: usize,
    /// How long before the history begins the first events arrive.
    pub(super) backlog: Duration,
    /// Of a hundred events, how many arrive before the history begins.
    pub(super) backlog_share: usize,
    /// The longest time between two arrivals in the backlog, and behind it, in milliseconds.
    pub(super) gap_before: u64,
    pub(super) gap_after: u64,
    /// How far back the first run reads; a little less than the backlog at times.
    pub(super) start: Duration,
    /// Events that are late, that are ahead, and that make no sense; of a thousand.
    pub(super) late: u32,
    pub(super) ahead: u32,
    pub(super) poison: u32,

    /// Whether an event just at the start of what is asked for is given, and one at its end.
    pub(super) inclusive: [bool; 2],
    /// Events a page.
    pub(super) page: usize,
    /// Events that a page repeats at most.
    pub(super) overlap: usize,
    /// Of a thousand answers: failures, empty pages, refused cursors, streams that halt.
    pub(super) fails: u32,
    pub(super) empty: u32,
    pub(super) refused: u32,
    pub(super) halts: u32,

    /// Vaults and items are listed, and items opened.
    pub(super) connect: bool,
    pub(super) details: bool,
    /// Of a thousand answers of the lister: failures, lists that are falsely
    /// empty, changes of what is listed.
    pub(super) list_fails: u32,
    pub(super) empty_lists: u32,
    pub(super) changes: u32,

    /// Of a thousand uploads that go wrong, and of a thousand that are slow.
    pub(super) bad_uploads: u32,
    pub(super) slow_uploads: u32,
    /// Two sinks at once.
    pub(super) two_sinks: bool,
    pub(super) uploads: [UploadLimits; 2],

    /// Of a thousand commits that go wrong, and of a thousand that are slow.
    pub(super) bad_commits: u32,
    pub(super) slow_commits: u32,

    /// The pipeline's limits.
    pub(super) limits: Limits,

    /// Runs before the faults stop.
    pub(super) rounds: usize,
    /// Of a hundred runs: left alive beside the next one, rewound by a person
    /// before, with a clock that leaps, followed by hours without any.
    pub(super) zombies: u32,
    pub(super) rewinds: u32,
    pub(super) leaps: u32,
    pub(super) pauses: u32,
}

impl Plan {
    pub(super) fn of(dice: &mut fastrand::Rng) -> Plan {
        // Half of the seeds have most kinds of trouble at once; the others each few.
        let all = dice.bool();
        let mut of = |most: u32| if all || dice.u32(0..3) == 0 { dice.u32(0..=most) } else { 0 };
        let (late, ahead, poison) = (of(300), of(50), of(60));
        let (fails, empty, refused, halts) = (of(100), of(150), of(50), of(5));
        let (bad_uploads, slow_uploads) = (of(350), of(600));
        let (bad_commits, slow_commits) = (of(120), of(400));
        let (zombies, rewinds, leaps, pauses) = (of(60), of(15), of(50), of(40));

        let (list_fails, empty_lists, changes) = (of(120), of(80), of(300));
        let (connect, details) = (dice.u32(0..3) > 0, dice.u32(0..4) > 0);

        let (inclusive, readers) = ([dice.bool(), dice.bool()], dice.usize(1..=4));
        let (page, overlap) = (dice.usize(1..=12), dice.usize(0..=6));
        let two_sinks = dice.u32(0..4) == 0;
        let most = *dice.choice(&[2, 8, 40]).unwrap();
        let mut upload = || UploadLimits {
            age: Duration::from_millis(dice.u64(1..80)),
            events: dice.u64(1..=most),
            bytes: dice.usize(1..100_000),
            finishing: dice.usize(0..3),
        };
        let uploads = [upload(), upload()];
        let pages = dice.usize(1..4);
        let held = most_uncommitted(pages + readers, page + overlap, uploads, two_sinks);
        let backlog = Duration::from_millis(dice.u64(0..20 * 24 * 3_600_000));
        let slack = Duration::from_millis(dice.u64(0..50 * 3_600_000));
        Plan {
            events: dice.usize(20..=200),
            backlog,
            backlog_share: dice.usize(20..=100),
            gap_before: *dice.choice(&[50, 20_000, 2 * 3_600_000, 4 * 3_600_000, 8 * 3_600_000]).unwrap(),
            gap_after: *dice.choice(&[20, 2_000, 1_800_000]).unwrap(),
            start: if dice.bool() { backlog + slack } else { backlog.saturating_sub(slack) },
            late,
            ahead,
            poison,
            inclusive,
            page,
            overlap,
            fails,
            empty,
            refused,
            halts,
            connect,
            details,
            list_fails,
            empty_lists,
            changes,
            bad_uploads,
            slow_uploads,
            two_sinks,
            uploads,
            bad_commits,
            slow_commits,
            limits: Limits {
                pages,
                bytes: dice.usize(1024..128 << 10),
                recent: held + overlap + dice.usize(0..40),
                quarantine: 10_000,
                readers,
                window: dice.u32(1..=2),
            },
            rounds: dice.usize(3..=14),
            zombies,
            rewinds,
            leaps,
            pauses,
        }
    }

    /// What every upload keeps to.
    pub(super) fn upload_limits(&self) -> UploadLimits {
        let [a, b] = self.uploads;
        if !self.two_sinks {
            return a;
        }
        UploadLimits {
            age: a.age.min(b.age),
            events: a.events.min(b.events),
            bytes: a.bytes.min(b.bytes),
            finishing: a.finishing.min(b.finishing),
        }
    }
}

/// Events that a run may hold uncommitted: what dedup has to remember at least.
/// `pages` is what a channel holds, and as many readers of windows as there are more.
fn most_uncommitted(pages: usize, page: usize, uploads: [UploadLimits; 2], two: bool) -> usize {
    let [a, b] = uploads;
    let (events, finishing) = match two {
        true => (a.events.min(b.events), a.finishing.min(b.finishing)),
        false => (a.events, a.finishing),
    };
    // Three channels, what dedup, map and upload hold, and a page of each fetcher.
    let flowing = (3 * pages + 6) * page;
    // One that is filled, those that finish, those whose acks wait in line.
    let covered = (1 + (finishing + 1) + (finishing + 2) + pages + 1) * (events as usize + page);
    flowing + covered
}
