//! What every sink promises, what each says on its wire, and what the HTTP client refuses.

mod sinks;

mod jupiterone;

mod connect;

mod http;

mod wire;
