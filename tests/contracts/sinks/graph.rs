//! What the graph file promises beyond every sink's contract.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};

use opgraph::{
    graph::{EntityType, Kind, RecordType, Records, RelationshipType, Sharing, records::FULL},
    http::{Halt, Remedy},
    page::{Coverage, Page, Place},
    sink::{
        Sink, SinkError, Upload,
        graph::{GraphReader, GraphSink},
    },
    stream::Stream,
};
use opgraph_state::{Advance, Cursor, SourceInfo, UnixMs, Version};
use rusqlite::{Connection, types::Value};

use super::{Contents, Feed, Graph, Subject, upload};

fn contents(path: &Path) -> Contents {
    let records = GraphReader::open(path).unwrap().records().unwrap();
    records.into_iter().map(|(key, record)| (key, record.json)).collect()
}

/// Writes these records in one upload.
async fn write(sink: &GraphSink, records: Records) {
    let advance = Advance::new(Cursor::Since(UnixMs(0)), Cursor::Token("1".to_owned()));
    let page = Page::new(records, Place::new(Stream::AuditEvents, advance, SourceInfo::default()), None);
    let mut coverage = Coverage::default();
    coverage.add(&page).unwrap();
    let mut upload = sink.open();
    upload.write(Arc::new(page)).await.unwrap();
    let _ = upload.finish(coverage).await.unwrap();
}

#[tokio::test]
async fn a_graph_opened_again_holds_what_it_held() {
    let (graph, feed) = (Graph::new(), Feed::new(3));
    let _ = upload(graph.sink(), &feed, 0..2).await.unwrap();
    let Graph { sink, folder } = graph;
    let path = sink.path().to_owned();
    drop(sink);
    let files: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, ["graph.db"], "the log is gone, its content is in the file");
    let again = GraphSink::open(&path, GraphSink::LIMITS).unwrap();
    let _ = upload(&again, &feed, 2..3).await.unwrap();
    assert_eq!(contents(&path), feed.contents());
    drop(folder);
}

/// The file and its log are copied as a kill would leave them: right after an
/// ack, in the middle of the next transaction, and with that transaction's
/// commit cut short anywhere.
#[tokio::test]
async fn a_kill_at_any_time_loses_nothing_that_was_acked() {
    let (graph, feed) = (Graph::new(), Feed::new(6));
    let path = graph.sink().path().to_owned();
    let log = path.with_extension("db-wal");
    let log_bytes = || fs::metadata(&log).unwrap().len() as usize;
    let copy = graph.folder.path().join("copy.db");
    let check = |expect: &Contents, log_bytes: usize| {
        fs::copy(&path, &copy).unwrap();
        fs::write(copy.with_extension("db-wal"), &fs::read(&log).unwrap()[..log_bytes]).unwrap();
        let sink = GraphSink::open(&copy, GraphSink::LIMITS).unwrap();
        assert_eq!(contents(&copy), *expect);
        drop(sink);
        fs::remove_file(&copy).unwrap();
    };
    let mut acked = graph.contents();
    for number in 0..6 {
        let synced = log_bytes();
        let page = feed.page(number);
        let mut coverage = Coverage::default();
        coverage.add(&page).unwrap();
        let mut next = graph.sink().open();
        next.write(Arc::new(page)).await.unwrap();
        check(&acked, log_bytes());
        let _ = next.finish(coverage).await.unwrap();
        let written = log_bytes();
        assert!(written > synced);
        for cut in [synced, (synced + written) / 2, written - 1] {
            check(&acked, cut);
        }
        acked = graph.contents();
        check(&acked, written);
    }
    assert_eq!(acked, feed.contents());
}

#[tokio::test]
async fn a_dropped_upload_is_taken_back_before_anything_else_is_written() {
    let (graph, feed) = (Graph::new(), Feed::new(6));
    let mut dropped = graph.sink().open();
    dropped.write(Arc::new(feed.page(0))).await.unwrap();
    drop(dropped);
    let _ = upload(graph.sink(), &feed, [1]).await.unwrap();
    let held = graph.contents();
    assert!(feed.page(1).items.iter().all(|record| held.contains_key(record.key)));
    let of_page_0 = feed.page(0);
    assert!(of_page_0.items.of(Sharing::Event).all(|record| !held.contains_key(record.key)));
}

#[tokio::test]
async fn uploads_take_turns() {
    let (graph, feed) = (Graph::new(), Feed::new(6));
    let mut first = graph.sink().open();
    first.write(Arc::new(feed.page(0))).await.unwrap();
    let second = tokio::spawn({
        let (sink, feed) = (graph.sink().clone(), Feed::new(6));
        async move { upload(&sink, &feed, 1..6).await }
    });
    tokio::time::timeout(Duration::from_millis(50), async {
        while !second.is_finished() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect_err("the second upload waits for the first");
    let mut coverage = Coverage::default();
    coverage.add(&feed.page(0)).unwrap();
    let _ = first.finish(coverage).await.unwrap();
    let _ = second.await.unwrap().unwrap();
    assert_eq!(graph.contents(), feed.contents());
}

#[tokio::test]
async fn rows_that_somebody_else_removed_come_again() {
    let (graph, feed) = (Graph::new(), Feed::new(6));
    let _ = upload(graph.sink(), &feed, 0..6).await.unwrap();
    let other = Connection::open(graph.sink().path()).unwrap();
    let tables: Vec<String> = other
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'records%'")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(tables.len(), 18);
    for table in tables {
        other.execute_batch(&format!("DELETE FROM \"{table}\"")).unwrap();
    }
    // Row ids are given out anew, to other keys.
    for number in [5, 4, 3, 2, 1, 0] {
        let _ = upload(graph.sink(), &feed, [number]).await.unwrap();
    }
    assert_eq!(graph.contents(), feed.contents());
}

#[tokio::test]
async fn a_view_has_a_column_for_every_property() {
    let graph = Graph::new();
    let reader = Connection::open(graph.sink().path()).unwrap();
    let columns = |view: &str| -> Vec<String> {
        let mut info = reader.prepare("SELECT name FROM pragma_table_info(?1)").unwrap();
        info.query_map([view], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    for of in EntityType::ALL {
        let mut expect = vec!["_key", "_type", "_class"];
        expect.extend(of.properties().iter().map(|property| property.name));
        expect.push("tag.AccountName");
        expect.extend((of.sharing() == Sharing::Event).then_some("_rawData"));
        assert_eq!(columns(of.name()), expect, "{}", of.name());
    }
    for of in RelationshipType::ALL {
        let expect = ["_key", "_type", "_class", "_fromEntityKey", "_toEntityKey", "displayName"];
        assert_eq!(columns(of.name()), expect, "{}", of.name());
    }
}

#[tokio::test]
async fn a_view_shows_every_value_in_its_own_type() {
    let graph = Graph::new();
    for of in EntityType::ALL {
        let mut records = Records::default();
        let mut entity = records.entity(*of, "it's \"ü\"|\u{1F511}", Version { rank: FULL, at: UnixMs(7) });
        for property in of.properties().iter().filter(|property| property.name != "id") {
            match property.kind {
                Kind::Text => entity.text(property.name, Some("d'Arc \"ü\" \n\u{1F511}; DROP TABLE x --")),
                Kind::Texts => entity.texts_or_null(property.name, Some("a@example.com")),
                Kind::Number => entity.number(property.name, Some(43.64)),
                Kind::Time => entity.time(property.name, Some(UnixMs(1_666_646_212_827))),
                Kind::Boolean => entity.boolean(property.name, Some(true)),
            }
        }
        entity.text("tag.AccountName", Some("acme"));
        if of.sharing() == Sharing::Event {
            entity.raw_data("{\"uuid\":\"x\"}");
        }
        entity.close();
        write(graph.sink(), records).await;

        let reader = Connection::open(graph.sink().path()).unwrap();
        let value = |column: &str| -> Value {
            let sql = format!("SELECT \"{column}\" FROM {}", of.name());
            reader.query_row(&sql, [], |row| row.get(0)).unwrap()
        };
        let text = |text: &str| Value::Text(text.to_owned());
        assert_eq!(value("_key"), text(&format!("{}:it's \"ü\"|\u{1F511}", of.name())));
        assert_eq!(value("_type"), text(of.name()));
        assert_eq!(value("_class"), text(of.class()));
        assert_eq!(value("tag.AccountName"), text("acme"));
        for property in of.properties() {
            let expect = match (property.name, property.kind) {
                ("id", _) => text("it's \"ü\"|\u{1F511}"),
                (_, Kind::Text) => text("d'Arc \"ü\" \n\u{1F511}; DROP TABLE x --"),
                (_, Kind::Texts) => text("[\"a@example.com\"]"),
                (_, Kind::Number) => Value::Real(43.64),
                (_, Kind::Time) => Value::Integer(1_666_646_212_827),
                (_, Kind::Boolean) => Value::Integer(1),
            };
            assert_eq!(value(property.name), expect, "{} of {}", property.name, of.name());
        }
    }
}

#[tokio::test]
async fn a_relationship_is_read_as_it_was_written() {
    let graph = Graph::new();
    for of in RelationshipType::ALL {
        let (from, to) = ("a|has|b:'\"\u{0}", "c|\u{1F511}|d");
        let mut records = Records::default();
        records.entity(of.from(), from, Version { rank: FULL, at: UnixMs(1) }).close();
        records.entity(of.to(), to, Version { rank: FULL, at: UnixMs(1) }).close();
        records.relationship(*of, from, to, UnixMs(1));
        let written: Vec<_> =
            records.iter().map(|record| (record.key.to_owned(), record.json.to_owned())).collect();
        write(graph.sink(), records).await;
        let held = graph.contents();
        for (key, json) in written {
            assert_eq!(held.get(&key), Some(&json), "{key}");
        }
    }
    let counts = GraphReader::open(graph.sink().path()).unwrap().counts().unwrap();
    for of in RelationshipType::ALL {
        assert_eq!(counts[&RecordType::Relationship(*of)], 1);
    }
    let all: u64 = counts.values().sum();
    assert_eq!(all as usize, graph.contents().len());
}

#[tokio::test]
async fn a_reader_sees_names_and_times() {
    let (graph, feed) = (Graph::new(), Feed::new(3));
    let _ = upload(graph.sink(), &feed, 0..3).await.unwrap();
    let records = GraphReader::open(graph.sink().path()).unwrap().records().unwrap();
    let event = &records["one_password_audit_event:2-0"];
    assert_eq!(event.of, RecordType::Entity(EntityType::AuditEvent));
    assert_eq!(event.name.as_deref(), Some("an \"event\" — ünï\u{1F511}"));
    assert_eq!(event.created_on, Some((14 * 37) % 101));
    let done = &records["one_password_audit_event_actor_details:U4|performed|one_password_audit_event:2-0"];
    let ends = ["one_password_audit_event_actor_details:U4", "one_password_audit_event:2-0"];
    assert_eq!(done.ends, Some((ends[0].to_owned(), ends[1].to_owned())));
}

#[tokio::test]
async fn keys_and_ends_are_found_without_reading_whole_tables() {
    let (graph, feed) = (Graph::new(), Feed::new(6));
    let _ = upload(graph.sink(), &feed, 0..6).await.unwrap();
    let reader = Connection::open(graph.sink().path()).unwrap();
    let plan = |sql: &str| -> Vec<String> {
        let mut explain = reader.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        explain.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect()
    };
    for sql in [
        "SELECT * FROM one_password_vault WHERE _key = 'x'",
        "SELECT * FROM entities WHERE _key = 'x'",
        "SELECT * FROM one_password_vault_has_secret WHERE _fromEntityKey = 'x'",
        "SELECT * FROM one_password_vault_has_secret WHERE _toEntityKey = 'x'",
        "SELECT * FROM relationships WHERE _fromEntityKey = 'x'",
        "SELECT * FROM relationships WHERE _toEntityKey = 'x'",
        "SELECT s.name FROM one_password_vault_has_secret r \
         JOIN one_password_secret s ON s._key = r._toEntityKey WHERE r._fromEntityKey = 'x'",
    ] {
        let plan = plan(sql);
        assert!(!plan.iter().any(|step| step.contains("SCAN")), "{sql}: {plan:#?}");
    }
}

#[tokio::test]
async fn an_older_file_gets_the_views_of_today_and_keeps_its_own() {
    let (graph, feed) = (Graph::new(), Feed::new(3));
    let _ = upload(graph.sink(), &feed, 0..3).await.unwrap();
    let path = graph.sink().path().to_owned();
    let Graph { sink, folder } = graph;
    drop(sink);
    let other = Connection::open(&path).unwrap();
    other
        .execute_batch(
            "DROP VIEW one_password_vault; CREATE VIEW one_password_vault AS SELECT 1 AS old;
             DROP VIEW entities; CREATE VIEW mine AS SELECT 2 AS two;",
        )
        .unwrap();
    let sink = GraphSink::open(&path, GraphSink::LIMITS).unwrap();
    let number = |sql: &str| other.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(number("SELECT count(name) FROM one_password_vault"), 5);
    assert!(number("SELECT count(_key) FROM entities") > 5);
    assert_eq!(number("SELECT two FROM mine"), 2);
    drop((sink, folder));
}

#[tokio::test]
async fn a_graph_is_its_owners_alone() {
    let graph = Graph::new();
    let _ = upload(graph.sink(), &Feed::new(1), 0..1).await.unwrap();
    for entry in fs::read_dir(graph.folder.path()).unwrap().map(Result::unwrap) {
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", entry.path().display());
    }
}

#[tokio::test]
async fn a_graph_that_was_moved_away_acknowledges_nothing() {
    for replaced in [false, true] {
        let (graph, feed) = (Graph::new(), Feed::new(2));
        let _ = upload(graph.sink(), &feed, 0..1).await.unwrap();
        fs::rename(graph.sink().path(), graph.folder.path().join("elsewhere.db")).unwrap();
        if replaced {
            fs::write(graph.sink().path(), "").unwrap();
        }
        let error = upload(graph.sink(), &feed, 1..2).await.unwrap_err();
        assert!(matches!(error.remedy, Remedy::Halt(Halt::State { .. })), "{error:?}");
    }
}

#[test]
fn a_file_that_cannot_be_a_graph_is_refused_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |path: &Path| -> SinkError {
        let before = fs::read(path).ok();
        let error = GraphSink::open(path, GraphSink::LIMITS).unwrap_err();
        assert_eq!(fs::read(path).ok(), before, "the file is left alone");
        assert!(error.remedy.hint().is_some(), "{error:?}");
        error
    };
    let is_state = |error: &SinkError| matches!(error.remedy, Remedy::Halt(Halt::State { .. }));

    let nowhere = refused(&folder.path().join("missing/graph.db"));
    assert!(nowhere.remedy.hint().unwrap().starts_with("create the folder"), "{nowhere:?}");
    assert!(matches!(refused(folder.path()).remedy, Remedy::Halt(Halt::Other { .. })), "a folder");

    let text = folder.path().join("notes.txt");
    fs::write(&text, "not a database at all ".repeat(400)).unwrap();
    assert!(is_state(&refused(&text)));

    let foreign = folder.path().join("contacts.db");
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE contacts (name)").unwrap();
    assert!(is_state(&refused(&foreign)));

    let newer = folder.path().join("newer.db");
    drop(GraphSink::open(&newer, GraphSink::LIMITS).unwrap());
    let connection = Connection::open(&newer).unwrap();
    connection.execute_batch("PRAGMA user_version = 99; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    assert!(is_state(&refused(&newer)));
    assert!(matches!(GraphReader::open(&newer).unwrap_err().remedy, Remedy::Halt(Halt::State { .. })));
    assert!(GraphReader::open(&folder.path().join("none.db")).is_err());
}

#[tokio::test]
async fn a_damaged_graph_stops_the_tenant() {
    let graph = Graph::new();
    let _ = upload(graph.sink(), &Feed::new(60), 0..60).await.unwrap();
    let Graph { sink, folder } = graph;
    let path = sink.path().to_owned();
    drop(sink);
    let mut bytes = fs::read(&path).unwrap();
    let (_, after_the_schema) = bytes.split_at_mut(4 * 8192);
    after_the_schema.fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let error = match GraphSink::open(&path, GraphSink::LIMITS) {
        Ok(sink) => upload(&sink, &Feed::new(3), 0..3).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(error.remedy, Remedy::Halt(Halt::State { .. })), "{error:?}");
    drop(folder);
}
