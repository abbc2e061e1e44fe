//! The directory scopes of plan `scope`: shared records in 256 shards by the hash of their key.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{StreamExt, TryStreamExt, stream};
use opgraph_state::{Entry, Store, die_at, shard_of};

use super::{
    Link,
    api::Target,
    directory::{self, DIRECTORY, Newest},
    feed::{Feed, Sent, after_a_failed_one},
    job::Ending,
    pack::Kind,
    scope::{End, label, note_whole},
    shared_types,
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

/// Sends each directory scope in which something is new or changed, whole,
/// and returns once all are FINISHED: the entities first, because the
/// relationships cross shards.
///
/// Each scope holds all it ever held, from the state, and is finalized as
/// adding only: it never shrinks, even when the state was lost.
pub(super) async fn send<S: Store>(
    link: &Arc<Link<S>>,
    prefix: &Arc<str>,
    coverage: &Coverage,
) -> Result<Sent, SinkError> {
    let mut directory = link.directory.lock().await;
    let newest = directory.newest(&link.home, coverage).await?;
    if newest.is_empty() {
        return Ok(Sent::default());
    }
    if directory.in_doubt {
        return Err(after_a_failed_one());
    }
    // Until all went well: whoever has the directory next must not write
    // beside the jobs that a failure leaves open.
    directory.in_doubt = true;
    let mut entities = BTreeSet::new();
    let mut relationships = BTreeSet::new();
    if directory.whole {
        // What was set aside has not arrived, though the state knows it.
        let due = |record: &&Newest| record.changed || coverage.is_retry();
        for record in newest.iter().filter(due) {
            let shard = shard_of(&record.entry.key);
            let is_relationship = directory::head(&record.entry)?.of.is_relationship();
            if is_relationship { &mut relationships } else { &mut entities }.insert(shard);
        }
    } else {
        entities.extend(0..=u8::MAX);
        relationships.extend(0..=u8::MAX);
    }
    let mut fresh: BTreeMap<u8, Vec<Entry>> = BTreeMap::new();
    for entry in directory.fresh() {
        fresh.entry(shard_of(&entry.key)).or_default().push(entry.clone());
    }
    let fresh = Arc::new(fresh);

    let mut sent = Sent::default();
    for (kind, shards) in [(Kind::Entities, entities), (Kind::Relationships, relationships)] {
        let jobs = stream::iter(shards)
            .map(|shard| send_one(Arc::clone(link), Arc::clone(prefix), shard, kind, Arc::clone(&fresh)))
            .buffer_unordered(AT_ONCE);
        jobs.try_for_each(|one| {
            sent.add(one);
            std::future::ready(Ok(()))
        })
        .await?;
    }
    if !directory.whole {
        note_whole(&link.api.settings, &link.home).await?;
        die_at!("directory.noted");
        directory.whole = true;
    }
    directory.in_doubt = false;
    Ok(sent)
}

/// Sends one directory scope. Opens no job if it is empty.
async fn send_one<S: Store>(
    link: Arc<Link<S>>,
    prefix: Arc<str>,
    shard: u8,
    kind: Kind,
    fresh: Arc<BTreeMap<u8, Vec<Entry>>>,
) -> Result<Sent, SinkError> {
    let home = &link.home;
    let stored = home.store.directory_shard(&home.tenant, shard).await;
    let stored = stored.map_err(|error| home.failed("read the directory", error))?;
    let mut members: BTreeMap<&str, &Entry> = BTreeMap::new();
    // What is fresh supersedes what is stored.
    for entry in stored.iter().chain(fresh.get(&shard).into_iter().flatten()) {
        members.insert(&entry.key, entry);
    }

    let target = Target::scope(name(&prefix, shard, kind));
    let mut feed = Feed::new(&link, target, None, Ending::Append(shared_types()));
    let mut labels = String::new();
    for entry in members.into_values() {
        let head = directory::head(entry)?;
        if Kind::of(head.of.is_relationship()) != kind {
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
