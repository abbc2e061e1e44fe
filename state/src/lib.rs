//! What survives a crash of opgraph, and the rules for changing it.
//!
//! This crate does no HTTP and knows no graph. It decides which commits are
//! legal ([`Checkpoint::advanced`]) and stores the legal ones ([`Store`]):
//! in sled on one machine ([`SledStore`]), in memory for tests ([`MemoryStore`]).
//! README.md describes the format on disk.

#[doc(hidden)]
pub mod failpoint;

mod time;

mod cursor;

mod checkpoint;

mod window;

mod cursors;

mod run;

mod seen;

mod directory;

mod inventory;

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

pub use checkpoint::{Checkpoint, Epoch, Refused, overlap_of};
pub use commit::{Commit, SourceInfo, Step};
pub use cursor::{Advance, Cursor, NotJoined};
pub use cursors::{BadCursors, CursorsFile};
pub use directory::{Entry, Version, shard_of};
pub use inventory::{InventoryChange, ListedItem, ListedVault};
pub use memory::MemoryStore;
pub use quarantine::{Listed, QuarantineId, Quarantined};
pub use seen::Fingerprint;
#[cfg(feature = "failpoints")]
#[doc(hidden)]
pub use sled_store::bend::lose_ids;
pub use sled_store::{Compacted, Findings, Healed, OpenOptions, SledStore, TreeFindings, compact, verify};
pub use store::{Claim, Store, StoreError, UploadNote};
pub use time::UnixMs;
pub use window::{EDGE, OfWindow, SHORTEST, Split, Window};
