//! The program as a person runs it: results, exit codes, hints.

mod canaries;

mod changes;

mod damage;

mod failures;

mod files;

mod full_size;

mod journeys;

mod killed;

mod kills;

mod leaks;

mod shown;

mod traces;

mod quarantine;

mod setup;

mod stay;

mod wire;
