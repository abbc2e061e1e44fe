//! What opgraph promises, theme by theme. One binary: the crate is linked once.

mod support;

mod mapping;

mod delivery;

mod contracts;

mod tenants;

mod cli;

mod tidy;
