//! The data model as people and programs read it: every type and every property.

use std::fmt::Write;

use serde::Serialize;

use super::types::{EntityType, Kind, RelationshipType, Sharing};

/// All types of entities and relationships.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Schema {
    /// The entities.
    pub entities: Vec<EntitySchema>,
    /// The relationships.
    pub relationships: Vec<RelationshipSchema>,
}

/// A type of entity.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EntitySchema {
    /// What one of them is.
    pub about: &'static str,
    /// The `_type`.
    #[serde(rename = "_type")]
    pub name: &'static str,
    /// The `_class`.
    #[serde(rename = "_class")]
    pub class: [&'static str; 1],
    /// Whether many events name the same entity, of which the newest version counts.
    pub shared: bool,
    /// What it may have beside `_key`, `_type`, `_class`, `_rawData` and `tag.AccountName`.
    pub properties: Vec<PropertySchema>,
}

/// A property of an entity.
#[derive(Clone, Debug, Serialize)]
pub struct PropertySchema {
    /// Its name.
    pub name: &'static str,
    /// `string`, `array of strings`, `number`, `boolean` or `time` (milliseconds since 1970, UTC).
    #[serde(rename = "type")]
    pub of: &'static str,
}

/// A type of relationship.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RelationshipSchema {
    /// What one of them says.
    pub about: &'static str,
    /// The `_type`.
    #[serde(rename = "_type")]
    pub name: &'static str,
    /// The `_class`.
    #[serde(rename = "_class")]
    pub class: &'static str,
    /// The `_type` it starts at.
    pub from_type: &'static str,
    /// The `_type` it ends at.
    pub to_type: &'static str,
    /// Whether many events name the same relationship.
    pub shared: bool,
}

/// Returns the data model.
pub fn schema() -> Schema {
    let entity = |of: &EntityType| EntitySchema {
        about: of.about(),
        name: of.name(),
        class: [of.class()],
        shared: of.sharing() == Sharing::Shared,
        properties: of
            .properties()
            .iter()
            .map(|one| PropertySchema { name: one.name, of: named(one.kind) })
            .collect(),
    };
    let relationship = |of: &RelationshipType| RelationshipSchema {
        about: of.about(),
        name: of.name(),
        class: of.verb(),
        from_type: of.from().name(),
        to_type: of.to().name(),
        shared: of.sharing() == Sharing::Shared,
    };
    Schema {
        entities: EntityType::ALL.iter().map(entity).collect(),
        relationships: RelationshipType::ALL.iter().map(relationship).collect(),
    }
}

fn named(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "string",
        Kind::Texts => "array of strings",
        Kind::Number => "number",
        Kind::Boolean => "boolean",
        Kind::Time => "time",
    }
}

impl Schema {
    /// Writes it as Markdown: docs/DATA_MODEL.md is this text.
    pub fn markdown(&self) -> String {
        let mut text = PREFACE.to_owned();
        let entity = |text: &mut String, of: &EntitySchema| -> std::fmt::Result {
            writeln!(
                text,
                "\n### `{}`\n\n{} Class `{}`; {}.\n",
                of.name,
                of.about,
                of.class[0],
                sharing(of.shared)
            )?;
            writeln!(text, "| property | type |\n|---|---|")?;
            of.properties.iter().try_for_each(|one| writeln!(text, "| `{}` | {} |", one.name, one.of))
        };
        let relationship = |text: &mut String, of: &RelationshipSchema| -> std::fmt::Result {
            let (ends, shared) =
                (format!("| `{}` | `{}` | `{}`", of.from_type, of.class, of.to_type), sharing(of.shared));
            writeln!(text, "{ends} | `{}` | {} | {shared} |", of.name, of.about)
        };
        // Writing into a text does not fail.
        let _ = writeln!(text, "\n## Entities");
        let _ = self.entities.iter().try_for_each(|of| entity(&mut text, of));
        let _ = writeln!(
            text,
            "\n## Relationships\n\n| from | class | to | `_type` | what it says | |\n|---|---|---|---|---|---|"
        );
        let _ = self.relationships.iter().try_for_each(|of| relationship(&mut text, of));
        text
    }
}

fn sharing(shared: bool) -> &'static str {
    if shared { "shared: the newest version counts" } else { "one event's own: it never changes" }
}

const PREFACE: &str = "\
# Data model

What opgraph writes, type by type. `opgraph schema` prints this page, `opgraph schema --json` the same for programs.

- The `_key` of an entity is `<_type>:<id>`, the id being 1Password's, as it was sent. The `_key` of a relationship is
  `<from _key>|<class in lower case>|<to _key>`.
- A property without a value is absent, but for those that JupiterOne's class demands: they are `null`.
- A time is milliseconds since 1970, UTC. A string holds at most 4,096 characters.
- With `raw_data = true` (the default) the three events carry `_rawData`: the event as it was received. With
  `tag_account_name = true` every entity carries `tag.AccountName`.
- No secret value is ever read: of an item's detail, the labels of its sections and the names of its files.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_the_documentation_is_what_the_program_prints() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/DATA_MODEL.md");
        let printed = schema().markdown();
        if std::env::var_os("OPGRAPH_WRITE_DOCS").is_some() {
            std::fs::write(page, &printed).unwrap();
        }
        let kept = std::fs::read_to_string(page).unwrap();
        assert!(
            kept == printed,
            "docs/DATA_MODEL.md is old: `OPGRAPH_WRITE_DOCS=1 cargo test --lib schema` writes it anew"
        );
    }

    #[test]
    fn nothing_of_the_model_is_left_out() {
        let schema = schema();
        assert_eq!((schema.entities.len(), schema.relationships.len()), (10, 8));
        let page = schema.markdown();
        let properties = schema.entities.iter().flat_map(|of| of.properties.iter().map(|one| one.name));
        let names =
            schema.entities.iter().map(|of| of.name).chain(schema.relationships.iter().map(|of| of.name));
        for name in names.chain(properties) {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
        let json = serde_json::to_value(&schema).unwrap();
        assert_eq!(json["entities"][8]["_type"], "one_password_vault");
        assert_eq!(json["relationships"][6]["fromType"], "one_password_vault");
        assert_eq!(json["entities"][9]["_class"], serde_json::json!(["Secret"]));
    }
}
