//! What must become of each fault: a line says the fault, where it strikes, and what follows.

use opgraph_simulator::{Endpoint, Fault, JobEnd};

use super::bench::Which;

/// Where a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The start of a job.
    Start,
    /// An upload of entities.
    Entities,
    /// An upload of relationships.
    Relationships,
    /// The question before a job is finalized.
    Gate,
    /// The request to finalize.
    Finalize,
    /// A question after that.
    Poll,
    /// The abort of a job that an earlier run left open.
    Abort,
    /// The question about a job that an earlier run left open.
    Left,
    /// Plan `scope`: the start of the job that empties a scope whose events were never committed.
    EmptyStart,
    /// The request that finalizes that job.
    EmptyFinalize,
    /// The question after that.
    EmptyPoll,
}

/// What happened before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Before {
    /// Nothing.
    Nothing,
    /// A run that left a job open which had been sent records.
    LeftOpen,
    /// A run whose uploads are in the graph and whose checkpoints are not moved.
    Uncommitted,
}

impl Place {
    pub(super) fn before(self) -> Before {
        match self {
            Place::Abort | Place::Left => Before::LeftOpen,
            Place::EmptyStart | Place::EmptyFinalize | Place::EmptyPoll => Before::Uncommitted,
            _ => Before::Nothing,
        }
    }

    /// The call, and which one of its kind. `left`: how many jobs an earlier run left. `questions`: how many a
    /// plain run asks; the last one is about a finalized job.
    pub(super) fn call(self, left: u64, questions: u64) -> (Endpoint, u64) {
        match self {
            Place::Start | Place::EmptyStart => (Endpoint::Start, 1),
            Place::Entities => (Endpoint::Entities, 1),
            Place::Relationships => (Endpoint::Relationships, 1),
            Place::Gate | Place::Left => (Endpoint::Status, 1),
            Place::Poll => (Endpoint::Status, questions),
            Place::Finalize | Place::EmptyFinalize => (Endpoint::Finalize, 1),
            Place::Abort => (Endpoint::Abort, 1),
            // Behind one question for each job that was left, and the gate's.
            Place::EmptyPoll => (Endpoint::Status, left + 2),
        }
    }
}

/// What must follow from a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The run in which it strikes ends exact, at the cost of so many requests and jobs more for each time.
    Exact { requests: u64, jobs: u64 },
    /// The run fails with nothing committed, and the next one, which starts by itself, ends exact.
    NextRun,
    /// The tenant stops with nothing committed, this exit code, and a hint with these words; the next run, which
    /// a person starts, ends exact.
    Halts { code: u8, hint: &'static str },
}

/// One line of the table.
pub(super) struct Line {
    pub(super) what: &'static str,
    pub(super) fault: Fault,
    pub(super) at: &'static [Place],
    /// For how many requests in a row.
    pub(super) times: &'static [u64],
    pub(super) then: Then,
    /// `None`: both plans.
    pub(super) only: Option<Which>,
}

impl Line {
    fn only(self, which: Which) -> Line {
        Line { only: Some(which), ..self }
    }
}

use Place::{
    Abort, EmptyFinalize, EmptyPoll, EmptyStart, Entities, Finalize, Gate, Left, Poll, Relationships, Start,
};

const BEGUN: &[Place] = &[Start, EmptyStart];
const UPLOADS: &[Place] = &[Entities, Relationships];
const FINALIZED: &[Place] = &[Finalize, EmptyFinalize];
const MID_JOB: &[Place] = &[Entities, Relationships, Gate, Finalize];
const OPEN: &[Place] = &[Entities, Relationships, Gate, Finalize, Poll];
const EVERYWHERE: &[Place] = &[
    Start,
    Entities,
    Relationships,
    Gate,
    Finalize,
    Poll,
    Abort,
    Left,
    EmptyStart,
    EmptyFinalize,
    EmptyPoll,
];
/// Where what was done cannot be told from the answer's absence alone: all but the start.
const SETTLED: &[Place] =
    &[Entities, Relationships, Gate, Finalize, Poll, Abort, Left, EmptyFinalize, EmptyPoll];
/// Where no record can be meant.
const UNNAMED: &[Place] = &[Start, Gate, Finalize, Poll, Abort, Left, EmptyStart, EmptyFinalize, EmptyPoll];
const FEW: &[Place] = &[Start, Entities, Finalize, Abort];

const TWICE: &[u64] = &[1, 2];
const ONCE: &[u64] = &[1];
const BURST: &[u64] = &[12];

/// No more than the repeat itself.
const REPEATED: Then = Then::Exact { requests: 1, jobs: 0 };
/// The repeat, and the question whether it is needed: up to three times, for counters may lag.
const ASKED_FIRST: Then = Then::Exact { requests: 4, jobs: 0 };
/// The job whose id nobody learned.
const ORPHAN: Then = Then::Exact { requests: 1, jobs: 1 };
/// A body that is refused for a record in it is sent again in halves.
pub(super) const HALVED: Then = Then::Exact { requests: 2, jobs: 0 };
const REFUSED: Then = Then::Halts { code: 1, hint: "the API refused the request" };
const NO_KEY: Then = Then::Halts { code: 3, hint: "persister:Synchronize" };
const REDIRECTED: Then = Then::Halts { code: 1, hint: "redirects are never followed" };
const DELETED: Then = Then::Halts { code: 5, hint: "recoverable for 7 days" };
const UNKNOWN_INSTANCE: Then = Then::Halts { code: 2, hint: "check `integration_instance_id`" };

fn status(code: u16) -> Fault {
    Fault::Status { code, retry_after: None }
}

fn says(code: u16, body: &str) -> Fault {
    Fault::Instead { done: false, code, headers: Vec::new(), body: body.to_owned() }
}

fn done_says(code: u16, body: &str) -> Fault {
    Fault::Instead { done: true, code, headers: Vec::new(), body: body.to_owned() }
}

fn asks(code: u16, header: &str, value: &str) -> Fault {
    let headers = vec![(header.to_owned(), value.to_owned())];
    Fault::Instead { done: false, code, headers, body: String::new() }
}

fn ends(state: JobEnd) -> Fault {
    Fault::EndJob { state }
}

const HTML: &str = "<html><body>Sign in to the corporate network</body></html>";
const TYPES: &str = r#"{"job":{"id":7,"status":["FINISHED"],"numEntitiesUploaded":"many"}}"#;
const ERROR: &str = r#"{"error":{"code":"INTERNAL_ERROR","message":"no"}}"#;
const ECHO: &str = r#"{"error":{"code":"BAD","message":"you sent {authorization}"}}"#;
const CLOSED: &str = r#"{"error":{"code":"JOB_NOT_AWAITING_UPLOADS","message":"no"}}"#;
const NO_JOB: &str = r#"{"error":{"code":"JOB_NOT_FOUND","message":"no"}}"#;
const CONFLICT: &str = r#"{"error":{"code":"CONFLICT","message":"a job of this instance is in progress"}}"#;
const NO_INSTANCE: &str = r#"{"error":{"code":"SYNC_JOB_INVALID_INTEGRATION_INSTANCE","message":"no"}}"#;
const BAD_RECORD: &str =
    r#"{"error":{"code":"VALIDATION_ERROR","message":"one_password_vault:v1: name is not a string"}}"#;
const FEWER: &str =
    r#"{"job":{"id":"j","status":"FINISHED","numEntitiesUploaded":1,"numRelationshipsUploaded":1}}"#;
const LOST_SOME: &str =
    r#"{"job":{"id":"j","status":"AWAITING_UPLOADS","numEntitiesUploaded":1,"numRelationshipsUploaded":1}}"#;
const DELETES: &str = r#"{"job":{"id":"j","status":"FINISHED","numEntitiesDeleted":2}}"#;
const DELETING: &str = r#"{"job":{"id":"j","status":"FINALIZING_ENTITIES","numRelationshipsDeleted":1}}"#;
const STRANGE: &str = r#"{"job":{"id":"j","status":"REBALANCING"}}"#;

/// All there is.
#[rustfmt::skip]
pub(super) fn table() -> Vec<Line> {
    let line = |what, fault, at, times, then| Line { what, fault, at, times, then, only: None };
    vec![
        // Busy.
        line("429",                          status(429),                              EVERYWHERE, TWICE, REPEATED),
        line("429 with a pause",             asks(429, "retry-after", "0.05"),         EVERYWHERE, TWICE, REPEATED),
        line("429 until a past date",        asks(429, "retry-after", "Sun, 06 Nov 1994 08:49:37 GMT"), FEW, ONCE, REPEATED),
        line("429 with a senseless pause",   asks(429, "retry-after", "-7"),           FEW,        ONCE,  REPEATED),
        line("429 with RateLimit-Reset",     asks(429, "ratelimit-reset", "0.05"),     FEW,        ONCE,  REPEATED),
        line("429, a burst",                 status(429),                              &[Start, Entities, Gate, Finalize, Abort], BURST, REPEATED),
        line("500",                          status(500),                              BEGUN,      TWICE, REPEATED),
        line("500",                          status(500),                              SETTLED,    TWICE, ASKED_FIRST),
        line("502 of a proxy",               status(502),                              SETTLED,    TWICE, ASKED_FIRST),
        line("503 with a pause",             asks(503, "retry-after", "0.05"),         SETTLED,    TWICE, ASKED_FIRST),
        line("503, a burst",                 status(503),                              BEGUN,      BURST, REPEATED),
        line("503, a burst",                 status(503),                              SETTLED,    BURST, ASKED_FIRST),
        line("504 and done",                 done_says(504, "upstream timed out"),     BEGUN,      TWICE, ORPHAN),
        line("504 and done",                 done_says(504, "upstream timed out"),     SETTLED,    TWICE, ASKED_FIRST),
        line("408 and done",                 done_says(408, ""),                       SETTLED,    TWICE, ASKED_FIRST),
        // The connection.
        line("reset",                        Fault::Reset,                             BEGUN,      TWICE, REPEATED),
        line("reset",                        Fault::Reset,                             SETTLED,    TWICE, ASKED_FIRST),
        line("answer lost by a reset",       Fault::LostAnswer,                        BEGUN,      TWICE, ORPHAN),
        line("answer lost by a reset",       Fault::LostAnswer,                        SETTLED,    TWICE, ASKED_FIRST),
        line("closed",                       Fault::Close { done: false },             BEGUN,      TWICE, REPEATED),
        line("closed",                       Fault::Close { done: false },             SETTLED,    TWICE, ASKED_FIRST),
        line("answer lost by a close",       Fault::Close { done: true },              BEGUN,      TWICE, ORPHAN),
        line("answer lost by a close",       Fault::Close { done: true },              SETTLED,    TWICE, ASKED_FIRST),
        line("answer cut in half",           Fault::Truncated,                         BEGUN,      TWICE, ORPHAN),
        line("answer cut in half",           Fault::Truncated,                         SETTLED,    TWICE, ASKED_FIRST),
        line("hangs before it is done",      Fault::Slow { ms: 60_000 },               BEGUN,      ONCE,  REPEATED),
        line("hangs before it is done",      Fault::Slow { ms: 60_000 },               SETTLED,    ONCE,  ASKED_FIRST),
        line("hangs after it is done",       Fault::Late { ms: 60_000 },               BEGUN,      ONCE,  ORPHAN),
        line("hangs after it is done",       Fault::Late { ms: 60_000 },               SETTLED,    ONCE,  ASKED_FIRST),
        line("answer byte by byte",          Fault::Trickle { ms: 50 },                BEGUN,      ONCE,  ORPHAN),
        line("answer byte by byte",          Fault::Trickle { ms: 50 },                SETTLED,    ONCE,  ASKED_FIRST),
        line("slow",                         Fault::Slow { ms: 30 },                   EVERYWHERE, ONCE,  Then::Exact { requests: 0, jobs: 0 }),
        // Answers that are none.
        line("garbage and done",             Fault::Malformed,                         BEGUN,      TWICE, ORPHAN),
        line("garbage and done",             Fault::Malformed,                         SETTLED,    TWICE, ASKED_FIRST),
        line("a portal's page",              says(200, HTML),                          BEGUN,      TWICE, REPEATED),
        line("a portal's page",              says(200, HTML),                          SETTLED,    TWICE, ASKED_FIRST),
        line("nothing, with 200",            says(200, ""),                            BEGUN,      TWICE, REPEATED),
        line("nothing, with 200",            says(200, ""),                            SETTLED,    TWICE, ASKED_FIRST),
        line("nothing, with 204, and done",  done_says(204, ""),                       BEGUN,      TWICE, ORPHAN),
        line("nothing, with 204, and done",  done_says(204, ""),                       SETTLED,    TWICE, ASKED_FIRST),
        line("wrong types",                  says(200, TYPES),                         BEGUN,      TWICE, REPEATED),
        line("wrong types",                  says(200, TYPES),                         SETTLED,    TWICE, ASKED_FIRST),
        line("an error with 200",            says(200, ERROR),                         BEGUN,      TWICE, REPEATED),
        line("an error with 200",            says(200, ERROR),                         SETTLED,    TWICE, ASKED_FIRST),
        line("the key sent back with 200",   says(200, ECHO),                          FEW,        ONCE,  ASKED_FIRST),
        // Refusals.
        line("400 with the key sent back",   says(400, ECHO),                          UNNAMED,    ONCE,  REFUSED),
        line("400 with the key sent back",   says(400, ECHO),                          UPLOADS,    ONCE,  HALVED),
        line("401",                          says(401, ERROR),                         EVERYWHERE, TWICE, NO_KEY),
        line("403",                          says(403, ERROR),                         EVERYWHERE, ONCE,  NO_KEY),
        line("404 to a start",               says(404, ""),                            BEGUN,      ONCE,  Then::Halts { code: 1, hint: "base URL" }),
        line("an instance that is not there", says(400, NO_INSTANCE),                  BEGUN,      ONCE,  UNKNOWN_INSTANCE),
        line("a record refused by name",     says(400, BAD_RECORD),                    UPLOADS,    TWICE, HALVED),
        line("a job in progress",            says(409, CONFLICT),                      BEGUN,      TWICE, REPEATED),
        // {elsewhere} is a listener that must never hear from us.
        line("307",                          asks(307, "location", "{elsewhere}"),     EVERYWHERE, TWICE, REDIRECTED),
        line("302",                          asks(302, "location", "{elsewhere}"),     FEW,        ONCE,  REDIRECTED),
        // Jobs that end by themselves.
        line("closed by JupiterOne",         Fault::CloseJob,                          MID_JOB,    TWICE, Then::NextRun),
        line("said to be closed",            says(400, CLOSED),                        UPLOADS,    TWICE, Then::NextRun),
        line("said to be closed",            says(400, CLOSED),                        FINALIZED,  TWICE, ASKED_FIRST),
        line("said to be closed",            says(400, CLOSED),                        &[Abort],   TWICE, Then::NextRun),
        line("said to be gone",              says(404, NO_JOB),                        UPLOADS,    TWICE, Then::NextRun),
        line("said to be gone",              says(404, NO_JOB),                        &[Gate, Poll, EmptyPoll, Abort], TWICE, Then::NextRun),
        line("said to be gone",              says(404, NO_JOB),                        FINALIZED,  TWICE, ASKED_FIRST),
        line("forgotten",                    Fault::ForgetJob,                         &[Entities, Relationships, Gate, Finalize, EmptyFinalize], TWICE, Then::NextRun),
        line("forgotten",                    Fault::ForgetJob,                         &[Left],    ONCE,  ASKED_FIRST),
        line("aborted by someone else",      ends(JobEnd::Aborted),                    OPEN,       TWICE, Then::NextRun),
        line("aborted by someone else",      ends(JobEnd::Aborted),                    &[Left, Abort], ONCE, ASKED_FIRST),
        line("ABORTED_DUE_TO_…",             ends(JobEnd::AbortedDueToInvalidConfiguration), OPEN, ONCE,  Then::NextRun),
        line("ERROR_BAD_DATA",               ends(JobEnd::ErrorBadData),               OPEN,       TWICE, Then::NextRun),
        line("ERROR_UNEXPECTED_FAILURE",     ends(JobEnd::ErrorUnexpectedFailure),     OPEN,       ONCE,  Then::NextRun),
        // What the counters say.
        line("an upload forgotten",          Fault::Swallow,                           UPLOADS,    TWICE, Then::NextRun),
        line("counters that lag",            says(200, LOST_SOME),                     &[Gate],    TWICE, REPEATED),
        line("counters that stay wrong",     says(200, LOST_SOME),                     &[Gate],    &[3],  Then::NextRun).only(Which::Instance),
        // Eight scopes are written at a time, and each asks three times.
        line("counters that stay wrong",     says(200, LOST_SOME),                     &[Gate],    &[24], Then::NextRun).only(Which::Scope),
        line("FINISHED, counters that lag",  says(200, FEWER),                         &[Poll],    TWICE, REPEATED),
        line("FINISHED with other counts",   says(200, FEWER),                         &[Poll],    &[3],  Then::NextRun),
        line("a state nobody knows",         says(200, STRANGE),                       &[Poll, EmptyPoll], TWICE, REPEATED),
        line("deleted something",            says(200, DELETES),                       &[Poll],    ONCE,  DELETED),
        line("is deleting something",        says(200, DELETING),                      &[Poll],    ONCE,  DELETED),
    ]
}
