//! What becomes of a job without its client: closed, failed, forgotten. And a look at all of them.

use tokio::time::Instant;

use super::{
    JupiterOne, State, end,
    jobs::{Job, Status},
};
use crate::{JobEnd, JobSeen};

impl JupiterOne {
    /// Closes a job as JupiterOne may do by itself (an issue of the SDK: uploads then get `JOB_NOT_AWAITING_UPLOADS`).
    pub(crate) fn close(&self, id: &str) {
        let mut state = self.state();
        if let Some(job) = state.jobs.get_mut(id)
            && job.view.status == Status::AwaitingUploads
        {
            end(job, Status::Aborted);
            state.report.closed += 1;
        }
    }

    /// Ends a job that is not yet over, as JupiterOne may do by itself.
    pub(crate) fn end(&self, id: &str, how: JobEnd) {
        let mut state = self.state();
        self.advance(&mut state, Instant::now());
        let State { jobs, finalizing, report, .. } = &mut *state;
        if let Some(job) = jobs.get_mut(id)
            && !job.view.done
        {
            end(job, how.into());
            finalizing.retain(|other| other != id);
            report.closed += 1;
        }
    }

    /// Forgets a job: nobody will hear of it again, and what it had collected is lost.
    pub(crate) fn forget(&self, id: &str) {
        let mut state = self.state();
        state.jobs.remove(id);
        state.finalizing.retain(|other| other != id);
    }

    /// Returns all jobs in the order they were started.
    pub(crate) fn seen(&self) -> Vec<JobSeen> {
        let state = self.state();
        let mut jobs: Vec<&Job> = state.jobs.values().collect();
        jobs.sort_by_key(|job| job.number);
        jobs.into_iter().map(Job::seen).collect()
    }
}
