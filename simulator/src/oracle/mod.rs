//! What the graph must hold for what was served, and how a graph compares with it.

mod compare;
mod expectation;
mod expected;

use serde::{Deserialize, Serialize};

pub(crate) use self::{
    compare::{Comparer, Fact, class_of, compare, fingerprint},
    expectation::Expectation,
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
    /// `createdOn` of an event, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub created_on: Option<i64>,
}
