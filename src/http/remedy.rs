//! What to do about a failure. One table, and every error in the program has an entry.

use std::{error::Error, time::Duration};

/// What to do about a failure. Callers match on this, never on text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The same request may succeed later, no sooner than `after`.
    Retry {
        /// What the other side asked for, already within our own bounds.
        after: Option<Duration>,
    },
    /// The cursor is no longer accepted: read again from a time known to be safe.
    Rewind,
    /// This stream cannot be read with this token; the others can.
    Park {
        /// What a person can do.
        hint: String,
    },
    /// Nothing helps but a person.
    Halt(Halt),
}

/// Why the program cannot help itself; decides the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    /// What the configuration says cannot be used as it is.
    Configuration {
        /// What a person can do.
        hint: String,
    },
    /// A token or key was refused.
    Credentials {
        /// What a person can do.
        hint: String,
    },
    /// A guard stopped the tenant to protect its data.
    Guard {
        /// What a person can do.
        hint: String,
    },
    /// The state is in use, damaged or owned by another run.
    State {
        /// What a person can do.
        hint: String,
    },
    /// Something else that a retry does not mend.
    Other {
        /// What a person can do.
        hint: String,
    },
}

impl Halt {
    /// What a person can do.
    pub fn hint(&self) -> &str {
        match self {
            Halt::Configuration { hint }
            | Halt::Credentials { hint }
            | Halt::Guard { hint }
            | Halt::State { hint }
            | Halt::Other { hint } => hint,
        }
    }
}

impl Remedy {
    /// Try again, whenever.
    pub const RETRY: Remedy = Remedy::Retry { after: None };

    /// Halts with a hint, for no more special reason.
    pub fn halt(hint: impl Into<String>) -> Remedy {
        Remedy::Halt(Halt::Other { hint: hint.into() })
    }

    /// The name for logs and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Remedy::Retry { .. } => "retry",
            Remedy::Rewind => "rewind",
            Remedy::Park { .. } => "park",
            Remedy::Halt(_) => "halt",
        }
    }

    /// The hint for a person, where there is one.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Remedy::Retry { .. } | Remedy::Rewind => None,
            Remedy::Park { hint } => Some(hint),
            Remedy::Halt(halt) => Some(halt.hint()),
        }
    }
}

/// What was asked; a status means different things to different questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A page, from a start time.
    FirstPage,
    /// A page, from a cursor.
    NextPage,
    /// What the token may do.
    Introspection,
    /// Anything of a sync job.
    SyncJob,
    /// What there is; a server that is starting, or syncing, may refuse what it grants later.
    Inventory,
}

/// Decides what a status other than success means.
///
/// | status        | first page | next page | introspection | sync job | inventory |
/// |---------------|------------|-----------|---------------|----------|-----------|
/// | 400           | halt       | rewind    | halt          | halt     | halt      |
/// | 401           | halt: credentials (a missing feature answers 401 too: introspect first) |||| retry |
/// | 403           | halt: credentials |                  |               |          | retry     |
/// | 404           | halt       | halt      | halt          | halt     | retry     |
/// | 409           | halt       | halt      | halt          | retry    | halt      |
/// | 408, 425, 429 | retry      | retry     | retry         | retry    | retry     |
/// | 407           | halt: a proxy in between asks who we are, everywhere                 |||||
/// | 3xx, else 4xx | halt       | halt      | halt          | halt     | halt      |
/// | 5xx           | retry      | retry     | retry         | retry    | retry     |
///
/// Sources: 1Password's status-code page (400, 401, 429, 500; no 403 is
/// documented), 1Password/events-api-splunk#37 (400 to a stored cursor), the
/// Splunk app's README (a truncated token answers `404 page not found`).
/// Connect answers 401 to its first request and now and then a 403 that is not
/// true (its changelog 1.7.2; 1Password/connect#82), and 404 for what went since
/// it was listed: whoever asks decides when to believe them.
/// A conflict (RFC 9110, 409) is with somebody else's sync job, which ends.
/// JupiterOne's 400 `JOB_NOT_AWAITING_UPLOADS` and 413 are settled by its sink.
pub fn for_status(status: u16, asked: Asked, after: Option<Duration>) -> Remedy {
    match (status, asked) {
        (408 | 425 | 429 | 500..=599, _) => Remedy::Retry { after },
        (409, Asked::SyncJob) | (401 | 403 | 404, Asked::Inventory) => Remedy::Retry { after },
        (400, Asked::NextPage) => Remedy::Rewind,
        (401 | 403, Asked::SyncJob) => Remedy::Halt(Halt::Credentials {
            hint: "check the JupiterOne account id, and that the API key is valid and may do `persister:Synchronize`"
                .to_owned(),
        }),
        (401 | 403, _) => Remedy::Halt(Halt::Credentials {
            hint: "issue a new Events Reporting token in 1Password (Integrations), or correct where it is read from"
                .to_owned(),
        }),
        (404, Asked::SyncJob) => Remedy::halt("check the JupiterOne base URL and that the integration instance exists"),
        (400, Asked::Inventory) => Remedy::halt("check the Connect base URL: the server refuses the request as it is"),
        (404, _) => Remedy::halt("check the Events API base URL, and that the token is whole: a truncated token answers 404"),
        (407, _) => Remedy::Halt(Halt::Configuration {
            hint: "a proxy between here and the API wants credentials: give them in `HTTPS_PROXY`, or go around it with `NO_PROXY`"
                .to_owned(),
        }),
        (300..=399, _) => Remedy::halt("check the base URL: redirects are never followed, so that a token cannot leak"),
        _ => Remedy::halt("the API refused the request; if the base URL is right, please report this"),
    }
}

/// Whether a failed request may have taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It certainly did not.
    NotDone,
    /// Nobody knows: the answer was lost, or came from something in between.
    Unknown,
}

/// A request that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing}")]
pub struct Failure {
    /// What was asked for, such as `read a page of auditevents`.
    pub doing: String,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// A machine-readable code from the error body, if it had one.
    pub code: Option<String>,
    /// Whether it may have taken effect all the same.
    pub outcome: Outcome,
    /// What to do.
    pub remedy: Remedy,
    /// Why.
    #[source]
    pub cause: Box<dyn Error + Send + Sync>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_names_what_a_person_can_mend() {
        let check = |status: u16, asked: Asked, words: &str| {
            let remedy = for_status(status, asked, None);
            assert!(remedy.hint().unwrap_or_default().contains(words), "{status} to {asked:?}: {remedy:?}");
        };
        for status in [401, 403] {
            check(status, Asked::SyncJob, "persister:Synchronize");
            check(status, Asked::NextPage, "Events Reporting token");
        }
        check(404, Asked::SyncJob, "integration instance");
        check(404, Asked::FirstPage, "truncated token");
        check(407, Asked::FirstPage, "proxy");
        check(307, Asked::SyncJob, "redirects are never followed");
        check(418, Asked::Introspection, "refused the request");
    }

    #[test]
    fn the_table_says_what_to_do_about_each_status() {
        use Asked::{FirstPage, Introspection, Inventory, NextPage, SyncJob};
        let all = [FirstPage, NextPage, Introspection, SyncJob];
        let check = |statuses: &[u16], asked: &[Asked], expect: &str| {
            for &status in statuses {
                for &asked in asked {
                    let remedy = for_status(status, asked, None);
                    assert_eq!(remedy.name(), expect, "{status} to {asked:?}");
                    assert_eq!(remedy.hint().is_some(), expect == "halt", "a person needs a hint");
                }
            }
        };
        check(&[408, 425, 429, 500, 502, 503, 504, 520, 599], &all, "retry");
        check(&[400], &[NextPage], "rewind");
        check(&[409], &[SyncJob], "retry");
        check(&[409], &[FirstPage, NextPage, Introspection], "halt");
        check(&[400], &[FirstPage, Introspection, SyncJob], "halt");
        check(&[401, 403, 404, 408, 429, 500], &[Inventory], "retry");
        check(&[301, 302, 307, 400, 407, 409, 418], &[Inventory], "halt");
        check(&[301, 302, 307, 308, 401, 403, 404, 405, 407, 410, 413, 415, 422], &all, "halt");
        for asked in all {
            for status in [401, 403] {
                let remedy = for_status(status, asked, None);
                assert!(matches!(remedy, Remedy::Halt(Halt::Credentials { .. })));
            }
        }
    }

    #[test]
    fn a_pause_that_was_asked_for_is_passed_on() {
        let after = Some(Duration::from_secs(7));
        assert_eq!(for_status(429, Asked::NextPage, after), Remedy::Retry { after });
    }
}
