//! A held graph, record by record, against the expectation.

use std::{
    collections::HashSet,
    hash::BuildHasher,
    sync::{Arc, LazyLock},
};

use serde_json::{Map, Value};

use super::{Expectation, HeldInFull, Marks, expectation};
use crate::{
    Comparison, Stream,
    bits::Bits,
    keys::{KeyId, Keys, TypeId},
    kinds::{self, ACTOR_PERFORMED_VAULT, KINDS, SECRET, VAULT, VAULT_HAS_SECRET},
};

/// One held record in numbers, as the oracle checks it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fact<'a> {
    pub(crate) id: KeyId,
    pub(crate) type_: TypeId,
    /// Index into [`KINDS`] of the first kind with this class; [`NO_CLASS`] of another class. `None`: unknown.
    pub(crate) class: Option<u8>,
    pub(crate) from: KeyId,
    pub(crate) to: KeyId,
    /// [`fingerprint`] of the name. `None`: unknown.
    pub(crate) name: Option<u64>,
    /// [`fingerprint`] of the display name. `None`: unknown.
    pub(crate) display: Option<u64>,
    /// `createdOn`. `None`: unknown.
    pub(crate) created_on: Option<Option<i64>>,
    /// The properties of a vault or secret. `None`: unknown.
    pub(crate) marks: Option<&'a Marks>,
}

/// The class of none of the kinds.
pub(crate) const NO_CLASS: u8 = u8::MAX;

/// Returns a number for a class or verb.
pub(crate) fn class_of(class: &str) -> u8 {
    KINDS.iter().position(|model| model.class == class).map_or(NO_CLASS, |at| at as u8)
}

/// Returns a number for a string; equal strings have equal ones.
pub(crate) fn fingerprint(text: &str) -> u64 {
    foldhash::quality::FixedState::default().hash_one(text)
}

/// Compares a graph given in strings.
pub(crate) fn compare(
    keys: &Keys,
    expectation: &Expectation,
    held: impl IntoIterator<Item = impl Into<HeldInFull>>,
) -> Comparison {
    let mut comparer = Comparer::new(keys, expectation);
    for one in held {
        let HeldInFull { record, properties } = one.into();
        let marks = properties.as_ref().map(Marks::of);
        let end = |key: &Option<String>| key.as_deref().map_or(KeyId::NONE, |key| keys.entity(key));
        let (from, to) = (end(&record.from), end(&record.to));
        comparer.check(Fact {
            id: match (&record.from, &record.to) {
                (Some(from_key), Some(to_key)) => {
                    keys.relationship(&record.key, (from_key, from), (to_key, to))
                }
                _ => keys.any(&record.key),
            },
            type_: keys.type_id(&record.type_),
            class: record.class.as_deref().map(class_of),
            from,
            to,
            name: record.name.as_deref().map(fingerprint),
            display: record.display_name.as_deref().map(fingerprint),
            created_on: record.created_on,
            marks: marks.as_ref(),
        });
    }
    comparer.finish(std::iter::empty())
}

/// Takes in a held graph and says how it compares.
#[derive(Debug)]
pub(crate) struct Comparer<'a> {
    keys: &'a Keys,
    expectation: &'a Expectation,
    /// What was held, by kind where a number is an event's.
    seen: [Bits; kinds::COUNT],
    /// What was held of everything else.
    others: HashSet<KeyId, foldhash::fast::FixedState>,
    /// Relationships whose ends are not those that their key says.
    odd: Vec<(KeyId, KeyId, KeyId)>,
    result: Comparison,
}

impl<'a> Comparer<'a> {
    pub(crate) fn new(keys: &'a Keys, expectation: &'a Expectation) -> Comparer<'a> {
        Comparer {
            keys,
            expectation,
            seen: Default::default(),
            others: HashSet::default(),
            odd: Vec::new(),
            result: Comparison { expected: expectation.total(), ..Comparison::default() },
        }
    }

    /// Takes in one held record.
    pub(crate) fn check(&mut self, fact: Fact<'_>) {
        let keys = self.keys;
        let text = || keys.text(fact.id);
        self.result.held += 1;
        if !self.remember(fact.id) {
            self.result.duplicated.add(text);
        }
        let is_relationship = fact.from != KeyId::NONE || fact.to != KeyId::NONE;
        let ends = keys.ends(fact.id);
        if is_relationship && (fact.from, fact.to) != ends {
            self.odd.push((fact.id, fact.from, fact.to));
        }
        if !self.expectation.contains(&keys.world, fact.id) {
            self.result.unexpected.add(text);
            return;
        }
        if let Some(what) = self.fault_of(&fact, ends) {
            self.result.wrong.add(|| format!("{}: {what}", text()));
        }
    }

    /// Returns what is wrong with an expected record.
    fn fault_of(&self, fact: &Fact<'_>, ends: (KeyId, KeyId)) -> Option<String> {
        let kind = fact.id.kind()?;
        let model = &KINDS[kind as usize];
        if fact.type_ != TypeId::from(kind) {
            return Some(format!("its _type is not {}", model.type_));
        }
        if fact.class.is_some_and(|class| class != class_of(model.class)) {
            return Some(format!("its _class is not {}", model.class));
        }
        if (fact.from, fact.to) != ends {
            return Some("its ends are not those that its key says".to_owned());
        }
        let facts = facts_of(self.keys, self.expectation, fact.id);
        let is_one_of = |told: Option<u64>, right: &[Arc<str>]| {
            told.is_none_or(|told| right.iter().any(|text| fingerprint(text) == told))
        };
        if model.ends.is_none() && !is_one_of(fact.name, &facts.names) {
            return Some(format!("its name is not {:?}", facts.names));
        }
        if !is_one_of(fact.display, &facts.displays) {
            return Some(format!("its displayName is not {:?}", facts.displays));
        }
        let has_time = kinds::stream_of(kind).is_some() || kind == VAULT || kind == SECRET;
        if has_time && fact.created_on.is_some_and(|told| told != facts.created_on) {
            return Some(format!("its createdOn is not {:?}", facts.created_on));
        }
        let marks = fact.marks.filter(|_| !facts.properties.is_empty())?;
        let mut faults = facts.properties.iter().map(|right| marks.fault(right));
        // The fault of the first choice is told, if all of them have one.
        let first = faults.next()??;
        faults.all(|fault| fault.is_some()).then_some(first)
    }

    /// Notes that a record is held. Returns false when it was before.
    fn remember(&mut self, id: KeyId) -> bool {
        match id.kind() {
            Some(kind) if expectation::stream_within(kind).is_some() => {
                self.seen[kind as usize].insert(id.number())
            }
            _ => self.others.insert(id),
        }
    }

    fn is_held(&self, id: KeyId) -> bool {
        match id.kind() {
            Some(kind) if expectation::stream_within(kind).is_some() => {
                self.seen[kind as usize].contains(id.number())
            }
            _ => self.others.contains(&id),
        }
    }

    /// Says how the graph compares, `refused` being relationships that could not be created for want of an end.
    pub(crate) fn finish(mut self, refused: impl IntoIterator<Item = KeyId>) -> Comparison {
        let keys = self.keys;
        let mut result = std::mem::take(&mut self.result);
        for id in refused {
            result.dangling.add(|| keys.text(id));
        }
        for (id, from, to) in &self.odd {
            if !self.is_held(*from) || !self.is_held(*to) {
                result.dangling.add(|| keys.text(*id));
            }
        }
        let odd: HashSet<KeyId> = self.odd.iter().map(|(id, ..)| *id).collect();
        let of_events = self.seen.iter().enumerate().flat_map(|(kind, bits)| {
            let edges = KINDS[kind].ends.is_some();
            bits.iter().take_while(move |_| edges).map(move |number| KeyId::new(kind as u8, number))
        });
        let is_of_vaults = |id: &KeyId| matches!(id.kind(), Some(ACTOR_PERFORMED_VAULT | VAULT_HAS_SECRET));
        let of_vaults = self.others.iter().copied().filter(is_of_vaults);
        for id in of_events.chain(of_vaults) {
            let (from, to) = keys.ends(id);
            let hangs = self.is_held(from) && self.is_held(to);
            if !hangs && !odd.contains(&id) {
                result.dangling.add(|| keys.text(id));
            }
        }
        for stream in Stream::ALL {
            let mut at = self.expectation.next_served(stream, 0);
            while let Some(index) = at {
                for id in expectation::own_records(&keys.world, stream, index) {
                    if !self.is_held(id) {
                        result.missing.add(|| keys.text(id));
                    }
                }
                at = self.expectation.next_served(stream, index + 1);
            }
        }
        for id in self.expectation.shared() {
            if !self.is_held(id) {
                result.missing.add(|| keys.text(id));
            }
        }
        result
    }
}

/// What a record must say besides its key, type, class and ends.
#[derive(Default)]
pub(crate) struct Facts {
    /// `name`, any of them.
    pub(crate) names: Vec<Arc<str>>,
    /// `displayName`, any of them.
    pub(crate) displays: Vec<Arc<str>>,
    /// `createdOn` of an event, a vault or a secret.
    pub(crate) created_on: Option<i64>,
    /// The other properties of a vault or secret, any of them; none of any other record.
    pub(crate) properties: Vec<Map<String, Value>>,
}

impl Facts {
    /// Returns the facts of a vault that nothing but events names (data model, relationship 4).
    fn of_stub(id: &str) -> Facts {
        let names = vec![Arc::from(id)];
        let properties = vec![Map::from_iter([("id".to_owned(), Value::from(id))])];
        Facts { displays: names.clone(), names, properties, created_on: None }
    }
}

/// Returns the facts of an expected record.
pub(crate) fn facts_of(keys: &Keys, expectation: &Expectation, id: KeyId) -> Facts {
    static VERBS: LazyLock<Vec<Arc<str>>> =
        LazyLock::new(|| KINDS.iter().map(|model| Arc::from(model.class)).collect());
    let itself = || vec![Arc::from(keys.id_text(id))];
    let Some(kind) = id.kind() else {
        return Facts::default();
    };
    if KINDS[kind as usize].ends.is_some() {
        return Facts { displays: vec![Arc::clone(&VERBS[kind as usize])], ..Facts::default() };
    }
    if kind == VAULT || kind == SECRET {
        return expectation.listed.facts(id).unwrap_or_else(|| Facts::of_stub(&keys.id_text(id)));
    }
    let Some(stream) = kinds::stream_of(kind) else {
        let names = match expectation.labels(id) {
            [] => itself(),
            labels => labels.to_vec(),
        };
        return Facts { displays: names.clone(), names, ..Facts::default() };
    };
    let event = keys.world.event(stream, id.number());
    let (name, display) = match event.truth {
        Some(truth) => (truth.name.as_ref(), truth.display.as_slice()),
        None => (None, [].as_slice()),
    };
    Facts {
        names: name.map_or_else(itself, |name| vec![Arc::clone(name)]),
        displays: match display {
            [] => itself(),
            some => some.to_vec(),
        },
        created_on: event.created_on(),
        properties: vec![],
    }
}
