//! `opgraph state compact`: gives space back.

use std::{
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use opgraph_state::{OpenOptions, compact};

use super::{
    args::CompactState,
    failed::{Exit, Failed},
    logs::Screen,
    out,
};
use crate::config::Config;

/// How often a line is written where there is no terminal.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Runs the command.
pub(super) async fn run(command: CompactState, screen: Screen, quiet: bool) -> Result<(), Failed> {
    let dir = Config::state_dir(&command.flags)?;
    let mut said = Instant::now();
    let bar = (!quiet && io::stderr().is_terminal()).then(|| {
        let style = ProgressStyle::with_template("{bar:40} {pos} of {len} rows, {eta} left");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        screen.0.add(ProgressBar::new(0).with_style(style))
    });
    let progress = move |done: u64, of: u64| match &bar {
        Some(bar) => {
            bar.set_length(of);
            bar.set_position(done);
        }
        None if !quiet && said.elapsed() >= SAY_EVERY => {
            said = Instant::now();
            out::print(format_args!("{done} of {of} rows"));
        }
        None => (),
    };
    let compacted = tokio::task::spawn_blocking(move || compact(&dir, &OpenOptions::default(), progress));
    let compacted =
        compacted.await.map_err(|error| Failed::new(Exit::State, "compact the state").because(error))??;
    out::print(format_args!(
        "{} rows: {:.1} MB before, {:.1} MB after",
        compacted.rows,
        compacted.before as f64 / 1e6,
        compacted.after as f64 / 1e6
    ));
    Ok(())
}
