//! The API as one run sees it: overlaps, empty pages, refused cursors, failures.

use std::{sync::Arc, time::Duration};

use opgraph::{
    http::{Failure, Remedy},
    source::Source,
    stream::{Read, Stream, read_page},
};
use opgraph_state::{Cursor, Epoch, SourceInfo, UnixMs};
use tokio::time::sleep;

use super::{plan::Plan, world::World};
use crate::support::failure;

/// What one run reads from.
pub(super) struct Api {
    pub(super) world: Arc<World>,
    pub(super) epoch: Epoch,
}

/// What a cursor says: where it is in the order of arrival, from which event
/// time on, and up to which, events are given, and which one it is.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) index: usize,
    pub(super) since: UnixMs,
    pub(super) until: UnixMs,
    pub(super) turn: u64,
}

/// Where an endless read ends.
const NEVER: UnixMs = UnixMs(i64::MAX);

impl Place {
    pub(super) fn read(token: &str) -> Place {
        let mut parts = token.split('/').map(|part| part.parse::<i64>().unwrap());
        let mut next = || parts.next().unwrap();
        let (index, since, until) = (next() as usize, UnixMs(next()), UnixMs(next()));
        Place { index, since, until, turn: next() as u64 }
    }

    /// The place that a cursor names.
    pub(super) fn of(cursor: &Cursor) -> Place {
        match cursor {
            Cursor::Since(since) => Place { index: 0, since: *since, until: NEVER, turn: 0 },
            Cursor::Between { from, to, .. } => Place { index: 0, since: *from, until: *to, turn: 0 },
            Cursor::Token(token) => Place::read(token),
        }
    }

    /// Whether an event of this time is given. Whether the ends are is up to the seed.
    pub(super) fn gives(&self, at: UnixMs, plan: &Plan) -> bool {
        let [first, last] = plan.inclusive;
        (self.since < at && at < self.until) || (first && at == self.since) || (last && at == self.until)
    }

    fn write(self) -> String {
        format!("{}/{}/{}/{}", self.index, self.since.0, self.until.0, self.turn)
    }
}

impl Source for Api {
    async fn page(&self, stream: Stream, at: &Cursor) -> Result<Read, Failure> {
        let World { plan, watch, .. } = &*self.world;
        watch.requested(self.epoch, stream, at);
        while self.world.happens(plan.fails) {
            // Some failures last, and an outage is long.
            let long = self.world.happens(50);
            sleep(Duration::from_millis(if long { 2_000 } else { 20 })).await;
        }
        self.world.linger(8).await;
        if self.world.happens(plan.halts) {
            watch.note("halt", &stream);
            return Err(failure(Remedy::halt("scripted")));
        }
        if let Cursor::Token(token) = at
            && (self.world.happens(plan.refused) || self.world.is_expired(Place::read(token).turn))
        {
            watch.refused(self.epoch, stream, at);
            return Err(failure(Remedy::Rewind));
        }
        let (body, next) = self.answer(stream, at);
        let size = body.len();
        let read = read_page(stream, body.into_bytes()).unwrap();
        // Of a window, even an answer that holds nothing may be the last.
        let of_window = Place::of(at).until < NEVER && !read.has_more;
        let is_page = !read.events.is_empty() || !read.rejected.is_empty() || next != *at || of_window;
        watch.answered(self.epoch, stream, next, is_page.then_some(size));
        Ok(read)
    }

    fn info(&self) -> SourceInfo {
        SourceInfo { account: Some("ACCOUNT".to_owned()), api_version: "v2".to_owned(), page_size: 1000 }
    }
}

impl Api {
    /// The body of an answer, and the cursor in it.
    fn answer(&self, stream: Stream, at: &Cursor) -> (String, Cursor) {
        let World { plan, truth, .. } = &*self.world;
        let events = &truth.log(stream).events;
        let arrived = truth.log(stream).arrived(self.world.now());
        let place = Place::of(at);
        let given = |number: &usize| place.gives(events[*number].at, plan);
        let waiting: Vec<usize> = (place.index..arrived).filter(given).collect();
        // An empty page, with a cursor that is new and goes no further.
        let most = if self.world.happens(plan.empty) { 0 } else { plan.page };
        let (new, left) = waiting.split_at(most.min(waiting.len()));
        let end = match (new.last(), left.is_empty()) {
            (_, true) => arrived,
            (Some(last), _) => last + 1,
            (None, _) => place.index,
        };
        // What a page repeats lies before its place; a first page repeats nothing.
        let repeats = if new.is_empty() { 0 } else { self.world.upto(plan.overlap as u64) as usize };
        let before = place.index.min(end);
        let repeated: Vec<usize> = (0..before).rev().filter(given).take(repeats).collect();
        let numbers = repeated.into_iter().rev().chain(new.iter().copied());
        let items: Vec<&str> = numbers.map(|number| events[number].body.as_str()).collect();
        let still = items.is_empty() && end == place.index && !self.world.happens(plan.empty);
        let next = match at {
            Cursor::Token(_) if still => at.clone(),
            _ => {
                let turn = self.world.turn();
                Cursor::Token(Place { index: end, turn, ..place }.write())
            }
        };
        let Cursor::Token(token) = &next else { unreachable!("an answer holds a token") };
        let items = match items.is_empty() && self.world.is_calm() {
            true => "null".to_owned(),
            false => format!("[{}]", items.join(",")),
        };
        // `has_more` never promises an event, but it does not hide one either.
        let more = !left.is_empty() || self.world.happens(plan.empty);
        (format!(r#"{{"cursor":"{token}","has_more":{more},"items":{items}}}"#), next)
    }
}
