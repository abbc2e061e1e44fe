//! The sled store against the store in memory: the same requests, the same answers.

use std::time::Duration;

use proptest::prelude::*;

use super::HOUR;
use crate::{
    Advance, Commit, Cursor, Entry, Epoch, Fingerprint, InventoryChange, ListedItem, ListedVault,
    MemoryStore, OfWindow, QuarantineId, Quarantined, SourceInfo, Split, Step, Store, UnixMs, UploadNote,
    Version, Window,
};

const NAMES: [&str; 3] = ["a", "a\0", "b"];

const HOUR_OF: Duration = Duration::from_millis(HOUR as u64);

#[derive(Clone, Debug)]
enum Request {
    Claim(usize, Vec<usize>),
    Commit { tenant: usize, late: bool, steps: Vec<(usize, bool, StepOf)>, more: u8 },
    Renew(usize, bool),
    Rewind(usize, usize),
    Note(usize, u8),
    Drop(usize, u8),
    Reopen,
}

#[derive(Clone, Debug)]
struct StepOf {
    to: u8,
    newest: Option<u8>,
    pages: Vec<u16>,
    rewound: bool,
    through: bool,
}

fn requests() -> impl Strategy<Value = Vec<Request>> {
    let name = 0..NAMES.len();
    let step = (
        any::<u8>(),
        proptest::option::of(0..200_u8),
        proptest::collection::vec(prop_oneof![Just(0), 1..5_u16, Just(800)], 0..4),
        proptest::bool::weighted(0.1),
        proptest::bool::weighted(0.4),
    );
    let step =
        step.prop_map(|(to, newest, pages, rewound, through)| StepOf { to, newest, pages, rewound, through });
    let steps = proptest::collection::vec((name.clone(), proptest::bool::weighted(0.1), step), 0..3);
    let one = prop_oneof![
        2 => (name.clone(), proptest::collection::vec(name.clone(), 0..3)).prop_map(|(tenant, streams)| Request::Claim(tenant, streams)),
        12 => (name.clone(), proptest::bool::weighted(0.1), steps, any::<u8>())
            .prop_map(|(tenant, late, steps, more)| Request::Commit { tenant, late, steps, more }),
        1 => (name.clone(), any::<bool>()).prop_map(|(tenant, late)| Request::Renew(tenant, late)),
        1 => (name.clone(), name.clone()).prop_map(|(tenant, stream)| Request::Rewind(tenant, stream)),
        1 => (name.clone(), any::<u8>()).prop_map(|(tenant, note)| Request::Note(tenant, note)),
        1 => (name, any::<u8>()).prop_map(|(tenant, which)| Request::Drop(tenant, which)),
        1 => Just(Request::Reopen),
    ];
    proptest::collection::vec(one, 1..40)
}

/// A change of the inventory, of few vaults and items, so that they meet.
fn listed(which: u8, at: i64) -> InventoryChange {
    let vault = NAMES[usize::from(which / 4 % 3)].to_owned();
    let item = NAMES[usize::from(which / 12 % 3)].repeat(if which >= 200 { 150 } else { 1 });
    match which % 4 {
        0 => InventoryChange::VaultGone { vault },
        1 => InventoryChange::ItemGone { vault, item },
        2 => InventoryChange::Vault(ListedVault {
            id: vault,
            attribute_version: Some(at.unsigned_abs()),
            content_version: (which >= 100).then_some(7),
            details: which >= 50,
            missing: u32::from(which % 3),
            ..ListedVault::default()
        }),
        _ => InventoryChange::Item(ListedItem { vault, id: item, version: at.unsigned_abs(), details: true }),
    }
}

/// Does one request and tells what came of it. What it is about is taken from
/// the store itself, so that most commits are legal.
async fn ask(store: &impl Store, request: &Request, at: i64) -> String {
    let now = UnixMs(at * HOUR);
    let epoch_of = async |tenant: &str, late: bool| {
        // Read without claiming: the refusal tells it.
        let refused = store.renew(tenant, Epoch(u64::MAX), now).await;
        let Err(crate::StoreError::Refused(crate::Refused::Fenced { stored, .. })) = refused else {
            panic!("{refused:?}")
        };
        Epoch(stored.0.saturating_sub(u64::from(late)))
    };
    match request {
        Request::Claim(tenant, streams) => {
            let first: Vec<_> =
                streams.iter().map(|stream| (NAMES[*stream].to_owned(), Cursor::Since(now))).collect();
            format!("{:?}", store.claim(NAMES[*tenant], &first, now).await)
        }
        Request::Commit { tenant, late, steps, more } => {
            let tenant = NAMES[*tenant];
            let stands = store.checkpoints().await.unwrap().remove(tenant).unwrap_or_default();
            let mut commit = Commit {
                tenant: tenant.to_owned(),
                epoch: epoch_of(tenant, *late).await,
                at: now,
                ..Commit::default()
            };
            for (stream, bad, of) in steps {
                let stream = NAMES[*stream];
                if commit.steps.iter().any(|step| step.stream == stream) {
                    continue;
                }
                let from = stands.get(stream).filter(|_| !bad).map(|stands| stands.cursor.clone());
                let to = if of.to % 8 == 0 { Cursor::Since(now) } else { Cursor::Token(of.to.to_string()) };
                let page = |(page, len): (usize, &u16)| {
                    (0..*len).map(|id| Fingerprint::of(&format!("{at} {page} {id}"))).collect()
                };
                let windows = stands.get(stream).map(|stands| stands.windows.clone()).unwrap_or_default();
                // One window moves, or is done; now and then one that is not there.
                let moved = windows.iter().find(|window| of.to % 4 == 2 || window.number == 2);
                let absent = (of.to % 32 == 3).then(|| (9, Cursor::Token("?".to_owned())));
                let moved = moved.map(|window| (window.number, window.cursor.clone())).or(absent);
                if let Some((number, from)) = moved {
                    let begun = u32::from(of.to % 3 == 0);
                    let to = match of.to % 3 {
                        0 => Window::beginning(UnixMs(0), now, u32::from(of.to)),
                        _ => Cursor::Token(format!("{} in {number}", of.to)),
                    };
                    commit.steps.push(Step {
                        stream: stream.to_owned(),
                        advance: Advance::new(from, to),
                        source: SourceInfo::default(),
                        newest_event: None,
                        latest: Some(UnixMs(i64::from(of.to) * HOUR / 4)),
                        seen: vec![vec![Fingerprint::of(&format!("{at} in {number}"))]],
                        rewound: false,
                        through: false,
                        window: Some(OfWindow { number, begun, done: of.through }),
                        split: None,
                    });
                }
                let next = windows.iter().map(|window| window.number + 1).max().unwrap_or(0);
                let past = (now.minus(20 * HOUR_OF), now.minus(5 * HOUR_OF));
                let split = (of.to % 16 == 5).then(|| Split::cut(past.0, past.1, 4, next, None));
                commit.steps.push(Step {
                    stream: stream.to_owned(),
                    advance: Advance::new(from.unwrap_or(Cursor::Token("?".to_owned())), to),
                    source: SourceInfo::default(),
                    newest_event: of.newest.map(|newest| UnixMs(i64::from(newest).min(at) * HOUR)),
                    latest: None,
                    seen: of.pages.iter().enumerate().map(page).collect(),
                    rewound: of.rewound,
                    through: of.through,
                    window: None,
                    split,
                });
            }
            for directory in 0..more % 4 {
                commit.directory.push(Entry {
                    key: format!("k{}", directory % 3),
                    version: Version { rank: more % 3, at: UnixMs(i64::from(more / 16)) },
                    record: "r".repeat(usize::from(*more) * 60),
                });
            }
            if more % 3 == 0 {
                commit.removed.push(format!("k{}", more / 3 % 4));
            }
            commit.inventory.extend((0..more % 5).map(|nth| listed(more.wrapping_mul(nth + 1), at)));
            if more % 6 == 0 {
                let listed = store.quarantine_list(tenant).await.unwrap();
                commit.released.extend(listed.into_iter().take(usize::from(more % 4)).map(|entry| entry.id));
            }
            if more % 5 == 0 {
                commit.quarantined.push(Quarantined {
                    stream: NAMES[usize::from(more % 3)].to_owned(),
                    reason: at.to_string(),
                    body: "b".repeat(usize::from(more % 3) * 7_000),
                    at: UnixMs(i64::from(more / 8)),
                });
            }
            commit.settled.extend((more % 7 == 0).then(|| (more % 4).to_string()));
            format!("{:?}", store.commit(commit).await)
        }
        Request::Renew(tenant, late) => {
            let tenant = NAMES[*tenant];
            let epoch = epoch_of(tenant, *late).await;
            format!("{:?}", store.renew(tenant, epoch, now).await)
        }
        Request::Rewind(tenant, stream) => {
            format!("{:?}", store.rewind(NAMES[*tenant], NAMES[*stream], Cursor::Since(now), now).await)
        }
        Request::Note(tenant, note) => {
            let tenant = NAMES[*tenant];
            let epoch = epoch_of(tenant, false).await;
            let note = UploadNote { name: (note % 4).to_string(), note: at.to_string() };
            format!("{:?}", store.note_upload(tenant, epoch, note).await)
        }
        Request::Drop(tenant, which) => {
            let tenant = NAMES[*tenant];
            let listed = store.quarantine_list(tenant).await.unwrap();
            let named = listed.into_iter().skip(usize::from(which % 3)).take(2).map(|entry| entry.id);
            // Now and then one that is not there.
            let gone = QuarantineId { stream: NAMES[0].to_owned(), body: Fingerprint::of("gone") };
            let ids = named.chain((which % 5 == 0).then_some(gone)).collect();
            format!("{:?}", store.quarantine_drop(tenant, ids).await)
        }
        Request::Reopen => String::new(),
    }
}

/// Everything that can be read.
async fn content(store: &impl Store) -> String {
    let mut content = format!("{:?}", store.checkpoints().await);
    for tenant in NAMES {
        for stream in NAMES {
            for at_least in [None, Some(1), Some(900)] {
                content += &format!("{:?}", store.seen(tenant, stream, at_least).await);
            }
        }
        content += &format!("{:?}", store.listed_vaults(tenant).await);
        for vault in NAMES {
            content += &format!("{:?}", store.listed_items(tenant, vault).await);
        }
        let keys = (0..3).map(|key| format!("k{key}")).collect();
        content += &format!("{:?}", store.directory(tenant, keys).await);
        content += &format!("{:?}", store.quarantined(tenant, 100).await);
        content += &format!("{:?}", store.quarantine_len(tenant).await);
        content += &format!("{:?}", store.quarantine_list(tenant).await);
        content += &format!("{:?}", store.claim(tenant, &[], UnixMs(0)).await);
    }
    content
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_sled_store_answers_what_the_memory_store_answers(requests in requests()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let memory = MemoryStore::default();
            let mut sled = super::open_renewing(dir.path(), 4000);
            for (at, request) in (0..).zip(&requests) {
                // The clock goes on by eight hours a request, so that the horizon matters.
                let (one, other) = (ask(&memory, request, at * 8).await, ask(&sled, request, at * 8).await);
                assert_eq!(one, other, "{request:?}");
                if matches!(request, Request::Reopen) {
                    drop(sled);
                    sled = super::open_renewing(dir.path(), 4000);
                    assert_eq!(sled.rolled_back(), None);
                }
            }
            assert_eq!(content(&memory).await, content(&sled).await);
        });
    }
}
