//! Where logs go: standard error, above the progress lines; as text on a terminal, else as JSON.

use std::io::{self, IsTerminal, Write};

use indicatif::MultiProgress;
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{LevelFilter, filter_fn},
    fmt::{MakeWriter, time::SystemTime},
    layer::SubscriberExt,
    registry,
    util::SubscriberInitExt,
};

#[cfg(feature = "otlp")]
use super::traces::{self, Traces};
use super::{
    args::{Cli, Color, Command, Output},
    failed::{Exit, Failed},
};
use crate::{
    admin::{Collect, Warnings},
    clock::Clock,
};

/// Standard error, shared by logs and progress lines so that neither garbles the other.
#[derive(Clone, Debug)]
pub(crate) struct Screen(pub(crate) MultiProgress);

impl Screen {
    pub(crate) fn new() -> Screen {
        Screen(MultiProgress::new())
    }
}

/// Starts logging. `OPGRAPH_LOG` overrides the level, in the words of tracing's `EnvFilter`.
///
/// `warnings` keeps the newest warnings and errors for those who look at the status.
/// The answer has to be kept until the end: traces are sent from it.
pub(crate) fn start(cli: &Cli, screen: &Screen, warnings: &Warnings) -> Result<Option<Traces>, Failed> {
    let Output { verbose, quiet, color } = cli.output;
    let terminal = io::stderr().is_terminal();
    let (usual, json) = match &cli.command {
        // A demo is full of faults on purpose.
        Command::Demo(demo) => ("error", demo.json),
        Command::Run(run) if run.once && terminal => ("warn", run.json),
        Command::Run(run) => ("info", run.json),
        _ => ("warn", false),
    };
    let level = match (quiet, verbose) {
        (true, _) => "error",
        (_, 0) => usual,
        (_, 1) => "debug",
        (_, _) => "trace",
    };
    let filter = match std::env::var("OPGRAPH_LOG") {
        Ok(filter) => EnvFilter::try_new(filter).map_err(|error| {
            Failed::new(Exit::Configuration, "read OPGRAPH_LOG")
                .because(error)
                .hint("write a level such as `debug`, or `opgraph=debug,hyper=info`")
        })?,
        // Other crates may show more than we would: requests, headers.
        Err(_) => {
            EnvFilter::new(format!("warn,opgraph={level},opgraph_state={level},opgraph_simulator={level}"))
        }
    };
    let colors = match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(Lines(screen.clone()))
        .with_timer(SystemTime)
        .with_ansi(colors)
        .with_target(verbose > 0);
    let lines = if json || !terminal { lines.json().flatten_event(true).boxed() } else { lines.boxed() };
    let kept = filter_fn(Collect::looks_at).with_max_level_hint(LevelFilter::WARN);
    let kept = warnings.layer(Clock::system()).with_filter(kept);
    let subscriber = registry().with(lines.with_filter(filter)).with(kept);
    #[cfg(feature = "otlp")]
    let (subscriber, traces) = match traces::wanted().then(traces::layer).transpose()? {
        Some((layer, traces)) => (subscriber.with(Some(layer)), Some(traces)),
        None => (subscriber.with(None), None),
    };
    #[cfg(not(feature = "otlp"))]
    let traces = None;
    let started = subscriber.try_init();
    started.map_err(|error| Failed::text(Exit::Other, format!("cannot start logging: {error}")))?;
    Ok(traces)
}

#[cfg(not(feature = "otlp"))]
/// Nothing: this build sends no traces.
pub(crate) type Traces = std::convert::Infallible;

/// Writes each log line at once, with the progress lines out of its way.
#[derive(Clone, Debug)]
struct Lines(Screen);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.0.suspend(|| io::stderr().lock().write_all(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        self.clone()
    }
}
