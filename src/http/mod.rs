//! Talking to other machines: limits, time-outs, retries. Nowhere else.
//!
//! One request loop: wait for the budget, send, classify, wait. `http/` knows
//! neither 1Password nor JupiterOne.

pub mod body;

pub mod client;

pub mod limit;

pub mod remedy;

pub mod retry;

pub mod hosts;

#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;

pub use body::{Body, BodyWriter};
pub use client::{Answer, BoxError, Client, ClientSettings, Coming, Head, Request, senseless};
pub use limit::{Budget, Cellful, Left, Limits};
pub use remedy::{Asked, Failure, Halt, Outcome, Remedy};
pub use retry::{Patience, until_done};
