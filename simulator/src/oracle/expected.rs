//! The expectation written out, record by record.

use std::{collections::VecDeque, sync::Arc};

use super::{Expectation, ExpectedRecord, compare::facts_of, expectation::own_records};
use crate::{
    Stream,
    keys::{KeyId, Keys},
    kinds::KINDS,
};

/// What the graph must hold for what had been served when this was made. Iterates over its records.
#[derive(Debug)]
pub struct Expected {
    keys: Arc<Keys>,
    expectation: Expectation,
    /// The stream being written out, and the event to go on with.
    at: Option<(usize, u64)>,
    ready: VecDeque<KeyId>,
}

impl Expected {
    pub(crate) fn new(keys: Arc<Keys>, expectation: Expectation) -> Expected {
        let ready = expectation.shared().collect();
        Expected { keys, expectation, at: Some((0, 0)), ready }
    }

    /// Returns how many records there are, whether or not some were taken already.
    pub fn total(&self) -> u64 {
        self.expectation.total()
    }

    fn record(&self, id: KeyId) -> ExpectedRecord {
        let model = &KINDS[id.kind().unwrap_or_default() as usize];
        let facts = facts_of(&self.keys, &self.expectation, id);
        let (from, to) = self.keys.ends(id);
        let end = |id: KeyId| model.ends.is_some().then(|| self.keys.text(id));
        let texts = |list: &[Arc<str>]| list.iter().map(|text| text.to_string()).collect();
        ExpectedRecord {
            key: self.keys.text(id),
            type_: model.type_.to_owned(),
            class: model.class.to_owned(),
            from: end(from),
            to: end(to),
            names: texts(&facts.names),
            display_names: texts(&facts.displays),
            created_on: facts.created_on,
            properties: facts.properties,
        }
    }
}

impl Iterator for Expected {
    type Item = ExpectedRecord;

    fn next(&mut self) -> Option<ExpectedRecord> {
        loop {
            if let Some(id) = self.ready.pop_front() {
                return Some(self.record(id));
            }
            let (stream, from) = self.at?;
            let name = *Stream::ALL.get(stream)?;
            self.at = Some(match self.expectation.next_served(name, from) {
                Some(index) => {
                    self.ready.extend(own_records(&self.keys.world, name, index));
                    (stream, index + 1)
                }
                None => (stream + 1, 0),
            });
        }
    }
}
