//! What the pipeline promises about delivery, under virtual time.

mod crash;

mod flow;

mod rewind;

mod quarantine;
