//! Items as a list of Connect tells them: without sections and fields.
//!
//! Source: Connect's OpenAPI file, Item. `state` is absent of an active item, and no other is listed unless the
//! configuration asks for it.

use std::borrow::Cow;

use serde::Serialize;

use super::{
    Contents,
    state::{ItemState, Presence},
    vault::{changed_text, dates},
};
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<&'static str>,
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
    pub(super) id: Cow<'a, str>,
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

/// Returns the version that an item began with, at least 1.
pub(super) fn first_version(seed: u64, number: u64) -> u32 {
    1 + (mix(seed ^ 0x7665_7273 ^ mix(number)) % 30) as u32
}

/// Returns what tells the texts of one edit of an item from those it began with.
pub(super) fn salt(state: &ItemState) -> u64 {
    if state.edits == 0 { 0 } else { mix(0x6564_6974 ^ u64::from(state.edits)) }
}

impl Contents {
    /// Returns an item of a vault as it is in `state`.
    pub(super) fn item(&self, vault: u32, state: &ItemState) -> Item<'_> {
        let number = state.number;
        let cast = &self.world.cast;
        let mut dice = Dice::new(self.seed ^ 0x6974_656d_7300 ^ mix(number) ^ salt(state));
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
        let category = if dice.chance(50) { "LOGIN" } else { category };
        let urls = dice.chance(60).then(|| urls(&mut dice, number));
        let favorite = *dice.pick(&[None, None, Some(true), Some(false)]);
        let editor = dice.below(cast.people.len());
        Item {
            id: cast.items.id(number),
            title,
            tags,
            vault: VaultRef { id: cast.vault_id(vault) },
            category,
            urls,
            favorite,
            version: state.raised + if state.made.is_some() { 1 } else { first_version(self.seed, number) },
            state: match state.presence {
                Presence::Archived => Some("ARCHIVED"),
                Presence::Deleted => Some("DELETED"),
                Presence::Active | Presence::Moved => None,
            },
            last_edited_by: &cast.people[state.changed.map_or(editor, |(_, user)| user as usize)].uuid,
            created_at: match state.made {
                Some(time) => Some(changed_text(time)),
                None if state.edits > 0 => self.item(vault, &ItemState::began(number)).created_at,
                None => created_at,
            },
            updated_at: state.changed.map_or(updated_at, |(time, _)| Some(changed_text(time))),
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
