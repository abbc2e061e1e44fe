//! Items as a list of Connect tells them: without sections and fields.
//!
//! Source: Connect's OpenAPI file, Item. `state` is absent of an active item, and no other is listed.

use serde::Serialize;

use super::{Connect, vault::dates};
use crate::mix::{Dice, mix};

const TITLES: [&str; 10] = [
    "Mail",
    "Router Küche",
    "銀行",
    "Пароль к базе",
    "CEO's \"private\" card",
    "back\\slash / slash",
    "👩‍🚀 launch codes",
    "حساب",
    "Ångström licence",
    "prod\tdb",
];

/// Every category of the source, and one that no list has, since enumerations grow.
const CATEGORIES: [&str; 23] = [
    "LOGIN",
    "PASSWORD",
    "API_CREDENTIAL",
    "SERVER",
    "DATABASE",
    "CREDIT_CARD",
    "MEMBERSHIP",
    "PASSPORT",
    "SOFTWARE_LICENSE",
    "OUTDOOR_LICENSE",
    "SECURE_NOTE",
    "WIRELESS_ROUTER",
    "BANK_ACCOUNT",
    "DRIVER_LICENSE",
    "IDENTITY",
    "REWARD_PROGRAM",
    "DOCUMENT",
    "EMAIL_ACCOUNT",
    "SOCIAL_SECURITY_NUMBER",
    "MEDICAL_RECORD",
    "SSH_KEY",
    "CUSTOM",
    "ORCHARD",
];

const TAGS: [&str; 5] = ["prod", "Büro", "team/ops", "旧", "a tag, with a comma"];

/// Letters of the longest title: over the 4,096 that a property keeps.
const LONG: usize = 5000;

/// An item of a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Item<'a> {
    pub(super) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tags: Option<Vec<&'static str>>,
    pub(super) vault: VaultRef<'a>,
    pub(super) category: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) urls: Option<Vec<Url>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) favorite: Option<bool>,
    pub(super) version: u32,
    /// The uuid of a user, in upper case as events write it.
    pub(super) last_edited_by: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) created_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) updated_at: Option<String>,
}

/// The vault an item is in.
#[derive(Debug, Serialize)]
pub(super) struct VaultRef<'a> {
    pub(super) id: &'a str,
}

/// A website of an item.
#[derive(Debug, Serialize)]
pub(super) struct Url {
    href: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary: Option<bool>,
}

/// Returns the version of an item, at least 1.
pub(super) fn version(seed: u64, number: u64) -> u32 {
    1 + (mix(seed ^ 0x7665_7273 ^ mix(number)) % 30) as u32
}

impl Connect {
    /// Returns an active item by its number.
    pub(super) fn item(&self, number: u64) -> Item<'_> {
        let cast = &self.world.cast;
        let mut dice = Dice::new(self.seed ^ 0x6974_656d_7300 ^ mix(number));
        let title = match dice.below(64) {
            0 => None,
            1 => Some(String::new()),
            2 => Some("é".repeat(LONG)),
            _ => Some(format!("{} {}", dice.pick(&TITLES), dice.below(50))),
        };
        let tags = dice.chance(50).then(|| {
            let first = dice.below(TAGS.len());
            TAGS.iter().copied().skip(first).take(dice.below(4)).collect()
        });
        let category = *dice.pick(&CATEGORIES);
        let [created_at, updated_at] = dates(&mut dice, self.world.start);
        Item {
            id: cast.items.id(number),
            title,
            tags,
            vault: VaultRef { id: &cast.vaults[cast.items.vault_of(number)] },
            category: if dice.chance(50) { "LOGIN" } else { category },
            urls: dice.chance(60).then(|| urls(&mut dice, number)),
            favorite: *dice.pick(&[None, None, Some(true), Some(false)]),
            version: version(self.seed, number),
            last_edited_by: &dice.pick(&cast.people).uuid,
            created_at,
            updated_at,
        }
    }
}

fn urls(dice: &mut Dice, number: u64) -> Vec<Url> {
    (0..dice.below(3))
        .map(|at| Url {
            href: format!("https://site{}.example.com/login?from={at}", number % 100),
            label: *dice.pick(&[None, Some("website"), Some("")]),
            primary: *dice.pick(&[None, Some(at == 0)]),
        })
        .collect()
}
