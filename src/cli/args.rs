//! The command line: every command, flag and help text.

mod init;

mod quarantine;

mod simulated;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{
    ArgAction, Args, Parser, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use opgraph_state::UnixMs;

pub use self::{
    init::{Init, Region},
    quarantine::{DropEntries, Entries, ListEntries, Quarantine, RetryEntries, ShowEntry},
    simulated::{Demo, DemoSink, Faults, Simulate},
};

use crate::{
    config::{FileFlags, Flags, values},
    stream::Stream,
};

/// Streams a 1Password account into a security graph.
///
/// It reads the Events API (sign-ins, item usage, audit events) at the speed
/// that the API allows and writes entities and relationships to JupiterOne, to
/// a local SQLite file, or to both. After any crash it goes on where it was.
#[derive(Clone, Debug, Parser)]
#[command(name = "opgraph", version, propagate_version = true, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How much to say.
    #[command(flatten)]
    pub output: Output,
}

/// How much to say, and how.
#[derive(Args, Clone, Copy, Debug, Default)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// Say more: once for details, twice for every request
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Say nothing but errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// When to use colours: auto (on a terminal, unless NO_COLOR is set), always or never
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Color::Auto, hide_possible_values = true)]
    pub color: Color,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Read events and write the graph, for ever or until caught up
    #[command(after_help = RUN_EXAMPLES)]
    Run(Run),
    /// Show everything at work, against a simulated 1Password and JupiterOne
    #[command(after_help = simulated::EXAMPLES)]
    Demo(Demo),
    /// Serve the simulated 1Password and JupiterOne, and nothing else
    Simulate(Simulate),
    /// Write a configuration file, from a few questions or from flags
    #[command(after_help = init::EXAMPLES)]
    Init(Box<Init>),
    /// Check the configuration and the tokens
    #[command(after_help = CHECK_EXAMPLES)]
    Check(Check),
    /// Show how a running opgraph is, or how far each stream has come
    #[command(after_help = STATUS_EXAMPLES)]
    Status(Status),
    /// Show or move the places up to which events have been committed
    #[command(subcommand)]
    Cursors(Cursors),
    /// Verify or compact the state directory
    #[command(subcommand)]
    State(State),
    /// See, deliver again or drop what was set aside
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// Print the data model (every entity, property and relationship), or every metric
    Schema(Schema),
    /// Write shell completions and man pages, for packages
    #[command(hide = true)]
    Generate(Generate),
}

/// `opgraph run`
#[derive(Args, Clone, Debug)]
pub struct Run {
    /// Stop when every stream has caught up
    #[arg(long)]
    pub once: bool,
    /// Write logs and the summary as JSON, one object a line
    #[arg(long)]
    pub json: bool,
    /// When only a person can go on, wait for SIGHUP or SIGTERM: for who is restarted whatever the exit code
    #[arg(long, conflicts_with = "once")]
    pub stay: bool,
    /// Show a status page, metrics and health at this address; overrides the file
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub admin: Option<SocketAddr>,
    /// How many seconds a stop may take to finish what is in flight
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub drain: Duration,
    /// Only this tenant of the configuration; with --once
    #[arg(long, value_name = "NAME", requires = "once")]
    pub tenant: Option<String>,
    /// Where the configuration comes from.
    #[command(flatten)]
    pub flags: Flags,
    /// Where records go.
    #[command(flatten)]
    pub destination: Destination,
}

/// Where records go, if not where the configuration says.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Another destination")]
pub struct Destination {
    /// Write the files that JupiterOne's SDK reads (`j1-integration sync`), and nothing to what is
    /// configured; with --once. Their state lies beside them: a new folder is filled from the start
    /// on, an older one is gone on with
    #[arg(long, value_enum, value_name = "files", requires = "out", hide_possible_values = true)]
    pub sink: Option<RunSink>,
    /// The folder for it: a new or empty one, or one that was filled before
    #[arg(long, value_name = "DIR", requires = "sink")]
    pub out: Option<PathBuf>,
}

/// What `--sink` can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RunSink {
    /// Files of JupiterOne's SDK
    Files,
}

/// `opgraph check`
#[derive(Args, Clone, Debug)]
pub struct Check {
    /// Also ask the APIs whether they accept the tokens; this writes nothing
    #[arg(long)]
    pub connect: bool,
    /// Also upload two test entities to JupiterOne, to prove that uploading one deletes no other. For a new, still
    /// empty instance or scope
    #[arg(long)]
    pub canary: bool,
    /// Where the configuration comes from.
    #[command(flatten)]
    pub flags: Flags,
}

/// `opgraph status`
#[derive(Args, Clone, Debug)]
pub struct Status {
    /// Write it as JSON
    #[arg(long)]
    pub json: bool,
    /// Show it again and again, until Ctrl-C; with `--json`, one object a line
    #[arg(short, long)]
    pub watch: bool,
    /// Where the state is.
    #[command(flatten)]
    pub flags: FileFlags,
}

/// `opgraph schema`
#[derive(Args, Clone, Copy, Debug)]
pub struct Schema {
    /// Of what
    #[arg(value_enum, value_name = "WHAT", default_value_t = Described::Graph)]
    pub of: Described,
    /// Write it as JSON
    #[arg(long)]
    pub json: bool,
}

/// `opgraph generate`
#[derive(Args, Clone, Debug)]
pub struct Generate {
    /// Write into this folder, which is made if it is not there
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

/// What has a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Described {
    /// Every entity, property and relationship
    Graph,
    /// Every metric
    Metrics,
}

/// `opgraph cursors`
#[derive(Clone, Debug, Subcommand)]
pub enum Cursors {
    /// Show the checkpoint of every stream
    Show(ShowCursors),
    /// Read a stream again from an earlier time; what was read before is not written twice
    #[command(after_help = REWIND_EXAMPLES)]
    Rewind(RewindCursor),
    /// Write the cursors into a file, for another machine
    #[command(after_help = EXPORT_EXAMPLES)]
    Export(ExportCursors),
    /// Go on from the cursors that another machine has written into a file
    ///
    /// The ids of the events read there are not in the file. So each stream is read again from 48
    /// hours before its newest committed event, and what comes again is written once more under
    /// the same keys. Stop the other machine first: two that read one account share its limits.
    #[command(after_help = IMPORT_EXAMPLES)]
    Import(ImportCursors),
}

/// `opgraph cursors export`
#[derive(Args, Clone, Debug)]
pub struct ExportCursors {
    /// Write to this new file, not to standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Only this tenant
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// Where the state is.
    #[command(flatten)]
    pub flags: FileFlags,
}

/// `opgraph cursors import`
#[derive(Args, Clone, Debug)]
pub struct ImportCursors {
    /// What `cursors export` has written
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Also where the tenant has cursors already: they are replaced
    #[arg(long)]
    pub force: bool,
    /// Where the state is.
    #[command(flatten)]
    pub flags: FileFlags,
}

/// `opgraph state`
#[derive(Clone, Debug, Subcommand)]
pub enum State {
    /// Read every row, and say what is damaged (exit code 4) or that nothing is
    Verify(VerifyState),
    /// Write the state anew without the space that nothing uses any more
    ///
    /// It needs room for a second copy next to the directory. Killed at any moment, the old or the
    /// new one is there, whole.
    Compact(CompactState),
}

/// `opgraph state verify`
#[derive(Args, Clone, Debug)]
pub struct VerifyState {
    /// Write the findings as JSON
    #[arg(long)]
    pub json: bool,
    /// Where the state is.
    #[command(flatten)]
    pub flags: FileFlags,
}

/// `opgraph state compact`
#[derive(Args, Clone, Debug)]
pub struct CompactState {
    /// Where the state is.
    #[command(flatten)]
    pub flags: FileFlags,
}

/// `opgraph cursors show`
#[derive(Args, Clone, Debug)]
pub struct ShowCursors {
    /// Write them as JSON
    #[arg(long)]
    pub json: bool,
    /// Where the state is.
    #[command(flatten)]
    pub flags: FileFlags,
}

/// `opgraph cursors rewind`
#[derive(Args, Clone, Debug)]
pub struct RewindCursor {
    /// The tenant's name
    #[arg(value_name = "TENANT")]
    pub tenant: String,
    /// The stream
    #[arg(value_name = "STREAM", value_parser = stream())]
    pub stream: Stream,
    /// Where to.
    #[command(flatten)]
    pub to: RewindTo,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Where the state is.
    #[command(flatten)]
    pub flags: FileFlags,
}

/// Where a rewind leads: exactly one of the two.
#[derive(Args, Clone, Copy, Debug)]
#[group(required = true, multiple = false)]
pub struct RewindTo {
    /// To this time (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub to: Option<UnixMs>,
    /// By this much before the newest committed event
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub by: Option<Duration>,
}

const EXAMPLES: &str = "\
Examples:
  opgraph demo                           see it work; needs no account
  opgraph init                           write a configuration file, from a few questions
  OP_EVENTS_TOKEN=… opgraph run --once   read everything into graph.db, then stop
  opgraph run --config opgraph.toml      all tenants of the file, for ever

Exit codes:
  0 done · 2 configuration · 3 credentials refused · 4 state in use or damaged
  5 stopped by a guard · 1 anything else";

const RUN_EXAMPLES: &str = "\
Examples:
  OP_EVENTS_TOKEN=… opgraph run --once
  opgraph run --events-token-file token --start 7d --streams signinattempts,auditevents
  JUPITERONE_API_KEY=… opgraph run --jupiterone-account ID --jupiterone-instance ID
  opgraph run --config opgraph.toml --admin 127.0.0.1:9184
  opgraph run --once --sink files --out DIR    then: npx j1-integration sync -p DIR …

Tokens come from the variables OP_EVENTS_TOKEN and JUPITERONE_API_KEY, from files that only their
owner may read, or (in a configuration file) from 1Password's CLI. No flag takes one.

SIGTERM and SIGINT finish what is in flight and stop. SIGHUP reads the configuration again: if it
makes sense, what differs in it is started, ended or started again, else everything runs on.";

const CHECK_EXAMPLES: &str = "\
Examples:
  opgraph check --config opgraph.toml
  OP_EVENTS_TOKEN=… opgraph check --connect";

const STATUS_EXAMPLES: &str = "\
Examples:
  opgraph status --config opgraph.toml
  opgraph status --watch

A running opgraph answers for itself, over a socket in its state directory; if none runs, the state
is read.";

const REWIND_EXAMPLES: &str = "\
Examples:
  opgraph cursors rewind acme auditevents --by 2d
  opgraph cursors rewind acme itemusages --to 2026-01-31T00:00:00Z --yes";

const EXPORT_EXAMPLES: &str = "\
Examples:
  opgraph cursors export --out cursors.json
  opgraph cursors export --tenant acme --state-dir old-state";

const IMPORT_EXAMPLES: &str = "\
Examples:
  opgraph cursors import cursors.json
  opgraph cursors import cursors.json --force --state-dir new-state";

fn stream() -> impl TypedValueParser<Value = Stream> {
    let names = PossibleValuesParser::new(Stream::ALL.iter().map(|stream| stream.name()));
    names.map(|name| Stream::named(&name).expect("clap takes no other name"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: u64 = text.parse().map_err(|_| "write whole seconds, such as `30`".to_owned())?;
    // Anything longer means the same, and must not overflow a clock.
    Ok(Duration::from_secs(seconds.min(365 * 24 * 3600)))
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write it like `127.0.0.1:9184`".to_owned())
}

#[cfg(test)]
mod tests;
