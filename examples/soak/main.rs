//! The program at full speed for minutes, on everything that goes wrong: does it
//! grow, and is the graph exact in the end?
//!
//! ```sh
//! cargo run --release --example soak -- --minutes 10 --out docs/soak.svg
//! ```
//!
//! A simulated 1Password and JupiterOne, with faults, in one process; `opgraph
//! run` in another, looked at every second. At the end the simulator holds its
//! events back, the program is stopped, and the simulator's oracle compares the
//! graph with every event that was served. Exit code 1: something grew by more
//! than its bound over the second half, or the graph is not exact. Linux only.
//! The simulator keeps what it was sent, about 300 bytes an event. Below five
//! minutes it is the warm-up that is judged.

// What is found is printed: that is what it is for.
#![allow(clippy::print_stdout)]

mod plot;

mod program;

mod sample;

mod simulated;

use std::{error::Error, path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use opgraph_simulator::Report;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use self::{
    plot::{Line, Panel, svg},
    program::{Program, Told},
    sample::{Sample, growth, look},
    simulated::Other,
};

/// Runs opgraph at full speed and watches whether it grows.
#[derive(Parser)]
struct Soak {
    /// For how long
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    minutes: f64,
    /// Where the plot is written
    #[arg(long, value_name = "FILE", default_value = "soak.svg")]
    out: PathBuf,
    /// The number from which everything is generated
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Another binary than the one that is built from here
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Be the other side (the soak starts itself so)
    #[arg(long, hide = true)]
    serve: bool,
}

/// What may not grow, and by how much a minute it may seem to over the second half.
const BOUNDS: &[(&str, &str, f64)] = &[
    ("resident memory", "MB", 3.0),
    // It falls and rises again with every refused cursor.
    ("dedup memory", "MB", 2.0),
    ("file descriptors", "fds", 1.0),
    ("threads", "threads", 0.5),
    ("state directory", "MB", 5.0),
];

#[tokio::main]
async fn main() -> ExitCode {
    let soak = Soak::parse();
    let served = if soak.serve { simulated::serve(soak.seed).await.map(|()| true) } else { run(&soak).await };
    match served {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("the soak failed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What was measured.
struct Measured {
    samples: Vec<Sample>,
    told: Vec<Told>,
    report: Report,
}

async fn run(soak: &Soak) -> Result<bool, Box<dyn Error>> {
    let binary = soak.program.clone().map_or_else(program::build, Ok)?;
    let measured = measure(soak, &binary).await?;
    let (said, good) = verdict(&measured);
    println!("{said}");
    std::fs::write(&soak.out, plot(&measured))?;
    println!("plot: {}", soak.out.display());
    Ok(good)
}

async fn measure(soak: &Soak, binary: &std::path::Path) -> Result<Measured, Box<dyn Error>> {
    let dir = tempfile::Builder::new().prefix("opgraph-soak-").tempdir()?;
    let (mut other, access) = Other::start(soak.seed)?;
    let mut program = Program::start(binary, dir.path(), &access)?;
    println!("{} for {} minutes; the simulator is process {}", binary.display(), soak.minutes, other.id());
    let begun = Instant::now();
    let mut samples = Vec::new();
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while begun.elapsed().as_secs_f64() < soak.minutes * 60.0 {
        seconds.tick().await;
        if let Some(status) = program.ended()? {
            let log = std::fs::read_to_string(dir.path().join("opgraph.log"))?;
            let last = log.lines().last().unwrap_or_default();
            return Err(format!("the program ended by itself ({status}): {last}").into());
        }
        let at = begun.elapsed().as_secs_f64();
        samples.push(look(program.id(), &dir.path().join("state"), at)?);
        if samples.len() % 60 == 0
            && let Some(now) = samples.last()
        {
            println!(
                "{:>5.0} s: {:.0} MB, {} fds, {} threads",
                now.at,
                mb(now.memory),
                now.files,
                now.threads
            );
        }
    }
    other.hold_events_back()?;
    // What was being served arrives; it is committed while the program drains.
    sleep(Duration::from_secs(2)).await;
    let (status, told) = tokio::task::block_in_place(|| program.stop())?;
    if !status.success() {
        return Err(format!("the program did not drain: {status}").into());
    }
    let report = tokio::task::block_in_place(|| other.report())?;
    Ok(Measured { samples, told, report })
}

fn mb(bytes: f64) -> f64 {
    bytes / 1e6
}

impl Measured {
    fn of(&self, value: fn(&Sample) -> f64) -> Vec<(f64, f64)> {
        self.samples.iter().map(|sample| (sample.at, value(sample))).collect()
    }

    /// Megabytes that dedup takes.
    fn dedup(&self) -> Vec<(f64, f64)> {
        self.told.iter().map(|told| (told.at, mb(told.dedup))).collect()
    }

    /// Events a second since the look before.
    fn speed(&self) -> Vec<(f64, f64)> {
        let pairs = self.told.windows(2);
        pairs.map(|two| (two[1].at, (two[1].events - two[0].events) / (two[1].at - two[0].at))).collect()
    }

    /// CPUs in use, averaged over ten seconds.
    fn cpu(&self) -> Vec<(f64, f64)> {
        let pairs = self.samples.windows(11).step_by(10);
        pairs.map(|some| (some[10].at, (some[10].cpu - some[0].cpu) / (some[10].at - some[0].at))).collect()
    }

    /// The growth a minute of everything in [`BOUNDS`].
    fn growths(&self) -> [f64; 5] {
        [
            growth(&self.of(|sample| mb(sample.memory))),
            growth(&self.dedup()),
            growth(&self.of(|sample| sample.files)),
            growth(&self.of(|sample| sample.threads)),
            growth(&self.of(|sample| mb(sample.state))),
        ]
    }
}

/// What is to be said, and whether it is good.
fn verdict(measured: &Measured) -> (String, bool) {
    let report = &measured.report;
    let faults: u64 = report.faults.values().sum();
    let mut said = format!(
        "{} events served over {} requests of which {faults} were disturbed; {} records held, {} expected\n",
        report.served(),
        report.requests.values().sum::<u64>(),
        report.graph.held,
        report.graph.expected,
    );
    let mut good = report.is_exact() && report.received.refused.count == 0;
    said.push_str(&format!("the graph is {}\n", if good { "exact" } else { "NOT exact" }));
    if !good {
        said.push_str(&format!("{:#?}\n{:#?}\n", report.graph, report.received.refused));
    }
    // A program that reads nothing does not grow either.
    if measured.told.len() < 3 || measured.speed().iter().all(|(_, speed)| *speed < 1.0) {
        said.push_str("it was too short, or nothing was read: nothing is proved\n");
        good = false;
    }
    for ((name, unit, bound), growth) in BOUNDS.iter().zip(measured.growths()) {
        let within = growth <= *bound;
        good &= within;
        let judged = if within { "within" } else { "OVER" };
        said.push_str(&format!("{name:<18} {growth:>+8.3} {unit} a minute, {judged} the bound of {bound}\n"));
    }
    (said, good)
}

fn plot(measured: &Measured) -> String {
    let [memory, dedup, files, threads, state] = measured.growths();
    let (speed, cpu) = (measured.speed(), measured.cpu());
    let mean =
        |points: &[(f64, f64)]| points.iter().map(|point| point.1).sum::<f64>() / points.len().max(1) as f64;
    let panels = [
        Panel {
            title: "memory",
            note: format!("second half: {memory:+.2} and {dedup:+.2} MB a minute"),
            lines: vec![
                Line { name: "resident", unit: "MB", points: measured.of(|sample| mb(sample.memory)) },
                Line { name: "of which dedup", unit: "MB", points: measured.dedup() },
            ],
        },
        Panel {
            title: "file descriptors and threads",
            note: format!("second half: {files:+.2} and {threads:+.2} a minute"),
            lines: vec![
                Line { name: "file descriptors", unit: "", points: measured.of(|sample| sample.files) },
                Line { name: "threads", unit: "", points: measured.of(|sample| sample.threads) },
            ],
        },
        Panel {
            title: "events a second",
            note: format!("{:.0} on average, {:.2} CPUs in use", mean(&speed), mean(&cpu)),
            lines: vec![Line { name: "", unit: "", points: speed }],
        },
        Panel {
            title: "state directory",
            note: format!("second half: {state:+.2} MB a minute"),
            lines: vec![Line { name: "", unit: "MB", points: measured.of(|sample| mb(sample.state)) }],
        },
    ];
    let exact = if measured.report.is_exact() { "exact" } else { "NOT exact" };
    let seconds = measured.samples.last().map_or(0.0, |sample| sample.at);
    let title = format!(
        "opgraph at full speed, with faults: {:.1} million events in {:.0} minutes; the graph is {exact}",
        measured.report.served() as f64 / 1e6,
        seconds / 60.0,
    );
    svg(&title, &panels, seconds)
}
