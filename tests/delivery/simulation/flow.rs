//! What one run has asked for and holds in flight, and the bounds it keeps.

use std::collections::VecDeque;

use opgraph::{pipeline::Limits, sink::UploadLimits, stream::Stream};
use opgraph_state::{Cursor, Epoch};

use super::{plan::Plan, watch::Watch};

/// A permit of the allowance, and how many times its text a page weighs (`src/pipeline/fetch.rs`).
const UNIT: usize = 1024;
const WEIGHT: usize = 4;

/// One run's pages in flight.
pub(super) struct Flow {
    next: Vec<Next>,
    /// By stream: what each page weighs that the sink has not taken yet.
    pages: Vec<VecDeque<usize>>,
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
    /// At a time: this cursor was refused.
    Back(Cursor),
}

impl Flow {
    pub(super) fn new(starts: Vec<Cursor>, plan: &Plan) -> Flow {
        Flow {
            pages: starts.iter().map(|_| VecDeque::new()).collect(),
            next: starts.into_iter().map(Next::At).collect(),
            uploads: [0; 2],
            limits: plan.limits,
            upload_limits: plan.upload_limits(),
            failing: false,
        }
    }

    /// What is wrong with how much is in flight.
    fn excess(&self) -> Option<String> {
        let held: usize = self.pages.iter().map(VecDeque::len).sum();
        // Three channels, what dedup, map and upload hold, and a page of each fetcher.
        let most = 3 * self.limits.pages + 3 + Stream::ALL.len();
        let total = self.limits.bytes / UNIT;
        // The newest page of each stream may still wait for its share.
        let admitted = self.pages.iter().flat_map(|pages| pages.iter().rev().skip(1));
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
            let next = &mut flow.next[stream as usize];
            let right = match (&*next, at) {
                (Next::At(next), at) => next == at,
                (Next::Back(_), at) => matches!(at, Cursor::Since(_)),
            };
            let wrong = (!right).then(|| format!("{} is asked for {at:?}, not {next:?}", stream.name()));
            *next = Next::At(at.clone());
            wrong
        });
    }

    /// The API refused the cursor it was asked with.
    pub(super) fn refused(&self, epoch: Epoch, stream: Stream) {
        self.note("refuse", &(epoch.0, stream));
        self.of_run(epoch, |flow| {
            let next = &mut flow.next[stream as usize];
            if let Next::At(at) = next.clone() {
                *next = Next::Back(at);
            }
            None
        });
    }

    /// The API answered. `page` is the length of the answer, if it stands for a step.
    pub(super) fn answered(&self, epoch: Epoch, stream: Stream, next: Cursor, page: Option<usize>) {
        self.note("answer", &(epoch.0, stream, &next, page));
        self.of_run(epoch, |flow| {
            flow.next[stream as usize] = Next::At(next);
            flow.pages[stream as usize].extend(page);
            flow.excess()
        });
    }

    /// The sink has taken a page.
    pub(super) fn taken(&self, epoch: Epoch, stream: Stream) {
        self.of_run(epoch, |flow| match flow.pages[stream as usize].pop_front() {
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
            for stream in Stream::ALL {
                let at = *stream as usize;
                let committed = seen.streams[at].cursor.as_ref();
                let whole = match &flow.next[at] {
                    Next::At(cursor) => committed == Some(cursor),
                    // It went back, or gave up where it was.
                    Next::Back(from) => {
                        committed == Some(from) || matches!(committed, Some(Cursor::Since(_)))
                    }
                };
                if !whole || !flow.pages[at].is_empty() {
                    wrong = Some(format!(
                        "run {} drained at {:?}, {committed:?} is committed",
                        epoch.0, flow.next[at]
                    ));
                }
            }
        }
        drop(seen);
        wrong.into_iter().for_each(|wrong| self.violated(wrong));
    }
}
