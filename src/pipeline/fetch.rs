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
    page::{Page, weight},
    stream::{Events, Stream},
    telemetry::{Meter, StreamState},
};

/// Where the pages of a stream go: until when, the bytes they may take, and the stage behind.
pub(super) type Outlet = (CancellationToken, Allowance, Sender<Page<Events>>);

/// Passes the pages on until they end, fail, or the token is cancelled. A
/// failure cancels it: all that read a stream end with it.
///
/// A page that comes without its share of the allowance is given one here, when its
/// size is known. A source that reads from the network brings it along: it takes it
/// before it reads an answer in, so that no fetcher holds a page beyond the allowance.
pub(super) async fn run(
    pages: impl Pages<Item = Result<Page<Events>, Failure>> + Send,
    (ending, allowance, out): Outlet,
) -> Result<(), Failure> {
    let mut pages = pin!(pages.take_until(ending.cancelled()));
    while let Some(page) = pages.next().await {
        let page = page.inspect_err(|_| ending.cancel())?;
        // Waits while the stages below are full. This is the backpressure: no
        // request is made until the last page has been taken.
        let page = match page.has_allowance() {
            true => page,
            false => {
                let share = allowance.take(weight(page.items.bytes())).await;
                page.with_allowance(share)
            }
        };
        die_at!("fetch.after");
        if out.send(page).await.is_err() {
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
