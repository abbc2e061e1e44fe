//! The command line. One file per command.

pub mod args;

mod run;

mod reload;

mod descriptors;

mod demo;

pub mod judge;

mod destination;

mod simulate;

mod init;

mod check;

mod status;

mod doors;

mod cursors;

mod export;

mod import;

mod verify;

mod compact;

mod heal;

mod quarantine;

mod schema;

mod generate;

mod ask;

mod failed;

mod logs;

#[cfg(feature = "otlp")]
mod traces;

mod memory;

mod out;

mod progress;

mod summary;

use std::process::ExitCode;

use clap::Parser;

use self::{
    args::{Cli, Command, Cursors, Quarantine, State},
    failed::{Exit, Failed},
    logs::Screen,
};
use crate::{admin::Warnings, secret::protect_process};

/// Runs the program: parses the arguments, does what they say, answers the exit code.
///
/// Exit codes: 0 done · 2 configuration · 3 credentials refused · 4 state in
/// use or damaged · 5 stopped by a guard · 1 anything else.
pub fn main() -> ExitCode {
    memory::keep_little();
    let cli = Cli::parse();
    let (screen, warnings) = (Screen::new(), Warnings::default());
    let result = protect_process()
        .map_err(|error| Failed::new(Exit::Other, "protect the process's memory and files").because(error))
        .and_then(|()| logs::start(&cli, &screen, &warnings))
        .and_then(|_traces| dispatch(cli, screen, warnings));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            out::error(&failed);
            failed.exit.into()
        }
    }
}

fn dispatch(cli: Cli, screen: Screen, warnings: Warnings) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // They compress and resolve names; more than these would only queue for
        // the same few cores, with a buffer of megabytes each.
        .max_blocking_threads(4)
        .build()
        .map_err(|error| Failed::new(Exit::Other, "start the runtime").because(error))?;
    let quiet = cli.output.quiet;
    let result = runtime.block_on(async {
        match cli.command {
            Command::Run(run) => run::run(run, screen, quiet, warnings).await,
            Command::Demo(demo) => demo::run(demo, screen, quiet, warnings).await,
            Command::Simulate(simulate) => simulate::run(simulate).await,
            Command::Init(init) => init::run(*init),
            Command::Check(check) => check::run(check).await,
            Command::Status(status) => status::run(status).await,
            Command::Cursors(Cursors::Show(show)) => cursors::show(show).await,
            Command::Cursors(Cursors::Rewind(rewind)) => cursors::rewind(rewind).await,
            Command::Cursors(Cursors::Export(export)) => export::run(export).await,
            Command::Cursors(Cursors::Import(import)) => import::run(import).await,
            Command::State(State::Verify(verify)) => verify::run(verify).await,
            Command::State(State::Compact(compact)) => compact::run(compact, screen, quiet).await,
            Command::Schema(schema) => schema::run(schema),
            Command::Generate(generate) => generate::run(&generate),
            Command::Quarantine(Quarantine::List(list)) => quarantine::list(list).await,
            Command::Quarantine(Quarantine::Show(show)) => quarantine::show(show).await,
            Command::Quarantine(Quarantine::Retry(retry)) => quarantine::retry(*retry).await,
            Command::Quarantine(Quarantine::Drop(drop)) => quarantine::drop(drop).await,
        }
    });
    // A blocking call that hangs must not keep the process from ending.
    runtime.shutdown_background();
    result
}
