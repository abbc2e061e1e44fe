//! The tables and views of the graph file.
//!
//! Every type of record has a table of its own, `records_<type>`, and a view
//! with the name of the type and one column per property. `entities` and
//! `relationships` show all types at once.
//!
//! An entity's row holds its key, its version and its JSON. A relationship's row
//! holds the row ids of its two ends and nothing else: its key, its verb and so
//! its whole JSON follow from them, and there are no versions to tell apart.
//! That is what makes writing fast. With text keys on both ends, in one table
//! with a primary key and an index, 300,000 events of 1.3 KB with two
//! relationships each took 60 µs and 4.3 KB an event; this way 10 to 15 µs and 1.8 KB.
//! New events get growing row ids, so nearly every insert lands at the end of a
//! table or in one of as many places as there are users. What is left of random
//! writing is the one index on the keys of events.
//!
//! Clustering entities by key (`WITHOUT ROWID`) was 1.5 times slower again: rows
//! of a kilobyte fill a page, and each went to a random one. Relationships are
//! two integers, so theirs are clustered.

use std::fmt::Write as _;

use rusqlite::{Connection, TransactionBehavior};

use crate::graph::{EntityType, RelationshipType, Sharing};

/// Marks the file as an opgraph graph (`opgr`).
pub(super) const APPLICATION_ID: i32 = 0x6f70_6772;

/// The version of the tables. A file with a newer one is refused. Views have
/// no version: they are made anew when their text has changed.
pub(super) const VERSION: i32 = 1;

/// Why a file cannot be used as a graph, although SQLite can read it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    /// Somebody else's data.
    #[error("the file is some other SQLite database (application id {0:#x})")]
    Foreign(i32),
    /// Written by a newer opgraph.
    #[error("the file has format {0}, this opgraph knows format {VERSION}")]
    Newer(i32),
    /// SQLite cannot write ahead there, such as on a network file system.
    #[error("the file system cannot hold a write-ahead log (journal mode {0})")]
    NoLog(String),
    /// SQLite refused.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// Whether a file is a graph, or empty and may become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing is in it.
    Empty,
    /// A graph that this program can use.
    Graph,
}

/// Looks at what the file is.
pub(super) fn look(connection: &Connection) -> Result<Found, Unfit> {
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (number("application_id")?, number("user_version")?, tables) {
        (0, 0, 0) => Ok(Found::Empty),
        (APPLICATION_ID, version, _) if version > VERSION => Err(Unfit::Newer(version)),
        (APPLICATION_ID, ..) => Ok(Found::Graph),
        (other, ..) => Err(Unfit::Foreign(other)),
    }
}

/// Makes an empty file a graph, and gives an older graph today's views.
///
/// Both happen in one transaction each, so that a crash leaves an empty file
/// or a whole graph.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), Unfit> {
    // Only an empty file takes a page size, and only before it writes ahead.
    // An event is a row of one to two kilobytes: on pages of 4 KiB a fifth of the space stays empty.
    if look(connection)? == Found::Empty {
        connection.pragma_update(None, "page_size", 8192)?;
    }
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Unfit::NoLog(mode));
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    if look(&transaction)? == Found::Empty {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    for of in EntityType::ALL {
        transaction.execute_batch(&entity_table(*of))?;
    }
    for of in RelationshipType::ALL {
        transaction.execute_batch(&relationship_table(*of))?;
    }
    for (name, text) in views() {
        renew_view(&transaction, &name, &text)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Makes the view what it should be; touches nothing if it is that already.
fn renew_view(connection: &Connection, name: &str, text: &str) -> rusqlite::Result<()> {
    let known = "SELECT count(*) FROM sqlite_schema WHERE type = 'view' AND name = ?1 AND sql = ?2";
    if connection.query_row(known, [name, text], |row| row.get::<_, i64>(0))? == 0 {
        connection.execute_batch(&format!("DROP VIEW IF EXISTS {}; {text}", quoted(name)))?;
    }
    Ok(())
}

/// The table of an entity type.
pub(super) fn table_of_entity(of: EntityType) -> String {
    quoted(&format!("records_{}", of.name()))
}

/// The table of a relationship type.
pub(super) fn table_of_relationship(of: RelationshipType) -> String {
    quoted(&format!("records_{}", of.name()))
}

/// A row without `json` stands for an entity that a relationship names and
/// whose own record has not come. The partial index finds them; it is empty
/// once a transaction is complete.
fn entity_table(of: EntityType) -> String {
    let table = table_of_entity(of);
    let named = quoted(&format!("named_{}", of.name()));
    format!(
        "CREATE TABLE IF NOT EXISTS {table} (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, \
         rank INTEGER NOT NULL, at INTEGER NOT NULL, json TEXT);
         CREATE INDEX IF NOT EXISTS {named} ON {table} (id) WHERE json IS NULL;"
    )
}

/// The primary key serves reads by the start, the index those by the end.
fn relationship_table(of: RelationshipType) -> String {
    let table = table_of_relationship(of);
    let index = quoted(&format!("to_{}", of.name()));
    format!(
        "CREATE TABLE IF NOT EXISTS {table} (from_id INTEGER NOT NULL, to_id INTEGER NOT NULL, \
         PRIMARY KEY (from_id, to_id)) WITHOUT ROWID;
         CREATE INDEX IF NOT EXISTS {index} ON {table} (to_id);"
    )
}

/// The name and the text of every view.
fn views() -> Vec<(String, String)> {
    let mut views = Vec::new();
    let mut entities = Vec::new();
    for of in EntityType::ALL {
        views.push((of.name().to_owned(), entity_columns(*of)));
        entities.push(entity_summary(*of));
    }
    let mut relationships = Vec::new();
    for of in RelationshipType::ALL {
        let select = relationship_columns(*of);
        relationships.push(select.clone());
        views.push((of.name().to_owned(), select));
    }
    views.push(("entities".to_owned(), entities.join(" UNION ALL ")));
    views.push(("relationships".to_owned(), relationships.join(" UNION ALL ")));
    for (name, text) in &mut views {
        *text = format!("CREATE VIEW {} AS {text}", quoted(name));
    }
    views
}

/// The columns of an entity's view: SQLite turns strings into text, numbers and
/// times into numbers, booleans into 0 and 1, and leaves arrays as JSON text.
fn entity_columns(of: EntityType) -> String {
    let mut columns =
        format!("key AS \"_key\", {} AS \"_type\", {} AS \"_class\"", text(of.name()), text(of.class()));
    let properties = of.properties().iter().map(|property| property.name);
    let raw_data = (of.sharing() == Sharing::Event).then_some("_rawData");
    for name in properties.chain(["tag.AccountName"]).chain(raw_data) {
        let path = text(&format!("$.\"{name}\""));
        // Writing to a string cannot fail.
        let _ = write!(columns, ", json_extract(json, {path}) AS {}", quoted(name));
    }
    format!("SELECT {columns} FROM {} WHERE json IS NOT NULL", table_of_entity(of))
}

/// The columns that every entity has, for the view of them all.
fn entity_summary(of: EntityType) -> String {
    format!(
        "SELECT key AS \"_key\", {name} AS \"_type\", {class} AS \"_class\", \
         json_extract(json, '$.name') AS \"name\", json_extract(json, '$.displayName') AS \"displayName\", \
         json_extract(json, '$.createdOn') AS \"createdOn\", json AS \"json\" FROM {table} WHERE json IS NOT NULL",
        name = text(of.name()),
        class = text(of.class()),
        table = table_of_entity(of),
    )
}

fn relationship_columns(of: RelationshipType) -> String {
    format!(
        "SELECT f.key || {verb_between} || t.key AS \"_key\", {name} AS \"_type\", {verb} AS \"_class\", \
         f.key AS \"_fromEntityKey\", t.key AS \"_toEntityKey\", {verb} AS \"displayName\" \
         FROM {table} AS r JOIN {from} AS f ON f.id = r.from_id JOIN {to} AS t ON t.id = r.to_id",
        verb_between = text(&format!("|{}|", of.verb().to_ascii_lowercase())),
        name = text(of.name()),
        verb = text(of.verb()),
        table = table_of_relationship(of),
        from = table_of_entity(of.from()),
        to = table_of_entity(of.to()),
    )
}

/// A name as an SQL identifier.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as an SQL literal.
fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}
