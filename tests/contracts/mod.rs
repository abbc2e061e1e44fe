//! What every sink promises, and what each says on its wire.

mod sinks;

mod jupiterone;
