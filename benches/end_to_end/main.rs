//! The whole program beside the floor: events a second, CPU an event, memory, bytes.
//!
//! ```sh
//! cargo build --release && cargo run --release -p opgraph-bench --bin end-to-end -- --events 1000000
//! ```
//!
//! The simulator runs in a process of its own, the program as people run it in another, with state and dedup, on a
//! fresh directory; afterwards the oracle has to find the graph exact. In turn with it runs the floor: a process that
//! receives the same pages and sends as many bytes, compressed alike, and does nothing else. Shown are medians of all
//! runs, and of the ratio within each. Linux only.

// What is found is printed: that is what it is for.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod program;

mod table;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand, ValueEnum};
use opgraph_bench::{
    Failed,
    floor::{self, Plan},
    place::{self, Sink},
    process::{self, Used},
    simulated::{self, Access, Other},
};
use serde::Serialize;

use self::program::Summary;

/// Measures the whole program beside what no design can avoid.
#[derive(Parser)]
#[command(subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
struct Bench {
    #[command(subcommand)]
    part: Option<Part>,
    /// Events that wait upstream
    #[arg(long, value_name = "N", default_value_t = 500_000)]
    events: u64,
    /// How often everything is run
    #[arg(long, value_name = "N", default_value_t = 5)]
    runs: usize,
    /// Where records go; all unless given
    #[arg(long, value_enum, value_name = "WHERE", value_delimiter = ',')]
    sinks: Vec<Sink>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    /// Where the state and the graph are kept meanwhile: a real disk, for their syncs
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Another program than the one beside this file
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// The other processes; the bench starts itself so.
#[derive(Subcommand)]
enum Part {
    /// Be the other side
    #[command(hide = true)]
    Simulate { events: u64 },
    /// Be the floor: how it is reached, what is to be sent
    #[command(hide = true)]
    Floor {
        access: String,
        sent: u64,
        #[arg(long)]
        gzip: bool,
    },
}

/// One run of the program, and of the floor after it.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) sink: Sink,
    pub(crate) events: u64,
    pub(crate) program: Cost,
    pub(crate) floor: Cost,
}

/// What one process took.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Cost {
    pub(crate) seconds: f64,
    /// CPU seconds.
    pub(crate) cpu: f64,
    /// The most resident memory, in bytes.
    pub(crate) peak: u64,
    /// Bytes of pages.
    pub(crate) received: u64,
    /// Bytes of request bodies on the wire.
    pub(crate) sent: u64,
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let bench = Bench::parse();
    match bench.part {
        Some(Part::Simulate { events }) => simulated::serve(events).await,
        Some(Part::Floor { access, sent, gzip }) => be_floor(&access, Plan { sent, gzip }).await,
        None => measure(bench).await,
    }
}

async fn measure(bench: Bench) -> Result<(), Failed> {
    let me = std::env::current_exe()?;
    let program = match bench.program {
        Some(program) => program,
        None => me.with_file_name("opgraph"),
    };
    if !program.exists() {
        return Err(format!("{} is not there: `cargo build --release` makes it", program.display()).into());
    }
    let sinks = if bench.sinks.is_empty() { Sink::value_variants().to_vec() } else { bench.sinks };
    let mut all = Vec::new();
    for run in 1..=bench.runs {
        for sink in &sinks {
            let measured = once(&me, &program, &bench.dir, *sink, bench.events).await?;
            eprintln!("run {run}: {}", table::line(&measured));
            all.push(measured);
        }
    }
    if bench.json {
        println!("{}", serde_json::to_string(&all)?);
    } else {
        print!("{}", table::table(&all, &sinks));
    }
    Ok(())
}

/// The program, then the floor, on one fresh account.
async fn once(me: &Path, program: &Path, dir: &Path, sink: Sink, events: u64) -> Result<Measured, Failed> {
    let dir = tempfile::Builder::new().prefix("opgraph-bench-").tempdir_in(dir)?;
    let mut other = Other::start(me, events)?;
    let (used, summary) = program::run(program, dir.path(), &other.access, sink).await?;
    let report = match sink {
        Sink::Graph => other.report_of(&dir.path().join(place::GRAPH))?,
        Sink::Gzip | Sink::Plain => other.report()?,
    };
    if !(report.is_exact() && report.is_caught_up()) {
        return Err(format!("the graph is not exact: {:#?}", report.graph).into());
    }
    let Summary { bytes_in: received, bytes_out: sent, .. } = summary;
    let measured = Cost { received, sent, ..Cost::of(used) };
    let (used, passed) = floor_beside(me, &other.access, Plan { sent, gzip: sink == Sink::Gzip }).await?;
    // The program does not count an empty page at the end.
    if passed.received.abs_diff(received) > received / 1000 || passed.sent != sent {
        return Err(format!("the floor passed {passed:?}, the program {received} and {sent} bytes").into());
    }
    let floor = Cost { received: passed.received, sent: passed.sent, ..Cost::of(used) };
    Ok(Measured { sink, events: report.served(), program: measured, floor })
}

impl Cost {
    fn of(used: Used) -> Cost {
        Cost { seconds: used.seconds, cpu: used.cpu, peak: used.peak, received: 0, sent: 0 }
    }
}

/// Runs the floor in a process of its own. Its time begins when its bodies are made.
async fn floor_beside(me: &Path, access: &Access, plan: Plan) -> Result<(Used, floor::Passed), Failed> {
    let mut command = std::process::Command::new(me);
    command.args(["floor", &serde_json::to_string(access)?, &plan.sent.to_string()]);
    if plan.gzip {
        command.arg("--gzip");
    }
    let (all, said) = process::run(&mut command).await?;
    let (began, took, passed): (f64, f64, floor::Passed) = serde_json::from_str(&said)?;
    Ok((Used { cpu: all.cpu - began, seconds: took, ..all }, passed))
}

/// Says what had been used when it began, how long it took, and what was passed.
async fn be_floor(access: &str, plan: Plan) -> Result<(), Failed> {
    let access: Access = serde_json::from_str(access)?;
    let bodies = floor::bodies().await?;
    let began = process::cpu("self")?;
    let now = std::time::Instant::now();
    let passed = floor::run(&access, bodies, plan).await?;
    println!("{}", serde_json::to_string(&(began, now.elapsed().as_secs_f64(), passed))?);
    Ok(())
}
