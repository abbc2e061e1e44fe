//! Every line that help shows can be typed, and none takes a secret.

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
    let all = [
        EXAMPLES,
        RUN_EXAMPLES,
        simulated::EXAMPLES,
        CHECK_EXAMPLES,
        STATUS_EXAMPLES,
        REWIND_EXAMPLES,
        EXPORT_EXAMPLES,
        IMPORT_EXAMPLES,
        init::EXAMPLES,
        quarantine::RETRY_EXAMPLES,
        quarantine::DROP_EXAMPLES,
    ];
    for examples in all {
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
        let place = flag.ends_with("-file") || flag.ends_with("-from");
        assert!(!secret || place, "--{flag} would put a secret on the command line");
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
