//! Reading the past in windows: why nothing is lost, and nothing comes twice.
//!
//! A long past is cut into windows of time ([`Split`]). The split is a page
//! without events of the live chain, which has read some of the past by then: its
//! step leads the live cursor to the overlap before now, and it is durable in one
//! commit with the windows. They begin where a rewind would, so whatever comes late
//! behind the pages that were read is in them.
//!
//! | it ends between…                       | and the next run finds                                   |
//! |----------------------------------------|----------------------------------------------------------|
//! | the claim, and the split's commit      | a cursor before the split: it splits again, once it has read enough to tell |
//! | that, and the live cursor's first page | the windows, and `since`: the live cursor starts there; if that is long ago by now, what lies between becomes windows too |
//! | two pages of a window                  | the window at the page that was committed last           |
//! | a window's last page, and its commit   | the window: its last page is read again                  |
//! | a refused cursor, and its commit       | the window at that cursor, which is refused again        |
//! | that, and the next page                | the window at its beginning, one turn on                 |
//!
//! The readers of windows start when the split has been taken by the next
//! stage, so their pages travel behind it, and acks leave in order. A window's
//! step is chained and fenced like any other, at the window's own cursor.
//!
//! An event belongs to the window, or to the live cursor, whose stretch of time
//! its own time lies in. What comes from beyond that (both ends are asked for
//! with an [`EDGE`]) is dropped here, so no memory, and no crash, decides about borders.
//!
//! A window whose cursor is refused is begun anew; the live cursor has no part
//! in it. What it brings again is absorbed by dedup: ids are kept from the
//! oldest window on that is not done.
//!
//! [`Split`]: opgraph_state::Split
//! [`EDGE`]: opgraph_state::EDGE

use std::{sync::Arc, time::Duration};

use futures::stream;
use opgraph_state::{Advance, Cursor, OfWindow, UnixMs, Window, die_at};
use tokio::time::sleep;
use tracing::{info, warn};

use super::{
    Source,
    pages::{MOST_REWINDS, Reading, refused_for_ever, set_aside},
    past::Past,
};
use crate::{
    http::{Failure, Remedy},
    page::{Page, Place},
    stream::{Events, Read},
};

/// How often a window is asked again that answers nothing, by the cursor it was
/// asked with, and says that more is waiting. An exhausted stream may say so for
/// ever; one that only paused may not be left in the middle.
const ASKED_AGAIN: u32 = 10;
/// How long is waited before.
const PAUSE: Duration = Duration::from_secs(1);

/// Reads one window after the other, until no more will come.
pub(super) fn pages<S: Source>(
    reading: Arc<Reading<S>>,
    past: Arc<Past>,
) -> impl futures::Stream<Item = Result<Page<Events>, Failure>> + Send {
    let reader = Reader { reading, past, at: None };
    stream::try_unfold(reader, async |mut reader| Ok(reader.next().await?.map(|page| (page, reader))))
}

struct Reader<S> {
    reading: Arc<Reading<S>>,
    past: Arc<Past>,
    at: Option<At>,
}

/// A window on its way to its end.
struct At {
    window: Window,
    /// What has been read of it, for people.
    reached: UnixMs,
    rewinds: u32,
    /// Answers in a row that led nowhere.
    nowhere: u32,
}

impl<S: Source> Reader<S> {
    async fn next(&mut self) -> Result<Option<Page<Events>>, Failure> {
        let mut at = match self.at.take() {
            Some(at) => at,
            None => match self.past.next().await {
                Some(window) => At { reached: window.start, window, rewinds: 0, nowhere: 0 },
                None => return Ok(None),
            },
        };
        let Reading { source, stream, .. } = &*self.reading;
        loop {
            die_at!("window.before");
            source.ready(*stream).await;
            // Boxed: most readers wait for a window most of the time, and take next to no memory.
            match Box::pin(source.page(*stream, &at.window.cursor)).await {
                Ok(read) if leads_nowhere(&read, &at.window) && at.nowhere < ASKED_AGAIN => {
                    drop(read);
                    at.nowhere += 1;
                    sleep(PAUSE).await;
                }
                Ok(read) => {
                    die_at!("window.answered");
                    return Ok(Some(self.page(at, read)));
                }
                Err(failure) if failure.remedy == Remedy::Rewind => {
                    return self.begin_anew(at, failure).map(Some);
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Turns an answer into a page. Each is one: even an empty one may be the last.
    fn page(&mut self, at: At, read: Read) -> Page<Events> {
        let Reading { source, stream, clock, meter, .. } = &*self.reading;
        // It has been asked often enough: this is the end, whatever it says.
        let done = !read.has_more || leads_nowhere(&read, &at.window);
        let Read { mut events, rejected, next, share, .. } = read;
        let At { mut window, mut reached, mut rewinds, .. } = at;
        let counted = meter.stream(*stream);
        let now = clock.now();
        if matches!(window.cursor, Cursor::Token(_)) {
            rewinds = 0;
        }
        counted.read_at.set(now);
        counted.pages.add(1);
        counted.events.add((events.len() + rejected.len()) as u64);
        meter.bytes_in.add(events.bytes() as u64);
        let before = events.len();
        events.retain_at(|at| window.owns(at));
        counted.duplicates.add((before - events.len()) as u64);

        let latest = events.newest().map(|at| at.min(now));
        let so_far = if done { window.end } else { latest.unwrap_or(reached).max(reached) };
        self.past.advance(reached, so_far);
        reached = so_far;
        let of = OfWindow { number: window.number, begun: 0, done };
        let from = std::mem::replace(&mut window.cursor, next.clone());
        let place = Place::new(*stream, Advance::new(from, next), source.info())
            .with_window(of)
            .with_latest(latest)
            .with_quarantined(set_aside(*stream, rejected, now));
        if done {
            self.past.done();
            die_at!("window.done");
        } else {
            self.at = Some(At { window, reached, rewinds, nowhere: 0 });
        }
        Page::new(events, place, share)
    }

    /// Goes back to the beginning of the window.
    fn begin_anew(&mut self, at: At, refusal: Failure) -> Result<Page<Events>, Failure> {
        let Reading { source, stream, meter, .. } = &*self.reading;
        let At { mut window, reached, mut rewinds, .. } = at;
        rewinds += 1;
        if rewinds > MOST_REWINDS {
            return Err(refused_for_ever(refusal));
        }
        warn!(error = %refusal.cause, window = window.number, "cursor of a window refused, reading it again");
        window.turn = window.turn.saturating_add(1);
        let to = Window::beginning(window.start, window.end, window.turn);
        info!(from = ?window.cursor, to = ?to, "rewind");
        meter.stream(*stream).rewinds.add(1);
        let from = std::mem::replace(&mut window.cursor, to.clone());
        let of = OfWindow { number: window.number, begun: 1, done: false };
        let place = Place::new(*stream, Advance::new(from, to), source.info()).with_window(of).with_rewind();
        self.at = Some(At { window, reached, rewinds, nowhere: 0 });
        die_at!("window.begun");
        Ok(Page::new(Events::none(*stream), place, None))
    }
}

/// Whether an answer holds nothing, moves nothing, and promises more.
fn leads_nowhere(read: &Read, window: &Window) -> bool {
    read.has_more && read.events.is_empty() && read.rejected.is_empty() && read.next == window.cursor
}
