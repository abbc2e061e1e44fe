//! Where pages come from. One file here per API.

pub mod events_api;

mod pages;

use std::future::Future;

use opgraph_state::{Cursor, SourceInfo};

pub(crate) use pages::REWIND_OVERLAP;
pub use pages::{Pace, Reading, pages};

use crate::{
    http::Failure,
    stream::{Read, Stream},
};

/// An API that answers "what comes after this cursor?".
///
/// Asking twice with one cursor must give at least the events it gave the
/// first time. A restart relies on that, and on nothing else.
pub trait Source: Send + Sync + 'static {
    /// Reads one page.
    ///
    /// Waits for the rate budget and repeats what may succeed later, so an
    /// error is one that repeating does not mend: its remedy says what does.
    fn page(&self, stream: Stream, at: &Cursor) -> impl Future<Output = Result<Read, Failure>> + Send;

    /// What the cursors are issued by and under.
    fn info(&self) -> SourceInfo;
}
