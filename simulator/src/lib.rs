//! 1Password's Events API, 1Password Connect and JupiterOne's sync-job API on loopback: strict, deterministic
//! from a seed, with faults to order and an oracle that knows what the graph must hold of the events.
//!
//! ```no_run
//! # async fn example() -> Result<(), opgraph_simulator::Error> {
//! use opgraph_simulator::{Config, Endpoint, Fault, Faults, Script, Simulator};
//!
//! let config = Config { events: 100_000, faults: Faults::rough(), ..Config::default() };
//! let simulator = Simulator::start(config).await?;
//! simulator.script(Script::nth(Endpoint::Finalize, 2, Fault::LostAnswer));
//! // … let a program read from `events_url()` and `connect_url()`, and write to `jupiterone_url()` …
//! simulator.settle();
//! let report = simulator.report();
//! assert!(report.is_caught_up() && report.is_exact(), "{report:#?}");
//! simulator.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! From another process: `GET /report`, `GET /expected` (one [`ExpectedRecord`] a line), `POST /script` (a
//! [`Script`] or an array of them), `POST /change` (a [`Change`] of vaults and items), `POST /settle`. A graph that is not JupiterOne's is judged by
//! [`Simulator::compare`].
//!
//! Nothing is remembered of the events but which were served: event number `i` of a stream, its uuid, its time and
//! what it must become are computed from the seed and `i` whenever they are needed. The oracle reads the data model
//! by itself and never asks the program under test.

mod config;
pub use config::{Config, Finalize, Limits, Stream};

mod simulator;
pub use simulator::{Error, Simulator, serve};

mod vaults;
pub use vaults::Vaults;

mod server;

mod route;

mod body;

mod answer;

mod host;

mod endpoint;
pub use endpoint::Endpoint;

mod fault;
pub use fault::{Fault, JobEnd};

mod faults;
pub use faults::{Faults, Rates, Script};

mod windows;

mod token;

mod cursor;

mod events_api;

mod connect;
pub use connect::{Change, ChangeError};

mod generate;

mod jupiterone;

mod truth;

mod kinds;

mod keys;

mod oracle;
pub use oracle::{Expected, ExpectedRecord, Held, HeldInFull};

mod report;
pub use report::{
    Comparison, ConnectReport, EXAMPLES, Finding, JobEvent, JobSeen, Jobs, LimitReport, Received, Report,
    Served,
};

mod bits;

mod mix;
