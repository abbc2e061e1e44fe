//! Pages to write: numbered, joined, and the same each time they are asked for.

use std::collections::BTreeMap;

use opgraph::{
    graph::{
        EntityType, Records, RelationshipType,
        records::{FULL, STUB},
    },
    page::{Page, Place},
    stream::Stream,
};
use opgraph_state::{Advance, Cursor, Entry, Fingerprint, SourceInfo, UnixMs, Version};

use super::Contents;

/// Events in a page.
const EVENTS: usize = 7;

/// One version of a vault.
#[derive(Clone, Debug)]
pub(super) struct Telling {
    pub(super) rank: u8,
    pub(super) at: i64,
    pub(super) name: String,
}

impl Telling {
    /// What `Entry::supersedes` orders by.
    pub(super) fn entry_order(&self) -> (u8, i64, String) {
        (self.rank, self.at, Feed::telling(self.clone()).contents().into_values().collect())
    }

    fn write(&self, id: &str, records: &mut Records) {
        let version = Version { rank: self.rank, at: UnixMs(self.at) };
        let mut vault = records.entity(EntityType::Vault, id, version);
        vault.text("name", Some(&self.name));
        vault.text("displayName", Some(&self.name));
        vault.close();
    }
}

/// A sequence of pages, the streams in turn.
#[derive(Debug)]
pub(super) struct Feed {
    pages: usize,
    content: Content,
    /// More of what each event was received as.
    padding: String,
}

#[derive(Debug)]
enum Content {
    Events,
    Nothing,
    Telling(Telling),
}

impl Feed {
    /// Pages full of events, users that change their names, and vaults.
    pub(super) fn new(pages: usize) -> Feed {
        Feed { pages, content: Content::Events, padding: String::new() }
    }

    /// The same with so much more in each event as it was received.
    pub(super) fn with_raw_data(self, padding: String) -> Feed {
        Feed { padding, ..self }
    }

    /// Two pages with nothing in them.
    pub(super) fn empty() -> Feed {
        Feed { content: Content::Nothing, ..Feed::new(2) }
    }

    /// One page with one version of the vault `V1`.
    pub(super) fn telling(telling: Telling) -> Feed {
        Feed { content: Content::Telling(telling), ..Feed::new(1) }
    }

    /// The page with this number.
    pub(super) fn page(&self, number: usize) -> Page<Records> {
        let stream = Stream::ALL[number % Stream::ALL.len()];
        let turn = number / Stream::ALL.len();
        let cursor = |turn: usize| Cursor::Token(format!("{}/{turn}", stream.name()));
        let place = Place::new(stream, Advance::new(cursor(turn), cursor(turn + 1)), SourceInfo::default());
        let mut records = Records::default();
        let mut ids = Vec::new();
        match &self.content {
            Content::Events => {
                for event in 0..EVENTS {
                    let uuid = format!("{number}-{event}");
                    ids.push(Fingerprint::of(&uuid));
                    write_event(stream, &uuid, number * EVENTS + event, &self.padding, &mut records);
                }
            }
            Content::Nothing => (),
            Content::Telling(telling) => telling.write("V1", &mut records),
        }
        let mut page = Page::new(records, place, None);
        page.remember(ids);
        page
    }

    /// What a sink holds when it holds all of it: the greatest version of each record.
    pub(super) fn contents(&self) -> Contents {
        let mut newest: BTreeMap<String, Entry> = BTreeMap::new();
        self.each_version(|entry| match newest.get(&entry.key) {
            Some(known) if !entry.supersedes(known) => (),
            _ => {
                newest.insert(entry.key.clone(), entry);
            }
        });
        newest.into_iter().map(|(key, entry)| (key, entry.record)).collect()
    }

    /// Whether any page has this record in just this version.
    pub(super) fn knows(&self, key: &str, json: &str) -> bool {
        let mut found = false;
        self.each_version(|entry| found |= entry.key == key && entry.record == json);
        found
    }

    fn each_version(&self, mut visit: impl FnMut(Entry)) {
        for number in 0..self.pages {
            for record in self.page(number).items.iter() {
                let (key, json) = (record.key.to_owned(), record.json.to_owned());
                visit(Entry { key, version: record.version, record: json });
            }
        }
    }
}

/// The records of one event, as its stream's mapping shapes them.
fn write_event(stream: Stream, uuid: &str, n: usize, padding: &str, records: &mut Records) {
    // Times go to and fro, so that the newest version does not come last.
    let at = UnixMs(((n * 37) % 101) as i64);
    let user = format!("U{}", n % 5);
    let version = Version { rank: FULL, at };
    let of = match stream {
        Stream::SignInAttempts => EntityType::SignInAttemptEvent,
        Stream::ItemUsages => EntityType::ItemUsageEvent,
        Stream::AuditEvents => EntityType::AuditEvent,
    };
    let mut event = records.entity(of, uuid, version);
    event.text("name", Some("an \"event\" — ünï\u{1F511}"));
    event.text("displayName", Some(uuid));
    event.time("createdOn", Some(at));
    event.raw_data(&format!("{{\"uuid\":\"{uuid}\",\"n\":{n},\"more\":\"{padding}\"}}"));
    event.close();
    let mut named = |of: EntityType, rank: u8| {
        let name = if rank == STUB { user.clone() } else { format!("{user} as of {n}") };
        let mut entity = records.entity(of, &user, Version { rank, at });
        entity.text("name", Some(&name));
        entity.text("displayName", Some(&name));
        entity.close();
    };
    match stream {
        Stream::SignInAttempts => {
            named(EntityType::SignInTargetUser, FULL);
            records.relationship(RelationshipType::TargetUserPerformedSignIn, &user, uuid, at);
        }
        Stream::ItemUsages => {
            named(EntityType::ItemUsageUser, FULL);
            named(EntityType::SignInTargetUser, FULL);
            records.relationship(RelationshipType::UserPerformedUsage, &user, uuid, at);
            records.relationship(RelationshipType::TargetUserPerformedUsage, &user, uuid, at);
        }
        Stream::AuditEvents => {
            named(EntityType::ActorDetails, FULL);
            named(EntityType::ObjectDetails, FULL);
            named(EntityType::Vault, if n.is_multiple_of(3) { FULL } else { STUB });
            records.relationship(RelationshipType::EventUpdatedObject, uuid, &user, at);
            records.relationship(RelationshipType::ActorPerformedEvent, &user, uuid, at);
            records.relationship(RelationshipType::ActorPerformedVault, &user, &user, at);
        }
    }
}
