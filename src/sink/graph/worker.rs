//! The thread that owns the connection.
//!
//! SQLite blocks, so it has a thread of its own; uploads reach it through a
//! bounded channel and wait for its answers.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf, sync::Arc};

use opgraph_state::die_at;
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{
    tables::{Refused, Tables},
    trouble::{failed, refused, state},
};
use crate::{
    graph::{Records, Sharing},
    http::Remedy,
    page::{Coverage, Page},
    sink::{Ack, SinkError},
};

/// What an upload asks of the thread. Only the upload whose turn it is asks.
pub(super) enum Order {
    /// Insert the event records of a page into the upload's transaction.
    Write {
        page: Arc<Page<Records>>,
        /// The upload's first page: a transaction starts.
        first: bool,
        done: oneshot::Sender<Result<(), SinkError>>,
    },
    /// Write the shared records, make everything durable and give up the turn.
    Finish {
        coverage: Box<Coverage>,
        /// No page was written before.
        first: bool,
        done: oneshot::Sender<Result<Ack, SinkError>>,
        turn: OwnedSemaphorePermit,
    },
    /// Take everything back, then give up the turn.
    Abandon { turn: OwnedSemaphorePermit },
}

/// The open file, and how to tell whether it is still in its place.
pub(super) struct File {
    path: PathBuf,
    identity: (u64, u64),
}

impl File {
    /// The file that is at this absolute path now.
    pub(super) fn at(path: PathBuf) -> std::io::Result<File> {
        let identity = identity(&path)?;
        Ok(File { path, identity })
    }

    /// Fails if the file was moved or removed under the connection: SQLite
    /// would go on writing to a file that nobody can open any more.
    fn check(&self) -> Result<(), SinkError> {
        let cause = match identity(&self.path) {
            Ok(now) if now == self.identity => return Ok(()),
            Ok(_) => std::io::Error::other("another file is in its place"),
            Err(error) => error,
        };
        let remedy = state(format!(
            "{} was moved or removed while opgraph was writing to it: put it back, or start opgraph anew and let `opgraph cursors rewind` fill it again",
            self.path.display()
        ));
        Err(refused("find", &self.path, remedy, cause))
    }
}

fn identity(path: &std::path::Path) -> std::io::Result<(u64, u64)> {
    let of = fs::metadata(path)?;
    Ok((of.dev(), of.ino()))
}

/// Serves orders until nobody is left to give one. What is unfinished then is taken back.
pub(super) fn serve(
    connection: &Connection,
    tables: Tables<'_>,
    file: File,
    mut orders: mpsc::Receiver<Order>,
) {
    let mut worker = Worker { connection, tables, file, others: None };
    while let Some(order) = orders.blocking_recv() {
        // An asker that has gone away needs no answer; its upload is abandoned next.
        match order {
            Order::Write { page, first, done } => {
                let result = worker.write(&page, first);
                drop(page);
                let _ = done.send(worker.settle("write to", result));
            }
            Order::Finish { coverage, first, done, turn } => {
                let result = worker.finish(&coverage, first);
                let result = worker.settle("write to", result).and_then(|()| worker.file.check());
                let _ = done.send(result.map(|()| Ack::durable(*coverage, Vec::new())));
                drop(turn);
            }
            Order::Abandon { turn } => {
                worker.roll_back();
                drop(turn);
            }
        }
    }
    worker.roll_back();
}

struct Worker<'c> {
    connection: &'c Connection,
    tables: Tables<'c>,
    file: File,
    /// SQLite's count of the commits that others made, at the last look.
    others: Option<i64>,
}

impl Worker<'_> {
    fn write(&mut self, page: &Page<Records>, first: bool) -> Result<(), Refused> {
        if first {
            self.begin()?;
        }
        die_at!("graph.insert");
        for record in page.items.of(Sharing::Event) {
            self.tables.put(&record)?;
        }
        Ok(())
    }

    /// Commits. In write-ahead mode with `synchronous = FULL` the commit is in
    /// the log, and the log is synced to the disk, before COMMIT returns; a
    /// later checkpoint copies it into the file and syncs that before it
    /// starts the log anew.
    fn finish(&mut self, coverage: &Coverage, first: bool) -> Result<(), Refused> {
        if first {
            self.begin()?;
        }
        for key in coverage.removed() {
            self.tables.remove(key)?;
        }
        for entry in coverage.shared() {
            self.tables.put_shared(entry)?;
        }
        if !coverage.removed().is_empty() {
            self.tables.sweep()?;
        }
        self.tables.complete()?;
        die_at!("graph.before_commit");
        self.connection.execute_batch("COMMIT")?;
        die_at!("graph.after_commit");
        Ok(())
    }

    /// Takes the write lock, so that nothing later in the transaction has to wait for it.
    fn begin(&mut self) -> Result<(), Refused> {
        self.roll_back();
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let others = self.connection.pragma_query_value(None, "data_version", |row| row.get(0))?;
        if self.others.replace(others) != Some(others) {
            self.tables.forget();
        }
        Ok(())
    }

    /// Takes back what was begun, if anything was.
    fn roll_back(&mut self) {
        if self.connection.is_autocommit() {
            return;
        }
        self.tables.forget();
        if let Err(error) = self.connection.execute_batch("ROLLBACK") {
            // The next BEGIN fails then, and says so to somebody.
            tracing::warn!(error = %error, "a transaction of the graph could not be rolled back");
        }
    }

    /// Rolls back after a failure, and says what to do about it.
    fn settle(&mut self, doing: &str, result: Result<(), Refused>) -> Result<(), SinkError> {
        result.map_err(|error| {
            self.roll_back();
            // SQLite itself rolls back after some failures: row ids are void then, too.
            self.tables.forget();
            match error {
                Refused::Sqlite(error) => failed(doing, &self.file.path, error),
                error @ Refused::Unreadable { .. } => {
                    refused(doing, &self.file.path, Remedy::halt("please report this"), error)
                }
            }
        })
    }
}
