//! The decisions of a sync job, as functions of what is known.

use std::time::Duration;

use super::{
    Pauses,
    report::{Report, State, Tally},
};
use crate::http::{Failure, Outcome};

/// What a failed upload means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The body is too large; nothing of it was taken.
    TooLarge,
    /// A record of the body is not to JupiterOne's liking; nothing of the body was taken.
    Invalid,
    /// The job takes no more uploads, or is gone.
    Closed,
    /// The body may have been taken.
    Unknown,
    /// The failure's own remedy holds.
    Other,
}

/// Decides what a failed upload means.
///
/// | status, code                           | outcome  |                        |
/// |----------------------------------------|----------|------------------------|
/// | 413, or `RequestEntityTooLargeException` | any    | [`Refusal::TooLarge`]  |
/// | 404, or `JOB_NOT_AWAITING_UPLOADS`     | any      | [`Refusal::Closed`]    |
/// | 400 or 422, a code that speaks of no list | any   | [`Refusal::Invalid`]   |
/// | other                                  | unknown  | [`Refusal::Unknown`]   |
/// | other                                  | not done | [`Refusal::Other`]     |
pub(super) fn refusal(failure: &Failure) -> Refusal {
    match (failure.status, failure.code.as_deref(), failure.outcome) {
        (Some(413), ..) | (_, Some("RequestEntityTooLargeException"), _) => Refusal::TooLarge,
        // The job was started, so the base URL is right: a 404 speaks of the job.
        (Some(404), ..) | (_, Some("JOB_NOT_AWAITING_UPLOADS"), _) => Refusal::Closed,
        // `ENTITY_IS_NOT_ARRAY` and its like are about the body, and would be ours to mend.
        (Some(400 | 422), Some(code), _) if !code.ends_with("_IS_NOT_ARRAY") => Refusal::Invalid,
        (_, _, Outcome::Unknown) => Refusal::Unknown,
        _ => Refusal::Other,
    }
}

/// What became of the bodies of one kind whose answers were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// None was taken: send them again.
    NotTaken,
    /// All were taken: go on.
    Taken,
    /// The job can no longer be trusted.
    Unclear,
}

/// Settles the doubt about `unknown` records by the job's own counter.
///
/// | counted              | with `taken` acknowledged        |
/// |----------------------|----------------------------------|
/// | `taken`              | [`Doubt::NotTaken`]              |
/// | `taken` + `unknown`  | [`Doubt::Taken`]                 |
/// | anything else        | [`Doubt::Unclear`]               |
///
/// Only right once nothing is in flight any more.
pub(super) fn doubt(taken: u64, unknown: u64, counted: u64) -> Doubt {
    match counted.checked_sub(taken) {
        Some(0) => Doubt::NotTaken,
        Some(more) if more == unknown => Doubt::Taken,
        _ => Doubt::Unclear,
    }
}

/// How a job that was finalized stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Everything in it is in the graph.
    Done,
    /// Not yet.
    Wait,
    /// It failed, or was closed.
    Failed,
    /// It removed so much from the graph, which it must not.
    Deleted(Tally),
}

/// Decides how a finalized job stands that may delete so much; one that only
/// adds may delete nothing.
///
/// | state                     | deleted as much as it may, or less | more        |
/// |---------------------------|------------------------------------|-------------|
/// | `FINISHED`                | done                               | **deleted** |
/// | `ERROR_…`, `ABORTED…`     | failed                             | **deleted** |
/// | any other                 | wait                               | **deleted** |
pub(super) fn standing(job: &Report, may_delete: Tally) -> Standing {
    if job.deleted().exceeds(may_delete) {
        return Standing::Deleted(job.deleted());
    }
    match job.state {
        State::Finished => Standing::Done,
        State::Ended(_) => Standing::Failed,
        State::AwaitingUploads | State::Working(_) => Standing::Wait,
    }
}

/// The pause before try number `round`, from 0: twice as long each time.
pub(super) fn pause(pauses: Pauses, round: u32) -> Duration {
    let factor = 1_u32.checked_shl(round).unwrap_or(u32::MAX);
    pauses.first.saturating_mul(factor).min(pauses.longest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Remedy;

    #[test]
    fn the_table_says_what_a_failed_upload_means() {
        let check = |status: Option<u16>, code: Option<&str>, outcome: Outcome, expect: Refusal| {
            let failure = Failure {
                doing: "upload".to_owned(),
                status,
                code: code.map(str::to_owned),
                outcome,
                remedy: Remedy::RETRY,
                cause: "why".into(),
            };
            assert_eq!(refusal(&failure), expect, "{status:?} {code:?} {outcome:?}");
        };
        use Outcome::{NotDone, Unknown};
        check(Some(413), None, NotDone, Refusal::TooLarge);
        check(Some(400), Some("RequestEntityTooLargeException"), NotDone, Refusal::TooLarge);
        check(Some(500), Some("RequestEntityTooLargeException"), Unknown, Refusal::TooLarge);
        check(Some(400), Some("JOB_NOT_AWAITING_UPLOADS"), NotDone, Refusal::Closed);
        check(Some(404), None, NotDone, Refusal::Closed);
        check(Some(503), None, Unknown, Refusal::Unknown);
        check(None, None, Unknown, Refusal::Unknown);
        check(None, None, NotDone, Refusal::Other);
        check(Some(400), Some("ENTITY_IS_NOT_ARRAY"), NotDone, Refusal::Other);
        check(Some(400), None, NotDone, Refusal::Other);
        check(Some(400), Some("VALIDATION_ERROR"), NotDone, Refusal::Invalid);
        check(Some(422), Some("ANY_OTHER"), NotDone, Refusal::Invalid);
        check(Some(401), None, NotDone, Refusal::Other);
        check(Some(429), None, NotDone, Refusal::Other);
    }

    #[test]
    fn a_doubt_is_settled_by_the_counter_and_never_guessed() {
        let check = |taken, unknown, counted, expect| assert_eq!(doubt(taken, unknown, counted), expect);
        check(10, 5, 10, Doubt::NotTaken);
        check(10, 5, 15, Doubt::Taken);
        check(10, 5, 12, Doubt::Unclear);
        check(10, 5, 16, Doubt::Unclear);
        check(10, 5, 9, Doubt::Unclear);
        check(0, 5, 0, Doubt::NotTaken);
        // A kind that nobody doubts still has to agree.
        check(10, 0, 10, Doubt::NotTaken);
        check(10, 0, 11, Doubt::Unclear);
    }

    #[test]
    fn only_a_finished_job_that_deleted_no_more_than_it_may_is_done() {
        let job = |state: &str, entities: u64, relationships: u64| {
            serde_json::from_value::<Report>(serde_json::json!({
                "id": "j", "status": state,
                "numEntitiesDeleted": entities, "numRelationshipsDeleted": relationships,
            }))
            .unwrap()
        };
        let deleted = |entities, relationships| Standing::Deleted(Tally { entities, relationships });
        let check = |state: &str, plain: Standing| {
            let none = Tally::default();
            assert_eq!(standing(&job(state, 0, 0), none), plain, "{state}");
            assert_eq!(standing(&job(state, 3, 0), none), deleted(3, 0), "{state}");
            assert_eq!(standing(&job(state, 0, 1), none), deleted(0, 1), "{state}");
            let some = Tally { entities: 3, relationships: 1 };
            assert_eq!(standing(&job(state, 3, 1), some), plain, "{state}");
            assert_eq!(standing(&job(state, 4, 1), some), deleted(4, 1), "{state}");
            assert_eq!(standing(&job(state, 3, 2), some), deleted(3, 2), "{state}");
            assert_eq!(standing(&job(state, u64::MAX, 9), Tally::ANY), plain, "{state}");
        };
        check("FINISHED", Standing::Done);
        check("ERROR_BAD_DATA", Standing::Failed);
        check("ABORTED", Standing::Failed);
        for state in ["AWAITING_UPLOADS", "FINALIZE_PENDING", "FINALIZING_ENTITIES", "UNKNOWN", "NEW"] {
            check(state, Standing::Wait);
        }
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        let pauses = Pauses { first: Duration::from_secs(1), longest: Duration::from_secs(30) };
        let seconds = |round| pause(pauses, round).as_secs();
        assert_eq!([0, 1, 2, 4, 5, 31, 32, u32::MAX].map(seconds), [1, 2, 4, 16, 30, 30, 30, 30]);
    }
}
