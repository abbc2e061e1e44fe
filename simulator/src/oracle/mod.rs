//! What the graph must hold for what was served, and how a graph compares with it.

mod compare;
mod expectation;
mod expected;
mod marks;
mod vaults;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(crate) use self::{
    compare::{Comparer, Fact, class_of, compare, fingerprint},
    expectation::Expectation,
    marks::{Mark, Marks},
};
pub use expected::Expected;

/// One record as a graph holds it, for [`Simulator::compare`](crate::Simulator::compare).
///
/// The optional facts are checked where they are given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// `_key`
    pub key: String,
    /// `_type`
    pub type_: String,
    /// `_class`, the first one where there are many. Given: checked.
    pub class: Option<String>,
    /// `_fromEntityKey` of a relationship; `None` for an entity.
    pub from: Option<String>,
    /// `_toEntityKey` of a relationship; `None` for an entity.
    pub to: Option<String>,
    /// `name` of an entity. Given: checked.
    pub name: Option<String>,
    /// `displayName`. Given: checked.
    pub display_name: Option<String>,
    /// `createdOn`, milliseconds. `Some(None)` says that the entity has none. Given: checked.
    pub created_on: Option<Option<i64>>,
}

/// A held record with its properties, for [`Simulator::compare`](crate::Simulator::compare).
///
/// Those of vaults and secrets are checked, all of them: one that is wrong, missing or too many is found. Null is as
/// good as absent; arrays are compared without order, repetition and empty texts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeldInFull {
    /// The record.
    pub record: Held,
    /// Its properties. Names that begin with `_` or `tag.`, `name` and `displayName` are not looked at here. `None`:
    /// unknown.
    pub properties: Option<Map<String, Value>>,
}

impl Held {
    /// Returns the record with its properties.
    pub fn with_properties(self, properties: Map<String, Value>) -> HeldInFull {
        HeldInFull { record: self, properties: Some(properties) }
    }
}

impl From<Held> for HeldInFull {
    fn from(record: Held) -> HeldInFull {
        HeldInFull { record, properties: None }
    }
}

/// One record that the graph must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedRecord {
    /// `_key`
    pub key: String,
    /// `_type`
    pub type_: String,
    /// `_class`
    pub class: String,
    /// `_fromEntityKey` of a relationship.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<String>,
    /// `_toEntityKey` of a relationship.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to: Option<String>,
    /// `name` of an entity. More than one: versions of a user from one and the same millisecond, any of which is right.
    pub names: Vec<String>,
    /// `displayName`; any of them is right.
    pub display_names: Vec<String>,
    /// `createdOn` of an event, of a listed vault and of a secret, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub created_on: Option<i64>,
    /// The properties of a vault or secret besides its names; any of them is right. More than one: an item that changed
    /// between its list and its detail. Empty for every other record.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub properties: Vec<Map<String, Value>>,
}
