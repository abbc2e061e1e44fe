//! Writes records into the tables, inside whatever transaction is open.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use opgraph_state::{Entry, Version};
use rusqlite::{Connection, OptionalExtension, Statement, params};

use super::schema::{table_of_entity, table_of_relationship};
use crate::graph::{EntityType, Record, RecordType, RelationshipType, Sharing, Written};

/// The most row ids of shared entities that are remembered, for each type.
const MOST_KNOWN: usize = 65_536;

/// Relationships of one type that wait at most: 1 MiB.
const MOST_WAITING: usize = if cfg!(test) { 5 } else { 65_536 };

/// The rank of an entity that a relationship names and whose own record has not come.
const NAMED: i64 = -1;

/// Why a record was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// SQLite refused.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// A shared record that is none.
    #[error("the shared record `{key}` cannot be read")]
    Unreadable {
        /// Its key.
        key: String,
    },
}

/// Every table of the graph, with its statements prepared.
pub(super) struct Tables<'c> {
    entities: Vec<EntityTable<'c>>,
    relationships: Vec<Relate<'c>>,
}

/// The table of one relationship type.
///
/// A relationship between an event and a user lands at the end of one of the
/// table's two trees and anywhere in the other. So relationships wait for the
/// end of the transaction, and are written in the order of the ends that many
/// share: each place is visited once, and the cache need not hold all of them.
/// With 16 MiB of it, a graph of 600,000 events wrote 8.2 KB an event this way;
/// as they came, 13.3 KB, and took a quarter more time.
struct Relate<'c> {
    insert: Statement<'c>,
    remove: Statement<'c>,
    /// The row ids of both ends, the one that is shared by many first.
    waiting: Vec<(i64, i64)>,
    /// The start is the end that is shared by many.
    by_start: bool,
}

impl Relate<'_> {
    /// A relationship never changes: its ends and its type are all there is.
    fn put(&mut self, from: i64, to: i64) -> rusqlite::Result<()> {
        self.waiting.push(if self.by_start { (from, to) } else { (to, from) });
        if self.waiting.len() == MOST_WAITING { self.write() } else { Ok(()) }
    }

    /// Writes those that wait.
    fn write(&mut self) -> rusqlite::Result<()> {
        self.waiting.sort_unstable();
        for (shared, other) in self.waiting.drain(..) {
            let (from, to) = if self.by_start { (shared, other) } else { (other, shared) };
            self.insert.execute([from, to])?;
        }
        Ok(())
    }
}

impl<'c> Tables<'c> {
    /// Prepares the statements.
    pub(super) fn new(connection: &'c Connection) -> rusqlite::Result<Tables<'c>> {
        let entities = EntityType::ALL.iter().map(|of| EntityTable::new(connection, *of));
        let relationships = RelationshipType::ALL.iter().map(|of| {
            let table = table_of_relationship(*of);
            let (from, to) = (table_of_entity(of.from()), table_of_entity(of.to()));
            Ok(Relate {
                insert: connection.prepare(&format!("INSERT OR IGNORE INTO {table} VALUES (?1, ?2)"))?,
                remove: connection.prepare(&format!(
                    "DELETE FROM {table} WHERE from_id = (SELECT id FROM {from} WHERE key = ?1) \
                     AND to_id = (SELECT id FROM {to} WHERE key = ?2)"
                ))?,
                waiting: Vec::new(),
                by_start: of.from().sharing() == Sharing::Shared,
            })
        });
        Ok(Tables {
            entities: entities.collect::<Result<_, _>>()?,
            relationships: relationships.collect::<rusqlite::Result<_>>()?,
        })
    }

    /// Forgets every row id, and the relationships that wait. Due after a
    /// rollback, which takes rows back, and when somebody else has written.
    pub(super) fn forget(&mut self) {
        for table in &mut self.entities {
            table.last = None;
            table.known.clear();
        }
        for table in &mut self.relationships {
            table.waiting = Vec::new();
        }
    }

    /// Writes the relationships that wait: the transaction is complete but for them.
    pub(super) fn complete(&mut self) -> rusqlite::Result<()> {
        self.relationships.iter_mut().try_for_each(Relate::write)
    }

    /// Writes a record of a page.
    pub(super) fn put(&mut self, record: &Record<'_>) -> rusqlite::Result<()> {
        match (record.of, record.ends) {
            (RecordType::Relationship(of), Some((from, to))) => self.relate(of, from, to),
            (RecordType::Entity(of), _) => self.entity(of).put(record.key, record.version, record.json),
            (RecordType::Relationship(_), None) => Ok(()),
        }
    }

    /// Writes the newest version of a shared record.
    pub(super) fn put_shared(&mut self, entry: &Entry) -> Result<(), Refused> {
        let unreadable = || Refused::Unreadable { key: entry.key.clone() };
        let written = Written::read(&entry.record).ok_or_else(unreadable)?;
        match (written.of, written.ends) {
            (RecordType::Relationship(of), Some((from, to))) => self.relate(of, &from, &to)?,
            (RecordType::Entity(of), _) => self.entity(of).put(&entry.key, entry.version, &entry.record)?,
            (RecordType::Relationship(_), None) => (),
        }
        Ok(())
    }

    /// Takes a record out. An entity leaves its row behind, as one that is only
    /// named: its record may come again at once, and its relationships keep their end.
    pub(super) fn remove(&mut self, key: &str) -> rusqlite::Result<()> {
        match RecordType::of_key(key) {
            Some((RecordType::Relationship(of), Some((from, to)))) => {
                let table = &mut self.relationships[of as usize];
                table.write()?;
                table.remove.execute([from, to])?;
            }
            Some((RecordType::Entity(of), _)) => {
                self.entity(of).bare.execute(params![key, NAMED])?;
            }
            _ => (),
        }
        Ok(())
    }

    /// Takes out the rows that removed entities have left behind, unless a
    /// relationship still names them: their row ids may be given out again.
    pub(super) fn sweep(&mut self) -> rusqlite::Result<()> {
        self.complete()?;
        for table in &mut self.entities {
            table.sweep.execute([])?;
        }
        self.forget();
        Ok(())
    }

    fn entity(&mut self, of: EntityType) -> &mut EntityTable<'c> {
        // Variants are numbered in the order of `ALL`, without values of their own.
        &mut self.entities[of as usize]
    }

    fn relate(&mut self, of: RelationshipType, from: &str, to: &str) -> rusqlite::Result<()> {
        let from = self.entity(of.from()).id(from)?;
        let to = self.entity(of.to()).id(to)?;
        self.relationships[of as usize].put(from, to)
    }
}

/// The condition that no relationship names a row of the type's table.
fn unnamed(of: EntityType) -> String {
    let mut condition = String::new();
    for relationship in RelationshipType::ALL {
        for (end, column) in [(relationship.from(), "from_id"), (relationship.to(), "to_id")] {
            if end == of {
                let (table, relationship) = (table_of_entity(of), table_of_relationship(*relationship));
                condition.push_str(&format!(
                    " AND NOT EXISTS (SELECT 1 FROM {relationship} WHERE {column} = {table}.id)"
                ));
            }
        }
    }
    condition
}

/// The table of one entity type.
struct EntityTable<'c> {
    connection: &'c Connection,
    of: EntityType,
    insert: Statement<'c>,
    renew: Statement<'c>,
    find: Statement<'c>,
    bare: Statement<'c>,
    sweep: Statement<'c>,
    /// The last entity written: the relationships of an event follow it at once.
    last: Option<(String, i64)>,
    /// Row ids of shared entities. Bounded by [`MOST_KNOWN`].
    known: HashMap<String, i64, RandomState>,
}

impl<'c> EntityTable<'c> {
    fn new(connection: &'c Connection, of: EntityType) -> rusqlite::Result<EntityTable<'c>> {
        let table = table_of_entity(of);
        Ok(EntityTable {
            connection,
            of,
            insert: connection.prepare(&format!(
                "INSERT INTO {table} (key, rank, at, json) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING"
            ))?,
            // The order of `Entry::supersedes`. SQLite compares text by its bytes, as Rust does.
            renew: connection.prepare(&format!(
                "UPDATE {table} SET rank = ?2, at = ?3, json = ?4 WHERE key = ?1 AND (?2, ?3, ?4) > (rank, at, json)"
            ))?,
            find: connection.prepare(&format!("SELECT id FROM {table} WHERE key = ?1"))?,
            bare: connection
                .prepare(&format!("UPDATE {table} SET rank = ?2, at = 0, json = NULL WHERE key = ?1"))?,
            // Finds them by the partial index, and their relationships by either end.
            sweep: connection.prepare(&format!("DELETE FROM {table} WHERE json IS NULL{}", unnamed(of)))?,
            last: None,
            known: HashMap::default(),
        })
    }

    /// Keeps the record, unless what is there supersedes it. Events' own
    /// records follow the same rule: they never change, so it never matters.
    fn put(&mut self, key: &str, version: Version, json: &str) -> rusqlite::Result<()> {
        let values = params![key, version.rank, version.at.0, json];
        if self.insert.execute(values)? == 1 {
            self.remember(key, self.connection.last_insert_rowid());
        } else {
            self.renew.execute(values)?;
        }
        Ok(())
    }

    /// The row id of an entity. One that is not there yet is noted by its key
    /// alone; its record follows within the transaction, because both ends of
    /// a relationship are among the records of its page.
    fn id(&mut self, key: &str) -> rusqlite::Result<i64> {
        if let Some((last, id)) = &self.last
            && last == key
        {
            return Ok(*id);
        }
        if let Some(id) = self.known.get(key) {
            return Ok(*id);
        }
        let found = self.find.query_row([key], |row| row.get(0)).optional()?;
        let id = match found {
            Some(id) => id,
            None => {
                self.insert.execute(params![key, NAMED, 0, None::<&str>])?;
                self.connection.last_insert_rowid()
            }
        };
        self.remember(key, id);
        Ok(id)
    }

    fn remember(&mut self, key: &str, id: i64) {
        match (self.of.sharing(), &mut self.last) {
            (Sharing::Shared, _) => {
                if self.known.len() >= MOST_KNOWN {
                    self.known.clear();
                }
                self.known.insert(key.to_owned(), id);
            }
            (Sharing::Event, Some((last, last_id))) => {
                last.clear();
                last.push_str(key);
                *last_id = id;
            }
            (Sharing::Event, last) => *last = Some((key.to_owned(), id)),
        }
    }
}
