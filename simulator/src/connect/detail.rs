//! An item in full, with secrets that are obviously none: every one holds a text that a test can search for.
//!
//! Source: Connect's OpenAPI file, FullItem, Field, File; the types that its SDKs' fixtures add; a section that a
//! field names need not be there (connect-sdk-python's fixture).

use serde::Serialize;

use super::{
    Contents,
    item::{Item, salt},
    state::ItemState,
};
use crate::{
    generate::lower_uuid,
    mix::{Dice, mix},
};

/// The entropy of every field that tells one.
const ENTROPY: f64 = 97.531_864_2;

/// How the id of every file begins, and so what leads to its content.
const FILE: &str = "canaryfile";

const TYPES: [&str; 18] = [
    "STRING",
    "EMAIL",
    "CONCEALED",
    "URL",
    "TOTP",
    "DATE",
    "MONTH_YEAR",
    "MENU",
    "OTP",
    "ADDRESS",
    "CREDIT_CARD_NUMBER",
    "CREDIT_CARD_TYPE",
    "GENDER",
    "PHONE",
    "REFERENCE",
    "FILE",
    "SSHKEY",
    "UNKNOWN",
];

const LABELS: [&str; 6] = ["Related Items", "Sécurité", "設定", "", "one\nand two", "Дополнительно"];

const FILES: [&str; 4] = ["recovery kit.pdf", "schlüssel.pem", "写真.png", "no-extension"];

/// Returns texts of which every secret holds one.
pub(crate) fn secret_canaries(seed: u64) -> Vec<String> {
    vec![prefix(seed), ENTROPY.to_string(), FILE.to_owned()]
}

fn prefix(seed: u64) -> String {
    format!("canary-{:016x}", mix(seed ^ 0x6361_6e61_7279))
}

/// An item with its sections, fields and files.
#[derive(Debug, Serialize)]
pub(super) struct FullItem<'a> {
    #[serde(flatten)]
    item: Item<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sections: Option<Vec<Section>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<Vec<Field>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Vec<File>>,
}

#[derive(Debug, Serialize)]
struct Section {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct SectionRef {
    id: String,
}

#[derive(Debug, Default, Serialize)]
struct Field {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    section: Option<SectionRef>,
    #[serde(rename = "type")]
    type_: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    purpose: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generate: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recipe: Option<Recipe>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entropy: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    totp: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Recipe {
    length: u8,
    character_sets: [&'static str; 2],
    exclude_characters: String,
}

/// A file. The one name that is not in camel case is the wire's.
#[derive(Debug, Serialize)]
struct File {
    id: String,
    name: &'static str,
    size: u32,
    content_path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    section: Option<SectionRef>,
}

impl Contents {
    /// Returns an item of a vault in full, as it is in `state`.
    pub(super) fn detail(&self, vault: u32, state: &ItemState) -> FullItem<'_> {
        let item = self.item(vault, state);
        let number = state.number;
        let mut dice = Dice::new(self.seed ^ 0x6465_7461_696c ^ mix(number) ^ salt(state));
        let sections: Vec<Section> = (0..dice.below(4)).map(|at| section(&mut dice, at == 0)).collect();
        let secrets = Secrets { prefix: prefix(self.seed), number, edits: state.edits, told: 0 };
        let fields = fields(&mut dice, secrets, &sections, item.category);
        let count = if item.category == "DOCUMENT" { 1 } else { dice.below(6).saturating_sub(3) };
        let files: Vec<File> = (0..count).map(|_| file(&mut dice, &item, &sections)).collect();
        // What is empty is now and then left out.
        let keep = dice.chance(50);
        FullItem {
            sections: Some(sections).filter(|list| keep || !list.is_empty()),
            fields: Some(fields).filter(|list| keep || !list.is_empty()),
            files: Some(files).filter(|list| keep || !list.is_empty()),
            item,
        }
    }
}

/// Makes the secret texts of one item, no two of them equal.
struct Secrets {
    prefix: String,
    number: u64,
    edits: u32,
    told: u32,
}

impl Secrets {
    fn next(&mut self) -> String {
        self.told += 1;
        format!("{}-{}-{}-{}", self.prefix, self.number, self.edits, self.told)
    }
}

fn section(dice: &mut Dice, is_first: bool) -> Section {
    let id = if is_first && dice.chance(20) {
        "linked items".to_owned()
    } else {
        format!("Section_{:016X}", dice.next())
    };
    Section { id, label: (!dice.chance(10)).then(|| *dice.pick(&LABELS)) }
}

/// Picks a section, or none, or now and then one that is not there.
fn pick(dice: &mut Dice, sections: &[Section]) -> Option<SectionRef> {
    let id = match dice.below(8) {
        0..=2 => return None,
        3 => format!("Section_{:016X}", dice.next()),
        _ if sections.is_empty() => return None,
        _ => dice.pick(sections).id.clone(),
    };
    Some(SectionRef { id })
}

fn fields(dice: &mut Dice, mut secrets: Secrets, sections: &[Section], category: &str) -> Vec<Field> {
    let mut fields = Vec::new();
    if category == "LOGIN" {
        let field = |id: &str, purpose, type_, value| Field {
            id: id.to_owned(),
            type_,
            purpose: Some(purpose),
            label: Some("login"),
            value: Some(value),
            ..Field::default()
        };
        fields.push(field("username", "USERNAME", "STRING", format!("{}@example.com", secrets.next())));
        fields.push(Field {
            entropy: Some(ENTROPY),
            generate: dice.chance(50).then_some(true),
            recipe: dice.chance(50).then(|| Recipe {
                length: 32,
                character_sets: ["LETTERS", "DIGITS"],
                exclude_characters: secrets.next(),
            }),
            ..field("password", "PASSWORD", "CONCEALED", format!("{}\"\\{{山}}", secrets.next()))
        });
    }
    if dice.chance(40) {
        fields.push(Field {
            id: "notesPlain".to_owned(),
            type_: "STRING",
            purpose: Some("NOTES"),
            label: Some("notesPlain"),
            value: Some(format!("{}\nand a second line: {}", secrets.next(), secrets.next())),
            ..Field::default()
        });
    }
    for _ in 0..dice.below(8) {
        let type_ = *dice.pick(&TYPES);
        let is_code = matches!(type_, "TOTP" | "OTP");
        fields.push(Field {
            id: format!("{:016X}", dice.next()),
            section: pick(dice, sections),
            type_,
            purpose: dice.chance(30).then_some(""),
            label: dice.chance(90).then(|| *dice.pick(&LABELS)),
            value: match is_code {
                true => Some(format!("otpauth://totp/opgraph?secret={}", secrets.next())),
                false => dice.chance(90).then(|| secrets.next()),
            },
            totp: is_code.then(|| secrets.next()),
            entropy: (type_ == "CONCEALED").then_some(ENTROPY),
            ..Field::default()
        });
    }
    fields
}

fn file(dice: &mut Dice, item: &Item<'_>, sections: &[Section]) -> File {
    let id = format!("{FILE}{}", &lower_uuid(dice.next())[..26 - FILE.len()]);
    let name = *dice.pick(&FILES);
    File {
        name,
        size: dice.below(1 << 20) as u32,
        content_path: format!("v1/vaults/{}/items/{}/files/{id}/content", item.vault.id, item.id),
        section: pick(dice, sections),
        id,
    }
}
