//! What the tests share: a source that follows a script, a proxy that spoils requests, and the real
//! program in a place of its own.

pub(crate) mod chaos;

pub(crate) mod answers;

pub(crate) mod files;

pub(crate) mod logs;

pub(crate) mod mappings;

pub(crate) mod program;

pub(crate) mod store;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use opgraph::{
    clock::Clock,
    http::{Failure, Outcome, Remedy},
    pipeline::{Limits, Run},
    sink::Sink,
    source::{Pace, Source},
    stream::{Mapping, Read, Stream, read_page},
    telemetry::Meter,
};
use opgraph_state::{Claim, Cursor, SourceInfo, Store, UnixMs};
use tokio_util::sync::CancellationToken;

/// When the scripted events begin to happen.
pub(crate) const START: UnixMs = UnixMs(1_780_000_000_000);

/// How a scripted source misbehaves, each in thousandths of its answers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trouble {
    /// An answer that could have been had later.
    pub(crate) fails: u32,
    /// A page without events and with a new cursor.
    pub(crate) empty: u32,
    /// A cursor that is no longer accepted.
    pub(crate) refused: u32,
}

/// A source that serves numbered events from memory, page after page.
///
/// A cursor is `events before it/turn`, and in a window `/events before its end`. Each page repeats the last event of the
/// one before, as an overlapping source may.
#[derive(Debug)]
pub(crate) struct Scripted {
    pub(crate) events: BTreeMap<Stream, usize>,
    pub(crate) page: usize,
    pub(crate) trouble: Trouble,
    pub(crate) dice: Mutex<fastrand::Rng>,
    /// Pages answered.
    pub(crate) answered: Mutex<usize>,
}

impl Scripted {
    pub(crate) fn new(events: usize, page: usize, seed: u64, trouble: Trouble) -> Arc<Scripted> {
        Arc::new(Scripted {
            events: Stream::ALL.iter().map(|stream| (*stream, events)).collect(),
            page,
            trouble,
            dice: Mutex::new(fastrand::Rng::with_seed(seed)),
            answered: Mutex::new(0),
        })
    }

    fn roll(&self) -> u32 {
        self.dice.lock().unwrap().u32(0..1000)
    }
}

/// The uuid of a scripted event.
pub(crate) fn uuid(stream: Stream, number: usize) -> String {
    format!("{}-{number:08}", stream.name())
}

/// The key of the event's own entity.
pub(crate) fn key(stream: Stream, number: usize) -> String {
    let of = match stream {
        Stream::SignInAttempts => "one_password_signin_attempt_event",
        Stream::ItemUsages => "one_password_item_usage_event",
        Stream::AuditEvents => "one_password_audit_event",
    };
    format!("{of}:{}", uuid(stream, number))
}

/// How many events lie before a cursor. An event happens a minute after the one before.
pub(crate) fn events_before(cursor: &Cursor) -> usize {
    match cursor {
        Cursor::Since(at) | Cursor::Between { from: at, .. } => {
            (at.since(START).as_millis() as usize).div_ceil(60_000)
        }
        Cursor::Token(token) => token.split('/').next().unwrap().parse().unwrap(),
    }
}

/// The event as the API would send it.
fn event(stream: Stream, number: usize) -> String {
    let at = jiff::Timestamp::from_millisecond(START.0 + 60_000 * number as i64).unwrap();
    let user =
        format!(r#"{{"uuid":"USER{}","name":"Ann Lee {number}","email":"ann@example.com"}}"#, number % 7);
    let id = uuid(stream, number);
    match stream {
        Stream::SignInAttempts => {
            format!(
                r#"{{"uuid":"{id}","timestamp":"{at}","category":"success","type":"mfa_ok","target_user":{user}}}"#
            )
        }
        Stream::ItemUsages => {
            format!(r#"{{"uuid":"{id}","timestamp":"{at}","action":"reveal","user":{user}}}"#)
        }
        Stream::AuditEvents => {
            format!(
                r#"{{"uuid":"{id}","timestamp":"{at}","action":"grant","object_type":"uva","object_uuid":"vault{}","actor_details":{user}}}"#,
                number % 5
            )
        }
    }
}

pub(crate) fn failure(remedy: Remedy) -> Failure {
    let doing = "read a scripted page".to_owned();
    Failure { doing, status: None, code: None, outcome: Outcome::NotDone, remedy, cause: "scripted".into() }
}

impl Source for Scripted {
    async fn page(&self, stream: Stream, at: &Cursor) -> Result<Read, Failure> {
        let before = events_before(at);
        while self.roll() < self.trouble.fails {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_millis(u64::from(self.roll() % 9))).await;
        let is_token = matches!(at, Cursor::Token(_));
        if is_token && self.roll() < self.trouble.refused {
            return Err(failure(Remedy::Rewind));
        }
        let turn: usize = match at {
            Cursor::Token(token) => token.split('/').nth(1).unwrap().parse().unwrap(),
            Cursor::Since(_) | Cursor::Between { .. } => 0,
        };
        let until = match at {
            Cursor::Token(token) => token.split('/').nth(2).map(|until| until.parse().unwrap()),
            Cursor::Since(_) => None,
            Cursor::Between { to, .. } => Some(to.since(START).as_millis() as usize / 60_000 + 1),
        };
        let all = self.events[&stream].min(until.unwrap_or(usize::MAX));
        let before = before.min(all);
        let end = if self.roll() < self.trouble.empty { before } else { (before + self.page).min(all) };
        let first = if is_token { before.saturating_sub(1) } else { before };
        let items: Vec<String> = (first.min(end)..end).map(|number| event(stream, number)).collect();
        *self.answered.lock().unwrap() += 1;
        // An exhausted stream answers with the cursor it was asked with.
        let turn = if end == before && end == all && is_token { turn } else { turn + 1 };
        let items = if end == before { String::new() } else { items.join(",") };
        let until = until.map(|until| format!("/{until}")).unwrap_or_default();
        let body =
            format!(r#"{{"cursor":"{end}/{turn}{until}","has_more":{},"items":[{items}]}}"#, end < all);
        Ok(read_page(stream, body.into_bytes()).unwrap())
    }

    fn info(&self) -> SourceInfo {
        SourceInfo { account: Some("ACCOUNT".to_owned()), api_version: "v2".to_owned(), page_size: 1000 }
    }
}

/// Claims the tenant for all streams.
pub(crate) async fn claim<T: Store>(store: &T, tenant: &str) -> Claim {
    let first: Vec<_> =
        Stream::ALL.iter().map(|stream| (stream.name().to_owned(), Cursor::Since(START))).collect();
    store.claim(tenant, &first, START).await.unwrap()
}

/// A run of all streams that ends when they have caught up. The scripts know one
/// chain of cursors, so nothing is left to windows.
pub(crate) fn run<S, K: Sink, T: Store>(
    tenant: &str,
    claim: Claim,
    source: Arc<S>,
    sink: Arc<K>,
    store: T,
    limits: Limits,
) -> Run<S, K, T> {
    let streams =
        Stream::ALL.iter().map(|stream| (*stream, claim.checkpoints[stream.name()].clone())).collect();
    Run {
        tenant: tenant.into(),
        epoch: claim.epoch,
        source,
        snapshots: None,
        sink,
        store,
        streams,
        first: START,
        pace: Pace::Once,
        mapping: Mapping { raw_data: true, account_name: None },
        limits: Limits { readers: 1, ..limits },
        room: None,
        clock: Clock::starting_at(START.plus(Duration::from_secs(90 * 24 * 3600))),
        meter: Arc::new(Meter::default()),
        closing: CancellationToken::new(),
    }
}
