//! How far a stream has come, and which steps may move it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Cursor, QuarantineId, SourceInfo, Step, UnixMs, Window};

/// Counts the runs of a tenant. A commit from an older run is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// The durable record of how far one stream of one tenant has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Where the next request starts.
    pub cursor: Cursor,
    /// What the cursor was issued by and under.
    #[serde(default)]
    pub source: SourceInfo,
    /// The earliest instant the stream was ever asked to start from, or, where
    /// windows have what lies before, the live cursor was. A rewind
    /// goes no further back, and to here when no event was ever committed: not
    /// to what "120 days ago" means by then, which would skip what came between.
    #[serde(default)]
    pub since: Option<UnixMs>,
    /// The event time that the live cursor has reached for certain, which is the newest one
    /// committed once it has caught up: where a rewind counts back from. At least `since`
    /// once windows have what lies before; what they read does not move it.
    /// A person's rewind puts it back too: what comes behind is to be read again,
    /// whatever happens on the way.
    #[serde(default)]
    pub newest_event: Option<UnixMs>,
    /// When the last commit was made, by the committer's clock.
    #[serde(default)]
    pub committed_at: Option<UnixMs>,
    /// How many commits this stream has seen; grows by one each, never falls.
    #[serde(default)]
    pub commits: u64,
    /// Events committed so far, duplicates left out.
    #[serde(default)]
    pub events: u64,
    /// A rewind's overlap is being read again: seen ids are kept whole until it is through.
    #[serde(default)]
    pub rewinding: bool,
    /// The newest event that had been read when the stream went back: what is
    /// well behind it was never read before. `None` unless rewinding, and where
    /// nobody knows.
    #[serde(default)]
    pub rewound_from: Option<UnixMs>,
    /// The parts of the past that are read beside the live cursor, and are not done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Window>,
    /// Events from `since` up to this instant are a window's, though the live
    /// cursor brings them too. `None` if no window ever bordered on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seam: Option<UnixMs>,
}

impl Checkpoint {
    /// The checkpoint of a stream that starts at `first`.
    pub fn starting_at(first: Cursor) -> Checkpoint {
        Checkpoint {
            since: first.instant(),
            cursor: first,
            source: SourceInfo::default(),
            newest_event: None,
            committed_at: None,
            commits: 0,
            events: 0,
            rewinding: false,
            rewound_from: None,
            windows: Vec::new(),
            seam: None,
        }
    }

    /// Decides a commit. Every store asks this function; none decides for itself.
    ///
    /// | stored epoch, cursor | claimed epoch, step | answer                            |
    /// |----------------------|---------------------|-----------------------------------|
    /// | 7, `a`               | 7, `a → b`          | `b`, one commit more              |
    /// | 7, `a`               | 6, `a → b`          | [`Refused::Fenced`]               |
    /// | 7, `a`               | 8, `a → b`          | [`Refused::Fenced`]: never claimed |
    /// | 7, `b`               | 7, `a → b`          | [`Refused::NotChained`]           |
    ///
    /// A step to [`Cursor::Since`] is a rewind: `rewinding` becomes true and
    /// stays so until a step says that it is through the overlap. The newest
    /// event time never falls, a rewind aside nothing else does either.
    ///
    /// A step with a split goes there too, and forward: what it leaves out is
    /// in windows with the same commit. The live cursor and each window are
    /// chains of their own; a step moves one of them.
    ///
    /// A step may stay where it is, as what comes out of the quarantine does:
    /// it moves nothing, rewinds nothing, and its ids and counts are kept.
    pub fn advanced(
        &self,
        stored: Epoch,
        claimed: Epoch,
        step: &Step,
        at: UnixMs,
    ) -> Result<Checkpoint, Refused> {
        if stored != claimed {
            return Err(Refused::Fenced { stored, claimed });
        }
        if let Some(of) = step.window {
            return self.advanced_in(of, step, at);
        }
        if *step.advance.from() != self.cursor {
            return Err(Refused::NotChained {
                stream: step.stream.clone(),
                stored: self.cursor.clone(),
                from: step.advance.from().clone(),
            });
        }
        let moved = step.advance.to() != step.advance.from();
        let back = moved && step.split.is_none() && matches!(step.advance.to(), Cursor::Since(_));
        let rewound = step.rewound || back;
        let rewinding = (self.rewinding || rewound) && !step.through;
        let rewound_from = match rewound {
            true => self.rewound_from.max(self.newest_event).max(step.latest),
            false => self.rewound_from,
        };
        let split = step.split.as_ref();
        let since = split.map(|split| split.since);
        let opened = split.map(|split| split.windows.as_slice()).unwrap_or_default();
        Ok(Checkpoint {
            cursor: step.advance.to().clone(),
            source: step.source.clone(),
            since: since.or(self.since),
            newest_event: self.newest_event.max(step.newest_event).max(since),
            committed_at: Some(at),
            commits: self.commits + 1,
            events: self.events + step.events(),
            rewinding,
            rewound_from: rewound_from.filter(|_| rewinding),
            windows: [self.windows.as_slice(), opened].concat(),
            seam: split.map(|split| split.seam).or(self.seam),
        })
    }

    /// Returns the checkpoint to go on from where the ids seen are lost: the
    /// last `overlap` before the newest committed event is read again.
    ///
    /// | cursor      | newest event | rewinding | goes on from                       |
    /// |-------------|--------------|-----------|------------------------------------|
    /// | since `t`   | none         | any       | since `t`                          |
    /// | since `t`   | `n`          | any       | since the earlier of `t`, `n - overlap` |
    /// | a token     | none         | any       | the token                          |
    /// | a token     | `n`          | no        | since [`overlap_of`] `n`           |
    /// | a token     | `n`          | yes       | the token                          |
    ///
    /// So never later than it was. A stream that is rewinding is at a place
    /// before `n` which only its token names. `start` is where the tenant's
    /// first read would start now, if that is known. Windows go on from their
    /// own cursors, and the live cursor goes no further back than to them.
    pub fn read_again(&self, start: Option<UnixMs>, overlap: Duration) -> Checkpoint {
        let border = self.since.filter(|_| self.is_split());
        let cursor = match (&self.cursor, self.newest_event) {
            (Cursor::Since(at), Some(newest)) => Cursor::Since(newest.minus(overlap).min(*at)),
            (Cursor::Token(_), Some(newest)) if !self.rewinding => {
                Cursor::Since(overlap_of(newest, start, overlap))
            }
            (cursor, _) => cursor.clone(),
        };
        let cursor = match (cursor, border) {
            (Cursor::Since(at), Some(border)) => Cursor::Since(at.max(border)),
            (cursor, _) => cursor,
        };
        let rewound_from = self.rewound_from.max(self.newest_event);
        Checkpoint { cursor, rewinding: true, rewound_from, ..self.clone() }
    }

    /// Returns the checkpoint that takes the place of `stored` by an import: ids
    /// are kept under the count of commits, so that never falls.
    pub(crate) fn imported_over(self, stored: &Checkpoint) -> Checkpoint {
        Checkpoint { commits: self.commits.max(stored.commits), ..self }
    }

    /// Returns the checkpoint after a person put the cursor to `to`.
    ///
    /// | `to`        | newest event           | since                  |
    /// |-------------|------------------------|------------------------|
    /// | an instant  | the earlier of the two | the earlier of the two |
    /// | a token     | unknown again          | as it was              |
    ///
    /// Windows that lie behind an instant are no more: the live cursor comes by
    /// them. The others go on.
    pub(crate) fn rewound(&self, to: Cursor) -> Checkpoint {
        let at = to.instant();
        let mut rewound = Checkpoint {
            since: at.map_or(self.since, |at| Some(self.since.map_or(at, |since| since.min(at)))),
            newest_event: self.newest_event.min(at),
            cursor: to,
            rewinding: true,
            rewound_from: self.rewound_from.max(self.newest_event),
            ..self.clone()
        };
        let last = self.windows.iter().map(|window| window.end).max().max(self.seam);
        if let Some(at) = at.filter(|at| Some(*at) < last) {
            rewound.cut_back(at);
        }
        rewound
    }
}

/// Where reading again starts: `overlap` before the newest committed event, but
/// not before `start`, unless the newest event itself lies before that: what
/// came after it was never read.
pub fn overlap_of(newest: UnixMs, start: Option<UnixMs>, overlap: Duration) -> UnixMs {
    let earliest = start.map_or(UnixMs(i64::MIN), |start| start.min(newest));
    newest.minus(overlap).max(earliest)
}

/// Why a commit was not made. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Another run has claimed the tenant since; this one has to stop.
    #[error("a newer run owns this tenant (stored epoch {}, ours {})", stored.0, claimed.0)]
    Fenced {
        /// The epoch in the store.
        stored: Epoch,
        /// The epoch the commit was made under.
        claimed: Epoch,
    },
    /// The step does not start at the stored cursor: it would skip or repeat pages.
    #[error("the step of `{stream}` starts at {from:?}, the stored cursor is {stored:?}")]
    NotChained {
        /// The stream whose step it was.
        stream: String,
        /// The cursor in the store.
        stored: Cursor,
        /// Where the refused step starts.
        from: Cursor,
    },
    /// The step is of a window that is not there.
    #[error("the step of `{stream}` is of window {number}, which is not there")]
    NoSuchWindow {
        /// The stream whose step it was.
        stream: String,
        /// The window.
        number: u32,
    },
    /// Cursors were to be imported for a tenant that has some.
    #[error("tenant `{tenant}` has checkpoints already")]
    HasCheckpoints {
        /// The tenant.
        tenant: String,
    },
    /// An entry that was to be taken out of the quarantine is not there.
    #[error("the quarantine holds no entry {id} of `{}`", id.stream)]
    NotInQuarantine {
        /// The entry.
        id: QuarantineId,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_again_starts_with_overlap_and_never_later_than_it_was() {
        let check = |cursor: Cursor, newest: Option<i64>, rewinding, start: Option<i64>, expect: Cursor| {
            let newest_event = newest.map(UnixMs);
            let was = Checkpoint { newest_event, rewinding, events: 9, ..Checkpoint::starting_at(cursor) };
            let again = was.read_again(start.map(UnixMs), Duration::from_millis(100));
            let expect = Checkpoint { cursor: expect, rewinding: true, rewound_from: newest_event, ..was };
            assert_eq!(again, expect);
        };
        let (since, token) = (|at| Cursor::Since(UnixMs(at)), || Cursor::Token("t".to_owned()));
        check(since(50), None, false, Some(80), since(50));
        check(since(950), Some(1000), true, None, since(900));
        check(since(50), Some(1000), true, Some(80), since(50));
        check(token(), None, false, Some(80), token());
        check(token(), Some(1000), true, Some(80), token());
        check(token(), Some(1000), false, None, since(900));
        check(token(), Some(1000), false, Some(80), since(900));
        check(token(), Some(1000), false, Some(950), since(950));
        // The program was off for longer than it reads back: nothing is left out.
        check(token(), Some(1000), false, Some(5000), since(1000));
    }
}
