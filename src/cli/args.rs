//! The command line: every command, flag and help text.

mod quarantine;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{
    ArgAction, Args, Parser, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use opgraph_state::UnixMs;

pub use self::quarantine::{DropEntries, Entries, ListEntries, Quarantine, RetryEntries, ShowEntry};

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
    #[command(after_help = DEMO_EXAMPLES)]
    Demo(Demo),
    /// Serve the simulated 1Password and JupiterOne, and nothing else
    Simulate(Simulate),
    /// Check the configuration and the tokens
    #[command(after_help = CHECK_EXAMPLES)]
    Check(Check),
    /// Show how far each stream has come
    Status(Status),
    /// Show or move the places up to which events have been committed
    #[command(subcommand)]
    Cursors(Cursors),
    /// See, deliver again or drop what was set aside
    #[command(subcommand)]
    Quarantine(Quarantine),
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
    /// How many seconds a stop may take to finish what is in flight
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub drain: Duration,
    /// Where the configuration comes from.
    #[command(flatten)]
    pub flags: Flags,
}

/// `opgraph demo`
#[derive(Args, Clone, Debug)]
pub struct Demo {
    /// How many events the simulated account holds
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub events: u64,
    /// The number from which everything is generated
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// What goes wrong on the way
    #[arg(long, value_enum, value_name = "HOW MUCH", default_value_t = Faults::Rough)]
    pub faults: Faults,
    /// Where the state and the graph are kept
    #[arg(long, value_name = "DIR", default_value = "opgraph-demo")]
    pub dir: PathBuf,
    /// Where records go
    #[arg(long, value_enum, value_name = "WHERE", default_value_t = DemoSink::Both)]
    pub sink: DemoSink,
    /// Keep the folder: the next demo goes on where this one was
    #[arg(long)]
    pub keep: bool,
    /// Write the summary as JSON
    #[arg(long)]
    pub json: bool,
}

/// What goes wrong in a simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Faults {
    /// Nothing
    None,
    /// A few percent of all requests: slow or lost answers, errors, refused cursors
    Rough,
}

/// Where a demo's records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DemoSink {
    /// A local SQLite file
    Graph,
    /// The simulated JupiterOne
    Jupiterone,
    /// Both
    Both,
}

/// `opgraph simulate`
#[derive(Args, Clone, Debug)]
pub struct Simulate {
    /// How many events the account holds at the start
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub events: u64,
    /// The number from which everything is generated
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How many events arrive a second from then on
    #[arg(long, value_name = "N", default_value = "0", value_parser = rate)]
    pub rate: f64,
    /// What goes wrong
    #[arg(long, value_enum, value_name = "HOW MUCH", default_value_t = Faults::None)]
    pub faults: Faults,
    /// Where to listen; loopback only
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8300", value_parser = loopback)]
    pub listen: SocketAddr,
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
    /// Where the state is.
    #[command(flatten)]
    pub flags: FileFlags,
}

/// `opgraph cursors`
#[derive(Clone, Debug, Subcommand)]
pub enum Cursors {
    /// Show the checkpoint of every stream
    Show(ShowCursors),
    /// Read a stream again from an earlier time; what was read before is not written twice
    #[command(after_help = REWIND_EXAMPLES)]
    Rewind(RewindCursor),
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
  opgraph run --config opgraph.toml

Tokens come from the variables OP_EVENTS_TOKEN and JUPITERONE_API_KEY, from files that only their
owner may read, or (in a configuration file) from 1Password's CLI. No flag takes one.";

const DEMO_EXAMPLES: &str = "\
Examples:
  opgraph demo
  opgraph demo --events 1000000 --faults none --sink graph";

const CHECK_EXAMPLES: &str = "\
Examples:
  opgraph check --config opgraph.toml
  OP_EVENTS_TOKEN=… opgraph check --connect";

const REWIND_EXAMPLES: &str = "\
Examples:
  opgraph cursors rewind acme auditevents --by 2d
  opgraph cursors rewind acme itemusages --to 2026-01-31T00:00:00Z --yes";

fn stream() -> impl TypedValueParser<Value = Stream> {
    let names = PossibleValuesParser::new(Stream::ALL.iter().map(|stream| stream.name()));
    names.map(|name| Stream::named(&name).expect("clap takes no other name"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: u64 = text.parse().map_err(|_| "write whole seconds, such as `30`".to_owned())?;
    // Anything longer means the same, and must not overflow a clock.
    Ok(Duration::from_secs(seconds.min(365 * 24 * 3600)))
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "write a number, such as `10`".to_owned())?;
    if rate.is_finite() && rate >= 0.0 { Ok(rate) } else { Err("write 0 or more".to_owned()) }
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "write it like `127.0.0.1:8300`".to_owned())?;
    let loopback = address.ip().is_loopback();
    if loopback { Ok(address) } else { Err("the simulator listens on loopback only".to_owned()) }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, error::ErrorKind};

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_line_of_the_examples_can_be_typed() {
        let quarantine = [quarantine::RETRY_EXAMPLES, quarantine::DROP_EXAMPLES];
        let others = [EXAMPLES, RUN_EXAMPLES, DEMO_EXAMPLES, CHECK_EXAMPLES, REWIND_EXAMPLES];
        for examples in others.into_iter().chain(quarantine) {
            let lines = examples.lines().filter_map(|line| line.strip_prefix("  "));
            for line in lines.filter_map(|line| line.split_once("opgraph ").map(|(_, rest)| rest)) {
                // Two spaces begin the explanation.
                let line = line.split("  ").next().unwrap();
                parse(&format!("opgraph {line}")).unwrap_or_else(|error| panic!("{line}: {error}"));
            }
        }
    }

    /// Every flag of every command that takes a value.
    fn flags(command: &clap::Command) -> Vec<String> {
        let own = command.get_arguments().filter(|arg| arg.get_action().takes_values());
        let own = own.filter_map(|arg| arg.get_long()).map(str::to_owned);
        own.chain(command.get_subcommands().flat_map(flags)).collect()
    }

    #[test]
    fn no_flag_takes_a_secret() {
        let flags = flags(&Cli::command());
        assert!(flags.iter().any(|flag| flag == "events-token-file"), "{flags:?}");
        for flag in flags {
            let secret = ["token", "key", "secret", "password"].iter().any(|word| flag.contains(word));
            assert!(!secret || flag.ends_with("-file"), "--{flag} would put a secret on the command line");
        }
    }

    #[test]
    fn nothing_of_the_environment_is_shown_in_help() {
        // clap prints the values of variables that it reads itself.
        fn check(command: &clap::Command) {
            assert!(command.get_arguments().all(|arg| arg.get_env().is_none()));
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn a_rewind_needs_one_goal_and_a_stream_that_exists() {
        let kind = |line: &str| parse(line).unwrap_err().kind();
        assert_eq!(kind("opgraph cursors rewind acme auditevents"), ErrorKind::MissingRequiredArgument);
        assert_eq!(
            kind("opgraph cursors rewind acme auditevents --by 2d --to 2026-01-31T00:00:00Z"),
            ErrorKind::ArgumentConflict
        );
        assert_eq!(kind("opgraph cursors rewind acme auditevent --by 2d"), ErrorKind::InvalidValue);
        assert_eq!(kind("opgraph cursors rewind acme auditevents --by soon"), ErrorKind::ValueValidation);
        let cli = parse("opgraph -vv cursors rewind acme auditevents --by 2d -y --state-dir s").unwrap();
        let Command::Cursors(Cursors::Rewind(rewind)) = cli.command else { panic!("{cli:?}") };
        assert_eq!((rewind.tenant.as_str(), rewind.stream, rewind.yes), ("acme", Stream::AuditEvents, true));
        assert_eq!((rewind.to.to, rewind.to.by), (None, Some(Duration::from_secs(2 * 86_400))));
        assert_eq!((cli.output.verbose, rewind.flags.state_dir), (2, Some(PathBuf::from("s"))));
    }

    #[test]
    fn defaults_are_as_documented() {
        let Command::Run(run) = parse("opgraph run").unwrap().command else { panic!() };
        assert_eq!((run.once, run.json, run.drain), (false, false, Duration::from_secs(30)));
        let Command::Demo(demo) = parse("opgraph demo").unwrap().command else { panic!() };
        assert_eq!((demo.events, demo.faults, demo.sink), (100_000, Faults::Rough, DemoSink::Both));
        assert_eq!((demo.dir, demo.keep), (PathBuf::from("opgraph-demo"), false));
        let Command::Simulate(simulate) = parse("opgraph simulate").unwrap().command else { panic!() };
        assert_eq!((simulate.listen, simulate.rate), ("127.0.0.1:8300".parse().unwrap(), 0.0));
    }

    #[test]
    fn the_simulator_stays_on_this_machine() {
        assert!(parse("opgraph simulate --listen [::1]:0").is_ok());
        for wrong in ["--listen 0.0.0.0:80", "--listen localhost", "--rate -1", "--rate NaN", "--rate inf"] {
            assert!(parse(&format!("opgraph simulate {wrong}")).is_err(), "{wrong}");
        }
        assert!(parse("opgraph -q -v status").is_err());
        assert_eq!(parse("opgraph status --color never").unwrap().output.color, Color::Never);
    }
}
