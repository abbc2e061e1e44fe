//! Packs records and sends them through a job that it opens when it has to.

use std::sync::Arc;

use opgraph_state::{Quarantined, Store, die_at};
use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    task::coop::consume_budget,
};

use super::{
    Link,
    api::Target,
    ending::Ending,
    job::Job,
    notes::Note,
    notices::Notices,
    pack::{Kind, LARGEST_BODY, Origin, Packed, Packer, STRETCH, TOO_LARGE, refused, without_raw_data},
};
use crate::{allowance::Share, graph::Records, http::Remedy, sink::SinkError};

/// The way of records into one job.
///
/// Memory: two bodies being packed, and what the tenant's allowances let wait
/// before the job is open and be in flight then.
pub(super) struct Feed<S> {
    link: Arc<Link<S>>,
    target: Target,
    /// The stream whose events these are; `None` if shared records are among them.
    stream: Option<Origin>,
    ending: Ending,
    /// Whose turn it is to have a job open, where only one may.
    turns: Option<Arc<Semaphore>>,
    entities: Packer,
    relationships: Packer,
    /// Bodies for which there is no job yet: the last one is being finalized.
    waiting: Vec<(Packed, Option<Share>)>,
    open: Option<Open>,
    set_aside: Vec<Quarantined>,
    notices: Notices,
}

struct Open {
    job: Job,
    note: Note,
    turn: Option<Turn>,
}

/// What became of a feed.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Notes that the commit may remove.
    pub(super) settled: Vec<String>,
    /// Records that JupiterOne will never take.
    pub(super) set_aside: Vec<Quarantined>,
}

impl Sent {
    /// Adds another feed's.
    pub(super) fn add(&mut self, other: Sent) {
        self.settled.extend(other.settled);
        self.set_aside.extend(other.set_aside);
    }
}

impl<S: Store> Feed<S> {
    /// Contacts nobody.
    pub(super) fn new(
        link: &Arc<Link<S>>,
        target: Target,
        stream: Option<Origin>,
        ending: Ending,
    ) -> Feed<S> {
        let settings = &link.api.settings;
        let packer = |kind| Packer::new(kind, settings.gzip, LARGEST_BODY, settings.packing.clone());
        Feed {
            link: Arc::clone(link),
            target,
            stream,
            ending,
            turns: None,
            entities: packer(Kind::Entities),
            relationships: packer(Kind::Relationships),
            waiting: Vec::new(),
            open: None,
            set_aside: Vec::new(),
            notices: Notices::default(),
        }
    }

    /// Opens its job only when no other feed of the same turns has one open.
    pub(super) fn in_turn(self, turns: &Arc<Semaphore>) -> Feed<S> {
        Feed { turns: Some(Arc::clone(turns)), ..self }
    }

    /// Whether there is no job, and no reason for one.
    pub(super) fn is_unused(&self) -> bool {
        self.open.is_none()
            && self.waiting.is_empty()
            && self.entities.is_empty()
            && self.relationships.is_empty()
    }

    /// Takes the event records of a page that are of this kind, many at once.
    pub(super) async fn push_all(
        &mut self,
        kind: Kind,
        page: &Records,
        origin: Origin,
    ) -> Result<(), SinkError> {
        for stretch in page.stretches(kind.lot(), STRETCH) {
            if self.packer(kind).push_all(stretch, origin) {
                for _ in stretch.ends() {
                    self.notices.count(kind, origin);
                    consume_budget().await;
                }
            } else {
                for record in stretch.iter() {
                    self.push(kind, record.json, "", origin).await?;
                }
            }
        }
        self.packer(kind).rest();
        Ok(())
    }

    /// Takes a record, with `labels` (see [`Packer::push`]) at its end.
    pub(super) async fn push(
        &mut self,
        kind: Kind,
        json: &str,
        labels: &str,
        origin: Origin,
    ) -> Result<(), SinkError> {
        if kind == Kind::Entities {
            // It compresses on the way: now and then others have their turn.
            consume_budget().await;
        }
        match self.pack(kind, json, labels, origin) {
            Some(body) => self.pass_on(body).await,
            None => Ok(()),
        }
    }

    /// Packs a record. One that fits into no body loses its raw data, and if
    /// that does not help it is set aside.
    fn pack(&mut self, kind: Kind, json: &str, labels: &str, origin: Origin) -> Option<Packed> {
        self.notices.count(kind, origin);
        if let Ok(body) = self.packer(kind).push(json, labels, origin) {
            return body;
        }
        let bare = without_raw_data(json);
        if let Some(Ok(body)) = bare.map(|bare| self.packer(kind).push(&bare, labels, origin)) {
            self.link.api.meter.raw_data_dropped.add(1);
            return body;
        }
        self.set_aside.push(refused(origin, json, TOO_LARGE, self.link.home.clock.now()));
        None
    }

    fn packer(&mut self, kind: Kind) -> &mut Packer {
        match kind {
            Kind::Entities => &mut self.entities,
            Kind::Relationships => &mut self.relationships,
        }
    }

    /// Sends a full body, or lets it wait where another job is still open and
    /// there is room.
    async fn pass_on(&mut self, body: Packed) -> Result<(), SinkError> {
        let room = self.link.api.settings.waiting.try_take(body.len());
        let is_full = room.is_none();
        self.waiting.push((body, room));
        if self.open.is_none() {
            match self.try_turn() {
                Some(turn) => self.open_in(turn).await?,
                None if is_full => self.open().await?,
                None => return Ok(()),
            }
        }
        self.send_waiting().await
    }

    /// Opens the job, once it is this feed's turn.
    pub(super) async fn open(&mut self) -> Result<(), SinkError> {
        if self.open.is_some() {
            return Ok(());
        }
        let turn = match &self.turns {
            Some(turns) => Some(Turn::wait(turns).await.map_err(|_closed| after_a_failed_one())?),
            None => None,
        };
        self.open_in(turn).await
    }

    fn try_turn(&self) -> Option<Option<Turn>> {
        match &self.turns {
            None => Some(None),
            Some(turns) => Turn::now(turns).map(Some),
        }
    }

    /// Starts the job and notes it. Nothing is uploaded before the note is
    /// durable, so a crash before that leaves a job that holds nothing: nobody
    /// aborts it, and it never reaches the graph.
    async fn open_in(&mut self, turn: Option<Turn>) -> Result<(), SinkError> {
        let Link { api, home, slots, .. } = &*self.link;
        die_at!("job.before");
        let job = Job::start(Arc::clone(api), home.clock.clone(), Arc::clone(slots), &self.target).await?;
        die_at!("job.started");
        let note = Note::Job {
            id: job.id().to_owned(),
            scope: self.target.scope_name().map(str::to_owned),
            stream: self.stream.map(str::to_owned),
            append_only: self.ending.is_append_only(),
            at_most: self.ending.removes(),
            told: false,
        };
        home.note(&note).await?;
        die_at!("job.noted");
        self.notices.open(api, &job);
        self.open = Some(Open { job, note, turn });
        Ok(())
    }

    async fn send_waiting(&mut self) -> Result<(), SinkError> {
        let Some(open) = &mut self.open else { return Ok(()) };
        for (body, room) in self.waiting.drain(..) {
            open.job.send(body).await?;
            drop(room);
        }
        Ok(())
    }

    /// Sends all there is and returns once it was taken. Opens no job for nothing.
    pub(super) async fn seal(&mut self) -> Result<(), SinkError> {
        let rest = [self.entities.flush(), self.relationships.flush()];
        self.waiting.extend(rest.into_iter().flatten().map(|body| (body, None)));
        if !self.waiting.is_empty() {
            self.open().await?;
            self.send_waiting().await?;
        }
        match &mut self.open {
            Some(open) => open.job.drain().await,
            None => Ok(()),
        }
    }

    /// Seals, finalizes, and returns once all of it is in the graph.
    pub(super) async fn finish(mut self) -> Result<Sent, SinkError> {
        self.seal().await?;
        let mut sent = Sent { settled: Vec::new(), set_aside: self.set_aside };
        let Some(Open { mut job, mut note, turn }) = self.open else { return Ok(sent) };
        sent.set_aside.extend(job.take_set_aside());
        self.notices.end(sent.set_aside.len());
        if self.ending.spare(sent.set_aside.len() as u64) {
            note = note.with_at_most(self.ending.removes());
            self.link.home.note(&note).await?;
        }
        if let Err(error) = job.finish(&self.ending).await {
            self.notices.fail(&error);
            self.link.home.told(&note, &error).await?;
            return Err(error);
        }
        if let Some(turn) = turn {
            turn.over();
        }
        die_at!("job.over");
        sent.settled.push(note.named().name);
        Ok(sent)
    }
}

/// The right to have a job open. Dropped before it is over, nobody gets
/// another turn in this run: the job may still be open at JupiterOne.
struct Turn {
    turns: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Turn {
    async fn wait(turns: &Arc<Semaphore>) -> Result<Turn, AcquireError> {
        let permit = Arc::clone(turns).acquire_owned().await?;
        Ok(Turn { turns: Arc::clone(turns), permit: Some(permit) })
    }

    fn now(turns: &Arc<Semaphore>) -> Option<Turn> {
        let permit = Arc::clone(turns).try_acquire_owned().ok()?;
        Some(Turn { turns: Arc::clone(turns), permit: Some(permit) })
    }

    /// The job is over; the next may start.
    fn over(mut self) {
        self.permit = None;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.turns.close();
            permit.forget();
        }
    }
}

/// A job that must not be started: another one may still be open in its place.
pub(super) fn after_a_failed_one() -> SinkError {
    SinkError {
        doing: "start a sync job".to_owned(),
        remedy: Remedy::RETRY,
        cause: "the job before it did not end well and may still be open".into(),
    }
}
