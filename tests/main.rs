//! What opgraph promises, theme by theme. One binary: the crate is linked once.

// A test fails by panicking.
#![allow(clippy::unwrap_used)]

mod support;

mod mapping;

mod delivery;

mod contracts;

mod tenants;

mod cli;

mod admin;

mod power;

mod corpus;

mod tidy;
