//! The pages of a stream: from its live cursor on, and of its windows.

use std::{sync::Arc, time::Duration};

use futures::stream;
use opgraph_state::{
    Advance, Checkpoint, Cursor, Quarantined, SHORTEST, Split, UnixMs, Window, die_at, overlap_of,
};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::{Source, ahead::Ahead, past::Past, windows};
use crate::{
    clock::Clock,
    http::{Failure, Remedy},
    page::{Page, Place},
    stream::{Events, Read, Rejected, Stream},
    telemetry::Meter,
};

/// How far a rewind goes back from the newest committed event: item usage is up
/// to a day late (Panther's and 1Password's documentation), and twice that is safe.
pub(crate) const REWIND_OVERLAP: Duration = Duration::from_secs(48 * 3600);

/// Refusals in a row, with no page read from a cursor in between, after which a person has to look.
pub(super) const MOST_REWINDS: u32 = 3;

/// What happens when the API says that nothing more is waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Wait this long, then ask again.
    Every(Duration),
    /// End the stream, once no window is left: it has caught up.
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
    /// How many windows are read at a time; 1: what is not in windows yet stays so.
    pub readers: usize,
    /// About how many pages a window holds; a past of fewer than two of them is not split.
    pub window: u32,
    /// The wall clock.
    pub clock: Clock,
    /// The tenant's counters.
    pub meter: Arc<Meter>,
}

/// The pages of one chain of cursors, one after the other.
pub trait Pages: futures::Stream<Item = Result<Page<Events>, Failure>> + Send {}

impl<T: futures::Stream<Item = Result<Page<Events>, Failure>> + Send> Pages for T {}

/// Reads a stream from its checkpoint on, page after page, for as long as it is
/// polled: from its live cursor, and beside it from its windows, in as many
/// streams as may be read at a time. The pages of these come behind the one
/// that opens their windows, if each page is passed on before the next is asked for.
/// It opens them as soon as the live cursor's pages tell that much is ahead.
///
/// Every page's step starts where the last one ended. A refused cursor becomes
/// a page of its own, without events, whose step leads back in time: it travels
/// behind the pages read before it, so nothing of those is given up. An answer
/// with neither events nor a new cursor is no page: it stands for no step.
pub fn pages<S: Source>(reading: Reading<S>) -> (impl Pages, Vec<impl Pages>) {
    let Checkpoint { cursor, newest_event, rewinding, rewound_from, since, seam, windows: left, .. } =
        reading.checkpoint.clone();
    let past = Past::new(reading.stream, reading.clock.clone(), reading.meter.clone());
    let (reading, past) = (Arc::new(reading), Arc::new(past));
    // The oldest are read first, and so the first to be no more.
    let number = left.iter().map(|window| window.number.saturating_add(1)).max().unwrap_or(0);
    // Whoever splits nothing may still find windows.
    let readers = if reading.readers > 1 || !left.is_empty() { reading.readers.max(1) } else { 0 };
    past.open(left, number as usize);
    let beside = (0..readers).map(|_| windows::pages(reading.clone(), past.clone())).collect();
    let reader = Reader {
        behind: cursor.instant().or(safe(newest_event, since)),
        ahead: Ahead::default(),
        given: Instant::now(),
        at: cursor,
        newest: newest_event,
        latest: None,
        rewinding,
        rewound_from,
        since,
        seam,
        number,
        opened: Vec::new(),
        caught_up: false,
        rewinds: 0,
        past: Splitting(past),
        reading,
    };
    let live = stream::try_unfold(reader, async |mut reader| {
        let page = reader.next().await?;
        reader.given = Instant::now();
        Ok(page.map(|page| (page, reader)))
    });
    (live, beside)
}

/// The one who opens windows: no more come once it is gone.
struct Splitting(Arc<Past>);

impl Drop for Splitting {
    fn drop(&mut self) {
        self.0.is_over();
    }
}

struct Reader<S> {
    reading: Arc<Reading<S>>,
    past: Splitting,
    at: Cursor,
    /// What happened before this is certainly read: where windows begin if what is
    /// ahead is left to them.
    behind: Option<UnixMs>,
    ahead: Ahead,
    /// When the last page was given.
    given: Instant,
    /// What has been reached for certain.
    newest: Option<UnixMs>,
    /// The latest event read in this run.
    latest: Option<UnixMs>,
    rewinding: bool,
    /// The latest event that had been read when the stream went back, until it
    /// is well behind.
    rewound_from: Option<UnixMs>,
    /// What lies between these two is a window's.
    since: Option<UnixMs>,
    seam: Option<UnixMs>,
    /// The number of the next window.
    number: u32,
    /// Windows whose readers wait until the page that opened them has been taken.
    opened: Vec<Window>,
    caught_up: bool,
    rewinds: u32,
}

impl<S: Source> Reader<S> {
    /// Reads until there is a page, or the end.
    async fn next(&mut self) -> Result<Option<Page<Events>>, Failure> {
        let taken = self.given.elapsed();
        loop {
            let opened = std::mem::take(&mut self.opened);
            let all = opened.len();
            self.past.0.open(opened, all);
            if let Some(page) = self.split() {
                return Ok(Some(page));
            }
            if self.caught_up {
                match self.reading.pace {
                    // What came in while the windows were read is read as well.
                    Pace::Once if self.past.0.is_read().await => {}
                    Pace::Once => return Ok(None),
                    Pace::Every(interval) => sleep(interval).await,
                }
            }
            let waited = Instant::now();
            self.reading.source.ready(self.reading.stream).await;
            let (taken, asked) = (taken + waited.elapsed(), Instant::now());
            match self.reading.source.page(self.reading.stream, &self.at).await {
                Ok(read) => {
                    die_at!("fetch.decoded");
                    let asked = asked.elapsed();
                    if matches!(self.at, Cursor::Token(_)) {
                        self.rewinds = 0;
                    }
                    if let Some(page) = self.page(read, asked, taken) {
                        return Ok(Some(page));
                    }
                }
                Err(failure) if failure.remedy == Remedy::Rewind => return self.rewind(failure).map(Some),
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Turns an answer into a page; none if it stands for no step. With how long it
    /// was waited for, and how long it took until the page before was taken.
    fn page(&mut self, read: Read, asked: Duration, taken: Duration) -> Option<Page<Events>> {
        let Reading { source, stream, clock, meter, .. } = &*self.reading;
        let Read { mut events, rejected, next, has_more, share } = read;
        if !rejected.is_empty() {
            die_at!("quarantine.found");
        }
        let now = clock.now();
        let counted = meter.stream(*stream);
        let still = next == self.at;
        let nothing = events.is_empty() && rejected.is_empty();
        // An empty answer with the cursor that was sent is the end, whatever it says.
        self.caught_up = !has_more || (nothing && still);
        if self.caught_up {
            self.ahead.forget();
        }
        counted.read_at.set(now);
        self.past.0.live_is_at_end(self.caught_up);
        if nothing && still {
            return None;
        }
        counted.events.add((events.len() + rejected.len()) as u64);
        let before = events.len();
        events.retain_at(|at| !self.is_of_a_window(at));
        counted.duplicates.add((before - events.len()) as u64);

        if !self.caught_up {
            self.ahead.add(events.middle().map(|at| at.min(now)), asked, taken);
        }
        // A clock that is ahead somewhere must not hide what is still to come.
        let newest = events.newest().map(|at| at.min(now));
        // While more is waiting, one such clock would still hide months of a first
        // read: what the oldest event says has certainly been reached.
        let reached = if self.caught_up { newest } else { events.oldest().min(newest) };
        self.newest = self.newest.max(reached);
        self.behind = self.behind.max(reached.map(|at| at.minus(REWIND_OVERLAP)));
        self.latest = self.latest.max(newest);
        // A stream that is read at full speed for days does not catch up, and
        // need not remember everything until it does.
        let behind = self.rewound_from.is_some_and(|from| events.oldest() > Some(from.plus(REWIND_OVERLAP)));
        let through = self.caught_up || behind;
        self.rewound_from = self.rewound_from.filter(|_| !through);
        self.rewinding &= !through;
        counted.pages.add(1);
        meter.bytes_in.add(events.bytes() as u64);
        if let Some(newest) = newest {
            counted.newest_event.advance(newest);
        }
        let quarantined = set_aside(*stream, rejected, now);
        let from = std::mem::replace(&mut self.at, next.clone());
        let place = Place::new(*stream, Advance::new(from, next), source.info())
            .with_newest_event(reached)
            .with_latest(newest)
            .with_through(through)
            .with_quarantined(quarantined);
        Some(Page::new(events, place, share))
    }

    /// Whether an event that the live cursor has brought is a window's.
    fn is_of_a_window(&self, at: Option<UnixMs>) -> bool {
        matches!((self.since, at, self.seam), (Some(since), Some(at), Some(seam)) if since <= at && at < seam)
    }

    /// Leaves what is ahead to windows, if it is long.
    fn split(&mut self) -> Option<Page<Events>> {
        let Reading { source, stream, readers, window, clock, .. } = &*self.reading;
        let from = self.behind?;
        // Up to the seam there are windows already.
        let from = if self.is_of_a_window(Some(from)) { self.seam.unwrap_or(from) } else { from };
        // The earlier of the two clocks: it is always safe for the live cursor to start earlier.
        let now = source.time().map_or(clock.now(), |told| told.min(clock.now()));
        let since = now.minus(REWIND_OVERLAP);
        let windows = self.ahead.windows(from, since, *readers, *window)?;
        if since.since(from) < 2 * SHORTEST {
            return None;
        }
        // As far as the stream has come, or had before it went back, and what may be late.
        let read = match (self.rewinding, self.rewound_from) {
            (true, None) => UnixMs(i64::MAX),
            (_, rewound_from) => rewound_from.max(self.latest).unwrap_or(from).plus(REWIND_OVERLAP),
        };
        let split = Split::cut(from, since, windows, self.number, Some(read));
        info!(windows = split.windows.len(), from = from.0, to = split.seam.0, "reading the past in windows");
        self.number = self.number.saturating_add(split.windows.len() as u32);
        self.newest = self.newest.max(Some(since));
        (self.since, self.seam, self.behind) = (Some(since), Some(split.seam), Some(since));
        self.ahead.forget();
        self.opened.clone_from(&split.windows);
        let to = Cursor::Since(since);
        let from = std::mem::replace(&mut self.at, to.clone());
        let place = Place::new(*stream, Advance::new(from, to), source.info()).with_split(split);
        die_at!("split.made");
        Some(Page::new(Events::none(*stream), place, None))
    }

    /// Goes back to a time that is known to be safe.
    fn rewind(&mut self, refusal: Failure) -> Result<Page<Events>, Failure> {
        let Reading { source, stream, first, meter, .. } = &*self.reading;
        self.rewinds += 1;
        if self.rewinds > MOST_REWINDS {
            return Err(refused_for_ever(refusal));
        }
        let to = safe(self.newest, self.since).unwrap_or(*first);
        warn!(error = %refusal.cause, "cursor refused, reading again with overlap");
        info!(from = ?self.at, to = to.0, "rewind");
        meter.stream(*stream).rewinds.add(1);
        self.caught_up = false;
        self.rewinding = true;
        self.rewound_from = self.rewound_from.max(self.newest).max(self.latest);
        self.behind = Some(to);
        self.ahead.forget();
        let to = Cursor::Since(to);
        let from = std::mem::replace(&mut self.at, to.clone());
        let place = Place::new(*stream, Advance::new(from, to), source.info()).with_rewind();
        die_at!("rewind.made");
        Ok(Page::new(Events::none(*stream), place, None))
    }
}

/// The failure of one whose cursors are refused again and again.
pub(super) fn refused_for_ever(refusal: Failure) -> Failure {
    let hint = "1Password refuses every cursor it issues for this stream; ask its support, then restart";
    Failure { remedy: Remedy::halt(hint), ..refusal }
}

/// What is set aside of a page.
pub(super) fn set_aside(stream: Stream, rejected: Vec<Rejected>, now: UnixMs) -> Vec<Quarantined> {
    let aside = |rejected: Rejected| Quarantined {
        stream: stream.name().to_owned(),
        reason: rejected.reason,
        body: rejected.body,
        at: now,
    };
    rejected.into_iter().map(aside).collect()
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
