//! The command line of `opgraph demo` and `opgraph simulate`.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum};

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
    /// Show a status page, metrics and health at this address, until the demo ends
    #[arg(long, value_name = "ADDR", value_parser = super::address)]
    pub admin: Option<SocketAddr>,
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
    /// How many vaults the account has
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub vaults: u32,
    /// How many items each vault holds
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(0..1_000_000))]
    pub items_per_vault: u32,
    /// How many vaults and items change an hour from then on
    #[arg(long, value_name = "N", default_value = "0", value_parser = rate)]
    pub connect_changes_per_hour: f64,
    /// What goes wrong
    #[arg(long, value_enum, value_name = "HOW MUCH", default_value_t = Faults::None)]
    pub faults: Faults,
    /// How many milliseconds each answer of the Events API takes
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub latency: u64,
    /// Where to listen; loopback only
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8300", value_parser = loopback)]
    pub listen: SocketAddr,
}

/// Examples of `demo`.
pub(super) const EXAMPLES: &str = "\
Examples:
  opgraph demo
  opgraph demo --events 1000000 --faults none --sink graph";

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "write a number, such as `10`".to_owned())?;
    if rate.is_finite() && rate >= 0.0 { Ok(rate) } else { Err("write 0 or more".to_owned()) }
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "write it like `127.0.0.1:8300`".to_owned())?;
    let loopback = address.ip().is_loopback();
    if loopback { Ok(address) } else { Err("the simulator listens on loopback only".to_owned()) }
}
