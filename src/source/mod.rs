//! Where pages come from. One file here per API.

pub mod events_api;

pub mod connect;

mod pages;

mod ahead;

mod past;

mod room;

mod windows;

use std::future::Future;

use opgraph_state::{Cursor, SourceInfo, UnixMs};

pub use events_api::PAGE_SIZE;
pub(crate) use pages::REWIND_OVERLAP;
pub use pages::{Pace, Pages, Reading, pages};
pub(crate) use room::EVENT;

use self::connect::{Item, Labels, Vault};
use crate::{
    http::Failure,
    stream::{Read, Stream},
};

/// An API that answers "what comes after this cursor?".
///
/// Asking twice with one cursor must give at least the events it gave the
/// first time. A restart relies on that, and on nothing else. What follows
/// [`Cursor::Between`] ends: the last page says that nothing more is waiting.
pub trait Source: Send + Sync + 'static {
    /// Waits until there is room for another page of the stream, if that is bounded:
    /// what waits where it is takes no request and no memory.
    fn ready(&self, _: Stream) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Reads one page.
    ///
    /// Waits for the rate budget and repeats what may succeed later, so an
    /// error is one that repeating does not mend: its remedy says what does.
    fn page(&self, stream: Stream, at: &Cursor) -> impl Future<Output = Result<Read, Failure>> + Send;

    /// What time it was where the events are, when that was last told; `None`
    /// if it never was. Our own clock may be years ahead, and what a live cursor
    /// leaves out by such a clock is in no window yet.
    fn time(&self) -> Option<UnixMs> {
        None
    }

    /// What the cursors are issued by and under.
    fn info(&self) -> SourceInfo;
}

/// A server that lists vaults and what is in them.
///
/// Each method waits and repeats what may succeed soon, but not for ever: a
/// failure with [`Remedy::Retry`] is left to the next snapshot, any other to a
/// person. It is never taken to mean that something is gone.
///
/// [`Remedy::Retry`]: crate::http::Remedy::Retry
pub trait Lister: Send + Sync + 'static {
    /// Lists the vaults. Ok means that the list arrived whole.
    fn vaults(&self) -> impl Future<Output = Result<Vec<Vault>, Failure>> + Send;

    /// Lists the items of a vault, archived ones too if the server names them.
    /// Each is taken in as it arrives, so the list is never held as a whole;
    /// a list that breaks off is begun anew, with a new `C`. Ok means that it
    /// arrived whole.
    fn items<C: Extend<Item> + Send>(
        &self,
        vault: &str,
        begin: impl Fn() -> C + Send + Sync,
    ) -> impl Future<Output = Result<C, Failure>> + Send;

    /// Opens an item for its section labels and file names; `None` if it is
    /// gone meanwhile. The server records this as a use of the item.
    fn labels(&self, vault: &str, item: &str)
    -> impl Future<Output = Result<Option<Labels>, Failure>> + Send;
}

/// Lists nothing: the lister of a tenant without one. There is none.
#[derive(Clone, Copy, Debug)]
pub enum NoLister {}

impl Lister for NoLister {
    async fn vaults(&self) -> Result<Vec<Vault>, Failure> {
        match *self {}
    }

    async fn items<C: Extend<Item> + Send>(
        &self,
        _: &str,
        _: impl Fn() -> C + Send + Sync,
    ) -> Result<C, Failure> {
        match *self {}
    }

    async fn labels(&self, _: &str, _: &str) -> Result<Option<Labels>, Failure> {
        match *self {}
    }
}
