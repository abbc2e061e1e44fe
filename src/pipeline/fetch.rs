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

/// What a page weighs until the sink has taken it: its own text and the events
/// that point into it, or about four times the text once it is mapped (measured:
/// 2.2 KB of records, keys and places of them for an event of 577 bytes).
const WEIGHT: usize = 4;

/// Where the pages of a stream go: until when, the bytes they may take, and the stage behind.
pub(super) type Outlet = (CancellationToken, Allowance, Sender<Page<Events>>);

/// Passes the pages on until they end, fail, or the token is cancelled. A
/// failure cancels it: all that read a stream end with it.
///
/// The allowance is taken after the page has arrived, when its size is known:
/// each fetcher may hold one page beyond it. Taken before, it would be held by a
/// stream that turns out to have caught up, and waits.
pub(super) async fn run(
    pages: impl Pages<Item = Result<Page<Events>, Failure>> + Send,
    (ending, allowance, out): Outlet,
) -> Result<(), Failure> {
    let mut pages = pin!(pages.take_until(ending.cancelled()));
    while let Some(page) = pages.next().await {
        let page = page.inspect_err(|_| ending.cancel())?;
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
