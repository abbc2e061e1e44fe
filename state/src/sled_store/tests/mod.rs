//! What the sled store does beyond the contract: durability, locks, damage, bounds.

mod contract;

mod reopen;

mod late;

mod renewing;

mod locking;

mod backwards;

mod damage;

mod furnished;

mod sweep;

mod healing;

mod compacting;

mod golden;

mod failing;

mod grouping;

mod bounds;

mod crash;

mod model;

use std::path::Path;

use super::{OpenOptions, SledStore};
use crate::{Advance, Commit, Cursor, Epoch, Fingerprint, SourceInfo, Step, Store, UnixMs};

const HOUR: i64 = 3_600_000;

fn open(dir: &Path) -> SledStore {
    SledStore::open(dir, OpenOptions::default()).unwrap()
}

/// Opens a store that opens its database anew after so many bytes.
fn open_renewing(dir: &Path, renew_bytes: u64) -> SledStore {
    SledStore::open(dir, OpenOptions { renew_bytes, ..OpenOptions::default() }).unwrap()
}

/// The number of commits that the record says were made durable.
fn recorded(dir: &Path) -> u64 {
    let text = std::fs::read_to_string(dir.join("commit.json")).unwrap();
    serde_json::from_str::<serde_json::Value>(&text).unwrap()["commits"].as_u64().unwrap()
}

async fn claim(store: &SledStore, tenant: &str) -> Epoch {
    let first = [("s".to_owned(), token(0))];
    store.claim(tenant, &first, UnixMs(0)).await.unwrap().epoch
}

fn token(number: u64) -> Cursor {
    Cursor::Token(number.to_string())
}

/// `count` ids that no other `number` has.
fn ids(number: u64, count: u64) -> Vec<Fingerprint> {
    (0..count).map(|id| Fingerprint(u128::from(number) << 64 | u128::from(id))).collect()
}

/// Commits step `number` (from the token `number` to the next) of the stream `s`,
/// all in hour `hour`.
fn commit(tenant: &str, epoch: Epoch, number: u64, hour: i64, seen: Vec<Vec<Fingerprint>>) -> Commit {
    Commit {
        tenant: tenant.to_owned(),
        epoch,
        at: UnixMs(hour * HOUR),
        steps: vec![Step {
            stream: "s".to_owned(),
            advance: Advance::new(token(number), token(number + 1)),
            source: SourceInfo::default(),
            newest_event: Some(UnixMs(hour * HOUR)),
            latest: None,
            seen,
            rewound: false,
            through: false,
            window: None,
            split: None,
        }],
        removed: Vec::new(),
        inventory: Vec::new(),
        directory: Vec::new(),
        released: Vec::new(),
        quarantined: Vec::new(),
        settled: Vec::new(),
    }
}

/// Looks into a closed directory, or changes it, behind the store's back.
fn behind_the_back<T>(dir: &Path, look: impl FnOnce(&sled::Db) -> T) -> T {
    let db = sled::Config::new().path(dir).flush_every_ms(None).open().unwrap();
    let seen = look(&db);
    db.flush().unwrap();
    drop(db);
    // sled's threads may hold its lock for a moment longer.
    std::fs::File::open(dir.join("db")).unwrap().lock().unwrap();
    seen
}
