//! Drops events that were seen before.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use opgraph_state::{Checkpoint, Fingerprint, Store, StoreError, Window, die_at};
use tokio::{
    sync::mpsc::{Receiver, Sender},
    time::{Instant, timeout_at},
};

mod recent;

#[cfg(feature = "bench")]
pub(crate) mod bench;

use self::recent::Recent;
use super::Stopped;
use crate::{
    page::Page,
    stream::{Events, Stream},
    telemetry::Meter,
};

/// How often it is looked whether a stream has become quiet: at most twice as
/// long after its last event its ids are in the state alone.
const QUIET: Duration = Duration::from_secs(600);

/// Ids of each chain that are remembered whatever comes between its pages: two pages of
/// them. What the next page repeats is among them.
const TAIL: usize = 2_000;

/// Removes from each page the events that an earlier page held.
///
/// A page is never swallowed, however empty it becomes. An event counts as seen
/// once it has been passed on in this run, or was committed by an earlier one:
/// an event that an earlier run passed on and never committed is taken again.
pub(super) async fn run<T: Store>(
    mut pages: Receiver<Page<Events>>,
    mut memory: Memory,
    store: T,
    tenant: Arc<str>,
    meter: Arc<Meter>,
    out: Sender<Page<Events>>,
) -> Result<(), Stopped> {
    let mut look = Instant::now() + QUIET;
    loop {
        let mut page = match timeout_at(look, pages.recv()).await {
            Ok(Some(page)) => page,
            Ok(None) => break,
            Err(_) => {
                memory.rest(&store, &tenant, &meter).await?;
                look = Instant::now() + QUIET;
                continue;
            }
        };
        die_at!("dedup.before");
        let stream = page.stream();
        if !page.items.is_empty() {
            memory.wake(&store, &tenant, stream).await?;
        }
        // An entry may have been in quarantine for longer than the newest ids reach
        // back. What is read for the first page of a retry does for all of them.
        let reaches_back = !page.released().is_empty() && memory.of(stream).horizon.is_none();
        let seen = memory.of(stream);
        let chain = page.window().map(|of| of.number);
        if page.is_rewind() {
            seen.comparing.insert(chain);
        }
        let opened = page.split().map(|split| split.windows.as_slice()).unwrap_or_default();
        opened.iter().for_each(|window| seen.open(window, window.again));
        if page.is_rewind() || reaches_back || opened.iter().any(|window| window.again) {
            memory.recall(&store, &tenant, stream).await?;
            die_at!("rewind.recalled");
        }
        let before = page.items.len();
        let fresh = memory.pass(stream, chain, &mut page.items);
        meter.stream(stream).duplicates.add((before - fresh.len()) as u64);
        page.remember(fresh);
        if page.is_through() || page.window().is_some_and(|of| of.done) {
            memory.of(stream).is_through(chain);
        }
        memory.tell(&meter);
        die_at!("dedup.after");
        if out.send(page).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// The ids that dedup remembers of a tenant.
#[derive(Debug)]
pub(super) struct Memory {
    streams: BTreeMap<Stream, Seen>,
    /// The newest of all streams, each as [`Memory::pass`] writes it: what is not
    /// committed yet is among them, whichever streams it is of.
    recent: Recent,
    /// How many there may be.
    most: usize,
}

impl Memory {
    /// Nothing was met yet; the newest `most` ids are remembered, and two pages of each chain.
    fn new(most: usize) -> Memory {
        Memory { streams: BTreeMap::new(), recent: Recent::new(most), most }
    }

    /// Reads back what was committed: the newest ids of each stream, or the
    /// whole horizon of one that is still reading a rewind's overlap, or is in
    /// the middle of a window: its newest page lies far behind the newest ids.
    pub(super) async fn load<T: Store>(
        store: &T,
        tenant: &str,
        streams: &[(Stream, Checkpoint)],
        recent: usize,
    ) -> Result<Memory, StoreError> {
        let mut memory = Memory::new(recent);
        for (stream, checkpoint) in streams {
            memory.read_back(store, tenant, *stream, recent / streams.len()).await?;
            let seen = memory.of(*stream);
            checkpoint.windows.iter().for_each(|window| seen.open(window, window.is_begun()));
            if checkpoint.rewinding {
                seen.comparing.insert(None);
            }
            if !seen.comparing.is_empty() {
                memory.recall(store, tenant, *stream).await?;
            }
        }
        Ok(memory)
    }

    /// Reads back the newest ids that were committed: so many among those of all
    /// streams, and what the next page may repeat.
    async fn read_back<T: Store>(
        &mut self,
        store: &T,
        tenant: &str,
        stream: Stream,
        most: usize,
    ) -> Result<(), StoreError> {
        let tail = TAIL.min(self.most);
        let newest = store.seen(tenant, stream.name(), Some(most.max(tail))).await?;
        for id in newest.iter().take(most).rev() {
            self.recent.insert(apart(stream, *id));
        }
        self.of(stream).tails.insert(None, newest.into_iter().take(tail).rev().collect());
        Ok(())
    }

    /// Gives back the memory of streams of which nothing has come for a while,
    /// and of which all is committed: then the state knows the ids as well.
    async fn rest<T: Store>(&mut self, store: &T, tenant: &str, meter: &Meter) -> Result<(), StoreError> {
        for (stream, seen) in &mut self.streams {
            // In windows, pages are committed in many orders.
            let quiet = !std::mem::take(&mut seen.met) && seen.windows.is_empty();
            let Some(last) = seen.newest().filter(|_| quiet) else { continue };
            // The pages of a stream are committed in their order: the last one after all others.
            let committed = store.seen(tenant, stream.name(), Some(1)).await?;
            if committed.contains(&last) {
                (seen.tails, seen.asleep) = (BTreeMap::new(), true);
            }
        }
        if self.streams.values().flat_map(|seen| seen.tails.values()).all(VecDeque::is_empty) {
            self.recent = Recent::new(self.most);
        }
        self.tell(meter);
        Ok(())
    }

    /// Notes that events have come; reads back what [`Memory::rest`] gave back.
    async fn wake<T: Store>(&mut self, store: &T, tenant: &str, stream: Stream) -> Result<(), StoreError> {
        let seen = self.of(stream);
        seen.met = true;
        if std::mem::take(&mut seen.asleep) {
            // What another stream has there may not be committed yet, and has to stay.
            let most = if self.recent.len() == 0 { self.most / Stream::ALL.len() } else { 0 };
            self.read_back(store, tenant, stream, most).await?;
        }
        Ok(())
    }

    /// Reads the whole horizon back, until nobody compares with it any more.
    /// What is not committed yet is among the newest ids: these may be many
    /// windows' pages away by the time it comes again.
    async fn recall<T: Store>(&mut self, store: &T, tenant: &str, stream: Stream) -> Result<(), StoreError> {
        let mut ids = store.seen(tenant, stream.name(), None).await?;
        // Those of other streams are no ids of this one, and nothing is equal to them.
        ids.extend(self.recent.ids().iter().map(|id| apart(stream, *id)));
        ids.sort_unstable();
        self.of(stream).horizon = Some(ids.into_boxed_slice());
        Ok(())
    }

    /// Drops the events that were met before; answers the ids of the others.
    fn pass(&mut self, stream: Stream, chain: Chain, events: &mut Events) -> Vec<Fingerprint> {
        let Memory { streams, recent, most } = self;
        let seen = streams.entry(stream).or_default();
        let tail = seen.tails.entry(chain).or_default();
        // The oldest goes first: as long as it is there, the others are.
        let is_there = tail.front().is_none_or(|oldest| recent.contains(apart(stream, *oldest)));
        let mut last: Vec<Fingerprint> = if is_there { Vec::new() } else { tail.iter().copied().collect() };
        last.sort_unstable();
        let before = [seen.horizon.as_deref().unwrap_or_default(), &last];
        let mut fresh = Vec::with_capacity(events.len());
        events.retain(|id| {
            let known = before.iter().any(|ids| ids.binary_search(&id).is_ok());
            let new = !known && recent.insert(apart(stream, id));
            if new {
                fresh.push(id);
            }
            new
        });
        tail.extend(&fresh);
        tail.drain(..tail.len().saturating_sub(TAIL.min(*most)));
        fresh
    }

    fn of(&mut self, stream: Stream) -> &mut Seen {
        self.streams.entry(stream).or_default()
    }

    fn tell(&self, meter: &Meter) {
        let (ids, bytes) = self.size();
        meter.remembered.set(ids as u64);
        meter.remembered_bytes.set(bytes as u64);
    }

    /// How many ids are remembered, and the bytes that takes.
    fn size(&self) -> (usize, usize) {
        let parts = self.streams.values().map(Seen::size);
        parts.fold((self.recent.len(), self.recent.bytes()), |all, part| (all.0 + part.0, all.1 + part.1))
    }
}

/// An id among those of all streams: the same in two streams is two ids. Done
/// twice, it is the id again.
fn apart(stream: Stream, id: Fingerprint) -> Fingerprint {
    // Any number with bits all over will do.
    const APART: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834;
    Fingerprint(id.0 ^ APART.rotate_left(stream as u32))
}

/// The number of a window; `None` is the live cursor.
type Chain = Option<u32>;

/// What is remembered of one stream.
#[derive(Debug, Default)]
struct Seen {
    /// The last ids of each chain, in their order: what the next page repeats, however
    /// many others have brought meanwhile.
    tails: BTreeMap<Chain, VecDeque<Fingerprint>>,
    /// Everything committed within the horizon, sorted: 16 bytes an id.
    horizon: Option<Box<[Fingerprint]>>,
    /// Who may read again what is in the horizon.
    comparing: BTreeSet<Chain>,
    /// The windows that are not done.
    windows: BTreeSet<u32>,
    /// Events have come since it was looked at last.
    met: bool,
    /// What was committed is not in memory: the state has it.
    asleep: bool,
}

impl Seen {
    /// Takes notice of a window; `compares` if some of it may have been read before.
    fn open(&mut self, window: &Window, compares: bool) {
        self.windows.insert(window.number);
        if compares {
            self.comparing.insert(Some(window.number));
        }
    }

    /// Nothing is read again any more, by whom it was.
    fn is_through(&mut self, chain: Chain) {
        self.comparing.remove(&chain);
        if self.comparing.is_empty() {
            self.horizon = None;
        }
        if let Some(number) = chain {
            self.windows.remove(&number);
            self.tails.remove(&chain);
        }
    }

    /// The last id of the live cursor's pages.
    fn newest(&self) -> Option<Fingerprint> {
        self.tails.get(&None)?.back().copied()
    }

    /// How many ids are remembered of this stream alone, and the bytes that takes, with
    /// the copies at the ends of the chains.
    fn size(&self) -> (usize, usize) {
        let horizon = self.horizon.as_ref().map_or(0, |ids| ids.len());
        let tails: usize = self.tails.values().map(VecDeque::capacity).sum();
        (horizon, (horizon + tails) * size_of::<Fingerprint>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Stream = Stream::AuditEvents;
    const OTHER: Stream = Stream::ItemUsages;

    /// Whether the id is met for the first time.
    fn is_new(memory: &mut Memory, stream: Stream, id: u32) -> bool {
        let body = format!(r#"{{"cursor":"c","has_more":true,"items":[{{"uuid":"{id}"}}]}}"#);
        let mut events = crate::stream::read_page(stream, body.into_bytes()).unwrap().events;
        memory.pass(stream, None, &mut events).len() == 1
    }

    #[test]
    fn what_is_remembered_is_counted_and_an_id_of_the_horizon_takes_16_bytes() {
        let mut memory = Memory::new(4096);
        assert_eq!(memory.size(), (0, 0));
        (0..10_000).for_each(|id| assert!(is_new(&mut memory, ONE, id)));
        let (ids, bytes) = memory.size();
        let tail = memory.of(ONE).size().1;
        assert_eq!((ids, (bytes - tail) / ids), (4096, 21));
        assert!(tail <= 2 * 16 * TAIL);
        memory.of(ONE).horizon = Some((0..1000).map(Fingerprint).collect());
        assert_eq!(memory.size(), (ids + 1000, bytes + 16_000));
    }

    #[test]
    fn streams_share_what_is_remembered_and_each_keeps_what_its_next_page_may_repeat() {
        let mut memory = Memory::new(3 * TAIL);
        let (one, other) = (0..TAIL as u32 + 1, 0..9 * TAIL as u32);
        one.clone().for_each(|id| assert!(is_new(&mut memory, ONE, id)));
        // The same ids, in another stream.
        one.clone().for_each(|id| assert!(is_new(&mut memory, OTHER, id)));
        one.for_each(|id| assert!(!is_new(&mut memory, ONE, id), "{id}"));
        other.skip(TAIL + 1).for_each(|id| assert!(is_new(&mut memory, OTHER, id)));
        assert_eq!(memory.size().0, 3 * TAIL);
        assert!((1..=TAIL as u32).all(|id| !is_new(&mut memory, ONE, id)));
        assert!(is_new(&mut memory, ONE, 0));
    }
}
