//! The door of the benches into the packing of request bodies.

use bytes::Bytes;

use super::{
    pack::{Kind, LARGEST_BODY, Origin, Packed, Packer, STRETCH},
    packing::Packing,
};
use crate::graph::Records;

/// The bodies of one upload, as they are packed for plan `instance`.
#[derive(Debug)]
pub struct Bodies {
    entities: Packer,
    relationships: Packer,
}

impl Bodies {
    /// Starts with none.
    pub fn new() -> Bodies {
        let packer = |kind| Packer::new(kind, false, LARGEST_BODY, Packing::default());
        Bodies { entities: packer(Kind::Entities), relationships: packer(Kind::Relationships) }
    }

    /// Takes the event records of a page; answers the bodies that are full, each with its
    /// member's name. A record that fits into none is left out.
    pub fn take(&mut self, page: &Records, origin: Origin) -> Vec<(&'static str, Bytes)> {
        let mut full = Vec::new();
        for (kind, packer) in
            [(Kind::Entities, &mut self.entities), (Kind::Relationships, &mut self.relationships)]
        {
            for stretch in page.stretches(kind.lot(), STRETCH) {
                if !packer.push_all(stretch, origin) {
                    let packed = stretch.iter().map(|record| packer.push(record.json, "", origin));
                    full.extend(packed.filter_map(|full| full.ok().flatten()).map(body));
                }
            }
        }
        full
    }

    /// The bodies that are not full yet.
    pub fn rest(&mut self) -> Vec<(&'static str, Bytes)> {
        [self.entities.flush(), self.relationships.flush()].into_iter().flatten().map(body).collect()
    }
}

impl Default for Bodies {
    fn default() -> Bodies {
        Bodies::new()
    }
}

fn body(packed: Packed) -> (&'static str, Bytes) {
    (packed.kind.name(), packed.body.bytes())
}
