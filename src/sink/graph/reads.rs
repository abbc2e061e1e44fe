//! Reads the graph back: for the demo, the status page and the tests.

use std::{collections::BTreeMap, path::Path};

use rusqlite::{Connection, OpenFlags};

use super::{
    PATIENCE,
    schema::{self, Found, table_of_entity, table_of_relationship},
    trouble::{failed, refused, state, unfit},
};
use crate::{
    graph::{EntityType, RecordType, Records, RelationshipType},
    sink::SinkError,
};

/// One record as the graph holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its `_key`.
    pub key: String,
    /// Its type.
    pub of: RecordType,
    /// The keys of both ends, for a relationship.
    pub ends: Option<(String, String)>,
    /// An entity's name.
    pub name: Option<String>,
    /// When the entity was created, in milliseconds since the epoch.
    pub created_on: Option<i64>,
    /// The whole record, byte for byte as it was written.
    pub json: String,
}

/// Reads a graph, also while another process writes to it. Changes nothing. Blocks.
#[derive(Debug)]
pub struct GraphReader {
    connection: Connection,
    path: std::path::PathBuf,
}

impl GraphReader {
    /// Opens the graph at `path`.
    ///
    /// # Errors
    ///
    /// If there is no file, or none that this program can read as a graph.
    pub fn open(path: &Path) -> Result<GraphReader, SinkError> {
        let open = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(PATIENCE)?;
            Ok((schema::look(&connection)?, connection))
        };
        match open().map_err(|error| unfit("read", path, error))? {
            (Found::Graph, connection) => Ok(GraphReader { connection, path: path.to_owned() }),
            (Found::Empty, _) => {
                let hint = "name a graph that opgraph has written".to_owned();
                Err(refused("read", path, state(hint), std::io::Error::other("the file is empty")))
            }
        }
    }

    /// Counts the records of each type; types without any are there, with 0.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn counts(&self) -> Result<BTreeMap<RecordType, u64>, SinkError> {
        let count = |of: RecordType| {
            let sql = match of {
                // Counts the key index, which is small beside the table; the
                // second part reads an index that is empty as a rule.
                RecordType::Entity(of) => format!(
                    "SELECT (SELECT count(*) FROM {0}) - (SELECT count(*) FROM {0} WHERE json IS NULL)",
                    table_of_entity(of)
                ),
                RecordType::Relationship(of) => format!("SELECT count(*) FROM {}", table_of_relationship(of)),
            };
            let count = self.connection.query_row(&sql, [], |row| row.get::<_, i64>(0))?;
            Ok((of, count.unsigned_abs()))
        };
        let counts: rusqlite::Result<_> =
            self.steadily(|| RecordType::all().map(count).collect::<rusqlite::Result<BTreeMap<_, _>>>());
        counts.map_err(|error| failed("read", &self.path, error))
    }

    /// Shows every record to `visit`, type by type, all as of one moment.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn each(&self, mut visit: impl FnMut(StoredRecord)) -> Result<(), SinkError> {
        let all = self.steadily(|| {
            for of in EntityType::ALL {
                self.each_entity(*of, &mut visit)?;
            }
            for of in RelationshipType::ALL {
                self.each_relationship(*of, &mut visit)?;
            }
            Ok(())
        });
        all.map_err(|error| failed("read", &self.path, error))
    }

    /// Every record under its key: for graphs that fit in memory.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn records(&self) -> Result<BTreeMap<String, StoredRecord>, SinkError> {
        let mut records = BTreeMap::new();
        self.each(|record| {
            records.insert(record.key.clone(), record);
        })?;
        Ok(records)
    }

    /// Reads within one transaction, so that a writer between two reads is not seen.
    fn steadily<T>(&self, read: impl FnOnce() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let transaction = self.connection.unchecked_transaction()?;
        let result = read()?;
        transaction.finish()?;
        Ok(result)
    }

    fn each_entity(&self, of: EntityType, visit: &mut impl FnMut(StoredRecord)) -> rusqlite::Result<()> {
        let mut select = self.connection.prepare(&format!(
            "SELECT key, json_extract(json, '$.name'), json_extract(json, '$.createdOn'), json FROM {} \
             WHERE json IS NOT NULL",
            table_of_entity(of)
        ))?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            visit(StoredRecord {
                key: row.get(0)?,
                of: RecordType::Entity(of),
                ends: None,
                name: row.get(1)?,
                created_on: row.get(2)?,
                json: row.get(3)?,
            });
        }
        Ok(())
    }

    fn each_relationship(
        &self,
        of: RelationshipType,
        visit: &mut impl FnMut(StoredRecord),
    ) -> rusqlite::Result<()> {
        let mut select = self.connection.prepare(&format!(
            "SELECT f.key, t.key FROM {} AS r JOIN {} AS f ON f.id = r.from_id JOIN {} AS t ON t.id = r.to_id",
            table_of_relationship(of),
            table_of_entity(of.from()),
            table_of_entity(of.to())
        ))?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            visit(relationship(of, row.get(0)?, row.get(1)?));
        }
        Ok(())
    }
}

/// Writes the relationship again as mapping wrote it: all of it follows from its type and its ends.
fn relationship(of: RelationshipType, from: String, to: String) -> StoredRecord {
    let mut records = Records::default();
    let [from_id, to_id] =
        [(&from, of.from()), (&to, of.to())].map(|(key, end)| &key[end.name().len() + 1..]);
    records.relationship(of, from_id, to_id, opgraph_state::UnixMs(0));
    let (key, json) = match records.iter().next() {
        Some(record) => (record.key.to_owned(), record.json.to_owned()),
        None => Default::default(),
    };
    StoredRecord {
        key,
        of: RecordType::Relationship(of),
        ends: Some((from, to)),
        name: None,
        created_on: None,
        json,
    }
}
