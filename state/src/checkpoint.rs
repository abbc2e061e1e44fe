//! How far a stream has come, and which steps may move it.

use serde::{Deserialize, Serialize};

use crate::{Cursor, SourceInfo, Step, UnixMs};

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
    /// The earliest instant the stream was ever asked to start from. A rewind
    /// goes no further back, and to here when no event was ever committed: not
    /// to what "120 days ago" means by then, which would skip what came between.
    #[serde(default)]
    pub since: Option<UnixMs>,
    /// The event time that has been reached for certain, which is the newest one
    /// committed once the stream has caught up: where a rewind counts back from. A person's rewind puts it back too: what comes behind is to
    /// be read again, whatever happens on the way.
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
    /// stays so until a step says that its stream has caught up. The newest
    /// event time never falls, a rewind aside nothing else does either.
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
        if *step.advance.from() != self.cursor {
            return Err(Refused::NotChained {
                stream: step.stream.clone(),
                stored: self.cursor.clone(),
                from: step.advance.from().clone(),
            });
        }
        let rewound = step.rewound || matches!(step.advance.to(), Cursor::Since(_));
        Ok(Checkpoint {
            cursor: step.advance.to().clone(),
            source: step.source.clone(),
            since: self.since,
            newest_event: self.newest_event.max(step.newest_event),
            committed_at: Some(at),
            commits: self.commits + 1,
            events: self.events + step.events(),
            rewinding: (self.rewinding || rewound) && !step.caught_up,
        })
    }

    /// Returns the checkpoint after a person put the cursor to `to`.
    ///
    /// | `to`        | newest event           | since                  |
    /// |-------------|------------------------|------------------------|
    /// | an instant  | the earlier of the two | the earlier of the two |
    /// | a token     | unknown again          | as it was              |
    pub(crate) fn rewound(&self, to: Cursor) -> Checkpoint {
        let at = to.instant();
        Checkpoint {
            since: at.map_or(self.since, |at| Some(self.since.map_or(at, |since| since.min(at)))),
            newest_event: self.newest_event.min(at),
            cursor: to,
            rewinding: true,
            ..self.clone()
        }
    }
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
}
