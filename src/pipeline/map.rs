//! Turns events into graph records.

use std::sync::Arc;

use opgraph_state::die_at;
use tokio::sync::mpsc::{Receiver, Sender};

use super::Stopped;
use crate::{
    graph::Records,
    page::{Mapped, Page},
    stream::{Events, Mapping},
    telemetry::Meter,
};

/// Maps each page; its place is untouched, and the events' text is given back.
pub(super) async fn run(
    mut pages: Receiver<Page<Events>>,
    mapping: Mapping,
    meter: Arc<Meter>,
    out: Sender<Mapped>,
) -> Result<(), Stopped> {
    while let Some(page) = pages.recv().await {
        let page = page.map(|events| {
            let mut records = Records::with_capacity(2 * events.bytes());
            events.map(&mapping, &mut records);
            records
        });
        meter.mapped(&page.items);
        die_at!("map.after");
        if out.send(Mapped::Page(page)).await.is_err() {
            break;
        }
    }
    Ok(())
}
