//! The program as a person runs it: results, exit codes, hints.

mod damage;

mod failures;

mod journeys;

mod killed;

mod kills;

mod leaks;

mod quarantine;

mod wire;
