//! The fuzz target of what is stored.

use serde::Serialize;
use serde_json::Value;
use sled::IVec;

use super::{
    parts,
    record::{Found, Record},
    rows,
    trees::Tree,
    values,
};
use crate::{
    Advance, Cursor, Epoch, ListedItem, ListedVault, Quarantined, SourceInfo, Step, StoreError, UnixMs,
    UploadNote, run::Run,
};

/// A stored value: the first byte chooses what it is taken for, the rest is the
/// value. Whatever is there is damaged or means the same once it is written
/// again, and the program can go on from it.
pub fn stored(data: &[u8]) {
    let Some((kind, value)) = data.split_first() else { return };
    let key = b"key";
    match kind {
        b'c' => {
            let Some(run) = good(values::from_run(key, value)) else { return };
            same(value, &run);
            assert!(Run::claimed_after(Some(run), UnixMs(0)).epoch > run.epoch, "an epoch never falls");
        }
        b'k' => {
            let Some(stored) = good(values::from_stream_at(key, value)) else { return };
            same(value, &stored);
            let step = Step {
                stream: stored.stream,
                advance: Advance::new(stored.checkpoint.cursor.clone(), Cursor::Since(UnixMs(i64::MIN))),
                source: SourceInfo::default(),
                newest_event: None,
                latest: None,
                seen: vec![vec![crate::Fingerprint(0)]],
                rewound: false,
                through: false,
                window: None,
                split: None,
            };
            let advanced = stored.checkpoint.advanced(Epoch(1), Epoch(1), &step, UnixMs(i64::MAX));
            let advanced = advanced.expect("a step from the stored cursor is accepted");
            assert!(
                advanced.commits > stored.checkpoint.commits && advanced.events > stored.checkpoint.events
            );
        }
        b's' => {
            let Some(newest_first) = good(values::from_seen(key, value)) else { return };
            let mut ids: Vec<_> = newest_first.collect();
            ids.reverse();
            let written: Vec<u8> = values::seen(&ids).flat_map(|row| row.to_vec()).collect();
            assert_eq!(written, value);
        }
        b'd' => {
            let Some(entry) = good(values::from_entry(key, value)) else { return };
            assert_eq!(values::entry(&entry), value);
        }
        b'q' => {
            let read = values::from_json::<Quarantined>(Tree::Quarantine, key, value);
            if let Some(entry) = good(read) {
                same(value, &entry);
                assert!(!rows::quarantined("tenant", entry.at, &entry.id()).is_empty());
            }
        }
        b'u' => {
            let read = values::from_json::<UploadNote>(Tree::Uploads, key, value);
            if let Some(note) = good(read) {
                same(value, &note);
            }
        }
        b'v' => listed::<ListedVault>(value),
        b'i' => listed::<ListedItem>(value),
        b'm' => {
            if let Some(number) = good(values::from_number(key, value)) {
                assert_eq!(number.to_be_bytes(), value);
                assert!(number.checked_add(1).is_some(), "a number that can grow");
            }
        }
        b'r' => match Found::read(value) {
            Found::Record(record) => {
                assert_eq!(Record::new(record.format, record.commits), record);
                assert!(record.commits.checked_add(1).is_some(), "a number that can grow");
            }
            Found::Damaged(why) => assert!(!why.is_empty()),
            // Of another format, which a newer program may have written.
            Found::Foreign(_) => (),
            Found::Missing => panic!("it is there"),
        },
        b'p' => in_parts(value),
        _ => (),
    }
}

/// A row of the inventory: read from its own row it is what the text says, and from no other.
fn listed<T: values::Listing>(value: &[u8]) {
    let Some(listed) = good(values::from_json::<T>(Tree::Inventory, b"key", value)) else { return };
    same(value, &listed);
    let own = |tenant: &str| [listed.row(tenant).as_slice(), &[0; 4]].concat();
    let read = values::from_listed::<T>(&own("tenant"), value).expect("its own row");
    assert_eq!(values::json(&read), values::json(&listed));
    let other = [own("tenant").as_slice(), &[0; 4]].concat();
    assert!(good(values::from_listed::<T>(&other, value)).is_none(), "the row of another");
}

/// What could be read; what could not is damaged, and nothing else.
fn good<T>(read: Result<T, StoreError>) -> Option<T> {
    read.map_err(|error| assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}")).ok()
}

/// Checks that what was read of a JSON text says what the text says: every
/// member that both have is the same.
fn same(text: &[u8], read: &impl Serialize) {
    // A text that only skipping can read, such as one nested without end in a
    // member that nobody knows, is no use as a judge.
    let Ok(text) = serde_json::from_slice::<Value>(text) else { return };
    let written: Value = serde_json::from_slice(&values::json(read)).expect("what was written can be read");
    assert!(agree(&text, &written), "{text} was read as {written}");
}

fn agree(text: &Value, written: &Value) -> bool {
    match (text, written) {
        (Value::Object(text), Value::Object(written)) => {
            written.iter().all(|(name, value)| text.get(name).is_none_or(|text| agree(text, value)))
        }
        // serde also takes the members as a list, in their order. Nobody writes
        // that; there are no names in it to compare.
        (Value::Array(_), Value::Object(_)) => true,
        _ => text == written,
    }
}

/// A value in parts, of which one is lost, cut, or bent as the first four bytes
/// say: it comes back whole or not at all.
fn in_parts(data: &[u8]) {
    let Some((&[times, which, what, at], value)) = data.split_first_chunk() else { return };
    let value = value.repeat(usize::from(times));
    let mut rows = parts::split(b"key", &value);
    let which = usize::from(which) % rows.len();
    let row = &mut rows[which].1;
    let at = usize::from(at) % (row.len() + 1);
    match what {
        0 => {
            let whole = join(rows).expect("nothing is wrong with it");
            return assert_eq!(whole, Some(value));
        }
        1 => drop(rows.remove(which)),
        2 => *row = row[..at].into(),
        _ => *row = row.iter().enumerate().map(|(n, byte)| byte ^ if n == at { what } else { 0 }).collect(),
    }
    if let Some(Some(joined)) = good(join(rows)) {
        assert_eq!(joined.len(), value.len(), "a value of another length");
    }
}

fn join(rows: Vec<(Vec<u8>, IVec)>) -> Result<Option<Vec<u8>>, StoreError> {
    let rows = rows.into_iter().map(|(key, value)| Ok((key.into(), value)));
    parts::join(Tree::Uploads, rows).next().map(|value| Ok(value?.1)).transpose()
}
