//! Sends listings on, under the allowance of bytes that the pages share.

use opgraph_state::die_at;
use tokio::sync::mpsc::Sender;

use super::Ended;
use crate::{
    allowance::Allowance,
    page::{Listing, Mapped, Trail},
};

/// Bytes of JSON after which a listing is sent.
pub(super) const FULL: usize = 1_000_000;

/// Memory that a change of the inventory or a key takes, about: ids of 26 characters, and what holds them.
const CHANGE_BYTES: usize = 150;

/// The way to the sink.
pub(in crate::pipeline) struct Outlet {
    pub(in crate::pipeline) out: Sender<Mapped>,
    pub(in crate::pipeline) allowance: Allowance,
}

impl Outlet {
    /// Sends a listing, if there is anything in it. Waits while the sink is slow.
    pub(super) async fn send(&self, listing: Listing, trail: &Trail) -> Result<(), Ended> {
        if listing.inventory.is_empty() && listing.removed.is_empty() && listing.records.is_empty() {
            return Ok(());
        }
        let share = self.allowance.take(weight(&listing)).await;
        let listing = Listing { trail: Some(trail.clone()), allowance: Some(share), ..listing };
        self.out.send(Mapped::Listing(Box::new(listing))).await.map_err(|_| Ended::Closed)?;
        die_at!("snapshot.sent");
        Ok(())
    }

    /// Ends the upload that what was sent is in: nobody waits for its age.
    pub(super) async fn settle(&self) -> Result<(), Ended> {
        self.out.send(Mapped::Settle).await.map_err(|_| Ended::Closed)
    }
}

/// Bytes that a listing takes.
pub(super) fn weight(listing: &Listing) -> usize {
    // Each record's key is held beside its text.
    let records = listing.records.bytes() + CHANGE_BYTES * listing.records.len();
    records + CHANGE_BYTES * (listing.inventory.len() + listing.removed.len())
}
