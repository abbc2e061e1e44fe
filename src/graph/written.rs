//! Reads a record back from its text: what a quarantined record is known by.

use std::borrow::Cow;

use opgraph_state::{UnixMs, Version};
use serde::Deserialize;

use super::{RecordType, Sharing, records::FULL};

/// What a record says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written<'a> {
    /// Its type.
    pub of: RecordType,
    /// Its `_key`.
    pub key: Cow<'a, str>,
    /// The keys of both ends, for a relationship.
    pub ends: Option<(Cow<'a, str>, Cow<'a, str>)>,
    created_on: Option<i64>,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(rename = "_key", borrow)]
    key: Cow<'a, str>,
    #[serde(rename = "_type", borrow)]
    of: Cow<'a, str>,
    #[serde(rename = "_fromEntityKey", borrow, default)]
    from: Option<Cow<'a, str>>,
    #[serde(rename = "_toEntityKey", borrow, default)]
    to: Option<Cow<'a, str>>,
    #[serde(rename = "createdOn", default)]
    created_on: Option<i64>,
}

impl<'a> Written<'a> {
    /// Reads a record; `None` if the text is none of ours. No event is taken
    /// for one: a record's key starts with its `_type`, and events have neither.
    pub fn read(json: &'a str) -> Option<Written<'a>> {
        let Wire { key, of, from, to, created_on } = serde_json::from_str(json).ok()?;
        let of = RecordType::all().find(|known| known.name() == of)?;
        let (fits, ends) = match of {
            RecordType::Entity(_) => {
                (key.strip_prefix(of.name()).is_some_and(|id| id.starts_with(':')), None)
            }
            RecordType::Relationship(of) => {
                let (from, to) = (from?, to?);
                let whole = format!("{from}|{}|{to}", of.action());
                (whole == key, Some((from, to)))
            }
        };
        fits.then_some(Written { of, key, ends, created_on })
    }

    /// The version of an event's own record: it has only one.
    ///
    /// `None` of a shared record, which does not say how much it knows and since when.
    pub fn version(&self) -> Option<Version> {
        let at = UnixMs(self.created_on.unwrap_or_default());
        (self.of.sharing() == Sharing::Event).then_some(Version { rank: FULL, at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{EntityType, Records, RelationshipType};

    #[test]
    fn every_record_reads_back_as_it_was_written() {
        let mut records = Records::default();
        let version = Version { rank: FULL, at: UnixMs(1_780_000_000_000) };
        for of in EntityType::ALL {
            let mut entity = records.entity(*of, "an \"id\" \\ of é|has|x", version);
            entity.time("createdOn", Some(version.at));
            entity.raw_data(r#"{"uuid":"u","nested":{"_rawData":[1]}}"#);
            entity.close();
        }
        for of in RelationshipType::ALL {
            records.relationship(*of, "from|x \"", "to", version.at);
        }
        let mut again = Records::default();
        for record in records.iter() {
            let written = Written::read(record.json).unwrap();
            assert_eq!((written.of, &*written.key), (record.of, record.key));
            assert!(written.version().is_none_or(|read| read.at == version.at || read.at == UnixMs(0)));
            again.take(&written, record.json, record.version);
        }
        assert!(again.iter().eq(records.iter()), "keys, ends, text and raw data are the same");
    }

    #[test]
    fn an_event_is_no_record() {
        for json in [
            "null",
            "\"one_password_vault\"",
            "{}",
            r#"{"uuid":"u","timestamp":"2026-06-01T00:00:00Z"}"#,
            r#"{"_key":"one_password_vault:v"}"#,
            r#"{"_key":"v","_type":"one_password_vault"}"#,
            r#"{"_key":"kiln:v","_type":"kiln"}"#,
            r#"{"_key":"a|b|c","_type":"one_password_audit_event_actor_details_performed_vault"}"#,
        ] {
            assert_eq!(Written::read(json), None, "{json}");
        }
    }
}
