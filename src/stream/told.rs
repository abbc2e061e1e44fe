//! What a page has told of users and vaults.

use std::collections::{HashMap, hash_map::Entry};

use foldhash::fast::FixedState;
use opgraph_state::Version;

use super::parts::{User, filled};
use crate::graph::{EntityType, Records, Text};

/// What an event tells of a user, its uuid aside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Profile<'e> {
    /// The full name.
    pub(super) name: Option<Text<'e>>,
    /// The e-mail address.
    pub(super) email: Option<Text<'e>>,
    /// The account the user belongs to, where the entity says it.
    pub(super) account: Option<Text<'e>>,
    /// The type of the user, where the entity says it.
    pub(super) kind: Option<Text<'e>>,
}

impl<'e> Profile<'e> {
    /// Name and e-mail of a user.
    pub(super) fn of(user: &User<'e>) -> Profile<'e> {
        Profile { name: filled(user.name), email: filled(user.email), ..Profile::default() }
    }

    /// What a person calls the user: the name, else the e-mail.
    pub(super) fn called(&self) -> Option<Text<'e>> {
        self.name.or(self.email)
    }
}

/// The shared entities that a page has told of, each as it did last.
///
/// Most events name somebody whom an event of the same page has named, with
/// nothing new to say. Such a record is not written again; only its version
/// follows. Whether it is the same is seen in what it would be made of.
#[derive(Default)]
pub(super) struct Told<'e> {
    last: HashMap<(EntityType, Text<'e>), Telling<'e>, FixedState>,
}

struct Telling<'e> {
    profile: Profile<'e>,
    /// The number of the record.
    number: usize,
    /// What writing it answered.
    answer: bool,
}

impl<'e> Told<'e> {
    /// Has `write` write the record of an entity, unless the page has told the
    /// same of it last; answers what `write` did.
    pub(super) fn once(
        &mut self,
        of: EntityType,
        id: Text<'e>,
        profile: Profile<'e>,
        version: Version,
        records: &mut Records,
        write: impl FnOnce(&mut Records) -> bool,
    ) -> bool {
        match self.last.entry((of, id)) {
            Entry::Occupied(told) if told.get().profile == profile => {
                records.again(told.get().number, version);
                told.get().answer
            }
            entry => {
                let number = records.len();
                let answer = write(records);
                entry.insert_entry(Telling { profile, number, answer });
                answer
            }
        }
    }
}
