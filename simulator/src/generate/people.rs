//! The users and vaults that events are about; the users with names and addresses that change while the uuid stays.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use super::{
    items::Items,
    json::{Field, Object},
    uuid::{self, Numbered},
    words,
};
use crate::{
    Config,
    mix::{Dice, mix},
};

/// Quarters of the history; a user's name may be another one in each.
pub(crate) const ERAS: usize = 4;

/// How many users at the end are odd in some way.
pub(crate) const ODD: usize = 5;

/// Letters of the longest name: over the 4,096 that a property keeps.
const LONG: usize = 5000;

/// The most vaults there can ever be, so that a key holds a vault's number in 20 bits.
pub(crate) const MOST_VAULTS: u32 = 1 << 20;

/// Who and what events are about.
#[derive(Debug)]
pub(crate) struct Cast {
    pub(crate) people: Vec<User>,
    /// The ids of the vaults there were from the start, which alone events name.
    pub(crate) vaults: Vec<String>,
    /// The ids of the vaults made since.
    later_vaults: Numbered,
    /// What the vaults hold.
    pub(crate) items: Items,
    users_by_uuid: Numbers,
    vaults_by_id: Numbers,
}

type Numbers = HashMap<Box<str>, u32, foldhash::fast::FixedState>;

impl Cast {
    /// Makes the users and vaults of a configuration.
    pub(crate) fn new(config: &Config) -> Cast {
        let seed = config.seed;
        let people = people(seed, config.users as usize);
        let vaults: Vec<String> =
            (0..u64::from(config.vaults)).map(|at| uuid::lower(mix(seed) ^ at)).collect();
        let numbers = |list: Vec<&String>| {
            list.iter().enumerate().map(|(at, id)| (id.as_str().into(), at as u32)).collect()
        };
        Cast {
            users_by_uuid: numbers(people.iter().map(|user| &user.uuid).collect()),
            vaults_by_id: numbers(vaults.iter().collect()),
            items: Items::new(seed, config.vaults, config.items_per_vault),
            later_vaults: Numbered::new(seed ^ 0x6c61_7465_7200),
            people,
            vaults,
        }
    }

    /// Returns the number of the user with this uuid.
    pub(crate) fn user(&self, uuid: &str) -> Option<u32> {
        self.users_by_uuid.get(uuid).copied()
    }

    /// Returns the number of the vault with this id, there or not: below [`MOST_VAULTS`].
    pub(crate) fn vault(&self, id: &str) -> Option<u32> {
        self.vaults_by_id.get(id).copied().or_else(|| {
            let later = self.later_vaults.lower_number_of(id)?;
            u32::try_from(later).ok()?.checked_add(self.vaults.len() as u32).filter(|at| *at < MOST_VAULTS)
        })
    }

    /// Returns the id of a vault, there or not.
    pub(crate) fn vault_id(&self, at: u32) -> Cow<'_, str> {
        match self.vaults.get(at as usize) {
            Some(id) => Cow::Borrowed(id),
            None => Cow::Owned(self.later_vaults.lower(u64::from(at) - self.vaults.len() as u64)),
        }
    }
}

/// One user of the account.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) uuid: String,
    versions: [Version; ERAS],
}

/// What 1Password knew of a user at one time.
#[derive(Clone, Debug, Default, PartialEq)]
struct Version {
    name: String,
    email: String,
}

/// Makes `count` users. Always among them, from the end: one with a very long name, one whose address is no
/// address, one with an address and no name, one with neither, one of a single word.
fn people(seed: u64, count: usize) -> Vec<User> {
    let mut dice = Dice::new(seed ^ 0x7065_6f70_6c65);
    (0..count)
        .map(|at| {
            let first = *dice.pick(&words::FIRST_NAMES);
            let mut last = *dice.pick(&words::LAST_NAMES);
            let mut email = format!("user{at}@example.com");
            let changes = dice.below(ERAS);
            let kind = dice.below(10);
            let versions = std::array::from_fn(|era| {
                if era == changes && kind < 2 {
                    last = *dice.pick(&words::LAST_NAMES);
                    email = format!("user{at}.{era}@example.org");
                }
                let full = Version { name: format!("{first} {last}"), email: email.clone() };
                match count - at {
                    1 => Version { name: "é".repeat(LONG), ..full },
                    2 => Version { email: "not an address".to_owned(), ..full },
                    3 => Version { name: String::new(), ..full },
                    4 => Version::default(),
                    5 => Version { name: first.to_owned(), ..full },
                    _ => full,
                }
            });
            User { uuid: uuid::upper(dice.next()), versions }
        })
        .collect()
}

/// How an event shows a user: which of its fields are there.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Index of the user.
    pub(crate) user: usize,
    uuid: Field<()>,
    name: Field<()>,
    email: Field<()>,
    /// `user_type` and `user_account_uuid`, MSP accounts only.
    msp: bool,
}

impl Seen {
    /// Shows a user in full.
    pub(crate) fn full(user: usize) -> Seen {
        Seen { user, uuid: Field::Is(()), name: Field::Is(()), email: Field::Is(()), msp: false }
    }

    /// Shows a user with some fields missing now and then; with nothing but the uuid when `blank`.
    pub(crate) fn roll(dice: &mut Dice, user: usize, blank: bool) -> Seen {
        let mut field = |present: u64| match dice.below(100) as u64 {
            n if n < present => Field::Is(()),
            n if n % 3 == 0 => Field::Null,
            _ => Field::Absent,
        };
        let (uuid, name, email) = (field(96), field(95), field(95));
        let msp = dice.chance(6);
        let gone = || Field::Absent;
        match blank || dice.chance(3) {
            true => Seen { user, uuid, name: gone(), email: gone(), msp },
            false => Seen { user, uuid, name, email, msp },
        }
    }

    pub(crate) fn write(&self, people: &[User], era: usize, object: &mut Object) {
        let user = &people[self.user];
        let version = &user.versions[era];
        object.text("uuid", &told(&self.uuid, &user.uuid));
        object.text("name", &told(&self.name, &version.name));
        object.text("email", &told(&self.email, &version.email));
        if self.msp {
            object.json("user_type", "\"external_user\"");
            object.json("user_account_uuid", format!("\"{}\"", uuid::upper(77)));
        }
    }

    /// Whether the event tells the user's uuid here.
    pub(crate) fn has_uuid(&self) -> bool {
        self.uuid.get().is_some()
    }

    /// Returns the name, else the address, as the event tells them.
    pub(crate) fn label(&self, people: &[User], era: usize) -> Option<Arc<str>> {
        let version = &people[self.user].versions[era];
        let told = |field: &Field<()>, text: &str| {
            (field.get().is_some() && !text.is_empty()).then(|| Arc::from(text))
        };
        told(&self.name, &version.name).or_else(|| told(&self.email, &version.email))
    }
}

fn told(field: &Field<()>, text: &str) -> Field<String> {
    match field {
        Field::Absent => Field::Absent,
        Field::Null => Field::Null,
        Field::Is(()) => Field::Is(text.to_owned()),
    }
}
