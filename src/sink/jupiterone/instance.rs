//! Plan `instance`: every job belongs to one integration instance, one job at a time.

use std::sync::Arc;

use opgraph_state::Store;

use super::{
    Link,
    api::Target,
    directory::{self, DIRECTORY},
    ending::Ending,
    every_type,
    feed::{Feed, Sent},
    pack::Kind,
    present::Present,
    removal,
};
use crate::{
    graph::Records,
    page::{Coverage, Page},
    sink::{Ack, SinkError},
};

/// One upload: one job, or two where something is removed.
pub(super) struct InstanceUpload<S> {
    link: Arc<Link<S>>,
    target: Target,
    feed: Feed<S>,
}

impl<S: Store> InstanceUpload<S> {
    /// Contacts nobody.
    pub(super) fn new(link: Arc<Link<S>>, source: &str, id: &str) -> InstanceUpload<S> {
        // Every type, those of a Connect snapshot included: an upload of
        // events must delete nothing at all.
        let ending = Ending::Append(every_type());
        let target = Target::instance(source, id);
        let feed = Feed::new(&link, target.clone(), None, ending).in_turn(&link.turns);
        InstanceUpload { link, target, feed }
    }

    /// Takes the event records of a page.
    pub(super) async fn write(&mut self, page: &Page<Records>) -> Result<(), SinkError> {
        let origin = page.stream().name();
        self.feed.push_all(Kind::Entities, &page.items, origin).await?;
        self.feed.push_all(Kind::Relationships, &page.items, origin).await
    }

    /// Adds the shared records, each in its newest version, and completes the job.
    pub(super) async fn finish(mut self, mut coverage: Coverage) -> Result<Ack, SinkError> {
        let gone = removal::gone(&coverage);
        if !gone.is_empty() {
            let ending = removal::ending(every_type(), &gone);
            let Sent { settled, set_aside } = self.remove(&coverage, ending).await?;
            set_aside.into_iter().for_each(|record| coverage.quarantine(record));
            return Ok(Ack::durable(coverage, settled));
        }
        let mut settled = self.link.left.take_over();
        if self.feed.is_unused() && coverage.shared().next().is_none() {
            return Ok(Ack::durable(coverage, settled));
        }
        // In its turn, so that a later job never carries an older version.
        self.feed.open().await?;
        let newest = self.link.directory.lock().await.newest(&self.link.home, &coverage).await?;
        for record in newest {
            let kind = Kind::of(directory::head(&record.entry)?.of.is_relationship());
            self.feed.push(kind, &record.entry.record, "", DIRECTORY).await?;
        }
        let sent = self.feed.finish().await?;
        settled.extend(sent.settled);
        sent.set_aside.into_iter().for_each(|record| coverage.quarantine(record));
        Ok(Ack::durable(coverage, settled))
    }

    /// Sends everything of the types of which something goes, in one job that
    /// holds all there is of them. (Events of the upload have a job of their own
    /// before it: it must delete nothing.)
    async fn remove(self, coverage: &Coverage, ending: Ending) -> Result<Sent, SinkError> {
        let link = &self.link;
        let mut sent = self.feed.finish().await?;
        sent.settled.extend(link.left.take_over());
        let stays = ending.stays().to_vec();
        let mut feed = Feed::new(link, self.target, None, ending).in_turn(&link.turns);
        feed.open().await?;
        let mut directory = link.directory.lock().await;
        let newest = directory.newest(&link.home, coverage).await?;
        let present = Present::of(&directory, coverage);
        drop(directory);
        for record in newest {
            let of = directory::head(&record.entry)?.of;
            if stays.contains(&of.name()) {
                feed.push(Kind::of(of.is_relationship()), &record.entry.record, "", DIRECTORY).await?;
            }
        }
        for shard in 0..=u8::MAX {
            for entry in present.shard(&link.home, shard).await?.into_values() {
                let of = directory::head(&entry)?.of;
                if !stays.contains(&of.name()) {
                    feed.push(Kind::of(of.is_relationship()), &entry.record, "", DIRECTORY).await?;
                }
            }
        }
        sent.add(feed.finish().await?);
        Ok(sent)
    }
}
