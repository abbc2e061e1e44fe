//! A stream of pages, from a cursor on.

use std::{sync::Arc, time::Duration};

use futures::stream;
use opgraph_state::{Advance, Checkpoint, Cursor, Quarantined, UnixMs, die_at, overlap_of};
use tokio::time::sleep;
use tracing::{info, warn};

use super::Source;
use crate::{
    clock::Clock,
    http::{Failure, Remedy},
    page::{Page, Place},
    stream::{Events, Read, Stream},
    telemetry::{Meter, StreamState},
};

/// How far a rewind goes back from the newest committed event: item usage is up
/// to a day late (Panther's and 1Password's documentation), and twice that is safe.
pub(crate) const REWIND_OVERLAP: Duration = Duration::from_secs(48 * 3600);

/// Refusals in a row, with no page read from a cursor in between, after which a person has to look.
const MOST_REWINDS: u32 = 3;

/// What happens when the API says that nothing more is waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Wait this long, then ask again.
    Every(Duration),
    /// End the stream: it has caught up.
    Once,
}

/// What reading one stream needs to know.
#[derive(Debug)]
pub struct Reading<S> {
    /// The API.
    pub source: Arc<S>,
    /// The stream.
    pub stream: Stream,
    /// Where the run starts from.
    pub checkpoint: Checkpoint,
    /// Where a rewind goes when nothing else is known of the stream.
    pub first: UnixMs,
    /// What happens at the end.
    pub pace: Pace,
    /// The wall clock.
    pub clock: Clock,
    /// The tenant's counters.
    pub meter: Arc<Meter>,
}

/// Reads a stream from its checkpoint on, page after page, for as long as it is polled.
///
/// Every page's step starts where the last one ended. A refused cursor becomes
/// a page of its own, without events, whose step leads back in time: it travels
/// behind the pages read before it, so nothing of those is given up. An answer
/// with neither events nor a new cursor is no page: it stands for no step.
pub fn pages<S: Source>(
    reading: Reading<S>,
) -> impl futures::Stream<Item = Result<Page<Events>, Failure>> + Send {
    let reader = Reader {
        at: reading.checkpoint.cursor.clone(),
        newest: reading.checkpoint.newest_event,
        latest: None,
        rewound_from: reading.checkpoint.rewound_from,
        caught_up: false,
        rewinds: 0,
        reading,
    };
    stream::try_unfold(reader, async |mut reader| Ok(reader.next().await?.map(|page| (page, reader))))
}

struct Reader<S> {
    reading: Reading<S>,
    at: Cursor,
    /// What has been reached for certain.
    newest: Option<UnixMs>,
    /// The latest event read in this run.
    latest: Option<UnixMs>,
    /// The latest event that had been read when the stream went back, until it
    /// is well behind.
    rewound_from: Option<UnixMs>,
    caught_up: bool,
    rewinds: u32,
}

impl<S: Source> Reader<S> {
    /// Reads until there is a page, or the end.
    async fn next(&mut self) -> Result<Option<Page<Events>>, Failure> {
        loop {
            if self.caught_up {
                match self.reading.pace {
                    Pace::Once => return Ok(None),
                    Pace::Every(interval) => sleep(interval).await,
                }
            }
            match self.reading.source.page(self.reading.stream, &self.at).await {
                Ok(read) => {
                    die_at!("fetch.decoded");
                    if matches!(self.at, Cursor::Token(_)) {
                        self.rewinds = 0;
                    }
                    if let Some(page) = self.page(read) {
                        return Ok(Some(page));
                    }
                }
                Err(failure) if failure.remedy == Remedy::Rewind => return self.rewind(failure).map(Some),
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Turns an answer into a page; none if it stands for no step.
    fn page(&mut self, read: Read) -> Option<Page<Events>> {
        let Reading { source, stream, clock, meter, .. } = &self.reading;
        let Read { events, rejected, next, has_more } = read;
        if !rejected.is_empty() {
            die_at!("quarantine.found");
        }
        let now = clock.now();
        let counted = meter.stream(*stream);
        let still = next == self.at;
        let nothing = events.is_empty() && rejected.is_empty();
        // An empty answer with the cursor that was sent is the end, whatever it says.
        self.caught_up = !has_more || (nothing && still);
        counted.read_at.set(now);
        if self.caught_up {
            counted.caught_up_at.set(now);
        }
        counted.state.set(if self.caught_up { StreamState::CaughtUp } else { StreamState::Reading });
        if nothing && still {
            return None;
        }

        // A clock that is ahead somewhere must not hide what is still to come.
        let newest = events.newest().map(|at| at.min(now));
        // While more is waiting, one such clock would still hide months of a first
        // read: what the oldest event says has certainly been reached.
        let reached = if self.caught_up { newest } else { events.oldest().min(newest) };
        self.newest = self.newest.max(reached);
        self.latest = self.latest.max(newest);
        // A stream that is read at full speed for days does not catch up, and
        // need not remember everything until it does.
        let behind = self.rewound_from.is_some_and(|from| events.oldest() > Some(from.plus(REWIND_OVERLAP)));
        let through = self.caught_up || behind;
        self.rewound_from = self.rewound_from.filter(|_| !through);
        counted.pages.add(1);
        counted.events.add((events.len() + rejected.len()) as u64);
        meter.bytes_in.add(events.bytes() as u64);
        if let Some(newest) = newest {
            counted.newest_event.advance(newest);
        }
        let quarantined = rejected.into_iter().map(|rejected| Quarantined {
            stream: stream.name().to_owned(),
            reason: rejected.reason,
            body: rejected.body,
            at: now,
        });
        let from = std::mem::replace(&mut self.at, next.clone());
        let place = Place::new(*stream, Advance::new(from, next), source.info())
            .with_newest_event(reached)
            .with_latest(newest)
            .with_through(through)
            .with_quarantined(quarantined.collect());
        Some(Page::new(events, place, None))
    }

    /// Goes back to a time that is known to be safe.
    fn rewind(&mut self, refusal: Failure) -> Result<Page<Events>, Failure> {
        let Reading { source, stream, checkpoint, first, meter, .. } = &self.reading;
        self.rewinds += 1;
        if self.rewinds > MOST_REWINDS {
            let hint =
                "1Password refuses every cursor it issues for this stream; ask its support, then restart";
            return Err(Failure { remedy: Remedy::halt(hint), ..refusal });
        }
        let to = safe(self.newest, checkpoint.since).unwrap_or(*first);
        warn!(error = %refusal.cause, "cursor refused, reading again with overlap");
        info!(from = ?self.at, to = to.0, "rewind");
        meter.stream(*stream).rewinds.add(1);
        self.caught_up = false;
        self.rewound_from = self.rewound_from.max(self.newest).max(self.latest);
        let to = Cursor::Since(to);
        let from = std::mem::replace(&mut self.at, to.clone());
        let place = Place::new(*stream, Advance::new(from, to), source.info()).with_rewind();
        die_at!("rewind.made");
        Ok(Page::new(Events::none(*stream), place, None))
    }
}

/// The time from which a stream has to be read again when its cursor is lost.
///
/// | newest event | first start | from                                   |
/// |--------------|-------------|----------------------------------------|
/// | `n`          | `s`         | the later of `n` - overlap and `s`     |
/// | `n`          | unknown     | `n` - overlap                          |
/// | none         | `s`         | `s`                                    |
/// | none         | unknown     | unknown: where a new stream would start |
fn safe(newest: Option<UnixMs>, since: Option<UnixMs>) -> Option<UnixMs> {
    newest.map(|newest| overlap_of(newest, since, REWIND_OVERLAP)).or(since)
}
