//! Drops events that were seen before.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hashbrown::HashTable;
use opgraph_state::{Checkpoint, Fingerprint, Store, StoreError, Window, die_at};
use tokio::sync::mpsc::{Receiver, Sender};

#[cfg(feature = "bench")]
pub(crate) mod bench;

use super::Stopped;
use crate::{
    page::Page,
    stream::{Events, Stream},
    telemetry::Meter,
};

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
    while let Some(mut page) = pages.recv().await {
        die_at!("dedup.before");
        let stream = page.stream();
        // An entry may have been in quarantine for longer than the newest ids reach
        // back. What is read for the first page of a retry does for all of them.
        let reaches_back = !page.released().is_empty() && memory.of(stream).horizon.is_none();
        let seen = memory.of(stream);
        let chain = page.window().map(|of| of.number);
        let compares = page.is_rewind() || seen.is_left_behind(chain);
        if compares {
            seen.comparing.insert(chain);
        }
        let opened = page.split().map(|split| split.windows.as_slice()).unwrap_or_default();
        opened.iter().for_each(|window| seen.open(window, window.again));
        if compares || reaches_back || opened.iter().any(|window| window.again) {
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
        let (ids, bytes) = seen.size();
        meter.stream(stream).remembered.set(ids as u64);
        meter.stream(stream).remembered_bytes.set(bytes as u64);
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
            let newest = store.seen(tenant, stream.name(), Some(recent)).await?;
            let seen = memory.of(*stream);
            for id in newest.into_iter().take(recent).rev() {
                seen.recent.insert(id);
            }
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

    /// Reads the whole horizon back, until nobody compares with it any more.
    /// What is not committed yet is among the newest ids: these may be many
    /// windows' pages away by the time it comes again.
    async fn recall<T: Store>(&mut self, store: &T, tenant: &str, stream: Stream) -> Result<(), StoreError> {
        let mut ids = store.seen(tenant, stream.name(), None).await?;
        let Seen { recent, past, .. } = self.of(stream);
        ids.extend_from_slice(&recent.ring);
        ids.extend_from_slice(&past.ring);
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
    /// Those of windows: they come so fast that they would push the others out.
    past: Recent,
    /// How many there were of them.
    passed: u64,
    /// Everything committed within the horizon, sorted: 16 bytes an id.
    horizon: Option<Box<[Fingerprint]>>,
    /// Who may read again what is in the horizon.
    comparing: BTreeSet<Chain>,
    /// The windows that are not done, and how many ids had come with the last page of each.
    windows: BTreeMap<u32, Option<u64>>,
}

impl Seen {
    fn new(recent: usize) -> Seen {
        Seen {
            recent: Recent::new(recent),
            past: Recent::new(recent),
            passed: 0,
            horizon: None,
            comparing: BTreeSet::new(),
            windows: BTreeMap::new(),
        }
    }

    /// Takes notice of a window; `compares` if some of it may have been read before.
    fn open(&mut self, window: &Window, compares: bool) {
        self.windows.insert(window.number, None);
        if compares {
            self.comparing.insert(Some(window.number));
        }
    }

    /// Whether others have brought so many ids since the window's last page that
    /// the next one's repeats might be taken for new.
    fn is_left_behind(&self, chain: Chain) -> bool {
        let met = chain.and_then(|number| *self.windows.get(&number)?);
        let away = met.is_some_and(|met| self.passed - met > self.past.most as u64 / 2);
        away && !self.comparing.contains(&chain)
    }

    /// Nothing is read again any more, by whom it was.
    fn is_through(&mut self, chain: Chain) {
        self.comparing.remove(&chain);
        if self.comparing.is_empty() {
            self.horizon = None;
        }
        if let Some(number) = chain {
            self.windows.remove(&number);
            if self.windows.is_empty() {
                self.past = Recent::new(self.past.most);
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
        if let Some(number) = chain {
            self.passed += fresh.len() as u64;
            self.windows.insert(number, Some(self.passed));
        }
        fresh
    }

    /// Whether the id is met for the first time; it is remembered.
    fn is_new(&mut self, chain: Chain, id: Fingerprint) -> bool {
        let known = self.horizon.as_ref().is_some_and(|ids| ids.binary_search(&id).is_ok());
        let (own, other) = match chain {
            None => (&mut self.recent, &self.past),
            Some(_) => (&mut self.past, &self.recent),
        };
        !known && !other.holds(id) && own.insert(id)
    }

    /// How many ids are remembered, and the bytes that takes.
    fn size(&self) -> (usize, usize) {
        let horizon = self.horizon.as_ref().map_or(0, |ids| ids.len());
        let ids = self.recent.ring.len() + self.past.ring.len() + horizon;
        (ids, self.recent.bytes() + self.past.bytes() + horizon * size_of::<Fingerprint>())
    }
}

/// The newest ids, up to a fixed number: a ring of ids, and a table of places
/// in it. About 26 bytes an id when full, 36 once ids are forgotten (the table grows
/// once more, so as not to be tidied all the time), nothing when empty.
#[derive(Debug)]
struct Recent {
    ring: Vec<Fingerprint>,
    places: HashTable<u32>,
    oldest: usize,
    most: usize,
}

impl Recent {
    fn new(most: usize) -> Recent {
        Recent {
            ring: Vec::new(),
            places: HashTable::new(),
            oldest: 0,
            most: most.clamp(1, u32::MAX as usize),
        }
    }

    fn holds(&self, id: Fingerprint) -> bool {
        self.places.find(hash(id), |place| self.ring[*place as usize] == id).is_some()
    }

    fn bytes(&self) -> usize {
        self.ring.capacity() * size_of::<Fingerprint>() + self.places.allocation_size()
    }

    /// Remembers an id, forgetting the oldest if need be; false if it is known.
    fn insert(&mut self, id: Fingerprint) -> bool {
        if self.holds(id) {
            return false;
        }
        let place = if self.ring.len() < self.most {
            self.ring.push(id);
            self.ring.len() - 1
        } else {
            let place = self.oldest;
            let forgotten = std::mem::replace(&mut self.ring[place], id);
            if let Ok(entry) = self.places.find_entry(hash(forgotten), |at| *at as usize == place) {
                entry.remove();
            }
            self.oldest = (place + 1) % self.most;
            place
        };
        self.places.insert_unique(hash(id), place as u32, |at| hash(self.ring[*at as usize]));
        true
    }
}

/// A fingerprint is a hash already.
fn hash(id: Fingerprint) -> u64 {
    id.0 as u64
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_newest_ids_are_remembered_and_no_others(
            most in 1usize..20,
            ids in prop::collection::vec(0u128..40, 0..200),
        ) {
            let mut recent = Recent::new(most);
            let mut model: VecDeque<u128> = VecDeque::new();
            for id in ids {
                let new = !model.contains(&id);
                prop_assert_eq!(recent.insert(Fingerprint(id)), new);
                if new {
                    model.push_back(id);
                    if model.len() > most {
                        model.pop_front();
                    }
                }
                prop_assert_eq!(recent.places.len(), model.len());
            }
        }
    }

    #[test]
    fn an_id_takes_36_bytes_at_most_among_the_newest_and_16_in_the_horizon() {
        let mut seen = Seen::new(4096);
        assert_eq!(seen.size(), (0, 0));
        let mut meet = |ids: std::ops::Range<u32>| {
            ids.for_each(|id| assert!(seen.is_new(None, Fingerprint::of(&id.to_string()))));
            seen.size()
        };
        let (ids, bytes) = meet(0..4096);
        assert_eq!((ids, bytes / ids), (4096, 26));
        let (ids, bytes) = meet(4096..100_000);
        assert_eq!((ids, bytes / ids), (4096, 36));
        seen.horizon = Some((0..1000).map(Fingerprint).collect());
        assert_eq!(seen.size(), (ids + 1000, bytes + 16_000));
    }

    #[test]
    fn two_ids_that_share_half_their_bits_are_two_ids() {
        let mut recent = Recent::new(8);
        assert!(recent.insert(Fingerprint(1)));
        assert!(recent.insert(Fingerprint(1 | 1 << 100)));
        assert!(!recent.insert(Fingerprint(1)));
    }
}
