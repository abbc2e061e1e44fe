//! What the program prints: results to standard output, failures to standard error.

use std::{
    fmt::Display,
    io::{self, Write},
};

use opgraph_state::UnixMs;
use serde::Serialize;

use super::failed::{Exit, Failed};

/// Prints a result. A reader that has gone away is no failure.
pub(crate) fn print(text: impl Display) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Prints a result as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failed> {
    let text = serde_json::to_string(value)
        .map_err(|error| Failed::new(Exit::Other, "write the result as JSON").because(error))?;
    print(text);
    Ok(())
}

/// A time as RFC 3339.
pub(crate) fn time(at: UnixMs) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.to_string(), |at| at.to_string())
}

/// Prints a failure.
pub(crate) fn error(failed: &Failed) {
    let _ = writeln!(io::stderr().lock(), "error: {failed}");
}
