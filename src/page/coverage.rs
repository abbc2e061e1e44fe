//! What one upload covers, and the commit that its ack allows.

use std::{
    collections::{BTreeSet, HashMap, hash_map},
    sync::Arc,
};

use foldhash::fast::FixedState;
use opgraph_state::{
    Commit, Entry, Epoch, InventoryChange, NotJoined, QuarantineId, Quarantined, Step, UnixMs,
};

use super::{Listing, Page, Place, Trail};
use crate::{
    graph::{Record, Records, Sharing},
    stream::Stream,
};

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
    /// Whoever sends them has them too for a while, not copies of them.
    shared: HashMap<String, Arc<Entry>, FixedState>,
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
            if known.version < record.version {
                Arc::make_mut(known).version = record.version;
            }
            return;
        }
        let entry =
            Entry { key: record.key.to_owned(), version: record.version, record: record.json.to_owned() };
        match self.shared.entry(entry.key.clone()) {
            hash_map::Entry::Occupied(mut known) => {
                if entry.supersedes(known.get()) {
                    self.shared_bytes += entry.record.len();
                    self.shared_bytes -= known.get().record.len();
                    known.insert(Arc::new(entry));
                }
            }
            hash_map::Entry::Vacant(vacant) => {
                self.shared_bytes += 2 * entry.key.len() + entry.record.len();
                vacant.insert(Arc::new(entry));
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
    pub fn shared(&self) -> impl Iterator<Item = &Arc<Entry>> {
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
            directory: self.shared.into_values().map(Arc::unwrap_or_clone).collect(),
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
    use opgraph_state::{Advance, Checkpoint, Cursor, Fingerprint, SourceInfo, Version};

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
