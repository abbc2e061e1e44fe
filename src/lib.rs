//! Streams a 1Password account into a security graph, and never forgets its place.
//!
//! The modules in the order to read them; ARCHITECTURE.md follows one event through them.

pub mod pipeline;

pub mod page;

pub mod stream;

pub mod graph;

pub mod source;

pub mod sink;

pub mod http;

pub mod allowance;

pub mod memory;

pub mod supervisor;

pub mod tenant;

pub mod tenants;

pub mod telemetry;

pub mod admin;

pub mod clock;

pub mod config;

pub mod secret;

pub mod cli;

#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;

#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
