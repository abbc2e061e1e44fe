//! Plan `scope`: one scope for a stream's events from a cursor on, 256
//! cumulative ones for the shared records, and one for the items of each vault.
//!
//! | scope                                        | holds                                 | finalized                 |
//! |----------------------------------------------|---------------------------------------|---------------------------|
//! | `<prefix>/events/<stream>/<first cursor>`     | the event records of one upload       | adding; a replay replaces |
//! | `<prefix>/events/<stream>/<entries>`          | what came out of the quarantine       | adding; a replay replaces |
//! | `<prefix>/directory/<00..ff>`                 | all shared entities of that hash      | adding                    |
//! | `<prefix>/directory/<00..ff>/relationships`   | all shared relationships of that hash | adding                    |
//! | `<prefix>/vault/<vault id>`                   | its secrets, and that it has them     | adding                    |
//!
//! Of the shared ones, a scope from which something is removed is finalized as
//! holding all there is of that type.
//!
//! A relationship may point into another scope, which then is FINISHED before
//! the relationship's own job is finalized: first the shared entities, then
//! the shared relationships, the items of vaults and the events.

use std::{collections::BTreeMap, sync::Arc};

use futures::future::{try_join, try_join_all};
use opgraph_state::{Cursor, Fingerprint, Store, UploadNote, die_at};

use super::{
    Home, JupiterOneSettings, Link, Plan,
    api::{API, Target},
    ending::Ending,
    every_type,
    feed::{Feed, Sent},
    left::Uncommitted,
    notes::Note,
    pack::Kind,
    report::Tally,
    shards,
};
use crate::{
    graph::{Lot, Record, RecordType, Records, Sharing, json},
    page::{Coverage, Page},
    sink::{Ack, SinkError},
    stream::Stream,
};

/// One upload: a job for each stream, and one for each directory scope that changes.
pub(super) struct ScopeUpload<S> {
    link: Arc<Link<S>>,
    prefix: Arc<str>,
    lanes: Vec<Lane<S>>,
    sent: Sent,
}

/// The way of one stream's events into their scope.
struct Lane<S> {
    stream: Stream,
    feed: Feed<S>,
    /// The scope may hold what an earlier run never committed.
    replaces: bool,
}

impl<S: Store> ScopeUpload<S> {
    /// Contacts nobody.
    pub(super) fn new(link: Arc<Link<S>>, prefix: &str) -> ScopeUpload<S> {
        ScopeUpload { link, prefix: prefix.into(), lanes: Vec::new(), sent: Sent::default() }
    }

    /// Takes the event records of a page.
    pub(super) async fn write(&mut self, page: &Page<Records>) -> Result<(), SinkError> {
        let stream = page.stream();
        let at = match self.lanes.iter().position(|lane| lane.stream == stream) {
            Some(at) => at,
            None => {
                let lane = self.lane(stream, event_scope(&self.prefix, page)).await?;
                self.lanes.push(lane);
                self.lanes.len() - 1
            }
        };
        let (feed, origin) = (&mut self.lanes[at].feed, stream.name());
        feed.push_all(Kind::Entities, &page.items, origin).await?;
        let mut labels = String::new();
        for stretch in page.items.stretches(Lot::Relationships, usize::MAX) {
            for record in stretch.iter() {
                labels.clear();
                label_foreign(&mut labels, &self.prefix, &record);
                feed.push(Kind::Relationships, record.json, &labels, origin).await?;
            }
        }
        Ok(())
    }

    /// Starts the way of a stream into the scope of its first cursor.
    ///
    /// What an earlier run brought into the graph and never committed will come
    /// again, from the same stored cursor on. In the scope of that cursor the
    /// new job replaces it. In any other (there were two uploads, and the pages
    /// need not be cut as they were) it is removed here, before anything of the
    /// stream is sent: pages of a stream come in order, so nobody else writes
    /// to these scopes meanwhile.
    ///
    /// Only such a replay replaces. A first cursor may come again for other
    /// reasons (`cursors import`, a rewind to the same time), and then dedup
    /// has taken out what the scope holds: replacing would lose it.
    async fn lane(&mut self, stream: Stream, own: String) -> Result<Lane<S>, SinkError> {
        let mut left: BTreeMap<String, Tally> = BTreeMap::new();
        for Uncommitted { scope, held, note } in self.link.left.take_uncommitted(stream.name()) {
            let sum = left.entry(scope).or_default();
            *sum = sum.plus(held);
            self.sent.settled.push(note);
        }
        let replaced = left.remove(&own);
        for (scope, held) in left {
            let ending = Ending::Replace(held);
            let mut feed = Feed::new(&self.link, Target::scope(scope), Some(stream.name()), ending);
            feed.open().await?;
            self.sent.add(feed.finish().await?);
            die_at!("scope.emptied");
        }
        let replaces = replaced.is_some();
        let ending = replaced.map_or_else(|| Ending::Append(every_type()), Ending::Replace);
        let feed = Feed::new(&self.link, Target::scope(own), Some(stream.name()), ending);
        Ok(Lane { stream, feed, replaces })
    }

    /// Sends the directory scopes that change, then completes the jobs of the events.
    pub(super) async fn finish(mut self, mut coverage: Coverage) -> Result<Ack, SinkError> {
        let events = try_join_all(self.lanes.iter_mut().map(async |lane| {
            if lane.replaces {
                // Even with nothing to say: what is there has to go.
                lane.feed.open().await?;
            }
            lane.feed.seal().await
        }));
        let directory = shards::send(&self.link, &self.prefix, &coverage);
        let (_, directory) = try_join(events, directory).await?;
        let events = try_join_all(self.lanes.into_iter().map(|lane| lane.feed.finish())).await?;

        let mut sent = self.sent;
        sent.add(directory);
        events.into_iter().for_each(|events| sent.add(events));
        sent.settled.extend(self.link.left.take_over());
        sent.set_aside.into_iter().for_each(|record| coverage.quarantine(record));
        Ok(Ack::durable(coverage, sent.settled))
    }
}

/// The scope of a stream's events from a first page on: the same cursor gives
/// the same scope, in any run.
///
/// Entries that come out of the quarantine have a scope of their own, named by
/// them: a replay of the cursor's scope replaces what is there, and would not
/// bring them again.
fn event_scope(prefix: &str, first: &Page<Records>) -> String {
    let text = match (first.released(), first.advance().from()) {
        ([], Cursor::Since(at)) => format!("since {}", at.0),
        ([], Cursor::Token(token)) => format!("token {token}"),
        // A window that is begun anew has a new scope: what the old one holds
        // was seen, does not come again, and must not be replaced.
        ([], Cursor::Between { from, to, turn }) => format!("between {} {} {turn}", from.0, to.0),
        (entries, _) => entries.iter().fold("quarantine".to_owned(), |text, entry| format!("{text} {entry}")),
    };
    format!("{prefix}/events/{}/{:032x}", first.stream().name(), Fingerprint::of(&text).0)
}

/// Labels the ends of an event's relationship that live in the directory.
fn label_foreign(labels: &mut String, prefix: &str, record: &Record<'_>) {
    let (RecordType::Relationship(of), Some((from, to))) = (record.of, record.ends) else { return };
    if of.from().sharing() == Sharing::Shared {
        label(labels, End::From, &shards::scope(prefix, from));
    }
    if of.to().sharing() == Sharing::Shared {
        label(labels, End::To, &shards::scope(prefix, to));
    }
}

/// An end of a relationship.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    From,
    To,
}

/// Says in which scope an end of a relationship lives.
pub(super) fn label(labels: &mut String, end: End, scope: &str) {
    let end = match end {
        End::From => "from",
        End::To => "to",
    };
    for part in [",\"_", end, "EntitySource\":\"", API, "\",\"_", end, "EntityScope\":"] {
        labels.push_str(part);
    }
    json::push_string(labels, scope);
}

/// Whether the directory scopes hold all that the state knows, as the run
/// before this one has noted. Notes it anew for the next run.
///
/// The chain of epochs matters: a run without this sink, or with another
/// account or prefix, may have committed shared records that were never sent
/// here, and relationships to them could not be created.
pub(super) async fn is_whole<S: Store>(
    settings: &JupiterOneSettings,
    home: &Home<S>,
    unsettled: &[UploadNote],
) -> Result<bool, SinkError> {
    let whole = unsettled.iter().filter_map(Note::read).any(|note| match note {
        Note::Directory { destination, epoch } => {
            destination == self::destination(settings) && epoch.0 + 1 == home.epoch.0
        }
        Note::Job { .. } => false,
    });
    if whole {
        note_whole(settings, home).await?;
    }
    Ok(whole)
}

/// Notes that the directory scopes hold all that the state knows.
pub(super) async fn note_whole<S: Store>(
    settings: &JupiterOneSettings,
    home: &Home<S>,
) -> Result<(), SinkError> {
    let destination = destination(settings);
    home.note(&Note::Directory { destination, epoch: home.epoch }).await
}

fn destination(settings: &JupiterOneSettings) -> String {
    let prefix = match &settings.plan {
        Plan::Scope { prefix } => prefix,
        Plan::Instance { id, .. } => id,
    };
    format!("{} {} {prefix}", settings.base_url, settings.account)
}
