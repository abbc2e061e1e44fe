//! What one run has asked for and holds in flight, and the bounds it keeps.

use std::collections::{BTreeMap, VecDeque};

use opgraph::{pipeline::Limits, sink::UploadLimits, stream::Stream};
use opgraph_state::{Cursor, Epoch, UnixMs};

use super::{plan::Plan, source::Place, watch::Watch};

/// A permit of the allowance, and how many times its text a page weighs (`src/pipeline/fetch.rs`).
const UNIT: usize = 1024;
const WEIGHT: usize = 4;

/// A stream and which of its chains of cursors: a window is known by where it
/// ends, the live cursor never does.
type Chain = (usize, UnixMs);

fn chain(stream: Stream, at: &Cursor) -> Chain {
    (stream as usize, Place::of(at).until)
}

/// One run's pages in flight.
pub(super) struct Flow {
    next: BTreeMap<Chain, Next>,
    /// What each page weighs that the sink has not taken yet.
    pages: BTreeMap<Chain, VecDeque<usize>>,
    /// By sink: uploads that are filled or finishing.
    uploads: [usize; 2],
    limits: Limits,
    upload_limits: UploadLimits,
    /// A stage has failed: its pages are dropped, and the run is about to end.
    failing: bool,
}

/// Where a stream's next request has to start.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Next {
    /// Where the last page ended.
    At(Cursor),
    /// At a time, or at the beginning of the window: this cursor was refused.
    Back(Cursor),
}

impl Flow {
    pub(super) fn new(starts: Vec<(Stream, Cursor)>, plan: &Plan) -> Flow {
        let start = |(stream, at): (Stream, Cursor)| (chain(stream, &at), Next::At(at));
        Flow {
            pages: BTreeMap::new(),
            next: starts.into_iter().map(start).collect(),
            uploads: [0; 2],
            limits: plan.limits,
            upload_limits: plan.upload_limits(),
            failing: false,
        }
    }

    /// What is wrong with how much is in flight.
    fn excess(&self) -> Option<String> {
        let held: usize = self.pages.values().map(VecDeque::len).sum();
        // Three channels, what dedup, map and upload hold, and a page of each fetcher.
        let most = 3 * self.limits.pages + 3 + Stream::ALL.len() * (1 + self.limits.readers);
        let total = self.limits.bytes / UNIT;
        // The newest page of each chain may still wait for its share.
        let admitted = self.pages.values().flat_map(|pages| pages.iter().rev().skip(1));
        let weight: usize = admitted.map(|size| (size * WEIGHT).div_ceil(UNIT).min(total)).sum();
        (!self.failing && (held > most || weight > total))
            .then(|| format!("{held} pages of {most}, {weight} units of {total} are in flight"))
    }
}

impl Watch {
    fn of_run(&self, epoch: Epoch, change: impl FnOnce(&mut Flow) -> Option<String>) {
        let wrong = self.seen().runs.get_mut(&epoch).and_then(change);
        if let Some(wrong) = wrong {
            self.violated(format!("run {}: {wrong}", epoch.0));
        }
    }

    /// A run asks for the page behind a cursor.
    pub(super) fn requested(&self, epoch: Epoch, stream: Stream, at: &Cursor) {
        self.note("request", &(epoch.0, stream, at));
        self.seen().counted.requests += 1;
        self.of_run(epoch, |flow| {
            let next = flow.next.entry(chain(stream, at)).or_insert_with(|| Next::Back(at.clone()));
            let right = match (&*next, at) {
                // What is left out then is left to windows: the commit is judged.
                (Next::At(Cursor::Token(_)), Cursor::Since(_)) => flow.limits.readers > 1,
                (Next::At(next), at) => next == at,
                (Next::Back(_), at) => matches!(at, Cursor::Since(_) | Cursor::Between { .. }),
            };
            let wrong = (!right).then(|| format!("{} is asked for {at:?}, not {next:?}", stream.name()));
            *next = Next::At(at.clone());
            wrong
        });
    }

    /// The API refused the cursor it was asked with.
    pub(super) fn refused(&self, epoch: Epoch, stream: Stream, at: &Cursor) {
        self.note("refuse", &(epoch.0, stream));
        self.of_run(epoch, |flow| {
            flow.next.insert(chain(stream, at), Next::Back(at.clone()));
            None
        });
    }

    /// The API answered. `page` is the length of the answer, if it stands for a step.
    pub(super) fn answered(&self, epoch: Epoch, stream: Stream, next: Cursor, page: Option<usize>) {
        self.note("answer", &(epoch.0, stream, &next, page));
        self.of_run(epoch, |flow| {
            let chain = chain(stream, &next);
            flow.next.insert(chain, Next::At(next));
            flow.pages.entry(chain).or_default().extend(page);
            flow.excess()
        });
    }

    /// The sink has taken a page, which leads on from this cursor.
    pub(super) fn taken(&self, epoch: Epoch, stream: Stream, from: &Cursor) {
        self.of_run(epoch, |flow| match flow.pages.entry(chain(stream, from)).or_default().pop_front() {
            Some(_) => None,
            None => Some(format!("{} brings a page that was never read", stream.name())),
        });
    }

    /// A stage of a run fails.
    pub(super) fn failing(&self, epoch: Epoch) {
        self.of_run(epoch, |flow| {
            flow.failing = true;
            None
        });
    }

    /// An upload is opened.
    pub(super) fn opened(&self, epoch: Epoch, sink: usize) {
        self.of_run(epoch, |flow| {
            flow.uploads[sink] += 1;
            let (open, most) = (flow.uploads[sink], flow.upload_limits.finishing + 1);
            (open > most).then(|| format!("{open} uploads are open at once, of {most}"))
        });
    }

    /// An upload is over, however it ended.
    pub(super) fn closed(&self, epoch: Epoch, sink: usize) {
        self.of_run(epoch, |flow| {
            flow.uploads[sink] -= 1;
            None
        });
    }

    /// A run has drained: nothing is in flight, and what was read last is committed.
    pub(super) fn drained(&self, epoch: Epoch) {
        let seen = self.seen();
        let mut wrong = None;
        if let Some(flow) = seen.runs.get(&epoch) {
            for (chain @ (stream, until), next) in &flow.next {
                let of = &seen.streams[*stream];
                let window = of.windows.values().find(|window| Place::of(&window.cursor).until == *until);
                let committed = match *until == UnixMs(i64::MAX) {
                    true => of.cursor.as_ref(),
                    // A window that is done is no more; what it brought is judged in the end.
                    false if window.is_none() => continue,
                    false => window.map(|window| &window.cursor),
                };
                let whole = match (next, committed) {
                    // It had left what was ahead to windows, and asked for nothing since.
                    (Next::At(Cursor::Token(_)), Some(Cursor::Since(at))) => of.split == Some(*at),
                    (Next::At(cursor), _) => committed == Some(cursor),
                    // It went back, or gave up where it was.
                    (Next::Back(from), Some(to)) => {
                        to == from || matches!(to, Cursor::Since(_) | Cursor::Between { .. })
                    }
                    (Next::Back(_), None) => false,
                };
                if !whole || flow.pages.get(chain).is_some_and(|pages| !pages.is_empty()) {
                    wrong = Some(format!("run {} drained at {next:?}, {committed:?} is committed", epoch.0));
                }
            }
        }
        drop(seen);
        wrong.into_iter().for_each(|wrong| self.violated(wrong));
    }
}
