//! Vaults as Connect tells them.
//!
//! Source: Connect's OpenAPI file, Vault; its SDKs' fixtures leave out the description and both dates.

use serde::Serialize;

use super::{Connect, item};
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
    pub(super) id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
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

impl Connect {
    /// Returns a vault by its index.
    pub(super) fn vault(&self, at: usize) -> Vault<'_> {
        let cast = &self.world.cast;
        let mut dice = Dice::new(self.seed ^ 0x7661_756c_7400 ^ mix(at as u64));
        let attribute_version = 1 + dice.below(5) as u64;
        let numbers = cast.items.of_vault(at);
        let versions: u64 = numbers.map(|number| u64::from(item::version(self.seed, number))).sum();
        let [created_at, updated_at] = dates(&mut dice, self.world.start);
        Vault {
            id: &cast.vaults[at],
            name: (at % 11 != 10).then(|| match at < NAMES.len() {
                true => NAMES[at].to_owned(),
                false => format!("{} {}", dice.pick(&NAMES), at),
            }),
            description: (at % 3 != 1)
                .then(|| *dice.pick(&["", "What the team shares", "説明\nin two lines"])),
            attribute_version,
            content_version: attribute_version + versions,
            items: cast.items.count(at),
            type_: if at == 0 { "EVERYONE" } else { TYPES[(at - 1) % TYPES.len()] },
            created_at: created_at.filter(|_| at % 5 != 3),
            updated_at: updated_at.filter(|_| at % 5 != 3),
        }
    }
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
