//! A store with something in every tree, in known steps; and what is in it.

use std::{fs, path::Path};

use crate::{
    Advance, Commit, Cursor, Entry, Epoch, Fingerprint, InventoryChange, ListedItem, ListedVault, OfWindow,
    Quarantined, SledStore, SourceInfo, Split, Step, Store, StoreError, UnixMs, UploadNote, Version,
};

const HOUR: i64 = 3_600_000;
pub(super) const TENANTS: [&str; 3] = ["acme", "a\0b", "zeta"];
const STREAMS: [&str; 2] = ["auditevents", "itemusages"];

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

fn cursor(number: u64) -> Cursor {
    Cursor::Token(format!("token-{number}"))
}

/// Does one step of the story: claims, notes, commits of every kind, with
/// `page` ids a page and one more, and `scattered` small records that change
/// all over the directory.
pub(super) async fn step_of(store: &SledStore, number: u64, page: u64, scattered: u64) {
    step_with(store, number, page, scattered, true).await;
}

/// The vaults and items that a commit lists and finds gone: every third turn
/// takes one item and now and then a vault out again.
fn listed(number: u64, turn: u64) -> Vec<InventoryChange> {
    let vault = |turn: u64| format!("vault {}\0", turn % 4);
    let of = vault(turn);
    let mut changes: Vec<_> = (0..turn % 4 + 1)
        .map(|nth| {
            let item = ListedItem {
                vault: of.clone(),
                id: format!("item {nth} {}", "i".repeat((nth * 60) as usize)),
                version: number,
                details: nth.is_multiple_of(2),
            };
            InventoryChange::Item(item)
        })
        .collect();
    changes.push(InventoryChange::Vault(ListedVault {
        id: of,
        attribute_version: Some(number),
        content_version: (!turn.is_multiple_of(3)).then_some(number),
        details: true,
        missing: 0,
        ..ListedVault::default()
    }));
    if turn.is_multiple_of(3) {
        changes.push(InventoryChange::ItemGone { vault: vault(turn - 1), item: "item 0 ".to_owned() });
    }
    if turn.is_multiple_of(7) {
        changes.push(InventoryChange::VaultGone { vault: vault(turn - 1) });
    }
    changes
}

/// One step of the story; without what formats before 3 did not know, if it is not `listing`.
pub(super) async fn step_with(store: &SledStore, number: u64, page: u64, scattered: u64, listing: bool) {
    let tenant = TENANTS[number as usize % TENANTS.len()];
    let turn = number / TENANTS.len() as u64;
    if turn == 0 {
        let first: Vec<_> = STREAMS.iter().map(|stream| ((*stream).to_owned(), cursor(0))).collect();
        store.claim(tenant, &first, UnixMs(HOUR)).await.unwrap();
        return;
    }
    if turn.is_multiple_of(5) {
        let note = UploadNote { name: format!("job/{turn}"), note: "n".repeat(100) };
        store.note_upload(tenant, Epoch(1), note).await.unwrap();
        return;
    }
    let stands = store.checkpoints().await.unwrap();
    let stream = STREAMS[turn as usize % 2];
    let ids = |page: u64, count: u64| -> Vec<Fingerprint> {
        (0..count).map(|id| Fingerprint::of(&format!("{number} {page} {id}"))).collect()
    };
    let entry = |key: u64, bytes: usize| Entry {
        key: format!("user:{key}"),
        version: Version { rank: 2, at: UnixMs(number as i64) },
        record: format!("{number} ").repeat(bytes / 4),
    };
    let body = |what: &str| Quarantined {
        stream: stream.to_owned(),
        reason: what.to_owned(),
        body: format!("{what} {number}").repeat(600),
        at: UnixMs(number as i64 * HOUR),
    };
    let mut directory = vec![entry(turn % 7, 300), entry(100 + turn, 15_000)];
    let somewhere = |nth: u64| crate::shard_of(&format!("{number} {nth}")) as u64 * 8 + nth % 8;
    directory.extend((0..scattered).map(|nth| entry(1000 + somewhere(nth), 200)));
    directory.sort_by(|one, other| one.key.cmp(&other.key));
    directory.dedup_by(|one, other| one.key == other.key);
    // Windows, too, came with format 3: three of the ten hours before, of which
    // one is begun, and one is read to its end.
    let now = number as i64 * HOUR;
    let split = || Split::cut(UnixMs(now - 10 * HOUR), UnixMs(now), 3, 0, None);
    let windows = stands[tenant][stream].windows.clone();
    let in_window = |number: usize, done: bool| Step {
        stream: stream.to_owned(),
        advance: Advance::new(windows[number].cursor.clone(), cursor(turn)),
        source: SourceInfo::default(),
        newest_event: None,
        latest: None,
        seen: vec![ids(2, 3)],
        rewound: false,
        through: false,
        window: Some(OfWindow { number: windows[number].number, begun: 0, done }),
        split: None,
    };
    let beside = match turn {
        4 if listing => vec![in_window(0, true), in_window(1, false)],
        _ => Vec::new(),
    };
    let commit = Commit {
        tenant: tenant.to_owned(),
        epoch: Epoch(1),
        at: UnixMs(number as i64 * HOUR),
        steps: [
            vec![Step {
                stream: stream.to_owned(),
                advance: Advance::new(stands[tenant][stream].cursor.clone(), cursor(number)),
                source: SourceInfo::default(),
                newest_event: Some(UnixMs(number as i64 * HOUR)),
                latest: None,
                seen: vec![ids(0, page), ids(1, 1)],
                rewound: false,
                through: turn.is_multiple_of(3),
                window: None,
                split: (listing && turn == 2).then(split),
            }],
            beside,
        ]
        .concat(),
        removed: if listing {
            vec![format!("user:{}", 98 + turn), format!("user:{}", turn % 7)]
        } else {
            Vec::new()
        },
        inventory: if listing { listed(number, turn) } else { Vec::new() },
        directory,
        quarantined: if turn.is_multiple_of(4) { vec![body("no uuid")] } else { Vec::new() },
        released: Vec::new(),
        settled: if turn % 5 == 1 { vec![format!("job/{}", turn - 1)] } else { Vec::new() },
    };
    store.commit(commit).await.unwrap();
}

/// The same with few and large changes.
pub(super) async fn step(store: &SledStore, number: u64, page: u64) {
    step_of(store, number, page, 0).await;
}

/// The fingerprint of everything that can be read of every tenant. It claims
/// nothing and changes nothing.
pub(super) async fn content(store: &SledStore) -> Result<Fingerprint, StoreError> {
    let mut content = format!("{:?}", store.checkpoints().await?);
    for tenant in TENANTS {
        for stream in STREAMS {
            content += &format!("{:?}", store.seen(tenant, stream, None).await?);
        }
        for shard in 0..=u8::MAX {
            content += &format!("{:?}", store.directory_shard(tenant, shard).await?);
        }
        for vault in store.listed_vaults(tenant).await? {
            content += &format!("{vault:?} {:?}", store.listed_items(tenant, &vault.id).await?);
        }
        content += &format!("{:?}", store.quarantined(tenant, 1000).await?);
        content += &format!("{:?}", store.quarantine_len(tenant).await?);
        content += &format!("{:?}", store.renew(tenant, Epoch(u64::MAX), UnixMs(0)).await);
    }
    Ok(Fingerprint::of(&content))
}
