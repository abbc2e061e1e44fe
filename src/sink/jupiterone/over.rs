//! Waiting for a job to be over, and the delete guard that looks at what it did.

use opgraph_state::die_at;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::{
    api::Api,
    failed,
    report::{Report, Tally},
    verdict::{Refusal, Standing, pause, refusal, standing},
};
use crate::{
    http::{Failure, Halt, Remedy},
    sink::SinkError,
};

/// Waits until a job that was finalized is over, whichever way.
///
/// Reports of records that could not be stored are logged and counted, and the
/// job is good all the same: sending them again would give the same answer and
/// would hold up everything behind them.
///
/// Answers the job as it was in the end.
pub(super) async fn wait_until_over(api: &Api, id: &str, may_delete: Tally) -> Result<Report, SinkError> {
    let deadline = Instant::now() + api.settings.finalize_deadline;
    let mut round = 0;
    loop {
        let report = api.status(id).await.map_err(gone)?;
        die_at!("poll.after");
        let fails = |remedy: Remedy, cause: String| SinkError {
            doing: format!("complete sync job {id}"),
            remedy,
            cause: cause.into(),
        };
        match standing(&report, may_delete) {
            Standing::Done => {
                die_at!("poll.finished");
                let Tally { entities, relationships } = report.not_stored();
                if entities + relationships > 0 {
                    api.meter.not_stored.add(entities + relationships);
                    warn!(job = id, entities, relationships, "sync job could not store some records");
                }
                info!(job = id, "sync job finished");
                return Ok(report);
            }
            Standing::Failed => return Err(fails(Remedy::RETRY, closed(&report))),
            Standing::Deleted(Tally { entities, relationships }) => {
                let hint = format!(
                    "sync job {id} must not delete what it did not bring, yet JupiterOne reports that it deleted \
                     {entities} entities and {relationships} relationships; JupiterOne keeps deleted data \
                     recoverable for 7 days: ask its support to restore it, and run `opgraph check --canary` before starting again",
                );
                let cause = format!("{entities} entities and {relationships} relationships were deleted");
                return Err(fails(Remedy::Halt(Halt::Guard { hint }), cause));
            }
            Standing::Wait => {}
        }
        let next = pause(api.settings.poll, round);
        if Instant::now() + next > deadline {
            let state = report.state.name();
            let waited = api.settings.finalize_deadline.as_secs();
            return Err(fails(Remedy::RETRY, format!("it is still {state} after {waited} s")));
        }
        sleep(next).await;
        round += 1;
    }
}

pub(super) fn closed(report: &Report) -> String {
    format!("its state is {}", report.state.name())
}

/// A job that JupiterOne no longer knows is no reason to stop: a new one may do.
pub(super) fn gone(failure: Failure) -> SinkError {
    if refusal(&failure) == Refusal::Closed {
        return SinkError { remedy: Remedy::RETRY, ..failed(failure) };
    }
    failed(failure)
}
