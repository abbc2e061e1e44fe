//! What survives a crash of opgraph, and the rules for changing it.
//!
//! This crate does no HTTP and knows no graph. It decides which commits are
//! legal ([`Checkpoint::advanced`]) and stores the legal ones ([`Store`]):
//! in sled on one machine ([`SledStore`]), in memory for tests ([`MemoryStore`]).
//! README.md describes the format on disk.

mod time;

mod cursor;

mod checkpoint;

mod run;

mod seen;

mod directory;

mod quarantine;

mod commit;

mod store;

mod memory;

mod sled_store;

#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing {
    //! What has to hold whatever the rows of a state say.

    pub use crate::sled_store::fuzzing::stored;
}

#[cfg(any(test, feature = "contract"))]
pub mod contract;

pub use checkpoint::{Checkpoint, Epoch, Refused};
pub use commit::{Commit, SourceInfo, Step};
pub use cursor::{Advance, Cursor, NotJoined};
pub use directory::{Entry, Version, shard_of};
pub use memory::MemoryStore;
pub use quarantine::Quarantined;
pub use seen::Fingerprint;
pub use sled_store::{OpenOptions, SledStore};
pub use store::{Claim, Store, StoreError, UploadNote};
pub use time::UnixMs;
