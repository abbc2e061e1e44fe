//! Reads from a shared record what kind it is: a coverage keeps only its key and its text.

use std::borrow::Cow;

use opgraph_state::Entry;
use serde::Deserialize;

use crate::graph::RecordType;

/// The head of a record: what every record says of itself.
#[derive(Debug)]
pub(super) struct Head<'a> {
    /// Its type.
    pub(super) of: RecordType,
    /// The keys of both ends, for a relationship.
    pub(super) ends: Option<(Cow<'a, str>, Cow<'a, str>)>,
}

/// A shared record that is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// It is no JSON object with a `_type`.
    #[error("it is not a record")]
    Json(#[from] serde_json::Error),
    /// Its type is none of ours, or it is a relationship without ends.
    #[error("`{0}` is not a type of record, or an end is missing")]
    Type(String),
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(rename = "_type", borrow)]
    of: Cow<'a, str>,
    #[serde(rename = "_fromEntityKey", borrow, default)]
    from: Option<Cow<'a, str>>,
    #[serde(rename = "_toEntityKey", borrow, default)]
    to: Option<Cow<'a, str>>,
}

/// Reads the head of a shared record.
pub(super) fn head(entry: &Entry) -> Result<Head<'_>, Unreadable> {
    let Wire { of: name, from, to } = serde_json::from_str(&entry.record)?;
    let of = RecordType::all().find(|of| of.name() == name);
    match (of, from.zip(to)) {
        (Some(of @ RecordType::Entity(_)), _) => Ok(Head { of, ends: None }),
        (Some(of @ RecordType::Relationship(_)), ends @ Some(_)) => Ok(Head { of, ends }),
        _ => Err(Unreadable::Type(name.into_owned())),
    }
}
