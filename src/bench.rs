//! What the benches measure and nobody else may reach.
//!
//! Each is the program's own code behind a thin door; benches/ says how they are run.

pub use crate::{pipeline::dedup::bench::Remembered, sink::jupiterone::bench::Bodies};
