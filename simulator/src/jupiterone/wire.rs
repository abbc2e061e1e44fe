//! Reading upload bodies: one pass over the text, borrowing from it, judging every property on the way.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::rules::{self, ClassFields};
use crate::{
    kinds::{KINDS, SECRET, VAULT},
    oracle::{Mark, Marks},
};

/// A string that borrows from the body where it can.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<'de>, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Reader)
    }
}

/// A property's value, as far as the rules look into it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Number(f64),
    Text(Cow<'a, str>),
    /// An array of strings, or an empty one.
    Texts(Vec<Cow<'a, str>>),
    /// An array of numbers, of booleans or of nulls.
    Scalars,
    /// An array of different things.
    Mixed,
    /// An array that holds arrays or objects.
    Nested,
    Object,
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value<'de>, D::Error> {
        deserializer.deserialize_any(ValueReader)
    }
}

impl Value<'_> {
    /// Returns what the oracle compares.
    fn mark(&self) -> Option<Mark> {
        Some(match self {
            Value::Null => return None,
            Value::Bool(is) => Mark::of_bool(*is),
            Value::Number(number) => Mark::of_number(*number),
            Value::Text(text) => Mark::of_text(text),
            Value::Texts(texts) => return Mark::of_texts(texts.iter().map(|text| text.as_ref())),
            Value::Scalars | Value::Mixed | Value::Nested | Value::Object => Mark::ODD,
        })
    }
}

/// Whether entities of a type come from Connect.
fn is_of_connect(type_: &str) -> bool {
    [VAULT, SECRET].iter().any(|kind| KINDS[*kind as usize].type_ == type_)
}

struct ValueReader;

impl<'de> Visitor<'de> for ValueReader {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, is: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(is))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value<'de>, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value<'de>, E> {
        Ok(Value::Number(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value<'de>, A::Error> {
        let mut all = Value::Texts(Vec::new());
        let mut first = None;
        while let Some(item) = items.next_element::<Value<'de>>()? {
            let sort = match &item {
                Value::Text(_) => 0,
                Value::Number(_) => 1,
                Value::Bool(_) => 2,
                Value::Null => 3,
                _ => 4,
            };
            let mixed = *first.get_or_insert(sort) != sort;
            all = match (all, item) {
                (Value::Nested, _) => Value::Nested,
                _ if sort == 4 => Value::Nested,
                _ if mixed => Value::Mixed,
                (Value::Texts(mut texts), Value::Text(text)) => {
                    texts.push(text);
                    Value::Texts(texts)
                }
                (Value::Mixed, _) => Value::Mixed,
                _ => Value::Scalars,
            };
        }
        Ok(all)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value<'de>, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Object)
    }
}

/// One entity of an upload, with the first rule it breaks.
#[derive(Debug, Default)]
pub(super) struct Entity<'a> {
    pub(super) key: Cow<'a, str>,
    pub(super) type_: Cow<'a, str>,
    pub(super) class: Cow<'a, str>,
    pub(super) name: Option<Cow<'a, str>>,
    pub(super) display_name: Option<Cow<'a, str>>,
    pub(super) created_on: Option<i64>,
    /// The properties of a vault or secret.
    pub(super) marks: Option<Box<Marks>>,
    pub(super) broken: Option<String>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Entity<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Entity<'a>, D::Error> {
        deserializer.deserialize_map(EntityReader)
    }
}

struct EntityReader;

impl<'de> Visitor<'de> for EntityReader {
    type Value = Entity<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entity")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Entity<'de>, A::Error> {
        let mut entity = Entity::default();
        let mut broken = None;
        let mut of_class = ClassFields::default();
        let mut classes = Vec::new();
        let mut marks = Marks::default();
        while let Some(Text(name)) = fields.next_key::<Text<'de>>()? {
            if name == "_rawData" {
                // Only its outermost form is looked at: the rest is the source's own.
                let raw: &serde_json::value::RawValue = fields.next_value()?;
                if !raw.get().starts_with(['[', '{']) {
                    broken.get_or_insert_with(|| "_rawData is no array of raw data".to_owned());
                }
                continue;
            }
            let value: Value<'de> = fields.next_value()?;
            let fault = match name.as_ref() {
                "_class" => rules::classes(&value, &mut classes),
                "_key" | "_type" => match &value {
                    Value::Text(_) => None,
                    _ => Some("is not a string"),
                },
                name if name.starts_with('_') => Some("may not begin with _"),
                name => rules::name(name).or_else(|| rules::value(&value)),
            };
            if let Some(fault) = fault {
                broken.get_or_insert_with(|| format!("{name} {fault}"));
            }
            of_class.see(&name, &value);
            if entity.type_.is_empty() || is_of_connect(&entity.type_) {
                marks.see(&name, value.mark());
            }
            match (name.as_ref(), value) {
                ("_key", Value::Text(text)) => entity.key = text,
                ("_type", Value::Text(text)) => entity.type_ = text,
                ("name", Value::Text(text)) => entity.name = Some(text),
                ("displayName", Value::Text(text)) => entity.display_name = Some(text),
                ("createdOn", Value::Number(number)) => entity.created_on = Some(number as i64),
                _ => {}
            }
        }
        entity.broken = broken
            .or_else(|| rules::identity(&entity.key, &entity.type_))
            .or_else(|| of_class.missing(&classes));
        entity.marks = is_of_connect(&entity.type_).then(|| Box::new(marks));
        entity.class = classes.into_iter().next().unwrap_or_default();
        Ok(entity)
    }
}

/// One relationship of an upload, with the first rule it breaks.
#[derive(Debug, Default)]
pub(super) struct Relationship<'a> {
    pub(super) key: Cow<'a, str>,
    pub(super) type_: Cow<'a, str>,
    pub(super) class: Cow<'a, str>,
    pub(super) display_name: Option<Cow<'a, str>>,
    pub(super) from: End<'a>,
    pub(super) to: End<'a>,
    /// Whether it has a `_mapping`: then it has no ends.
    pub(super) mapped: bool,
    pub(super) broken: Option<String>,
}

/// One end of a relationship: a key, in its own scope or another one.
#[derive(Debug, Default)]
pub(super) struct End<'a> {
    pub(super) key: Option<Cow<'a, str>>,
    /// `_fromEntityId` or `_toEntityId`. No entity here has an id, so nothing is found by one.
    pub(super) id: bool,
    pub(super) source: Option<Cow<'a, str>>,
    pub(super) scope: Option<Cow<'a, str>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Relationship<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Relationship<'a>, D::Error> {
        deserializer.deserialize_map(RelationshipReader)
    }
}

struct RelationshipReader;

impl<'de> Visitor<'de> for RelationshipReader {
    type Value = Relationship<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a relationship")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Relationship<'de>, A::Error> {
        let mut relationship = Relationship::default();
        let mut broken = None;
        while let Some(Text(name)) = fields.next_key::<Text<'de>>()? {
            let value: Value<'de> = fields.next_value()?;
            let end = match name.as_bytes() {
                [b'_', b'f', ..] => &mut relationship.from,
                _ => &mut relationship.to,
            };
            let fault = match (name.as_ref(), value) {
                ("_key", Value::Text(text)) => set(&mut relationship.key, text),
                ("_type", Value::Text(text)) => set(&mut relationship.type_, text),
                ("_class", Value::Text(text)) => set(&mut relationship.class, text),
                ("_fromEntityKey" | "_toEntityKey", Value::Text(text)) => set(&mut end.key, Some(text)),
                ("_fromEntitySource" | "_toEntitySource", Value::Text(text)) => {
                    set(&mut end.source, Some(text))
                }
                ("_fromEntityScope" | "_toEntityScope", Value::Text(text)) => set(&mut end.scope, Some(text)),
                ("_fromEntityId" | "_toEntityId", Value::Text(_)) => set(&mut end.id, true),
                ("_mapping", Value::Object) => set(&mut relationship.mapped, true),
                ("displayName", Value::Text(text)) => set(&mut relationship.display_name, Some(text)),
                (name, _) if name.starts_with('_') => Some("is not what a relationship has"),
                (name, value) => rules::name(name).or_else(|| rules::scalar(&value)),
            };
            if let Some(fault) = fault {
                broken.get_or_insert_with(|| format!("{name} {fault}"));
            }
        }
        relationship.broken = broken
            .or_else(|| rules::identity(&relationship.key, &relationship.type_))
            .or_else(|| rules::verb(&relationship.class))
            .or_else(|| {
                let has = |end: &End<'_>| end.key.is_some() || end.id;
                let complete = relationship.mapped || has(&relationship.from) && has(&relationship.to);
                (!complete).then(|| "an end is missing".to_owned())
            });
        Ok(relationship)
    }
}

/// Stores a value; no rule is broken by that.
fn set<T>(place: &mut T, value: T) -> Option<&'static str> {
    *place = value;
    None
}

/// An upload body.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body<'a> {
    #[serde(borrow, default)]
    pub(super) entities: Option<Vec<Entity<'a>>>,
    #[serde(borrow, default)]
    pub(super) relationships: Option<Vec<Relationship<'a>>>,
}
