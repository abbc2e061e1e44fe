//! What the pipeline promises about delivery, under virtual time.

mod fencing;

mod simulation;

mod flow;

mod sharing;

mod quiet;

mod rewind;

mod clocks;

mod outage;

mod quarantine;

mod connect;

mod versions;

mod windows;
