//! Keys as numbers: what the graph and the oracle keep in place of strings.
//!
//! A key that an event of this world can have becomes its kind and a number (the event's, the user's, …), by
//! computation alone. Any other key is foreign; it is remembered, and numbered in order of appearance.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    generate::World,
    kinds::{self, ACTOR, ACTOR_PERFORMED_VAULT, KINDS, Kind, SECRET, VAULT, VAULT_HAS_SECRET},
};

/// The kind of foreign keys.
const FOREIGN: u64 = 255;

/// A key. Equal ids are equal keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KeyId(u64);

impl KeyId {
    /// Stands where a record has no key to give: the ends of an entity.
    pub(crate) const NONE: KeyId = KeyId(u64::MAX);

    pub(crate) fn new(kind: Kind, number: u64) -> KeyId {
        KeyId(u64::from(kind) << 56 | number)
    }

    /// Returns the key of the relationship between an actor and a vault.
    pub(crate) fn actor_vault(user: u32, vault: u32) -> KeyId {
        KeyId::new(ACTOR_PERFORMED_VAULT, u64::from(user) << 20 | u64::from(vault))
    }

    /// Returns the key of the relationship between a vault and an item in it.
    pub(crate) fn vault_secret(vault: u32, item: u64) -> KeyId {
        KeyId::new(VAULT_HAS_SECRET, item << 20 | u64::from(vault))
    }

    /// Returns the kind, or `None` of a foreign key.
    pub(crate) fn kind(self) -> Option<Kind> {
        Some((self.0 >> 56) as Kind).filter(|kind| (*kind as usize) < kinds::COUNT)
    }

    /// Returns the number within the kind.
    pub(crate) fn number(self) -> u64 {
        self.0 & ((1 << 56) - 1)
    }

    /// Returns user or item, and vault, of a key made by [`actor_vault`](Self::actor_vault) or
    /// [`vault_secret`](Self::vault_secret).
    pub(crate) fn other_and_vault(self) -> (u64, u32) {
        (self.number() >> 20, (self.number() & 0xf_ffff) as u32)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0 >> 56, self.number())
    }
}

/// One `_type`: a known kind, or a number above them.
pub(crate) type TypeId = u16;

/// Turns keys and types into numbers and back.
pub(crate) struct Keys {
    pub(crate) world: Arc<World>,
    foreign: Mutex<Names>,
    types: Mutex<Names>,
    owners: Mutex<Names>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

/// Strings numbered in order of appearance.
#[derive(Default)]
struct Names {
    numbers: HashMap<Arc<str>, u32, foldhash::fast::FixedState>,
    list: Vec<Arc<str>>,
}

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let name: Arc<str> = name.into();
        let number = self.list.len() as u32;
        self.list.push(Arc::clone(&name));
        self.numbers.insert(name, number);
        number
    }

    fn name(&self, number: u64) -> String {
        self.list.get(number as usize).map(|name| name.to_string()).unwrap_or_default()
    }
}

impl Keys {
    pub(crate) fn new(world: Arc<World>) -> Keys {
        Keys { world, foreign: Mutex::default(), types: Mutex::default(), owners: Mutex::default() }
    }

    /// Returns the number of a pair of source and scope, which together own what is uploaded.
    pub(crate) fn owner(&self, source: &str, scope: &str) -> u32 {
        let owner = format!("{source}:{scope}");
        self.owners.lock().unwrap_or_else(PoisonError::into_inner).number(&owner)
    }

    /// Returns the number of a `_type`.
    pub(crate) fn type_id(&self, type_: &str) -> TypeId {
        match kinds::kind_of(type_) {
            Some(kind) => TypeId::from(kind),
            None => {
                let mut types = self.types.lock().unwrap_or_else(PoisonError::into_inner);
                kinds::COUNT as TypeId + types.number(type_) as TypeId
            }
        }
    }

    /// Returns the key of an entity.
    pub(crate) fn entity(&self, key: &str) -> KeyId {
        self.known_entity(key).unwrap_or_else(|| self.foreign(key))
    }

    /// Returns the key of a relationship between two entities. `from` and `to` come with their own keys.
    pub(crate) fn relationship(&self, key: &str, from: (&str, KeyId), to: (&str, KeyId)) -> KeyId {
        self.known_relationship(key, from, to).unwrap_or_else(|| self.any(key))
    }

    /// Returns the key of a record of either sort, from the key alone.
    pub(crate) fn any(&self, key: &str) -> KeyId {
        let parts = key.split_once('|').and_then(|(from, rest)| Some((from, rest.split_once('|')?.1)));
        parts
            .and_then(|(from, to)| {
                let (from_id, to_id) = (self.known_entity(from)?, self.known_entity(to)?);
                self.known_relationship(key, (from, from_id), (to, to_id))
            })
            .or_else(|| self.known_entity(key))
            .unwrap_or_else(|| self.foreign(key))
    }

    fn foreign(&self, key: &str) -> KeyId {
        let number = self.foreign.lock().unwrap_or_else(PoisonError::into_inner).number(key);
        KeyId(FOREIGN << 56 | u64::from(number))
    }

    fn known_entity(&self, key: &str) -> Option<KeyId> {
        let (type_, id) = key.split_once(':')?;
        let kind = kinds::kind_of(type_)?;
        let number = match kinds::stream_of(kind) {
            Some(stream) => self.world.index_of(stream, id)?,
            None if kinds::is_user(kind) => u64::from(self.world.cast.user(id)?),
            None if kind == VAULT => u64::from(self.world.cast.vault(id)?),
            // More items than this never are: such an id is by chance one of this account.
            None if kind == SECRET => self.world.cast.items.number_of(id).filter(|n| *n < 1 << 36)?,
            None => return None,
        };
        Some(KeyId::new(kind, number))
    }

    fn known_relationship(&self, key: &str, from: (&str, KeyId), to: (&str, KeyId)) -> Option<KeyId> {
        let ends = (from.1.kind()?, to.1.kind()?);
        let (kind, verb) = KINDS.iter().enumerate().find_map(|(kind, model)| {
            let (model_from, verb, model_to) = model.ends?;
            ((model_from, model_to) == ends).then_some((kind as Kind, verb))
        })?;
        let named = key.strip_prefix(from.0)?.strip_prefix(verb)? == to.0;
        if !named {
            return None;
        }
        if kind == ACTOR_PERFORMED_VAULT {
            return Some(KeyId::actor_vault(from.1.number() as u32, to.1.number() as u32));
        }
        if kind == VAULT_HAS_SECRET {
            return Some(KeyId::vault_secret(from.1.number() as u32, to.1.number()));
        }
        // Between an event and a user: known only when that user was seen in the event in that role.
        let (event, user) = if kinds::is_user(ends.0) { (to.1, from.1) } else { (from.1, to.1) };
        let stream = kinds::stream_of(event.kind()?)?;
        let truth = self.world.event(stream, event.number()).truth?;
        let role = user.kind()?;
        let seen = truth
            .mentions
            .iter()
            .any(|mention| mention.role == role && u64::from(mention.user) == user.number());
        seen.then(|| KeyId::new(kind, event.number()))
    }

    /// Returns the keys of a known relationship's two ends; [`KeyId::NONE`] twice for anything else.
    pub(crate) fn ends(&self, id: KeyId) -> (KeyId, KeyId) {
        self.known_ends(id).unwrap_or((KeyId::NONE, KeyId::NONE))
    }

    fn known_ends(&self, id: KeyId) -> Option<(KeyId, KeyId)> {
        let (from, _, to) = KINDS[id.kind()? as usize].ends?;
        let (other, vault) = id.other_and_vault();
        let vault = KeyId::new(VAULT, u64::from(vault));
        match id.kind() {
            Some(ACTOR_PERFORMED_VAULT) => return Some((KeyId::new(ACTOR, other), vault)),
            Some(VAULT_HAS_SECRET) => return Some((vault, KeyId::new(SECRET, other))),
            _ => {}
        }
        let (event, role) = if kinds::is_user(from) { (to, from) } else { (from, to) };
        let truth = self.world.event(kinds::stream_of(event)?, id.number()).truth?;
        let user = truth.mentions.iter().find(|mention| mention.role == role)?.user;
        let end = |kind| KeyId::new(kind, if kind == role { u64::from(user) } else { id.number() });
        Some((end(from), end(to)))
    }

    /// Returns the 1Password id within an entity's key, which must not be foreign.
    pub(crate) fn id_text(&self, id: KeyId) -> String {
        let Some(kind) = id.kind() else { return String::new() };
        match kinds::stream_of(kind) {
            Some(stream) => self.world.uuid(stream, id.number()),
            None if kind == VAULT => self.world.cast.vault_id(id.number() as u32).into_owned(),
            None if kind == SECRET => self.world.cast.items.id(id.number()),
            None => self.world.cast.people[id.number() as usize].uuid.clone(),
        }
    }

    /// Returns the key as it is written.
    pub(crate) fn text(&self, id: KeyId) -> String {
        match id.kind() {
            None => self.foreign.lock().unwrap_or_else(PoisonError::into_inner).name(id.number()),
            Some(kind) => match KINDS[kind as usize].ends {
                None => format!("{}:{}", KINDS[kind as usize].type_, self.id_text(id)),
                Some((_, verb, _)) => {
                    let (from, to) = self.ends(id);
                    format!("{}{verb}{}", self.text(from), self.text(to))
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Stream, kinds::AUDIT_EVENT};

    #[test]
    fn a_key_leads_to_its_id_and_back() {
        let keys = Keys::new(Arc::new(World::new(&Config::default(), 1_767_225_600_000_000_000)));
        let mut relationships = 0;
        for stream in Stream::ALL {
            for index in 0..600 {
                let event = KeyId::new(kinds::event_kind(stream), index);
                assert_eq!(keys.any(&keys.text(event)), event);
                let truth = keys.world.event(stream, index).truth.expect("no poison");
                for mention in &truth.mentions {
                    let bond = KeyId::new(kinds::bond(stream, mention.role), index);
                    let text = keys.text(bond);
                    assert_eq!(keys.any(&text), bond, "{text}");
                    let (from, to) = keys.ends(bond);
                    let (from_text, to_text) = (keys.text(from), keys.text(to));
                    assert_eq!(keys.relationship(&text, (&from_text, from), (&to_text, to)), bond);
                    relationships += 1;
                }
            }
        }
        assert!(relationships > 1000);
        let vault = KeyId::actor_vault(3, 7);
        assert_eq!(keys.any(&keys.text(vault)), vault);
        for (vault, item) in [(0, 0), (7, 12), (5000, 1 << 35)] {
            let (has, secret) = (KeyId::vault_secret(vault, item), KeyId::new(SECRET, item));
            assert_eq!(keys.any(&keys.text(has)), has);
            assert_eq!(keys.ends(has), (KeyId::new(VAULT, u64::from(vault)), secret));
            let upper =
                keys.text(secret).replace(&keys.id_text(secret), &keys.id_text(secret).to_uppercase());
            assert_eq!(keys.any(&upper).kind(), None, "the case of an id is part of it");
        }
        for foreign in ["one_password_audit_event:X", "anything", "a|b|c", "one_password_secret:abc"] {
            let id = keys.any(foreign);
            assert_eq!((id.kind(), keys.text(id)), (None, foreign.to_owned()));
            assert_eq!(keys.any(foreign), id);
        }
        let other = format!(
            "{}|updated|one_password_audit_event_aux_details:{}",
            keys.text(KeyId::new(AUDIT_EVENT, 1)),
            "AAAAAAAAAAAAAAAAAAAAAAAAAA"
        );
        assert_eq!(keys.any(&other).kind(), None, "a user that the event did not show");
    }
}
