//! The program as a person runs it: results, exit codes, hints.

mod failures;

mod journeys;

mod kills;

mod wire;
