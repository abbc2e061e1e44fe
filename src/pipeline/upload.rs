//! Fills uploads with pages and listings, and passes their acks on in order.

use std::sync::Arc;

use opgraph_state::die_at;
use tokio::{
    sync::{
        Semaphore,
        mpsc::{Receiver, Sender, channel},
        watch,
    },
    time::{Instant, timeout_at},
};
use tokio_util::task::AbortOnDropHandle;
use tracing::{Instrument, error_span, field::Empty};

use super::{Emptied, Stopped};
use crate::{
    allowance::{Allowance, Share},
    page::{Coverage, Mapped},
    sink::{Ack, Sink, SinkError, Upload},
    telemetry::Meter,
};

/// The most shared records that an upload may have before it is finished. A commit
/// to the state takes many times that for a while: with 16 MB the first snapshot of a
/// vault of 100,000 items had 757 MB resident at its peak, with this half of it.
const MOST_SHARED_BYTES: usize = 2 << 20;

/// What shared records weigh: with the memory around each, and what the commit makes of them.
const SHARED_WEIGHT: usize = 2;

/// Room that is taken for shared records at once.
const ROOM: usize = 64 << 10;

/// An upload on its way to its ack; abandoned when dropped.
type Finishing = AbortOnDropHandle<Result<Ack, SinkError>>;

/// Writes pages into uploads. An upload is finished when it is full or old, or
/// when the pages end; the next one is filled meanwhile, as far as the sink allows.
/// What removes records has an upload of its own, and nothing goes on beside it;
/// `committed` counts the acks that are durable; to `emptied` goes the memory of
/// pages that the sink has taken in. An upload is full, too, once there is no room in
/// `shared` for the shared records of another page.
pub(super) async fn run<K: Sink>(
    arriving: Receiver<Mapped>,
    sink: Arc<K>,
    tenant: Arc<str>,
    out: Sender<Ack>,
    committed: watch::Receiver<u64>,
    (shared, emptied): (Allowance, Emptied),
    meter: Arc<Meter>,
) -> Result<(), Stopped> {
    // Uploads finish side by side. Their acks leave in the order the uploads
    // were filled, whichever is done first: this channel keeps it.
    let (uploads_out, uploads) = channel(sink.limits().finishing + 1);
    tokio::try_join!(
        fill(arriving, sink, tenant, uploads_out, committed, (shared, emptied), meter),
        pass_on(uploads, out)
    )?;
    Ok(())
}

/// Fills one upload after the other.
async fn fill<K: Sink>(
    mut arriving: Receiver<Mapped>,
    sink: Arc<K>,
    tenant: Arc<str>,
    out: Sender<Finishing>,
    mut committed: watch::Receiver<u64>,
    (shared, emptied): (Allowance, Emptied),
    meter: Arc<Meter>,
) -> Result<(), Stopped> {
    let limits = sink.limits();
    let slots = Arc::new(Semaphore::new(limits.finishing + 1));
    let mut begun = 0;
    // What would not go into an upload begins the next one.
    let mut held = None;
    while let Some(first) = match held.take() {
        Some(first) => Some(first),
        None => arriving.recv().await,
    } {
        if matches!(first, Mapped::Settle) {
            continue;
        }
        let alone = first.removes();
        if alone && committed.wait_for(|count| *count == begun).await.is_err() {
            break;
        }
        let Ok(slot) = slots.clone().acquire_owned().await else { break };
        let span = error_span!("upload", %tenant, number = begun, pages = Empty, events = Empty);
        let (open, since) = (meter.uploads_open.hold(), Instant::now());
        let mut upload = span.in_scope(|| sink.open());
        die_at!("upload.open");
        let (mut covered, mut pages) = (Coverage::default(), 0);
        let mut room = Held::new(&shared).await;
        let deadline = since + limits.age;
        let mut next = Some(first);
        while let Some(mapped) = next.take() {
            let settles = matches!(mapped, Mapped::Settle);
            match mapped {
                Mapped::Settle => (),
                Mapped::Page(page) => {
                    covered.add(&page)?;
                    pages += 1;
                    let page = Arc::new(page);
                    upload.write(page.clone()).instrument(span.clone()).await?;
                    if let Some(page) = Arc::into_inner(page) {
                        emptied.put(page.items);
                    }
                }
                Mapped::Listing(listing) => covered.list(*listing),
            }
            die_at!("upload.written");
            let full = alone
                || settles
                || covered.events() >= limits.events
                || covered.bytes() >= limits.bytes
                || covered.shared_bytes() >= MOST_SHARED_BYTES
                || !room.holds(covered.shared_bytes() * SHARED_WEIGHT);
            if !full {
                next = timeout_at(deadline, arriving.recv()).await.ok().flatten();
                if next.as_ref().is_some_and(Mapped::removes) {
                    held = next.take();
                }
            }
        }
        span.record("pages", pages).record("events", covered.events());
        let (counts, shares) = (meter.clone(), room.shares);
        let finish = async move {
            die_at!("upload.finish");
            let ack = upload.finish(covered).await;
            die_at!("ack.made");
            if ack.is_ok() {
                counts.upload_times.took(since.elapsed());
            }
            drop((slot, open));
            ack.map(|ack| ack.within(shares))
        };
        let finish = tokio::spawn(finish.instrument(span));
        if out.send(AbortOnDropHandle::new(finish)).await.is_err() {
            break;
        }
        begun += 1;
        if alone && committed.wait_for(|count| *count == begun).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Room for the shared records of an upload.
struct Held<'a> {
    of: &'a Allowance,
    bytes: usize,
    shares: Vec<Share>,
}

impl Held<'_> {
    /// Waits for some.
    async fn new(of: &Allowance) -> Held<'_> {
        Held { of, bytes: ROOM, shares: vec![of.take(ROOM).await] }
    }

    /// Whether there is room for so many bytes, and as much again as was taken at first.
    fn holds(&mut self, bytes: usize) -> bool {
        while self.bytes < bytes + ROOM {
            let Some(share) = self.of.try_take(ROOM) else { return false };
            self.shares.push(share);
            self.bytes += ROOM;
        }
        true
    }
}

/// Waits for each upload in turn and passes its ack on.
async fn pass_on(mut uploads: Receiver<Finishing>, out: Sender<Ack>) -> Result<(), Stopped> {
    while let Some(upload) = uploads.recv().await {
        let ack = upload.await.map_err(Stopped::Panic)??;
        die_at!("ack.before");
        if out.send(ack).await.is_err() {
            break;
        }
        die_at!("ack.after");
    }
    Ok(())
}
