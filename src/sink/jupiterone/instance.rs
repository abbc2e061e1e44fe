//! Plan `instance`: every job belongs to one integration instance, one job at a time.

use std::sync::Arc;

use opgraph_state::Store;

use super::{
    Link,
    api::Target,
    directory::{self, DIRECTORY},
    every_type,
    feed::Feed,
    job::Ending,
    pack::Kind,
};
use crate::{
    graph::{Records, Sharing},
    page::{Coverage, Page},
    sink::{Ack, SinkError},
};

/// One upload: one job.
pub(super) struct InstanceUpload<S> {
    link: Arc<Link<S>>,
    feed: Feed<S>,
}

impl<S: Store> InstanceUpload<S> {
    /// Contacts nobody.
    pub(super) fn new(link: Arc<Link<S>>, source: &str, id: &str) -> InstanceUpload<S> {
        // Every type, those of a Connect snapshot included: an upload of
        // events must delete nothing at all.
        let ending = Ending::Append(every_type());
        let feed = Feed::new(&link, Target::instance(source, id), None, ending).in_turn(&link.turns);
        InstanceUpload { link, feed }
    }

    /// Takes the event records of a page.
    pub(super) async fn write(&mut self, page: &Page<Records>) -> Result<(), SinkError> {
        let origin = page.stream().name();
        for record in page.items.of(Sharing::Event) {
            let kind = Kind::of(record.of.is_relationship());
            self.feed.push(kind, record.json, "", origin).await?;
        }
        Ok(())
    }

    /// Adds the shared records, each in its newest version, and completes the job.
    pub(super) async fn finish(mut self, mut coverage: Coverage) -> Result<Ack, SinkError> {
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
}
