//! Why a command failed, and the exit code that says so.

use std::{error::Error, fmt, process::ExitCode};

use opgraph_state::StoreError;

use crate::{
    config::ConfigError,
    http::{Failure, Halt, Remedy},
    sink::SinkError,
    supervisor::{RunError, chain, store_remedy},
};

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Anything else.
    Other = 1,
    /// The configuration or the command line.
    Configuration = 2,
    /// A token or key was refused.
    Credentials = 3,
    /// The state is in use or damaged.
    State = 4,
    /// A guard stopped a tenant.
    Guard = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// A failure as a person is told of it.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) exit: Exit,
    text: String,
    hint: Option<String>,
}

impl Failed {
    /// The command cannot do this.
    pub(crate) fn new(exit: Exit, cannot: &str) -> Failed {
        Failed { exit, text: format!("cannot {cannot}"), hint: None }
    }

    /// A failure in words of its own.
    pub(crate) fn text(exit: Exit, text: impl Into<String>) -> Failed {
        Failed { exit, text: text.into(), hint: None }
    }

    /// Adds the cause.
    pub(crate) fn because(mut self, error: impl Error) -> Failed {
        self.text = format!("{}: {}", self.text, chain(&error));
        self
    }

    /// Adds what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Failed {
        self.hint = Some(hint.into()).filter(|hint| !hint.is_empty());
        self
    }

    /// Whether starting again, as it is, is of no use or walks past a guard.
    pub(crate) fn is_for_a_person(&self) -> bool {
        matches!(self.exit, Exit::Configuration | Exit::Credentials | Exit::Guard)
    }

    fn with(remedy: &Remedy, text: String) -> Failed {
        let exit = match remedy {
            Remedy::Halt(Halt::Configuration { .. }) => Exit::Configuration,
            Remedy::Halt(Halt::Credentials { .. }) | Remedy::Park { .. } => Exit::Credentials,
            Remedy::Halt(Halt::State { .. }) => Exit::State,
            Remedy::Halt(Halt::Guard { .. }) => Exit::Guard,
            Remedy::Halt(Halt::Other { .. }) | Remedy::Retry { .. } | Remedy::Rewind => Exit::Other,
        };
        let hint = match remedy {
            Remedy::Retry { .. } => "it may pass: start again, and it goes on where it stopped",
            remedy => remedy.hint().unwrap_or_default(),
        };
        Failed { exit, text, hint: None }.hint(hint)
    }

    /// A tenant that stopped.
    pub(crate) fn tenant(name: &str, error: &RunError) -> Failed {
        let remedy = error.remedy();
        let failed = Failed::with(&remedy, format!("tenant `{name}` stopped: {}", chain(error)));
        match remedy {
            Remedy::Retry { .. } => {
                failed.hint("it may pass by itself: run again later, from where this run came to")
            }
            _ => failed,
        }
    }

    /// A stream that is no longer read.
    pub(crate) fn stream(tenant: &str, stream: &str, failure: &Failure) -> Failed {
        Failed::with(
            &failure.remedy,
            format!("stream `{stream}` of tenant `{tenant}` stopped: {}", chain(failure)),
        )
    }

    /// Snapshots that are no longer made, or are not whole.
    pub(crate) fn snapshots(tenant: &str, failure: &Failure) -> Failed {
        Failed::with(
            &failure.remedy,
            format!("vaults and items of tenant `{tenant}` are not all listed: {}", chain(failure)),
        )
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl From<ConfigError> for Failed {
    fn from(error: ConfigError) -> Failed {
        // It says its own hints, one a problem.
        Failed::text(Exit::Configuration, error.to_string())
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Failed {
        Failed::with(&store_remedy(&error), chain(&error))
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Failed {
        Failed::with(&failure.remedy, chain(&failure))
    }
}

impl From<SinkError> for Failed {
    fn from(error: SinkError) -> Failed {
        Failed::with(&error.remedy, chain(&error))
    }
}
