//! A sink that follows the dice: slow, refusing, taking a part, losing its answer.

use std::{io, sync::Arc, time::Duration};

use opgraph::{
    graph::{RecordType, Records, Sharing},
    http::Remedy,
    page::{Coverage, Page},
    sink::{Ack, Sink, SinkError, Upload, UploadLimits, memory::MemorySink},
    stream::Stream,
};
use opgraph_state::Epoch;
use tokio::time::sleep;

use super::world::World;

/// One of a run's sinks.
pub(super) struct Scripted {
    pub(super) world: Arc<World>,
    pub(super) epoch: Epoch,
    /// Which of the two it is.
    pub(super) number: usize,
    /// What it holds, which outlives the run.
    pub(super) inner: MemorySink,
}

/// What becomes of one upload.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Taken,
    /// A page is refused.
    PageRefused,
    /// Nothing is kept.
    Rejected,
    /// The first pages are kept, and nothing acknowledged.
    Part(usize),
    /// Everything is kept, and nothing acknowledged.
    AnswerLost,
}

/// One upload.
pub(super) struct ScriptedUpload {
    sink: Scripted,
    fate: Fate,
    upload: <MemorySink as Sink>::Upload,
    /// What the upload is to cover, as far as this sink keeps it.
    part: Coverage,
    pages: usize,
    events: Vec<(Stream, usize)>,
    bytes: usize,
}

impl Scripted {
    fn fate(&self) -> Fate {
        if !self.world.happens(self.world.plan.bad_uploads) {
            return Fate::Taken;
        }
        match self.world.upto(3) {
            0 => Fate::PageRefused,
            1 => Fate::Rejected,
            2 => Fate::Part(self.world.upto(3) as usize),
            _ => Fate::AnswerLost,
        }
    }

    fn failed(&self, cause: &str) -> SinkError {
        self.world.watch.failing(self.epoch);
        let doing = "finish a scripted upload".to_owned();
        SinkError { doing, remedy: Remedy::RETRY, cause: io::Error::other(cause).into() }
    }

    async fn linger(&self, most: u64) {
        if self.world.happens(self.world.plan.slow_uploads) {
            // A few are very slow.
            let most = if self.world.happens(50) { 100 * most } else { most };
            sleep(Duration::from_millis(self.world.upto(most))).await;
        }
    }
}

impl Sink for Scripted {
    type Upload = ScriptedUpload;

    fn limits(&self) -> UploadLimits {
        self.world.plan.uploads[self.number]
    }

    fn open(&self) -> ScriptedUpload {
        self.world.watch.opened(self.epoch, self.number);
        let sink = Scripted { world: self.world.clone(), inner: self.inner.clone(), ..*self };
        let (fate, upload) = (self.fate(), self.inner.open());
        let (part, pages, events, bytes) = (Coverage::default(), 0, Vec::new(), 0);
        ScriptedUpload { sink, fate, upload, part, pages, events, bytes }
    }
}

impl Drop for ScriptedUpload {
    fn drop(&mut self) {
        self.sink.world.watch.closed(self.sink.epoch, self.sink.number);
    }
}

impl Upload for ScriptedUpload {
    async fn write(&mut self, page: Arc<Page<Records>>) -> Result<(), SinkError> {
        let Scripted { world, epoch, number, .. } = &self.sink;
        let limits = world.plan.upload_limits();
        if self.events.len() as u64 >= limits.events || self.bytes >= limits.bytes {
            world.watch.violated("an upload that is full takes another page".to_owned());
        }
        self.sink.linger(10).await;
        if self.fate == Fate::PageRefused && self.pages == 1 {
            return Err(self.sink.failed("a page was refused"));
        }
        self.pages += 1;
        self.bytes += page.items.bytes();
        self.events.extend(events(&page));
        // Of two sinks, one counts.
        if *number == 0 && !page.is_rewind() && page.split().is_none() {
            world.watch.taken(*epoch, page.stream(), page.advance().from());
        }
        match self.fate {
            Fate::Part(pages) if self.pages > pages => Ok(()),
            Fate::Part(_) => {
                self.part.add(&page).unwrap();
                self.upload.write(page).await
            }
            _ => self.upload.write(page).await,
        }
    }

    async fn finish(mut self, coverage: Coverage) -> Result<Ack, SinkError> {
        self.sink.linger(100).await;
        let upload = std::mem::replace(&mut self.upload, self.sink.inner.open());
        if matches!(self.fate, Fate::Taken | Fate::AnswerLost) {
            self.sink.world.watch.written(self.sink.epoch, &coverage);
        }
        match self.fate {
            Fate::Taken => {
                let ack = upload.finish(coverage).await?;
                self.sink.world.watch.acked(self.sink.epoch, self.sink.number, &self.events);
                Ok(ack)
            }
            Fate::PageRefused | Fate::Rejected => Err(self.sink.failed("the upload was rejected")),
            Fate::Part(_) => {
                let _ = upload.finish(std::mem::take(&mut self.part)).await?;
                Err(self.sink.failed("a part was taken"))
            }
            Fate::AnswerLost => {
                let _ = upload.finish(coverage).await?;
                Err(self.sink.failed("the answer was lost"))
            }
        }
    }
}

/// The events whose own entities a page holds.
fn events(page: &Page<Records>) -> impl Iterator<Item = (Stream, usize)> {
    let entities = page.items.of(Sharing::Event).filter(|record| matches!(record.of, RecordType::Entity(_)));
    entities.map(|record| (page.stream(), number(record.key)))
}

/// The number of an event, from its key.
pub(super) fn number(key: &str) -> usize {
    key.rsplit('-').next().unwrap().parse().unwrap()
}
