//! Many tenants at their daily work, one of which fails in every way there is.

use std::time::{Duration, Instant};

use clap::Args;
use opgraph_bench::{Failed, process};
use tokio::time::sleep;

use crate::{
    Place,
    others::{Ailment, Kind, Others},
    program::{Program, Tenants},
};

#[derive(Args)]
pub(crate) struct Steady {
    /// How many
    #[arg(long, default_value_t = 200)]
    tenants: usize,
    /// For how long
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Events that each has when it starts
    #[arg(long, default_value_t = 2000)]
    events: u64,
    /// Events that arrive in each every second
    #[arg(long, default_value_t = 0.5)]
    rate: f64,
    /// Seconds between two polls
    #[arg(long, default_value_t = 15)]
    interval: u64,
    #[command(flatten)]
    place: Place,
}

/// How many of the others are looked at.
const WATCHED: usize = 20;

/// The lags that were seen in one part of the time.
struct Watched {
    what: String,
    lags: Vec<f64>,
    memory: u64,
}

impl Watched {
    fn line(&self) -> String {
        let mut sorted = self.lags.clone();
        sorted.sort_by(f64::total_cmp);
        let at =
            |share: f64| sorted.get(((sorted.len() - 1) as f64 * share) as usize).copied().unwrap_or(0.0);
        format!(
            "{:<16} lag of the others: {:>5.1} s in the middle, {:>5.1} s of 95 in 100, {:>5.1} s at most; {:>6.1} MB resident",
            self.what,
            at(0.5),
            at(0.95),
            at(1.0),
            self.memory as f64 / 1e6,
        )
    }
}

/// A fifth of the time all is well; the rest is divided among what goes wrong.
pub(crate) async fn run(steady: &Steady) -> Result<(), Failed> {
    let Steady { tenants, minutes, events, rate, interval, place } = steady;
    let dir = place.fresh()?;
    let kind = Kind { accounts: *tenants, events: *events, per_minute: 600, rate: *rate };
    let mut others = Others::start(&kind)?;
    let settings =
        Tenants { tenants: *tenants, interval: Some(*interval), per_minute: 600, max_memory: None };
    let mut running = Program::start(&place.program()?, dir.path(), &others.accesses, &settings)?;
    let (id, begun) = (running.id(), Instant::now());
    // What was waiting is read first: that is no daily work.
    while others.lags(WATCHED)?.iter().any(|lag| *lag > 2.0 * *interval as f64 + 5.0) {
        sleep(Duration::from_secs(1)).await;
    }
    println!(
        "{tenants} tenants of {events} events have caught up after {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    let (work, cpu) = (Instant::now(), process::cpu(&id.to_string())?);
    let all = Duration::from_secs_f64(minutes * 60.0);
    watch("all are well", all / 5, &mut others, id).await?;
    let each = all * 4 / 5 / Ailment::ALL.len() as u32;
    for ailment in Ailment::ALL {
        others.ail(Some(ailment))?;
        watch(&format!("{ailment:?}"), each, &mut others, id).await?;
        others.ail(None)?;
    }
    let halts = running.said("tenant halted")?;
    running.reload()?;
    let cpu = (process::cpu(&id.to_string())? - cpu) / work.elapsed().as_secs_f64();
    // What has halted catches up; then what was served can be committed.
    sleep(Duration::from_secs(2 * interval + 10)).await;
    others.hold_back()?;
    sleep(Duration::from_secs(10)).await;
    let peak = process::peak(id)?;
    running.stop().await?;
    let ends = others.ends()?;
    println!(
        "{tenants} tenants, {:.1} minutes: {} events, {:.2} cores, peak {:.1} MB; the one halted {halts} time(s); {} of \
         {tenants} graphs exact, {} requests over the limits",
        begun.elapsed().as_secs_f64() / 60.0,
        ends.iter().map(|end| end.served).sum::<u64>(),
        cpu,
        peak as f64 / 1e6,
        ends.iter().filter(|end| end.exact).count(),
        ends.iter().map(|end| end.excess).sum::<u64>(),
    );
    Ok(())
}

async fn watch(what: &str, time: Duration, others: &mut Others, id: u32) -> Result<(), Failed> {
    let begun = Instant::now();
    let mut lags = Vec::new();
    while begun.elapsed() < time {
        sleep(Duration::from_secs(3)).await;
        lags.extend(others.lags(WATCHED)?);
    }
    println!("{}", Watched { what: what.to_owned(), lags, memory: process::resident(id)? }.line());
    Ok(())
}
