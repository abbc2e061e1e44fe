//! The records of a page by where they go: many of them are sent as one text.

use std::iter;

use super::{
    records::{Entry, Record, Records},
    types::{RecordType, Sharing},
};

/// Records that go the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lot {
    /// Entities of events.
    Entities,
    /// Relationships of events.
    Relationships,
    /// What many events may name.
    Shared,
}

impl Lot {
    /// How many there are.
    pub(super) const ALL: usize = 3;

    /// The lot of a record.
    pub(super) const fn of(of: RecordType) -> Lot {
        match (of.sharing(), of.is_relationship()) {
            (Sharing::Shared, _) => Lot::Shared,
            (Sharing::Event, false) => Lot::Entities,
            (Sharing::Event, true) => Lot::Relationships,
        }
    }
}

/// Some records of a lot, one behind the other.
#[derive(Clone, Copy, Debug)]
pub struct Stretch<'a> {
    /// Their text: a comma before each.
    pub text: &'a str,
    records: &'a Records,
    lot: Lot,
    /// Where the text begins in that of the lot.
    start: usize,
    /// They, and those of other lots between them.
    entries: &'a [Entry],
}

impl<'a> Stretch<'a> {
    /// Where each record ends in the text.
    pub fn ends(self) -> impl Iterator<Item = usize> {
        self.entries().map(move |entry| entry.json.end - self.start)
    }

    /// The records, one by one.
    pub fn iter(self) -> impl Iterator<Item = Record<'a>> {
        self.entries().map(move |entry| self.records.record(entry))
    }

    fn entries(self) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |entry| entry.is_of(self.lot))
    }
}

impl Records {
    /// The records of a lot in their order, in stretches of at most so many
    /// bytes; one that is larger is a stretch of its own.
    pub fn stretches(&self, lot: Lot, most: usize) -> impl Iterator<Item = Stretch<'_>> {
        let (mut rest, mut start) = (self.entries.as_slice(), 0);
        let text = &self.lots[lot as usize];
        iter::from_fn(move || {
            let mut end = start;
            let mut taken = rest.len();
            for (at, entry) in rest.iter().enumerate().filter(|(_, entry)| entry.is_of(lot)) {
                if entry.json.end - start > most && end > start {
                    taken = at;
                    break;
                }
                end = entry.json.end;
            }
            let (entries, later) = rest.split_at(taken);
            let stretch = Stretch { text: &text[start..end], records: self, lot, start, entries };
            (rest, start) = (later, end);
            (!stretch.text.is_empty()).then_some(stretch)
        })
    }
}

#[cfg(test)]
mod tests {
    use opgraph_state::{UnixMs, Version};

    use super::*;
    use crate::graph::{EntityType, RelationshipType};

    #[test]
    fn stretches_hold_the_records_of_their_lot_in_order_and_are_no_larger_than_they_may_be() {
        let mut records = Records::default();
        for n in 0..50_usize {
            let (id, version) = ("i".repeat(n * 7 % 31 + 1), Version { rank: 0, at: UnixMs(0) });
            if n % 3 > 0 {
                records.entity(EntityType::AuditEvent, &id, version).close();
            }
            records.entity(EntityType::Vault, &id, version).close();
            records.relationship(RelationshipType::ActorPerformedEvent, "a \"", &id, UnixMs(0));
        }
        for lot in [Lot::Entities, Lot::Relationships, Lot::Shared] {
            let expect: Vec<_> = records.iter().filter(|record| Lot::of(record.of) == lot).collect();
            assert!(expect.len() > 30);
            for most in [0, 1, 300, 1000, 1500, usize::MAX] {
                let mut found = Vec::new();
                for stretch in records.stretches(lot, most) {
                    let first = found.len();
                    found.extend(stretch.iter());
                    assert!(stretch.text.len() <= most || found.len() == first + 1, "{lot:?} {most}");
                    let joined: String =
                        found[first..].iter().flat_map(|record| [",", record.json]).collect();
                    assert_eq!(stretch.text, joined);
                    let mut end = 0;
                    let ends = found[first..].iter().map(|record| {
                        end += 1 + record.json.len();
                        end
                    });
                    assert!(stretch.ends().eq(ends));
                }
                assert_eq!(found, expect, "{lot:?} {most}");
                let stretches = records.stretches(lot, most).count();
                assert_eq!(stretches == 1, most == usize::MAX, "{lot:?} {most}");
            }
        }
        assert_eq!(Records::default().stretches(Lot::Entities, 100).count(), 0);
    }
}
