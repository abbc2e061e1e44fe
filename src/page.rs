//! What travels through a pipeline: pages, and the places they stand for.

use std::{
    collections::{BTreeSet, HashMap, hash_map},
    convert::Infallible,
};

use foldhash::fast::FixedState;
use opgraph_state::{
    Advance, Checkpoint, Commit, Entry, Epoch, Fingerprint, InventoryChange, NotJoined, OfWindow,
    QuarantineId, Quarantined, SourceInfo, Split, Step, UnixMs,
};
use tokio::sync::mpsc;

use crate::{
    allowance::Share,
    graph::{Record, Records, Sharing},
    stream::Stream,
};

/// One HTTP answer on its way through the pipeline. The unit of flow.
///
/// Stages change what is in a page. They never split a page, never reorder the
/// pages of a stream, and cannot touch its step: a page emptied by dedup still
/// travels to the end, because its cursor has to.
#[derive(Debug)]
pub struct Page<T> {
    /// What the page holds at this point of the pipeline.
    pub items: T,
    place: Box<Place>,
    /// The page's share of the tenant's bytes in flight; given back when the page is dropped.
    allowance: Option<Share>,
}

/// Where a page belongs, and what has to become durable together with its step.
#[derive(Debug)]
pub struct Place {
    stream: Stream,
    step: Step,
    quarantined: Vec<Quarantined>,
    released: Vec<QuarantineId>,
}

impl Place {
    /// The place of a page just read.
    pub fn new(stream: Stream, advance: Advance, source: SourceInfo) -> Place {
        Place {
            stream,
            step: Step {
                stream: stream.name().to_owned(),
                advance,
                source,
                newest_event: None,
                seen: Vec::new(),
                rewound: false,
                latest: None,
                through: false,
                window: None,
                split: None,
            },
            quarantined: Vec::new(),
            released: Vec::new(),
        }
    }

    /// The place of a page that holds quarantined entries again.
    ///
    /// Its step stays where its stream stands, so the stream is neither moved
    /// nor skipped: with it become durable the ids of the page's events and
    /// that `released` are no longer in quarantine.
    pub fn staying(stream: Stream, at: &Checkpoint, released: Vec<QuarantineId>) -> Place {
        let stays = Advance::new(at.cursor.clone(), at.cursor.clone());
        Place { released, ..Place::new(stream, stays, at.source.clone()) }
    }

    /// Notes the newest event time of the page.
    pub fn with_newest_event(mut self, at: Option<UnixMs>) -> Place {
        self.step.newest_event = at;
        self
    }

    /// Notes the latest event time of the page, not later than now.
    pub fn with_latest(mut self, at: Option<UnixMs>) -> Place {
        self.step.latest = at;
        self
    }

    /// Notes whether the page is through the overlap of any rewind before it:
    /// nothing more was waiting, or it lies certainly behind what was read then.
    pub fn with_through(mut self, through: bool) -> Place {
        self.step.through = through;
        self
    }

    /// Notes that the step goes back in time, so that dedup has to remember everything.
    pub fn with_rewind(mut self) -> Place {
        self.step.rewound = true;
        self
    }

    /// Notes that the step is one of a window, and not of the stream's live cursor.
    pub fn with_window(mut self, of: OfWindow) -> Place {
        self.step.window = Some(of);
        self
    }

    /// Notes what the step leaves to windows.
    pub fn with_split(mut self, split: Split) -> Place {
        self.step.split = Some(split);
        self
    }

    /// Sets aside what could not be decoded.
    pub fn with_quarantined(mut self, quarantined: Vec<Quarantined>) -> Place {
        self.quarantined = quarantined;
        self
    }
}

impl<T> Page<T> {
    /// Makes a page. `allowance` is its share of the bytes in flight.
    pub fn new(items: T, place: Place, allowance: Option<Share>) -> Page<T> {
        Page { items, place: Box::new(place), allowance }
    }

    /// Replaces what the page holds and keeps its place.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Page<U> {
        Page { items: f(self.items), place: self.place, allowance: self.allowance }
    }

    /// Gives the page its share of the bytes in flight.
    pub fn with_allowance(self, share: Share) -> Page<T> {
        Page { allowance: Some(share), ..self }
    }

    /// The stream the page is from.
    pub fn stream(&self) -> Stream {
        self.place.stream
    }

    /// The step that the page stands for.
    pub fn advance(&self) -> &Advance {
        &self.place.step.advance
    }

    /// Whether the page goes back in time.
    pub fn is_rewind(&self) -> bool {
        self.place.step.rewound
    }

    /// The window that the page is from; `None`: it is from the live cursor.
    pub fn window(&self) -> Option<OfWindow> {
        self.place.step.window
    }

    /// What the page leaves to windows.
    pub fn split(&self) -> Option<&Split> {
        self.place.step.split.as_ref()
    }

    /// The quarantined entries that the page holds again; none of a page from a source.
    pub fn released(&self) -> &[QuarantineId] {
        &self.place.released
    }

    /// Whether nothing behind the page can have been read before a rewind.
    pub fn is_through(&self) -> bool {
        self.place.step.through
    }

    /// Notes the ids of the events that the page still holds, once.
    pub fn remember(&mut self, ids: Vec<Fingerprint>) {
        self.place.step.seen = vec![ids];
    }
}

/// A part of a snapshot of vaults and items on its way to the sink: shared
/// records, and what is known to be listed once every sink has them.
///
/// It stands for no step of a stream; a part that is lost with its run is
/// listed again by the next one.
#[derive(Debug, Default)]
pub struct Listing {
    /// Shared records only, and only in their newest version.
    pub records: Records,
    /// What the commit makes known, in the order of the changes.
    pub inventory: Vec<InventoryChange>,
    /// Keys of records that are no more. They go before `records` are taken
    /// in: a vault that is no more and still named by events is a stub again.
    pub removed: BTreeSet<String>,
    /// Dropped once whatever came of the listing is settled.
    pub trail: Option<Trail>,
    /// The listing's share of the tenant's bytes in flight.
    pub allowance: Option<Share>,
}

/// Held by everything that a listing becomes, until its commit is durable or
/// its run has ended: the receiver is closed then.
pub type Trail = mpsc::Sender<Infallible>;

/// What arrives at the sink.
#[derive(Debug)]
pub enum Mapped {
    /// A page of events.
    Page(Page<Records>),
    /// A part of a snapshot. Boxed: a channel has memory for 32 of what it
    /// carries before anything is sent, and every idle tenant has these channels.
    Listing(Box<Listing>),
    /// Somebody waits for all before it to be committed: the upload ends here.
    Settle,
}

impl Mapped {
    /// Whether records are taken out. Such a listing has an upload of its own,
    /// with nothing before it that is not committed, and nothing beside it:
    /// otherwise what is on its way could bring back what is to go.
    pub fn removes(&self) -> bool {
        matches!(self, Mapped::Listing(listing) if !listing.removed.is_empty())
    }
}

/// What one upload covers: whole pages, joined stream by stream and window by
/// window, and listings.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    steps: Vec<(Stream, Step)>,
    quarantined: Vec<Quarantined>,
    released: Vec<QuarantineId>,
    removed: BTreeSet<String>,
    inventory: Vec<InventoryChange>,
    trails: Vec<Trail>,
    shared: HashMap<String, Entry, FixedState>,
    shared_bytes: usize,
    events: u64,
    bytes: usize,
}

impl Coverage {
    /// Takes the page that follows.
    ///
    /// # Errors
    ///
    /// [`NotJoined`] if a page of its stream is missing in between.
    pub fn add(&mut self, page: &Page<Records>) -> Result<(), NotJoined> {
        let Place { stream, step, quarantined, released } = &*page.place;
        let chain = |step: &Step| step.window.map(|of| of.number);
        match self.steps.iter_mut().find(|(of, so_far)| of == stream && chain(so_far) == chain(step)) {
            Some((_, so_far)) => join(so_far, step)?,
            None => self.steps.push((*stream, step.clone())),
        }
        self.quarantined.extend_from_slice(quarantined);
        self.released.extend_from_slice(released);
        self.events += step.events();
        self.bytes += page.items.bytes();
        for record in page.items.of(Sharing::Shared) {
            self.share(&record);
        }
        Ok(())
    }

    /// Takes a listing.
    pub fn list(&mut self, listing: Listing) {
        let Listing { records, inventory, removed, trail, allowance: _ } = listing;
        for key in &removed {
            if let Some(gone) = self.shared.remove(key) {
                self.shared_bytes -= 2 * gone.key.len() + gone.record.len();
            }
        }
        for record in records.iter() {
            self.share(&record);
        }
        self.bytes += records.bytes();
        self.inventory.extend(inventory);
        self.removed.extend(removed);
        self.trails.extend(trail);
    }

    /// Keeps the newest version of a shared record.
    fn share(&mut self, record: &Record<'_>) {
        // Most events name a user who is here already, with nothing new to say or something older.
        if let Some(known) = self.shared.get_mut(record.key)
            && (known.record == record.json || record.version < known.version)
        {
            known.version = known.version.max(record.version);
            return;
        }
        let entry =
            Entry { key: record.key.to_owned(), version: record.version, record: record.json.to_owned() };
        match self.shared.entry(entry.key.clone()) {
            hash_map::Entry::Occupied(mut known) => {
                if entry.supersedes(known.get()) {
                    self.shared_bytes += entry.record.len();
                    self.shared_bytes -= known.get().record.len();
                    known.insert(entry);
                }
            }
            hash_map::Entry::Vacant(vacant) => {
                self.shared_bytes += 2 * entry.key.len() + entry.record.len();
                vacant.insert(entry);
            }
        }
    }

    /// Sets aside a record that the destination will never take.
    pub fn quarantine(&mut self, record: Quarantined) {
        self.quarantined.push(record);
    }

    /// The steps of each stream, one for its live cursor and one for each window,
    /// in the order these first appeared: a split lies before its windows.
    pub fn steps(&self) -> impl ExactSizeIterator<Item = (Stream, &Step)> {
        self.steps.iter().map(|(stream, step)| (*stream, step))
    }

    /// Keys of records that are no more, in order. They go before the shared
    /// records come: a key may be in both.
    pub fn removed(&self) -> &BTreeSet<String> {
        &self.removed
    }

    /// Those of the removed keys that do not come again with the shared records, in order.
    pub fn gone(&self) -> impl Iterator<Item = &String> {
        self.removed.iter().filter(|key| !self.shared.contains_key(*key))
    }

    /// The newest version of every shared record in the pages and listings, in no order.
    pub fn shared(&self) -> impl Iterator<Item = &Entry> {
        self.shared.values()
    }

    /// Whether quarantined entries are among it: what a sink would leave out
    /// as known to it may be what it had set aside.
    pub fn is_retry(&self) -> bool {
        !self.released.is_empty()
    }

    /// Memory that the shared records take.
    pub fn shared_bytes(&self) -> usize {
        self.shared_bytes
    }

    /// Events in the pages, duplicates left out.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Bytes of JSON in the pages.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What was set aside, by a source or by a sink.
    pub fn quarantined(&self) -> &[Quarantined] {
        &self.quarantined
    }

    /// How many quarantined entries were among it.
    pub fn released(&self) -> usize {
        self.released.len()
    }

    /// Takes out what is dropped once the commit is durable.
    pub fn take_trails(&mut self) -> Vec<Trail> {
        std::mem::take(&mut self.trails)
    }

    /// The commit of a run that an ack of the coverage allows; it settles these upload notes too.
    pub fn allowed(self, tenant: &str, epoch: Epoch, at: UnixMs, settled: Vec<String>) -> Commit {
        Commit {
            tenant: tenant.to_owned(),
            epoch,
            at,
            steps: self.steps.into_iter().map(|(_, step)| step).collect(),
            removed: self.removed.into_iter().collect(),
            directory: self.shared.into_values().collect(),
            inventory: self.inventory,
            released: self.released,
            quarantined: self.quarantined,
            settled,
        }
    }
}

/// Joins the step that follows onto `so_far`.
///
/// A rewind in the second step has an overlap of its own; otherwise the whole is
/// through once either step says so.
fn join(so_far: &mut Step, next: &Step) -> Result<(), NotJoined> {
    so_far.advance = so_far.advance.clone().then(next.advance.clone())?;
    so_far.source = next.source.clone();
    so_far.newest_event = so_far.newest_event.max(next.newest_event);
    so_far.seen.extend_from_slice(&next.seen);
    so_far.latest = so_far.latest.max(next.latest);
    so_far.through = if next.rewound { next.through } else { so_far.through || next.through };
    so_far.rewound |= next.rewound;
    if let (Some(of), Some(next)) = (&mut so_far.window, next.window) {
        of.begun += next.begun;
        of.done |= next.done;
    }
    so_far.split = match (so_far.split.take(), next.split.clone()) {
        (Some(earlier), Some(later)) => Some(earlier.then(later)),
        (earlier, later) => later.or(earlier),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use opgraph_state::{Cursor, Version};

    use super::*;
    use crate::graph::{EntityType, RecordType};

    fn of(sharing: Sharing) -> EntityType {
        let mut types = EntityType::ALL.iter().copied();
        types.find(|of| RecordType::Entity(*of).sharing() == sharing).unwrap()
    }

    /// A page with an event's record and one version of each of these shared ones.
    fn page(number: u32, shared: &[(&str, i64, &str)]) -> Page<Records> {
        let mut records = Records::default();
        let version = |at| Version { rank: 2, at: UnixMs(at) };
        records.entity(of(Sharing::Event), &number.to_string(), version(0)).close();
        for (id, at, name) in shared {
            let mut record = records.entity(of(Sharing::Shared), id, version(*at));
            record.text("name", Some(name));
            record.close();
        }
        let cursor = |number: u32| Cursor::Token(number.to_string());
        let advance = Advance::new(cursor(number), cursor(number + 1));
        let mut page =
            Page::new(records, Place::new(Stream::AuditEvents, advance, SourceInfo::default()), None);
        page.remember(vec![Fingerprint(number.into())]);
        page
    }

    #[test]
    fn a_coverage_holds_each_shared_record_in_its_newest_version_and_knows_how_much_it_holds() {
        let long = "n".repeat(1000);
        let mut covered = Coverage::default();
        let mut bytes = 0;
        // What every page tells of two users, and the version and name of the first that is kept.
        let pages: [(&[_], _); 6] = [
            (&[("a", 5, "five"), ("b", 1, "one")], (5, "five")),
            (&[("a", 4, "four")], (5, "five")),
            (&[("a", 7, &long)], (7, long.as_str())),
            (&[("a", 8, "eight"), ("b", 1, "one")], (8, "eight")),
            // The same again, told later and then earlier.
            (&[("a", 9, "eight")], (9, "eight")),
            (&[("a", 6, "eight")], (9, "eight")),
        ];
        for (number, (shared, (at, name))) in (0..).zip(pages) {
            let page = page(number, shared);
            bytes += page.items.iter().map(|record| record.json.len()).sum::<usize>();
            covered.add(&page).unwrap();
            let held: Vec<_> = covered.shared().collect();
            let a = held.iter().find(|entry| entry.key.ends_with(":a")).unwrap();
            assert_eq!(a.version.at, UnixMs(at), "page {number}");
            assert!(a.record.contains(&format!("\"{name}\"")), "page {number}: {}", a.record);
            // Each key is kept twice.
            let memory: usize = held.iter().map(|entry| 2 * entry.key.len() + entry.record.len()).sum();
            assert_eq!((held.len(), covered.shared_bytes()), (2, memory), "page {number}");
            assert_eq!((covered.events(), covered.bytes()), (u64::from(number) + 1, bytes));
        }
        let steps: Vec<_> = covered.steps().map(|(stream, step)| (stream, step.events())).collect();
        assert_eq!(steps, [(Stream::AuditEvents, 6)]);
        assert!(!covered.is_retry());

        let stands = Checkpoint::starting_at(Cursor::Token("6".to_owned()));
        let released = QuarantineId { stream: "auditevents".to_owned(), body: Fingerprint(7) };
        let place = Place::staying(Stream::AuditEvents, &stands, vec![released]);
        covered.add(&Page::new(Records::default(), place, None)).unwrap();
        assert!(covered.is_retry());
    }

    #[test]
    fn a_coverage_refuses_a_page_when_the_one_before_it_is_missing() {
        let mut covered = Coverage::default();
        covered.add(&page(0, &[])).unwrap();
        covered.add(&page(2, &[])).unwrap_err();
    }
}
