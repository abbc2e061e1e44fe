//! One thing that goes wrong with one request.

use serde::{Deserialize, Serialize};

/// One thing that goes wrong with one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fault {
    /// Answers as usual, but only after `ms` milliseconds.
    Slow {
        /// Milliseconds on tokio's clock.
        ms: u64,
    },
    /// Answers this status without looking at the request.
    Status {
        /// 429, 500, 502, 503, …
        code: u16,
        /// The value of a `Retry-After` header, in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<u64>,
    },
    /// Drops the connection (RST) before the request has any effect.
    Reset,
    /// Does what was asked, then drops the connection (RST) without an answer.
    LostAnswer,
    /// Does what was asked, then sends half of the answer's body and drops the connection.
    Truncated,
    /// As [`Fault::Truncated`], but the connection ends in RST.
    ResetWithin,
    /// Does what was asked, then answers 200 with a body that is not JSON.
    Malformed,
    /// Connect answers 500 `database is locked`.
    Locked,
    /// A list of Connect is `[]`, whatever there is.
    EmptyList,
    /// Connect answers as usual, with another `1Password-Connect-Version` header or none.
    ConnectVersion {
        /// The version. `None`: no header, as before 1.3.0.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<String>,
    },
    /// Answers 400 if the request carries a cursor; otherwise waits for the next one that does.
    RefusedCursor,
    /// From this request on the events token gets 401, until [`Fault::RestoreToken`].
    RevokeToken,
    /// From this request on the events token works again.
    RestoreToken,
    /// Answers this, whatever was asked: what a proxy, a portal or a changed API may say.
    Instead {
        /// Whether what was asked is done all the same.
        #[serde(default)]
        done: bool,
        /// The status.
        code: u16,
        /// Headers by name and value.
        #[serde(default)]
        headers: Vec<(String, String)>,
        /// The body. `{authorization}` becomes the request's `Authorization` header: some proxies send back
        /// what they were sent.
        #[serde(default)]
        body: String,
    },
    /// Ends the connection in good order (FIN) without an answer.
    Close {
        /// Whether what was asked is done all the same.
        #[serde(default)]
        done: bool,
    },
    /// Does what was asked at once and answers after `ms` milliseconds, for which nobody is expected to wait: a
    /// job that is so started counts as unknown to its client.
    Late {
        /// Milliseconds on tokio's clock.
        ms: u64,
    },
    /// Does what was asked and sends the answer's body byte by byte, with `ms` milliseconds in between. As
    /// with [`Fault::Late`], nobody is expected to wait for the end.
    Trickle {
        /// Milliseconds on tokio's clock.
        ms: u64,
    },
    /// JupiterOne closes the job by itself (`ABORTED`) before it looks at the request.
    CloseJob,
    /// Before it looks at the request, JupiterOne ends the job like this, whether it still takes uploads or is
    /// being finalized. What was not in the graph by then never gets there.
    EndJob {
        /// The state it ends in.
        state: JobEnd,
    },
    /// Before it looks at the request, JupiterOne forgets the job: 404 from now on.
    ForgetJob,
    /// An upload answers 200 and is forgotten: the counters do not move.
    Swallow,
}

impl Fault {
    /// Returns the name the report counts it under.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Fault::Slow { .. } => "slow",
            Fault::Status { code: 429, .. } => "429",
            Fault::Status { code, .. } if *code >= 500 => "5xx",
            Fault::Status { .. } => "status",
            Fault::Reset => "reset",
            Fault::LostAnswer => "lost_answer",
            Fault::Truncated => "truncated",
            Fault::ResetWithin => "reset_within",
            Fault::Malformed => "malformed",
            Fault::Locked => "locked",
            Fault::EmptyList => "empty_list",
            Fault::ConnectVersion { .. } => "connect_version",
            Fault::RefusedCursor => "refused_cursor",
            Fault::RevokeToken => "revoke_token",
            Fault::RestoreToken => "restore_token",
            Fault::Instead { .. } => "instead",
            Fault::Close { .. } => "close",
            Fault::Late { .. } => "late",
            Fault::Trickle { .. } => "trickle",
            Fault::CloseJob => "close_job",
            Fault::EndJob { .. } => "end_job",
            Fault::ForgetJob => "forget_job",
            Fault::Swallow => "swallow",
        }
    }

    /// Whether the client gets no answer of ours, or none that it can read to its end.
    pub(crate) fn hides_the_answer(&self) -> bool {
        matches!(
            self,
            Fault::LostAnswer
                | Fault::Truncated
                | Fault::ResetWithin
                | Fault::Malformed
                | Fault::Close { .. }
                | Fault::Instead { .. }
        )
    }

    /// Whether the client learns nothing of a job that this request starts.
    pub(crate) fn hides_the_start(&self) -> bool {
        match self {
            Fault::LostAnswer | Fault::Truncated | Fault::ResetWithin | Fault::Malformed => true,
            Fault::Late { .. } | Fault::Trickle { .. } => true,
            Fault::Instead { done, .. } | Fault::Close { done } => *done,
            _ => false,
        }
    }
}

/// How JupiterOne may end a job by itself (JupiterOne SDK and Node client, enumerations joined).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JobEnd {
    /// Somebody else aborted it, or it was open for too long.
    Aborted,
    /// Its integration was found to be misconfigured.
    AbortedDueToInvalidConfiguration,
    /// What was uploaded could not be used.
    ErrorBadData,
    /// JupiterOne failed.
    ErrorUnexpectedFailure,
}
