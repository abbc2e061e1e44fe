//! The simulator as its clients see it: over HTTP on loopback.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

mod pages;

mod access;

mod jobs;

mod rules;

mod scopes;

mod connect;

mod reader;

mod connect_changes;

mod connect_faults;

mod connect_oracle;

mod judgement;

mod faults;

mod spoilt;
