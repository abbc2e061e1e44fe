//! Asks a person on the terminal.

use std::io::{self, BufRead, IsTerminal, Write};

use super::failed::{Exit, Failed};

/// Asks whether to go on. Anything but a yes is a no.
pub(super) fn agreed(question: &str) -> Result<bool, Failed> {
    if !io::stdin().is_terminal() {
        return Err(Failed::text(Exit::Configuration, "nobody is there to be asked").hint("say `--yes`"));
    }
    let mut answer = String::new();
    let mut stderr = io::stderr();
    write!(stderr, "{question} [y/N] ")
        .and_then(|()| stderr.flush())
        .and_then(|()| io::stdin().lock().read_line(&mut answer).map(drop))
        .map_err(|error| Failed::new(Exit::Other, "ask").because(error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
