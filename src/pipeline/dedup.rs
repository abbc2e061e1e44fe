//! Drops events that were seen before.

use std::{
    collections::{BTreeMap, BTreeSet},
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

/// Ids that are remembered of each chain while others come between its pages: two pages of them.
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
        let seen = memory.of(stream);
        let before = page.items.len();
        let fresh = seen.pass(chain, &mut page.items);
        meter.stream(stream).duplicates.add((before - fresh.len()) as u64);
        page.remember(fresh);
        if page.is_through() || page.window().is_some_and(|of| of.done) {
            seen.is_through(chain);
        }
        seen.tell(stream, &meter);
        die_at!("dedup.after");
        if out.send(page).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// The ids that dedup remembers, stream by stream.
#[derive(Debug)]
pub(super) struct Memory {
    streams: BTreeMap<Stream, Seen>,
    recent: usize,
}

impl Memory {
    /// Reads back what was committed: the newest ids of each stream, or the
    /// whole horizon of one that is still reading a rewind's overlap, or is in
    /// the middle of a window: its newest page lies far behind the newest ids.
    pub(super) async fn load<T: Store>(
        store: &T,
        tenant: &str,
        streams: &[(Stream, Checkpoint)],
        recent: usize,
    ) -> Result<Memory, StoreError> {
        let mut memory = Memory { streams: BTreeMap::new(), recent };
        for (stream, checkpoint) in streams {
            memory.read_back(store, tenant, *stream).await?;
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

    /// Reads back the newest ids that were committed.
    async fn read_back<T: Store>(
        &mut self,
        store: &T,
        tenant: &str,
        stream: Stream,
    ) -> Result<(), StoreError> {
        let most = self.recent;
        let newest = store.seen(tenant, stream.name(), Some(most)).await?;
        let seen = self.of(stream);
        for id in newest.into_iter().take(most).rev() {
            seen.recent.insert(id);
        }
        Ok(())
    }

    /// Gives back the memory of streams of which nothing has come for a while,
    /// and of which all is committed: then the state knows the ids as well.
    async fn rest<T: Store>(&mut self, store: &T, tenant: &str, meter: &Meter) -> Result<(), StoreError> {
        let recent = self.recent;
        for (stream, seen) in &mut self.streams {
            // In windows, pages are committed in many orders.
            let quiet = !std::mem::take(&mut seen.met) && seen.windows.is_empty();
            let Some(last) = seen.recent.newest().filter(|_| quiet) else { continue };
            // The pages of a stream are committed in their order: the last one after all others.
            let committed = store.seen(tenant, stream.name(), Some(1)).await?;
            if committed.contains(&last) {
                let (horizon, comparing) = (seen.horizon.take(), std::mem::take(&mut seen.comparing));
                *seen = Seen { asleep: true, horizon, comparing, ..Seen::new(recent) };
                seen.tell(*stream, meter);
            }
        }
        Ok(())
    }

    /// Notes that events have come; reads back what [`Memory::rest`] gave back.
    async fn wake<T: Store>(&mut self, store: &T, tenant: &str, stream: Stream) -> Result<(), StoreError> {
        let seen = self.of(stream);
        seen.met = true;
        if std::mem::take(&mut seen.asleep) {
            self.read_back(store, tenant, stream).await?;
        }
        Ok(())
    }

    /// Reads the whole horizon back, until nobody compares with it any more.
    /// What is not committed yet is among the newest ids: these may be many
    /// windows' pages away by the time it comes again.
    async fn recall<T: Store>(&mut self, store: &T, tenant: &str, stream: Stream) -> Result<(), StoreError> {
        let mut ids = store.seen(tenant, stream.name(), None).await?;
        ids.extend_from_slice(self.of(stream).recent.ids());
        ids.sort_unstable();
        self.of(stream).horizon = Some(ids.into_boxed_slice());
        Ok(())
    }

    fn of(&mut self, stream: Stream) -> &mut Seen {
        let recent = self.recent;
        self.streams.entry(stream).or_insert_with(|| Seen::new(recent))
    }
}

/// The number of a window; `None` is the live cursor.
type Chain = Option<u32>;

/// The ids of one stream.
#[derive(Debug)]
struct Seen {
    recent: Recent,
    /// While there are windows, the last ids of each chain: what the next page
    /// repeats, however many others have brought meanwhile.
    tails: BTreeMap<Chain, Recent>,
    /// Everything committed within the horizon, sorted: 16 bytes an id.
    horizon: Option<Box<[Fingerprint]>>,
    /// Who may read again what is in the horizon.
    comparing: BTreeSet<Chain>,
    /// The windows that are not done.
    windows: BTreeSet<u32>,
    /// Events have come since it was looked at last.
    met: bool,
    /// What was committed is not among `recent`: the state has it.
    asleep: bool,
}

impl Seen {
    /// Nothing was met yet.
    fn new(recent: usize) -> Seen {
        Seen {
            recent: Recent::new(recent),
            tails: BTreeMap::new(),
            horizon: None,
            comparing: BTreeSet::new(),
            windows: BTreeSet::new(),
            met: false,
            asleep: false,
        }
    }

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
            if self.windows.is_empty() {
                self.tails.clear();
            }
        }
    }

    /// Drops the events that were met before; answers the ids of the others.
    fn pass(&mut self, chain: Chain, events: &mut Events) -> Vec<Fingerprint> {
        let mut fresh = Vec::with_capacity(events.len());
        events.retain(|id| {
            let new = self.is_new(chain, id);
            if new {
                fresh.push(id);
            }
            new
        });
        fresh
    }

    /// Whether the id is met for the first time; it is remembered.
    fn is_new(&mut self, chain: Chain, id: Fingerprint) -> bool {
        let known = self.horizon.as_ref().is_some_and(|ids| ids.binary_search(&id).is_ok());
        let repeated = !self.windows.is_empty()
            && !self.tails.entry(chain).or_insert_with(|| Recent::new(TAIL)).insert(id);
        !known && !repeated && self.recent.insert(id)
    }

    fn tell(&self, stream: Stream, meter: &Meter) {
        let (ids, bytes) = self.size();
        meter.stream(stream).remembered.set(ids as u64);
        meter.stream(stream).remembered_bytes.set(bytes as u64);
    }

    /// How many ids are remembered, and the bytes that takes.
    fn size(&self) -> (usize, usize) {
        let horizon = self.horizon.as_ref().map_or(0, |ids| ids.len());
        let tails = || self.tails.values();
        let ids = self.recent.len() + tails().map(Recent::len).sum::<usize>() + horizon;
        let recent = self.recent.bytes() + tails().map(Recent::bytes).sum::<usize>();
        (ids, recent + horizon * size_of::<Fingerprint>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_counted_and_an_id_of_the_horizon_takes_16_bytes() {
        let mut seen = Seen::new(4096);
        assert_eq!(seen.size(), (0, 0));
        (0..10_000).for_each(|id| assert!(seen.is_new(None, Fingerprint::of(&id.to_string()))));
        let (ids, bytes) = seen.size();
        assert_eq!((ids, bytes / ids), (4096, 21));
        seen.horizon = Some((0..1000).map(Fingerprint).collect());
        assert_eq!(seen.size(), (ids + 1000, bytes + 16_000));
    }
}
