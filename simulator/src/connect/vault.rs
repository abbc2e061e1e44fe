//! Vaults as Connect tells them.
//!
//! Source: Connect's OpenAPI file, Vault; its SDKs' fixtures leave out the description and both dates.

use std::borrow::Cow;

use serde::Serialize;

use super::{Contents, item, state::VaultState};
use crate::{
    generate::TimeForm,
    mix::{Dice, mix},
};

const NAMES: [&str; 8] = [
    "Engineering",
    "Finance \"2026\"",
    "Büro Zürich",
    "人事部",
    "Общий сейф",
    "Ops / on-call",
    "O'Neill & Sons",
    "خزنة",
];

/// Types of all vaults but the first. The last one is in no list, since enumerations grow.
const TYPES: [&str; 6] = ["USER_CREATED", "PERSONAL", "USER_CREATED", "TRANSFER", "USER_CREATED", "ORCHARD"];

/// A vault.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Vault<'a> {
    pub(super) id: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<&'static str>,
    pub(super) attribute_version: u64,
    /// Greater whenever an item of the vault has a greater version.
    pub(super) content_version: u64,
    /// Active items.
    pub(super) items: u64,
    #[serde(rename = "type")]
    pub(super) type_: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) updated_at: Option<String>,
}

impl Contents {
    /// Returns a vault as it is in `state`.
    pub(super) fn vault<'a>(&'a self, state: &'a VaultState) -> Vault<'a> {
        let (cast, at) = (&self.world.cast, state.at as usize);
        let mut dice = Dice::new(self.seed ^ 0x7661_756c_7400 ^ mix(at as u64));
        let attribute_version = if state.made.is_some() { 1 } else { 1 + dice.below(5) as u64 };
        let numbers = cast.items.of_vault(at);
        let versions: u64 = numbers.map(|number| u64::from(item::first_version(self.seed, number))).sum();
        let [created_at, updated_at] = dates(&mut dice, self.world.start);
        // Rolled even when it is not told, so that a rename changes nothing else.
        let first_name = (at % 11 != 10).then(|| match at < NAMES.len() {
            true => Cow::Borrowed(NAMES[at]),
            false => Cow::Owned(format!("{} {}", dice.pick(&NAMES), at)),
        });
        Vault {
            id: cast.vault_id(state.at),
            name: state.name.as_deref().map(Cow::Borrowed).or(first_name),
            description: (at % 3 != 1)
                .then(|| *dice.pick(&["", "What the team shares", "説明\nin two lines"])),
            attribute_version: attribute_version + state.attributes_raised,
            content_version: attribute_version + versions + state.contents_raised,
            items: state.items,
            type_: if at == 0 { "EVERYONE" } else { TYPES[(at - 1) % TYPES.len()] },
            created_at: match state.made {
                Some(time) => Some(changed_text(time)),
                None => created_at.filter(|_| at % 5 != 3),
            },
            updated_at: match state.changed {
                Some(time) => Some(changed_text(time)),
                None => updated_at.filter(|_| at % 5 != 3),
            },
        }
    }
}

/// Returns the time of a change as Connect tells it.
pub(super) fn changed_text(time: i64) -> String {
    let digits = [0, 9, 6, 3][time.div_euclid(1_000_000_000).rem_euclid(4) as usize];
    TimeForm { digits, east: None }.text(time)
}

/// Rolls when something was made and last changed, in this order, both before `start`; now and then not told.
pub(super) fn dates(dice: &mut Dice, start: i64) -> [Option<String>; 2] {
    const SECOND: i64 = 1_000_000_000;
    let mut before = |time: i64, days: usize| {
        time.saturating_sub(
            (1 + dice.below(days * 86_400)) as i64 * SECOND + dice.below(1_000_000_000) as i64,
        )
    };
    let updated = before(start, 90);
    let created = before(updated, 900);
    [created, updated].map(|time| {
        let digits = *dice.pick(&[0, 0, 0, 9, 6, 3]);
        (!dice.chance(4)).then(|| TimeForm { digits, east: None }.text(time))
    })
}
