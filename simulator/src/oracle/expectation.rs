//! What served events add up to: the shared records, and the newest version of each user.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::vaults::Vaults;
use crate::{
    Stream,
    bits::Bits,
    connect::{Contents, Listed},
    generate::{Event, World},
    keys::KeyId,
    kinds::{self, ACTOR, Kind, SECRET, VAULT, VAULT_HAS_SECRET},
};

/// The served events and what follows from all of them together. Everything else about a record follows
/// from its key.
#[derive(Debug)]
pub(crate) struct Expectation {
    served: [Bits; 3],
    users: HashMap<KeyId, Newest, foldhash::fast::FixedState>,
    /// Named by events or listed by Connect.
    vaults: BTreeSet<KeyId>,
    actor_vaults: BTreeSet<KeyId>,
    /// What Connect listed.
    pub(super) listed: Vaults,
    total: u64,
}

/// The newest version of one user in one role: names of equal age are equally right.
#[derive(Clone, Debug, Default)]
struct Newest {
    /// Whether the version has a name or an address, then its time in milliseconds.
    age: Option<(bool, i64)>,
    labels: Vec<Arc<str>>,
}

impl Newest {
    /// Takes in a version. One with a label beats one without; then the newer one wins (data model, "Users").
    fn see(&mut self, label: Option<&Arc<str>>, time: i64) {
        let age = Some((label.is_some(), time));
        if age > self.age {
            self.age = age;
            self.labels.clear();
        }
        if age == self.age
            && let Some(label) = label
            && !self.labels.contains(label)
        {
            self.labels.push(Arc::clone(label));
        }
    }
}

impl Expectation {
    /// Adds up the events in `served`, by stream, and what Connect listed.
    pub(crate) fn new(
        world: &World,
        served: [Bits; 3],
        contents: &Arc<Contents>,
        listed: Listed,
    ) -> Expectation {
        let mut expectation = Expectation {
            served,
            users: HashMap::default(),
            vaults: BTreeSet::new(),
            actor_vaults: BTreeSet::new(),
            listed: Vaults::new(Arc::clone(contents), listed),
            total: 0,
        };
        for stream in Stream::ALL {
            let mut at = expectation.served[stream.index()].next(0);
            while let Some(index) = at {
                expectation.add(&world.event(stream, index));
                at = expectation.served[stream.index()].next(index + 1);
            }
        }
        expectation.vaults.extend(expectation.listed.vaults());
        expectation.total += expectation.shared().count() as u64;
        expectation
    }

    fn add(&mut self, event: &Event<'_>) {
        let Some(truth) = event.truth else { return };
        self.total += 1 + truth.mentions.len() as u64;
        for mention in &truth.mentions {
            self.users
                .entry(KeyId::new(mention.role, u64::from(mention.user)))
                .or_default()
                .see(mention.label.as_ref(), event.time.div_euclid(1_000_000));
        }
        let actor = truth.mentions.iter().find(|mention| mention.role == ACTOR);
        if let (Some(vault), Some(actor)) = (truth.vault, actor) {
            self.vaults.insert(KeyId::new(VAULT, u64::from(vault)));
            self.actor_vaults.insert(KeyId::actor_vault(actor.user, vault));
        }
    }

    /// Returns how many records the graph must hold.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Whether the graph must hold this record.
    pub(crate) fn contains(&self, world: &World, id: KeyId) -> bool {
        let Some(kind) = id.kind() else { return false };
        match stream_within(kind) {
            Some(stream) => {
                self.served[stream.index()].contains(id.number())
                    && world.event(stream, id.number()).truth.is_some()
            }
            None if kind == VAULT => self.vaults.contains(&id),
            None if kind == SECRET || kind == VAULT_HAS_SECRET => self.listed.contains(id),
            None if kinds::is_user(kind) => self.users.contains_key(&id),
            None => self.actor_vaults.contains(&id),
        }
    }

    /// Returns the names a user may have; none means that the uuid is the name.
    pub(crate) fn labels(&self, user: KeyId) -> &[Arc<str>] {
        self.users.get(&user).map(|newest| newest.labels.as_slice()).unwrap_or_default()
    }

    /// Returns the served events of a stream from `from` on: the first one.
    pub(crate) fn next_served(&self, stream: Stream, from: u64) -> Option<u64> {
        self.served[stream.index()].next(from)
    }

    /// Returns the shared records: users, vaults, who worked on which vault, secrets, and which vault has which.
    pub(crate) fn shared(&self) -> impl Iterator<Item = KeyId> {
        let of_events = self.users.keys().chain(&self.vaults).chain(&self.actor_vaults);
        of_events.copied().chain(self.listed.secrets())
    }
}

/// Returns the keys of an event's own records: the event entity and its relationships with users.
pub(crate) fn own_records(world: &World, stream: Stream, index: u64) -> impl Iterator<Item = KeyId> {
    world.event(stream, index).truth.into_iter().flat_map(move |truth| {
        std::iter::once(KeyId::new(kinds::event_kind(stream), index)).chain(
            truth.mentions.iter().map(move |mention| KeyId::new(kinds::bond(stream, mention.role), index)),
        )
    })
}

/// Returns the stream whose events' own records a kind belongs to; `None` of shared kinds.
pub(crate) fn stream_within(kind: Kind) -> Option<Stream> {
    kinds::stream_of(kind).or_else(|| {
        let (from, _, to) = kinds::KINDS[kind as usize].ends?;
        kinds::stream_of(from).or_else(|| kinds::stream_of(to))
    })
}
