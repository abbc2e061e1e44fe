//! What travels through a pipeline: pages, and the places they stand for.

mod coverage;

use std::{collections::BTreeSet, convert::Infallible};

use opgraph_state::{
    Advance, Checkpoint, Fingerprint, InventoryChange, OfWindow, QuarantineId, Quarantined, SourceInfo,
    Split, Step, UnixMs,
};
use tokio::sync::mpsc;

pub use self::coverage::Coverage;
use crate::{allowance::Share, graph::Records, stream::Stream};

/// What the text of a page weighs until the sink has taken it: with the events
/// that point into it, or about four times itself once it is mapped (measured: 2.2 KB
/// of records, keys and places of them for an event of 577 bytes).
pub const fn weight(text: usize) -> usize {
    text.saturating_mul(4)
}

/// One HTTP answer on its way through the pipeline. The unit of flow.
///
/// Stages change what is in a page. They never split a page, never reorder the
/// pages of a stream, and cannot touch its step: a page emptied by dedup still
/// travels to the end, because its cursor has to.
#[derive(Debug)]
pub struct Page<T> {
    /// What the page holds at this point of the pipeline.
    pub items: T,
    place: Box<Place>,
    /// The page's share of the tenant's bytes in flight; given back when the page is dropped.
    allowance: Option<Share>,
}

/// Where a page belongs, and what has to become durable together with its step.
#[derive(Debug)]
pub struct Place {
    stream: Stream,
    step: Step,
    quarantined: Vec<Quarantined>,
    released: Vec<QuarantineId>,
}

impl Place {
    /// The place of a page just read.
    pub fn new(stream: Stream, advance: Advance, source: SourceInfo) -> Place {
        Place {
            stream,
            step: Step {
                stream: stream.name().to_owned(),
                advance,
                source,
                newest_event: None,
                seen: Vec::new(),
                rewound: false,
                latest: None,
                through: false,
                window: None,
                split: None,
            },
            quarantined: Vec::new(),
            released: Vec::new(),
        }
    }

    /// The place of a page that holds quarantined entries again.
    ///
    /// Its step stays where its stream stands, so the stream is neither moved
    /// nor skipped: with it become durable the ids of the page's events and
    /// that `released` are no longer in quarantine.
    pub fn staying(stream: Stream, at: &Checkpoint, released: Vec<QuarantineId>) -> Place {
        let stays = Advance::new(at.cursor.clone(), at.cursor.clone());
        Place { released, ..Place::new(stream, stays, at.source.clone()) }
    }

    /// Notes the newest event time of the page.
    pub fn with_newest_event(mut self, at: Option<UnixMs>) -> Place {
        self.step.newest_event = at;
        self
    }

    /// Notes the latest event time of the page, not later than now.
    pub fn with_latest(mut self, at: Option<UnixMs>) -> Place {
        self.step.latest = at;
        self
    }

    /// Notes whether the page is through the overlap of any rewind before it:
    /// nothing more was waiting, or it lies certainly behind what was read then.
    pub fn with_through(mut self, through: bool) -> Place {
        self.step.through = through;
        self
    }

    /// Notes that the step goes back in time, so that dedup has to remember everything.
    pub fn with_rewind(mut self) -> Place {
        self.step.rewound = true;
        self
    }

    /// Notes that the step is one of a window, and not of the stream's live cursor.
    pub fn with_window(mut self, of: OfWindow) -> Place {
        self.step.window = Some(of);
        self
    }

    /// Notes what the step leaves to windows.
    pub fn with_split(mut self, split: Split) -> Place {
        self.step.split = Some(split);
        self
    }

    /// Sets aside what could not be decoded.
    pub fn with_quarantined(mut self, quarantined: Vec<Quarantined>) -> Place {
        self.quarantined = quarantined;
        self
    }
}

impl<T> Page<T> {
    /// Makes a page. `allowance` is its share of the bytes in flight.
    pub fn new(items: T, place: Place, allowance: Option<Share>) -> Page<T> {
        Page { items, place: Box::new(place), allowance }
    }

    /// Replaces what the page holds and keeps its place.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Page<U> {
        Page { items: f(self.items), place: self.place, allowance: self.allowance }
    }

    /// Whether the page has its share of the bytes in flight.
    pub fn has_allowance(&self) -> bool {
        self.allowance.is_some()
    }

    /// Gives the page its share of the bytes in flight.
    pub fn with_allowance(self, share: Share) -> Page<T> {
        Page { allowance: Some(share), ..self }
    }

    /// The stream the page is from.
    pub fn stream(&self) -> Stream {
        self.place.stream
    }

    /// The step that the page stands for.
    pub fn advance(&self) -> &Advance {
        &self.place.step.advance
    }

    /// Whether the page goes back in time.
    pub fn is_rewind(&self) -> bool {
        self.place.step.rewound
    }

    /// The window that the page is from; `None`: it is from the live cursor.
    pub fn window(&self) -> Option<OfWindow> {
        self.place.step.window
    }

    /// What the page leaves to windows.
    pub fn split(&self) -> Option<&Split> {
        self.place.step.split.as_ref()
    }

    /// The quarantined entries that the page holds again; none of a page from a source.
    pub fn released(&self) -> &[QuarantineId] {
        &self.place.released
    }

    /// Whether nothing behind the page can have been read before a rewind.
    pub fn is_through(&self) -> bool {
        self.place.step.through
    }

    /// Notes the ids of the events that the page still holds, once.
    pub fn remember(&mut self, ids: Vec<Fingerprint>) {
        self.place.step.seen = vec![ids];
    }
}

/// A part of a snapshot of vaults and items on its way to the sink: shared
/// records, and what is known to be listed once every sink has them.
///
/// It stands for no step of a stream; a part that is lost with its run is
/// listed again by the next one.
#[derive(Debug, Default)]
pub struct Listing {
    /// Shared records only, and only in their newest version.
    pub records: Records,
    /// What the commit makes known, in the order of the changes.
    pub inventory: Vec<InventoryChange>,
    /// Keys of records that are no more. They go before `records` are taken
    /// in: a vault that is no more and still named by events is a stub again.
    pub removed: BTreeSet<String>,
    /// Dropped once whatever came of the listing is settled.
    pub trail: Option<Trail>,
    /// The listing's share of the tenant's bytes in flight.
    pub allowance: Option<Share>,
}

/// Held by everything that a listing becomes, until its commit is durable or
/// its run has ended: the receiver is closed then.
pub type Trail = mpsc::Sender<Infallible>;

/// What arrives at the sink.
#[derive(Debug)]
pub enum Mapped {
    /// A page of events.
    Page(Page<Records>),
    /// A part of a snapshot. Boxed: a channel has memory for 32 of what it
    /// carries before anything is sent, and every idle tenant has these channels.
    Listing(Box<Listing>),
    /// Somebody waits for all before it to be committed: the upload ends here.
    Settle,
}

impl Mapped {
    /// Whether records are taken out. Such a listing has an upload of its own,
    /// with nothing before it that is not committed, and nothing beside it:
    /// otherwise what is on its way could bring back what is to go.
    pub fn removes(&self) -> bool {
        matches!(self, Mapped::Listing(listing) if !listing.removed.is_empty())
    }
}
