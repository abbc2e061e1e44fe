//! Asks a source for page after page of one stream.

use std::pin::pin;

use futures::{Stream as Pages, StreamExt};
use opgraph_state::die_at;
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::{
    allowance::Allowance,
    http::{Failure, Remedy},
    page::Page,
    stream::{Events, Stream},
    telemetry::{Meter, StreamState},
};

/// What a page weighs until the sink has taken it: its own text, and about
/// twice that once it is mapped (measured: 2.1 KB of records for a 1 KB event).
const WEIGHT: usize = 3;

/// Passes the pages on until they end, fail, or `closing` is cancelled.
///
/// The allowance is taken after the page has arrived, when its size is known:
/// each fetcher may hold one page beyond it.
pub(super) async fn run(
    pages: impl Pages<Item = Result<Page<Events>, Failure>> + Send,
    closing: CancellationToken,
    allowance: Allowance,
    out: Sender<Page<Events>>,
) -> Result<(), Failure> {
    let mut pages = pin!(pages.take_until(closing.cancelled()));
    while let Some(page) = pages.next().await {
        let page = page?;
        // Waits while the stages below are full. This is the backpressure: no
        // request is made until the last page has been taken.
        let share = allowance.take(page.items.bytes() * WEIGHT).await;
        die_at!("fetch.after");
        if out.send(page.with_allowance(share)).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Tells people that a stream is no longer read.
pub(super) fn report(stream: Stream, failure: &Failure, meter: &Meter) {
    let hint = failure.remedy.hint().unwrap_or_default();
    let text = format!("{failure}: {}", failure.cause);
    let state = match &failure.remedy {
        Remedy::Park { .. } => {
            warn!(stream = stream.name(), error = %text, hint, "stream parked");
            meter.parks.add(1);
            StreamState::Parked(hint.to_owned())
        }
        _ => {
            error!(stream = stream.name(), error = %text, hint, "stream halted");
            meter.halts.add(1);
            StreamState::Halted(text)
        }
    };
    meter.stream(stream).state.set(state);
}
