//! The properties of a vault or secret as numbers: enough to say which one is wrong, small enough to keep.

use std::num::NonZeroU64;

use serde_json::{Map, Value};

use super::fingerprint;

/// Every property of the data model's table of vaults and secrets, but the two names.
const PROPERTIES: [&str; 17] = [
    "id",
    "description",
    "type",
    "attributeVersion",
    "contentVersion",
    "itemsCount",
    "createdOn",
    "updatedOn",
    "favorite",
    "version",
    "lastEditedBy",
    "vaultId",
    "vaultName",
    "category",
    "tags",
    "sectionLabels",
    "fileNames",
];

/// The value of a property as a number. Equal values have equal ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(NonZeroU64);

impl Mark {
    /// Of a value that no property has.
    pub(crate) const ODD: Mark = Mark(NonZeroU64::MIN);

    fn new(text: &str) -> Mark {
        Mark(NonZeroU64::new(fingerprint(text)).unwrap_or(NonZeroU64::MAX))
    }

    pub(crate) fn of_bool(is: bool) -> Mark {
        Mark::new(if is { "is" } else { "is not" })
    }

    pub(crate) fn of_number(number: f64) -> Mark {
        Mark::new(&format!("n{number}"))
    }

    pub(crate) fn of_text(text: &str) -> Mark {
        Mark::new(&format!("t{text}"))
    }

    /// Of an array: without order, repetition and empty texts, of which the data model says nothing.
    pub(crate) fn of_texts<'a>(texts: impl Iterator<Item = &'a str>) -> Option<Mark> {
        let mut texts: Vec<&str> = texts.filter(|text| !text.is_empty()).collect();
        texts.sort_unstable();
        texts.dedup();
        (!texts.is_empty()).then(|| Mark::new(&format!("a{texts:?}")))
    }

    fn of(value: &Value) -> Option<Mark> {
        Some(match value {
            Value::Null => return None,
            Value::Bool(is) => Mark::of_bool(*is),
            Value::Number(number) => number.as_f64().map_or(Mark::ODD, Mark::of_number),
            Value::String(text) => Mark::of_text(text),
            Value::Array(list) => match list.iter().map(Value::as_str).collect::<Option<Vec<&str>>>() {
                Some(texts) => return Mark::of_texts(texts.into_iter()),
                None => Mark::ODD,
            },
            Value::Object(_) => Mark::ODD,
        })
    }
}

/// The properties of one record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    known: [Option<Mark>; PROPERTIES.len()],
    /// The first property that neither a vault nor a secret has.
    other: Option<Box<str>>,
}

impl Marks {
    /// Returns the marks of properties by name.
    pub(crate) fn of(properties: &Map<String, Value>) -> Marks {
        let mut marks = Marks::default();
        for (name, value) in properties {
            marks.see(name, Mark::of(value));
        }
        marks
    }

    /// Takes in a property; null counts as none.
    pub(crate) fn see(&mut self, name: &str, mark: Option<Mark>) {
        if name.starts_with('_') || name.starts_with("tag.") || matches!(name, "name" | "displayName") {
            return;
        }
        match PROPERTIES.iter().position(|known| *known == name) {
            Some(at) => self.known[at] = mark,
            None if mark.is_some() && self.other.is_none() => self.other = Some(name.into()),
            None => {}
        }
    }

    /// Returns what is wrong with these properties where `right` are the right ones.
    pub(crate) fn fault(&self, right: &Map<String, Value>) -> Option<String> {
        if let Some(other) = &self.other {
            return Some(format!("it has a property {other}"));
        }
        let differs = |(at, name): &(usize, &&str)| self.known[*at] != right.get(**name).and_then(Mark::of);
        let (_, name) = PROPERTIES.iter().enumerate().find(differs)?;
        Some(match right.get(*name) {
            Some(value) => format!("its {name} is not {value}"),
            None => format!("it has a {name}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_properties_have_equal_marks_and_no_others() {
        let marks = |value: Value| Marks::of(value.as_object().expect("an object"));
        let right = json!({"version": 3, "tags": ["b", "a"], "favorite": false, "id": "x"});
        let right = right.as_object().expect("an object");
        let good = [
            json!({"version": 3.0, "tags": ["a", "b", "b", ""], "favorite": false, "id": "x", "name": "n"}),
            json!({"version": 3, "tags": ["b", "a"], "favorite": false, "id": "x", "updatedOn": null, "_a": 1}),
            json!({"version": 3, "tags": ["b", "a"], "favorite": false, "id": "x", "fileNames": [], "tag.A": "a"}),
        ];
        for good in good {
            assert_eq!(marks(good).fault(right), None);
        }
        let bad = [
            (json!({"tags": ["b", "a"], "favorite": false, "id": "x"}), "its version is not 3"),
            (
                json!({"version": "3", "tags": ["b", "a"], "favorite": false, "id": "x"}),
                "its version is not 3",
            ),
            (
                json!({"version": 3, "tags": ["b"], "favorite": false, "id": "x"}),
                "its tags is not [\"b\",\"a\"]",
            ),
            (
                json!({"version": 3, "tags": "a, b", "favorite": false, "id": "x"}),
                "its tags is not [\"b\",\"a\"]",
            ),
            (
                json!({"version": 3, "tags": ["b", 1], "favorite": false, "id": "x"}),
                "its tags is not [\"b\",\"a\"]",
            ),
            (
                json!({"version": 3, "tags": ["b", "a"], "favorite": true, "id": "x"}),
                "its favorite is not false",
            ),
            (
                json!({"version": 3, "tags": ["b", "a"], "favorite": false, "id": "x", "createdOn": 1}),
                "it has a createdOn",
            ),
            (
                json!({"version": 3, "tags": ["b", "a"], "favorite": false, "id": "x", "value": 1}),
                "it has a property value",
            ),
        ];
        for (bad, fault) in bad {
            assert_eq!(marks(bad).fault(right).as_deref(), Some(fault));
        }
    }
}
