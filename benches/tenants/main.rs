//! Many tenants in one process: what idle ones cost, and what each gets when all are saturated.
//!
//! ```sh
//! cargo build --release
//! cargo run --release -p opgraph-bench --bin tenants -- idle --tenants 1000 --interval 30 --seconds 120
//! cargo run --release -p opgraph-bench --bin tenants -- saturated --tenants 20 --seconds 60
//! cargo run --release -p opgraph-bench --bin tenants -- steady --tenants 200 --minutes 10
//! ```
//!
//! The simulators run in one process of their own, the program as people run it in another, on fresh state. What is
//! measured is the program's process alone. Linux only.

// What is found is printed: that is what it is for.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod others;

mod program;

mod steady;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::{Args, Parser, Subcommand};
use opgraph_bench::{Failed, process};
use tokio::time::sleep;

use self::{
    others::{Kind, Others},
    program::{Program, Tenants},
};

/// Measures many tenants in one process.
#[derive(Parser)]
struct Bench {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand)]
enum Part {
    /// Tenants of which nothing is new: CPU a poll, share of a core, memory each
    Idle(Idle),
    /// Tenants of which more is waiting than they may read: events each, CPU, memory
    Saturated(Saturated),
    /// Tenants at their daily work, one of which fails in every way: memory, lag of the others, exactness of all
    Steady(steady::Steady),
    /// Be the other side
    #[command(hide = true)]
    Simulate { kind: String },
}

#[derive(Args)]
struct Idle {
    /// How many
    #[arg(long, default_value_t = 1000)]
    tenants: usize,
    /// Seconds between two polls of a stream
    #[arg(long, default_value_t = 30)]
    interval: u64,
    /// How long it is measured
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Events that the account has when they start
    #[arg(long, default_value_t = 0)]
    events: u64,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
struct Saturated {
    /// How many
    #[arg(long, default_value_t = 20)]
    tenants: usize,
    /// Requests that each account allows in a minute; fifty times as many in an hour
    #[arg(long, default_value_t = 600)]
    per_minute: u32,
    /// How long it is measured
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// What the program may take; its default unless given
    #[arg(long)]
    max_memory: Option<String>,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
struct Place {
    /// Where the state is kept meanwhile
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Another program than the one beside this file
    #[arg(long)]
    program: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    match Bench::parse().part {
        Part::Idle(idle) => self::idle(&idle).await,
        Part::Saturated(saturated) => self::saturated(&saturated).await,
        Part::Steady(steady) => steady::run(&steady).await,
        Part::Simulate { kind } => others::serve(serde_json::from_str(&kind)?).await,
    }
}

impl Place {
    fn program(&self) -> Result<PathBuf, Failed> {
        Ok(match &self.program {
            Some(program) => program.clone(),
            None => std::env::current_exe()?.with_file_name("opgraph"),
        })
    }

    fn fresh(&self) -> Result<tempfile::TempDir, Failed> {
        Ok(tempfile::Builder::new().prefix("opgraph-bench-").tempdir_in(&self.dir)?)
    }
}

/// One tenant first: what the process takes by itself is not the tenants'.
async fn idle(idle: &Idle) -> Result<(), Failed> {
    let program = idle.place.program()?;
    let one = polled(&program, idle, 1).await?;
    let all = if idle.tenants > 1 { polled(&program, idle, idle.tenants).await? } else { one };
    let each = all.memory.saturating_sub(one.memory) / (idle.tenants as u64).saturating_sub(1).max(1);
    println!(
        "{} idle tenants, polled every {} s: {:.2} % of a core, {:.0} µs a poll of three streams, {} requests; {:.1} MB \
         resident, {:.1} KB each beyond the first; one alone: {:.1} MB, {:.0} µs a poll",
        idle.tenants,
        idle.interval,
        all.cpu / all.seconds * 100.0,
        all.micros(),
        all.requests,
        all.memory as f64 / 1e6,
        each as f64 / 1e3,
        one.memory as f64 / 1e6,
        one.micros(),
    );
    Ok(())
}

/// What idle tenants took.
#[derive(Clone, Copy)]
struct Polled {
    seconds: f64,
    cpu: f64,
    memory: u64,
    requests: u64,
}

impl Polled {
    /// A poll of a tenant is one request a stream.
    fn micros(&self) -> f64 {
        self.cpu * 1e6 / (self.requests as f64 / 3.0)
    }
}

async fn polled(program: &Path, idle: &Idle, tenants: usize) -> Result<Polled, Failed> {
    let dir = idle.place.fresh()?;
    let mut others =
        Others::start(&Kind { accounts: 1, events: idle.events, per_minute: 10_000_000, rate: 0.0 })?;
    let settings =
        Tenants { tenants, interval: Some(idle.interval), per_minute: 10_000_000, max_memory: None };
    let mut running = Program::start(program, dir.path(), &others.accesses, &settings)?;
    // Everything there is has been read, uploaded, committed; and each stream was asked again.
    sleep(Duration::from_secs(2 * idle.interval + 20)).await;
    let id = running.id();
    let (begun, cpu, asked) = (Instant::now(), process::nanoseconds(id)?, others.requests()?);
    sleep(Duration::from_secs(idle.seconds)).await;
    let (memory, requests) = (process::resident(id)?, others.requests()? - asked);
    let cpu = (process::nanoseconds(id)? - cpu) as f64 / 1e9;
    let polled = Polled { seconds: begun.elapsed().as_secs_f64(), cpu, memory, requests };
    running.stop().await?;
    Ok(polled)
}

async fn saturated(saturated: &Saturated) -> Result<(), Failed> {
    let Saturated { tenants, per_minute, seconds, place, max_memory } = saturated;
    let dir = place.fresh()?;
    let kind = Kind { accounts: *tenants, events: 40_000 * seconds, per_minute: *per_minute, rate: 0.0 };
    let mut others = Others::start(&kind)?;
    let settings = Tenants {
        tenants: *tenants,
        interval: None,
        per_minute: *per_minute,
        max_memory: max_memory.clone(),
    };
    let mut running = Program::start(&place.program()?, dir.path(), &others.accesses, &settings)?;
    let (begun, id) = (Instant::now(), running.id());
    sleep(Duration::from_secs(*seconds)).await;
    let (cpu, took) = (process::cpu(&id.to_string())?, begun.elapsed().as_secs_f64());
    others.hold_back()?;
    // What was served can be committed now.
    sleep(Duration::from_secs(5)).await;
    let peak = process::peak(id)?;
    running.stop().await?;
    let ends = others.ends()?;
    let events: Vec<u64> = ends.iter().map(|end| end.served).collect();
    let (all, least, most) = (events.iter().sum::<u64>(), events.iter().min(), events.iter().max());
    let (least, most) = (*least.ok_or("no tenants")?, *most.ok_or("no tenants")?);
    println!(
        "{tenants} saturated tenants, {per_minute} requests a minute each, {}: {:.0} events/s in all, {:.0} to \
         {:.0} each (ratio {:.2}), {:.2} cores, {:.2} µs an event, peak {:.1} MB; {} of {tenants} graphs exact, {} \
         requests over the limits",
        max_memory.as_deref().unwrap_or("memory by default"),
        all as f64 / took,
        least as f64 / took,
        most as f64 / took,
        least as f64 / most as f64,
        cpu / took,
        cpu * 1e6 / all as f64,
        peak as f64 / 1e6,
        ends.iter().filter(|end| end.exact).count(),
        ends.iter().map(|end| end.excess).sum::<u64>(),
    );
    Ok(())
}
