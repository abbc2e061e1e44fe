//! The configuration's tables as they are written, before anything is checked.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, value::MapAccessDeserializer},
};
use toml::Spanned;

use super::error::At;

/// A value and where it was given.
#[derive(Clone, Debug)]
pub(super) struct Given<T> {
    pub(super) value: T,
    pub(super) at: At,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Given<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Given<T>, D::Error> {
        let spanned = Spanned::<T>::deserialize(deserializer)?;
        Ok(Given { at: At::Bytes(spanned.span()), value: spanned.into_inner() })
    }
}

type Text = Option<Given<String>>;

// Every key is optional here, so that what is missing is found with the rest.

/// The file, or the main one of several.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Root {
    pub(super) state_dir: Text,
    pub(super) max_memory: Text,
    pub(super) allow_custom_hosts: Option<bool>,
    #[serde(default, deserialize_with = "table")]
    pub(super) admin: Option<Given<AdminTable>>,
    pub(super) tenants: Text,
    #[serde(default)]
    pub(super) tenant: Vec<Given<TenantTable>>,
}

/// A file of a folder of tenants: whoever may write one of these may not
/// change what concerns the others.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantsFile {
    #[serde(default)]
    pub(super) tenant: Vec<Given<TenantTable>>,
}

/// `[admin]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AdminTable {
    pub(super) listen: Text,
    #[serde(default, deserialize_with = "table")]
    pub(super) token: Option<Given<TokenTable>>,
}

/// `[[tenant]]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table")]
pub(super) struct TenantTable {
    pub(super) name: Text,
    pub(super) description: Option<String>,
    pub(super) tag_account_name: Option<bool>,
    pub(super) raw_data: Option<bool>,
    pub(super) polling_interval: Option<Given<DurationText>>,
    pub(super) start: Option<Given<StartText>>,
    #[serde(default, deserialize_with = "table")]
    pub(super) events: Option<Given<EventsTable>>,
    #[serde(default, deserialize_with = "table")]
    pub(super) connect: Option<Given<ConnectTable>>,
    #[serde(default, deserialize_with = "table")]
    pub(super) jupiterone: Option<Given<JupiterOneTable>>,
    #[serde(default, deserialize_with = "table")]
    pub(super) graph: Option<Given<GraphTable>>,
}

/// `[tenant.events]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsTable {
    pub(super) base_url: Text,
    #[serde(default, deserialize_with = "table")]
    pub(super) token: Option<Given<TokenTable>>,
    pub(super) streams: Option<Given<Vec<Given<String>>>>,
    pub(super) readers: Option<Given<i64>>,
    #[serde(default, deserialize_with = "table")]
    pub(super) limits: Option<Given<LimitsTable>>,
}

/// `[tenant.connect]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConnectTable {
    pub(super) base_url: Text,
    #[serde(default, deserialize_with = "table")]
    pub(super) token: Option<Given<TokenTable>>,
    pub(super) interval: Option<Given<DurationText>>,
    pub(super) item_details: Option<bool>,
    pub(super) connections: Option<Given<i64>>,
}

/// `[tenant.events] limits`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsTable {
    pub(super) per_minute: Option<Given<i64>>,
    pub(super) per_hour: Option<Given<i64>>,
}

/// `[tenant.jupiterone]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JupiterOneTable {
    pub(super) base_url: Text,
    pub(super) account: Text,
    #[serde(default, deserialize_with = "table")]
    pub(super) token: Option<Given<TokenTable>>,
    pub(super) integration_instance_id: Text,
    pub(super) scope: Text,
    pub(super) source: Text,
    pub(super) gzip: Option<bool>,
    pub(super) job_events: Option<bool>,
    pub(super) upload_age: Option<Given<DurationText>>,
    pub(super) upload_events: Option<Given<i64>>,
}

/// `[tenant.graph]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GraphTable {
    pub(super) path: Text,
}

/// `token`, wherever there is one. Nothing shows what was written instead of
/// this table: it may be a token.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenTable {
    pub(super) env: Text,
    pub(super) file: Text,
    pub(super) op: Text,
}

/// A duration or `DISABLED`.
#[derive(Debug)]
pub(super) struct DurationText(pub(super) String);

/// A duration or a time; TOML has times of its own.
#[derive(Debug)]
pub(super) struct StartText(pub(super) String);

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DurationText, D::Error> {
        text_or_time(deserializer, "a duration in quotes, such as `\"30s\"`").map(DurationText)
    }
}

impl<'de> Deserialize<'de> for StartText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<StartText, D::Error> {
        text_or_time(deserializer, "a duration in quotes, such as `\"120d\"`, or a time").map(StartText)
    }
}

fn text_or_time<'de, D: Deserializer<'de>>(deserializer: D, expected: &str) -> Result<String, D::Error> {
    match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) => Ok(text),
        toml::Value::Datetime(time) => Ok(time.to_string()),
        other => Err(de::Error::invalid_type(de::Unexpected::Other(other.type_str()), &expected)),
    }
}

/// Reads a table. A derived `Deserialize` alone would take a list of the values as well.
fn table<'de, D, T>(deserializer: D) -> Result<Option<Given<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let given = Given::<Table<T>>::deserialize(deserializer)?;
    Ok(Some(Given { value: given.value.0, at: given.at }))
}

struct Table<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Table<T>, D::Error> {
        deserializer.deserialize_map(TableVisitor(PhantomData))
    }
}

struct TableVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> de::Visitor<'de> for TableVisitor<T> {
    type Value = Table<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Table<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Table)
    }
}

/// The keys of each table. The table is named as a person writes it.
pub(super) const KEYS: &[(&str, &[&str])] = &[
    ("the top of the file", &["state_dir", "max_memory", "allow_custom_hosts", "admin", "tenants", "tenant"]),
    (
        "`[[tenant]]`",
        &[
            "name",
            "description",
            "tag_account_name",
            "raw_data",
            "polling_interval",
            "start",
            "events",
            "connect",
            "jupiterone",
            "graph",
        ],
    ),
    ("`[tenant.events]`", &["base_url", "token", "streams", "readers", "limits"]),
    (
        "`[tenant.jupiterone]`",
        &[
            "base_url",
            "account",
            "token",
            "integration_instance_id",
            "scope",
            "source",
            "gzip",
            "job_events",
            "upload_age",
            "upload_events",
        ],
    ),
    ("`[tenant.graph]`", &["path"]),
    ("`[tenant.connect]`", &["base_url", "token", "interval", "item_details", "connections"]),
    ("`token`", &["env", "file", "op"]),
    ("`limits`", &["per_minute", "per_hour"]),
    ("`[admin]`", &["listen", "token"]),
];
