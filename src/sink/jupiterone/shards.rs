//! The directory scopes of plan `scope`: shared records in 256 shards by the hash of their key.

use std::{collections::BTreeMap, future::Future, sync::Arc};

use futures::{StreamExt, TryStreamExt, stream};
use opgraph_state::{Store, die_at, shard_of};

use super::{
    Link,
    api::Target,
    directory::{self, Change, DIRECTORY, Newest},
    ending::Ending,
    feed::{Feed, Sent, after_a_failed_one},
    pack::Kind,
    present::Present,
    removal::{self, Gone},
    scope::{End, label, note_whole},
    shared_types,
    vaults::{self, Concerned},
};
use crate::{page::Coverage, sink::SinkError};

/// Directory scopes that are written at the same time: a first upload has up to
/// 512 of them, each a handful of small requests and a wait.
const AT_ONCE: usize = 8;

/// The scope that holds the shared entity with this key.
pub(super) fn scope(prefix: &str, key: &str) -> String {
    name(prefix, shard_of(key), Kind::Entities)
}

fn name(prefix: &str, shard: u8, kind: Kind) -> String {
    match kind {
        Kind::Entities => format!("{prefix}/directory/{shard:02x}"),
        Kind::Relationships => format!("{prefix}/directory/{shard:02x}/relationships"),
    }
}

/// Sends each directory scope and vault scope in which something is new,
/// changed or gone, or newer than what an earlier run may have left there, whole,
/// and returns once all are FINISHED: the entities first, because the
/// relationships cross shards. A shard that loses an entity comes last, when
/// nothing points to it any more.
///
/// Each scope holds all it ever held, from the state, and is finalized as
/// adding only: it never shrinks, even when the state was lost. But for what is
/// removed: of its types the scope then holds what was sent and nothing else.
pub(super) async fn send<S: Store>(
    link: &Arc<Link<S>>,
    prefix: &Arc<str>,
    coverage: &Coverage,
) -> Result<Sent, SinkError> {
    let mut directory = link.directory.lock().await;
    let newest = directory.newest(&link.home, coverage).await?;
    let gone = removal::gone(coverage);
    if newest.is_empty() && gone.is_empty() {
        return Ok(Sent::default());
    }
    if directory.in_doubt {
        return Err(after_a_failed_one());
    }
    // Until all went well: whoever has the directory next must not write
    // beside the jobs that a failure leaves open.
    directory.in_doubt = true;
    let present = Arc::new(Present::of(&directory, coverage));
    let mut due = Due::default();
    for record in &newest {
        let is_due = match record.change {
            Change::Content => true,
            Change::Version => !directory.sent.contains(&place(record)?),
            Change::Nothing => false,
        };
        // What was set aside has not arrived, though the state knows it.
        if is_due || coverage.is_retry() {
            due.add(record)?;
        }
    }
    if !directory.whole {
        due.add_all(link, &present).await?;
    }
    gone.iter().for_each(|record| due.remove(record));

    let Due { entities, relationships, vaults } = due;
    let of = |kind| move |shard: &u8| (*shard, kind);
    let known = entities.keys().map(of(Kind::Entities));
    let known: Vec<_> = known.chain(relationships.keys().map(of(Kind::Relationships))).collect();
    let (last, first): (Shards<'_>, Shards<'_>) =
        entities.into_iter().partition(|(_, gone)| !gone.is_empty());
    let mut sent = Sent::default();
    for (kind, shards) in [(Kind::Entities, first), (Kind::Relationships, relationships)] {
        sent.add(send_all(link, prefix, kind, shards, &present).await?);
    }
    let vaults = vaults.into_parts(&present).into_iter();
    let jobs = vaults
        .map(|vault| vaults::send_one(Arc::clone(link), Arc::clone(prefix), vault, Arc::clone(&present)));
    sent.add(at_once(jobs).await?);
    sent.add(send_all(link, prefix, Kind::Entities, last, &present).await?);
    if !directory.whole {
        note_whole(&link.api.settings, &link.home).await?;
        die_at!("directory.noted");
        directory.whole = true;
    }
    directory.in_doubt = false;
    directory.sent.extend(known);
    Ok(sent)
}

/// The directory scope of a record that is of no vault.
fn place(record: &Newest) -> Result<(u8, Kind), SinkError> {
    let of = directory::head(&record.entry)?.of;
    Ok((shard_of(&record.entry.key), Kind::of(of.is_relationship())))
}

/// Shards to be sent, each with what goes from it.
type Shards<'a> = BTreeMap<u8, Vec<Gone<'a>>>;

/// The scopes to be sent.
#[derive(Default)]
struct Due<'a> {
    entities: Shards<'a>,
    relationships: Shards<'a>,
    vaults: Concerned,
}

impl<'a> Due<'a> {
    /// The scope of a record that has to arrive.
    fn add(&mut self, record: &Newest) -> Result<(), SinkError> {
        let of = directory::head(&record.entry)?.of;
        if vaults::is_of_vault(of) {
            return self.vaults.add(record);
        }
        self.shards(Kind::of(of.is_relationship())).entry(shard_of(&record.entry.key)).or_default();
        Ok(())
    }

    /// Every scope there is.
    async fn add_all<S: Store>(&mut self, link: &Link<S>, present: &Present) -> Result<(), SinkError> {
        for kind in [Kind::Entities, Kind::Relationships] {
            self.shards(kind).extend((0..=u8::MAX).map(|shard| (shard, Vec::new())));
        }
        self.vaults.add_all(link, present).await
    }

    /// The scope of a record that has to go. A secret goes with its place in a vault.
    fn remove(&mut self, gone: &Gone<'a>) {
        if vaults::is_of_vault(gone.of) {
            return self.vaults.leave(gone);
        }
        let shards = self.shards(Kind::of(gone.of.is_relationship()));
        shards.entry(shard_of(gone.key)).or_default().push(*gone);
    }

    fn shards(&mut self, kind: Kind) -> &mut Shards<'a> {
        match kind {
            Kind::Entities => &mut self.entities,
            Kind::Relationships => &mut self.relationships,
        }
    }
}

async fn send_all<S: Store>(
    link: &Arc<Link<S>>,
    prefix: &Arc<str>,
    kind: Kind,
    shards: Shards<'_>,
    present: &Arc<Present>,
) -> Result<Sent, SinkError> {
    let ending = |(shard, gone): (u8, Vec<Gone<'_>>)| (shard, removal::ending(shared_types(), &gone));
    let shards: Vec<(u8, Ending)> = shards.into_iter().map(ending).collect();
    let jobs = shards.into_iter().map(|(shard, ending)| {
        send_one(Arc::clone(link), Arc::clone(prefix), shard, kind, ending, Arc::clone(present))
    });
    at_once(jobs).await
}

/// Does several jobs at a time. Answers what became of all.
async fn at_once(
    jobs: impl Iterator<Item = impl Future<Output = Result<Sent, SinkError>>>,
) -> Result<Sent, SinkError> {
    let jobs = stream::iter(jobs).buffer_unordered(AT_ONCE);
    let add = |mut sent: Sent, one| async {
        sent.add(one);
        Ok(sent)
    };
    jobs.try_fold(Sent::default(), add).await
}

/// Sends one directory scope. Opens no job if there is nothing to say.
async fn send_one<S: Store>(
    link: Arc<Link<S>>,
    prefix: Arc<str>,
    shard: u8,
    kind: Kind,
    ending: Ending,
    present: Arc<Present>,
) -> Result<Sent, SinkError> {
    let members = present.shard(&link.home, shard).await?;
    let shrinks = !ending.is_append_only();
    let mut feed = Feed::new(&link, Target::scope(name(&prefix, shard, kind)), None, ending);
    if shrinks {
        feed.open().await?;
    }
    let mut labels = String::new();
    for entry in members.values() {
        let head = directory::head(entry)?;
        if Kind::of(head.of.is_relationship()) != kind || vaults::is_of_vault(head.of) {
            continue;
        }
        labels.clear();
        if let Some((from, to)) = head.ends {
            label(&mut labels, End::From, &scope(&prefix, &from));
            label(&mut labels, End::To, &scope(&prefix, &to));
        }
        feed.push(kind, &entry.record, &labels, DIRECTORY).await?;
    }
    feed.finish().await
}
