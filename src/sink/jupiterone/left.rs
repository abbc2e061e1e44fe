//! What earlier runs left behind: open jobs, and scopes whose content was never committed.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures::{StreamExt, TryStreamExt, stream};
use opgraph_state::{Store, UploadNote, die_at};
use tracing::info;

use super::{
    Home,
    api::Api,
    failed,
    notes::Note,
    over::{gone, wait_until_over},
    report::{Report, State, Tally},
    verdict::{Refusal, Standing, refusal, standing},
};
use crate::sink::SinkError;

/// Jobs that are looked after at the same time.
const AT_ONCE: usize = 4;

/// Why a job is aborted, for people who look at it in JupiterOne.
const ABORTED: &str = "left open by a run that ended";

/// What the acks of this run have to settle.
#[derive(Debug, Default)]
pub(super) struct Left(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Notes of jobs that need nothing any more: the next ack settles them.
    over: Vec<String>,
    /// By stream, event scopes that may hold events that were never committed.
    uncommitted: HashMap<String, Vec<Uncommitted>>,
}

/// An event scope of an earlier run whose job may have been finalized, and
/// whose events will come again, perhaps under other first cursors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Uncommitted {
    pub(super) scope: String,
    /// What the job brought, as far as it is known: removing more is no replay.
    pub(super) held: Tally,
    /// The note; settled by the ack that covers the stream.
    pub(super) note: String,
}

impl Left {
    /// Ends every job that earlier runs left open, and returns once none is.
    ///
    /// | the job                 | what is done       | what may be in the graph |
    /// |-------------------------|--------------------|--------------------------|
    /// | takes uploads           | aborted            | nothing of it            |
    /// | is being finalized      | waited for         | all of it                |
    /// | is finished             | nothing            | all of it                |
    /// | failed, closed          | nothing            | nobody knows             |
    /// | said to be unknown      | aborted, if it can | nobody knows             |
    ///
    /// Waiting is needed: an instance takes one job at a time, and so does a
    /// scope. The delete guard looks at these jobs too, once.
    pub(super) async fn settle<S: Store>(
        api: &Api,
        home: &Home<S>,
        unsettled: &[UploadNote],
    ) -> Result<Left, SinkError> {
        let notes = unsettled.iter().filter_map(Note::read);
        let ended: Vec<(Note, Tally)> = stream::iter(notes.collect::<Vec<_>>())
            .map(|note| async move {
                let held = end(api, home, &note).await?;
                Ok::<_, SinkError>((note, held))
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;

        let mut left = Inner::default();
        for (note, held) in ended {
            let name = note.named().name;
            match note {
                Note::Job { scope: Some(scope), stream: Some(stream), .. } if held != Tally::default() => {
                    let left = left.uncommitted.entry(stream).or_default();
                    left.push(Uncommitted { scope, held, note: name });
                }
                Note::Job { .. } => left.over.push(name),
                Note::Directory { .. } => {}
            }
        }
        Ok(Left(Mutex::new(left)))
    }

    /// The notes that any ack may settle. Each is given out once.
    pub(super) fn take_over(&self) -> Vec<String> {
        std::mem::take(&mut self.inner().over)
    }

    /// The scopes that the first upload to hold a page of the stream has to
    /// deal with. Each is given out once.
    pub(super) fn take_uncommitted(&self, stream: &str) -> Vec<Uncommitted> {
        self.inner().uncommitted.remove(stream).unwrap_or_default()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // No code under the lock panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks how a job is; `None` if it is said to be unknown.
async fn asked(api: &Api, id: &str) -> Result<Option<Report>, SinkError> {
    match api.status(id).await {
        Ok(report) => Ok(Some(report)),
        Err(failure) if refusal(&failure) == Refusal::Closed => Ok(None),
        Err(failure) => Err(failed(failure)),
    }
}

/// Ends one job. Answers the most it may have brought into the graph.
async fn end<S: Store>(api: &Api, home: &Home<S>, note: &Note) -> Result<Tally, SinkError> {
    let Note::Job { id, append_only, at_most, told, .. } = note else { return Ok(Tally::default()) };
    let mut report = match asked(api, id).await? {
        Some(report) => report,
        None => {
            // Whoever answered may only not know it yet. If it is there after
            // all, it must not stay open.
            match api.abort(id, ABORTED).await {
                Ok(()) => return Ok(Tally::default()),
                Err(failure) if refusal(&failure) == Refusal::Closed => {}
                Err(failure) => return Err(failed(failure)),
            }
            let Some(report) = asked(api, id).await? else { return Ok(Tally::ANY) };
            report
        }
    };
    die_at!("left.found");
    if report.state == State::AwaitingUploads {
        let Err(failure) = api.abort(id, ABORTED).await else {
            die_at!("left.aborted");
            info!(job = id, "sync job left open by an earlier run, aborted");
            return Ok(Tally::default());
        };
        // It may have been closed since it was asked; only then all is well.
        report = api.status(id).await.map_err(gone)?;
        if report.state == State::AwaitingUploads {
            return Err(gone(failure));
        }
    }
    if let State::Working(_) = report.state {
        info!(job = id, state = report.state.name(), "sync job of an earlier run is still being finalized");
    }
    let held = report.uploaded();
    let may_delete = match (told, append_only, at_most) {
        (true, ..) => Tally::ANY,
        (false, true, _) => Tally::default(),
        (false, false, at_most) => at_most.unwrap_or(Tally::ANY),
    };
    if matches!(standing(&report, may_delete), Standing::Done | Standing::Failed) {
        return Ok(held);
    }
    let Err(error) = wait_until_over(api, id, may_delete).await else { return Ok(held) };
    home.told(note, &error).await?;
    // A job that failed is over as well.
    let now = api.status(id).await.map_err(gone)?;
    if standing(&now, may_delete) == Standing::Failed { Ok(held) } else { Err(error) }
}
