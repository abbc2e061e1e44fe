//! The local graph: one SQLite file that anybody can query.
//!
//! The destination of a tenant without JupiterOne. `sqlite3 graph.db "select *
//! from one_password_vault"` shows the vaults; there is a view for every type.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, mpsc::SyncSender},
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::{Semaphore, mpsc, oneshot},
    task::block_in_place,
};

mod schema;

mod tables;

mod upload;

mod worker;

mod reads;

mod trouble;

pub use reads::{GraphReader, StoredRecord};
pub use upload::GraphUpload;

use self::{
    tables::Tables,
    trouble::{failed, not_made, refused, unfit},
    worker::Order,
};
use crate::{
    http::Remedy,
    sink::{Sink, SinkError, UploadLimits},
};

/// How long SQLite waits for another process that holds a lock.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the connection remembers of the file, in KiB. A transaction whose
/// changes do not fit writes some of them to the log early: what is all over the
/// file by then is the index on the keys of events, about 70 bytes an event.
const CACHE_KIB: i64 = 32_768;

/// The pages in the log at which a commit copies it into the file: 32 MiB. A
/// small commit does not pay for a second sync each time.
const CHECKPOINT_PAGES: i64 = 4_096;

/// The size to which the log is cut back after it has grown beyond it.
const LOG_BYTES: i64 = 128 << 20;

/// Orders that may wait for the thread: one upload has its turn, with a page
/// whose writer went away at worst, and its end.
const ORDERS: usize = 2;

/// The local graph. Clones share one connection and one thread.
///
/// Uploads take turns: an upload's first page waits until the upload before it
/// has been finished or dropped, so one tenant's upload is another's wait.
///
/// Dropping the last clone and the last upload closes the file, and blocks
/// until that is done: the log is copied into it and removed, so that the one
/// file is all there is.
#[derive(Clone, Debug)]
pub struct GraphSink {
    desk: Arc<Desk>,
    limits: UploadLimits,
}

/// What the clones share: the way to the thread, and whose turn it is.
#[derive(Debug)]
struct Desk {
    /// There until the thread has to end.
    orders: Option<mpsc::Sender<Order>>,
    thread: Option<JoinHandle<()>>,
    turns: Arc<Semaphore>,
    path: PathBuf,
}

impl Desk {
    /// Gives an order and waits for the answer.
    async fn ask<T>(
        &self,
        order: Order,
        answer: oneshot::Receiver<Result<T, SinkError>>,
    ) -> Result<T, SinkError> {
        let orders = self.orders.as_ref().ok_or_else(|| gone(&self.path))?;
        orders.send(order).await.map_err(|_| gone(&self.path))?;
        answer.await.unwrap_or_else(|_| Err(gone(&self.path)))
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // The thread ends when nobody can give it an order any more.
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported to whoever asked.
            let closed = || drop(thread.join());
            match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
                // Other tenants go on meanwhile, on another thread.
                Ok(RuntimeFlavor::MultiThread) => block_in_place(closed),
                _ => closed(),
            }
        }
    }
}

impl GraphSink {
    /// Limits for a graph that is a tenant's only sink.
    ///
    /// A large upload is cheap: a commit writes each page of the file once, and
    /// the index on event keys is hit all over. With 3 KB of JSON an event,
    /// 50,000 events at a time went in at 76,000 events/s into an empty file and
    /// 54,000 into one of a million; 20,000 at a time at 57,000 and 35,000.
    ///
    /// Beside JupiterOne, open it with JupiterOne's own: it bears any, and a
    /// sync job every second would be dear.
    pub const LIMITS: UploadLimits =
        UploadLimits { age: Duration::from_secs(1), events: 50_000, bytes: 160_000_000, finishing: 1 };

    /// Opens the graph at `path`, or makes an empty one that only its owner can
    /// read. Blocks: on a fresh file for some fsyncs, on a locked one for seconds.
    ///
    /// # Errors
    ///
    /// If the folder does not exist; if the file is damaged, something else
    /// than a graph or a newer one; if SQLite cannot lock or write it.
    pub fn open(path: &Path, limits: UploadLimits) -> Result<GraphSink, SinkError> {
        let path = create(path)?;
        let at = path.clone();
        GraphSink::start(path, limits, move || connect(&at))
    }

    /// Starts the thread that owns the connection, and waits until it has one.
    fn start(
        path: PathBuf,
        limits: UploadLimits,
        connect: impl FnOnce() -> Result<Connection, SinkError> + Send + 'static,
    ) -> Result<GraphSink, SinkError> {
        let (orders, waiting) = mpsc::channel(ORDERS);
        let (opened_out, opened) = std::sync::mpsc::sync_channel(1);
        let at = path.clone();
        let thread = thread::Builder::new()
            .name("graph".to_owned())
            .spawn(move || own(at, connect, waiting, opened_out))
            .map_err(|error| refused("start the thread of", &path, Remedy::RETRY, error))?;
        opened.recv().unwrap_or_else(|_| Err(gone(&path)))?;
        let turns = Arc::new(Semaphore::new(1));
        Ok(GraphSink {
            desk: Arc::new(Desk { orders: Some(orders), thread: Some(thread), turns, path }),
            limits,
        })
    }

    /// Where the graph is, from the root.
    pub fn path(&self) -> &Path {
        &self.desk.path
    }
}

/// Finds the file, or creates it where there is none, and returns its absolute path.
fn create(path: &Path) -> Result<PathBuf, SinkError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let refuse = |hint: String| move |error: io::Error| refused("open", path, Remedy::halt(hint), error);
    let folder = fs::canonicalize(folder)
        .map_err(refuse(format!("create the folder {} first, or name another file", folder.display())))?;
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match created {
        // SQLite gives its files beside it the same mode.
        Ok(file) => file
            .sync_all()
            .and_then(|()| File::open(&folder)?.sync_all())
            .map_err(|error| not_made(path, &folder, error))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (),
        Err(error) => return Err(not_made(path, &folder, error)),
    }
    fs::canonicalize(path).map_err(refuse("check the path of the graph".to_owned()))
}

/// The life of the thread: connects, says how that went, and serves.
fn own(
    path: PathBuf,
    connect: impl FnOnce() -> Result<Connection, SinkError>,
    orders: mpsc::Receiver<Order>,
    opened: SyncSender<Result<(), SinkError>>,
) {
    let file = || {
        worker::File::at(path.clone())
            .map_err(|error| refused("open", &path, Remedy::halt("check the path of the graph"), error))
    };
    let ready = connect().and_then(|connection| Ok((connection, file()?)));
    let (connection, file) = match ready {
        Ok(ready) => ready,
        Err(error) => {
            let _ = opened.send(Err(error));
            return;
        }
    };
    match Tables::new(&connection) {
        Ok(tables) => {
            let _ = opened.send(Ok(()));
            worker::serve(&connection, tables, file, orders);
        }
        Err(error) => {
            let _ = opened.send(Err(failed("open", &path, error)));
        }
    }
}

/// Opens the connection and makes sure that it leads to a graph.
fn connect(path: &Path) -> Result<Connection, SinkError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || -> Result<Connection, schema::Unfit> {
        let mut connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        // Before anything is written: see `worker::Worker::finish`.
        connection.pragma_update(None, "synchronous", "FULL")?;
        // On macOS an fsync that does not empty the drive's own cache is none.
        connection.pragma_update(None, "fullfsync", true)?;
        connection.pragma_update(None, "checkpoint_fullfsync", true)?;
        schema::prepare(&mut connection)?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
        Ok(connection)
    };
    open().map_err(|error| unfit("open", path, error))
}

/// The thread has ended, which only a panic in it can bring about.
fn gone(path: &Path) -> SinkError {
    refused("reach", path, Remedy::halt("please report this"), io::Error::other("its thread has ended"))
}

impl Sink for GraphSink {
    type Upload = GraphUpload;

    fn limits(&self) -> UploadLimits {
        self.limits
    }

    fn open(&self) -> GraphUpload {
        GraphUpload::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use futures::FutureExt;
    use opgraph_state::{Advance, Cursor, SourceInfo, UnixMs, Version};

    use super::*;
    use crate::{
        graph::{EntityType, Records, RelationshipType},
        http::Halt,
        page::{Coverage, Page, Place},
        sink::{Ack, Upload},
        stream::Stream,
    };

    /// A graph in a fresh folder whose connection was changed before its first use.
    fn graph(change: &str) -> (tempfile::TempDir, GraphSink) {
        let folder = tempfile::tempdir().unwrap();
        let path = create(&folder.path().join("graph.db")).unwrap();
        let (at, change) = (path.clone(), change.to_owned());
        let sink = GraphSink::start(path, GraphSink::LIMITS, move || {
            let connection = connect(&at)?;
            connection.execute_batch(&change).unwrap();
            Ok(connection)
        });
        (folder, sink.unwrap())
    }

    /// A page of one event with so much text.
    fn page(bytes: usize) -> Arc<Page<Records>> {
        let mut records = Records::default();
        let version = Version { rank: 2, at: UnixMs(1) };
        let mut event = records.entity(EntityType::AuditEvent, &format!("E{bytes}"), version);
        event.raw_data(&format!("\"{}\"", "x".repeat(bytes)));
        event.close();
        let advance = Advance::new(Cursor::Since(UnixMs(0)), Cursor::Token("1".to_owned()));
        Arc::new(Page::new(records, Place::new(Stream::AuditEvents, advance, SourceInfo::default()), None))
    }

    /// A page of events, each with the user who did it and the one it was done to.
    fn page_of_relationships(events: std::ops::Range<u64>) -> Arc<Page<Records>> {
        let mut records = Records::default();
        let version = Version { rank: 2, at: UnixMs(1) };
        for number in events {
            let (event, user) = (format!("E{number}"), format!("U{}", number * 7 % 5));
            records.entity(EntityType::AuditEvent, &event, version).close();
            records.entity(EntityType::ActorDetails, &user, version).close();
            records.entity(EntityType::ObjectDetails, &user, version).close();
            records.relationship(RelationshipType::ActorPerformedEvent, &user, &event, UnixMs(1));
            records.relationship(RelationshipType::EventUpdatedObject, &event, &user, UnixMs(1));
        }
        let advance = Advance::new(Cursor::Since(UnixMs(0)), Cursor::Token("1".to_owned()));
        Arc::new(Page::new(records, Place::new(Stream::AuditEvents, advance, SourceInfo::default()), None))
    }

    /// Relationships wait for the end of the transaction, or until enough of them do.
    #[tokio::test]
    async fn every_relationship_arrives_and_none_of_an_abandoned_upload() {
        let (_folder, sink) = graph("");
        for abandoned in [1..3, 3..40] {
            let mut upload = sink.open();
            upload.write(page_of_relationships(abandoned)).await.unwrap();
        }
        // The second time, all of it is there.
        for _ in 0..2 {
            let page = page_of_relationships(100..131);
            let mut coverage = Coverage::default();
            coverage.add(&page).unwrap();
            let mut upload = sink.open();
            upload.write(page).await.unwrap();
            let _ = upload.finish(coverage).await.unwrap();
        }
        let found = GraphReader::open(sink.path()).unwrap().records().unwrap();
        let expected: BTreeSet<_> =
            page_of_relationships(100..131).items.iter().map(|record| record.key.to_owned()).collect();
        assert_eq!(found.into_keys().collect::<BTreeSet<_>>(), expected);
        assert_eq!(expected.len(), 3 * 31 + 2 * 5);
    }

    async fn write(sink: &GraphSink, bytes: usize) -> Result<Ack, SinkError> {
        let page = page(bytes);
        let mut coverage = Coverage::default();
        coverage.add(&page).unwrap();
        let mut upload = sink.open();
        upload.write(page).await?;
        upload.finish(coverage).await
    }

    #[tokio::test]
    async fn a_full_disk_stops_the_upload_and_keeps_what_was_acked() {
        let (_folder, sink) = graph("PRAGMA max_page_count = 200");
        let _ = write(&sink, 10).await.unwrap();
        let error = write(&sink, 4_000_000).await.unwrap_err();
        assert!(error.remedy.hint().unwrap().starts_with("free some space"), "{error:?}");
        let _ = write(&sink, 20).await.unwrap();
        let records = GraphReader::open(sink.path()).unwrap().records().unwrap();
        let keys: Vec<_> = records.keys().map(String::as_str).collect();
        assert_eq!(keys, ["one_password_audit_event:E10", "one_password_audit_event:E20"]);
    }

    #[tokio::test]
    async fn a_lock_that_somebody_else_holds_is_worth_a_retry() {
        let (_folder, sink) = graph("PRAGMA busy_timeout = 5");
        let other = Connection::open(sink.path()).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let error = write(&sink, 10).await.unwrap_err();
        assert_eq!(error.remedy, Remedy::RETRY);
        other.execute_batch("ROLLBACK").unwrap();
        let _ = write(&sink, 10).await.unwrap();
    }

    #[tokio::test]
    async fn a_file_that_may_only_be_read_needs_a_person() {
        let (_folder, sink) = graph("PRAGMA query_only = on");
        let error = write(&sink, 10).await.unwrap_err();
        assert!(matches!(error.remedy, Remedy::Halt(Halt::Other { .. })), "{error:?}");
    }

    #[tokio::test]
    async fn a_commit_is_synced_before_it_returns() {
        let folder = tempfile::tempdir().unwrap();
        let connection = connect(&create(&folder.path().join("graph.db")).unwrap()).unwrap();
        let pragma =
            |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(pragma("synchronous"), 2, "FULL");
        assert_eq!(pragma("page_size"), 8192);
        let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
    }

    #[tokio::test]
    async fn an_upload_with_a_page_missing_is_never_acknowledged() {
        let (_folder, sink) = graph("");
        let other = Connection::open(sink.path()).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut upload = sink.open();
        // The caller goes away while the page waits for the lock.
        assert!(upload.write(page(10)).now_or_never().is_none());
        other.execute_batch("ROLLBACK").unwrap();
        upload.finish(Coverage::default()).await.unwrap_err();
        let _ = write(&sink, 20).await.unwrap();
        assert_eq!(GraphReader::open(sink.path()).unwrap().records().unwrap().len(), 1);
    }
}
