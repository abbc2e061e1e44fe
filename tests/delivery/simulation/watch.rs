//! What must hold after every step. Knows the truth, and what each part of the pipeline has done so far.

use std::{
    collections::{BTreeMap, HashSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::{Mutex, MutexGuard},
};

use opgraph::{page::Coverage, stream::Stream};
use opgraph_state::{Checkpoint, Commit, Cursor, Epoch, UnixMs, Window};
use tokio::time::Instant;

use super::{flow::Flow, plan::Plan, source::Place, truth::Truth};

/// Watches one history. The first thing that is not as it must be is kept.
pub(super) struct Watch {
    zero: Instant,
    seen: Mutex<Seen>,
}

/// What has been seen.
pub(super) struct Seen {
    trace: DefaultHasher,
    pub(super) violation: Option<String>,
    /// The newest run.
    epoch: Epoch,
    pub(super) streams: Vec<StreamSeen>,
    /// What each run has in flight.
    pub(super) runs: BTreeMap<Epoch, Flow>,
    plan: Plan,
    pub(super) counted: Counted,
    /// Shared records, by key and content, that a sink has taken and no commit
    /// has made known: where the run has ended, nobody knows that they are there.
    pub(super) unknown: HashSet<(String, String)>,
    /// Keys that a run took out of a sink when it was not the newest any more.
    pub(super) undone: HashSet<String>,
}

/// How much happened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    /// Windows opened, and read to their end.
    pub(super) windows: [u64; 2],
    pub(super) requests: u64,
    pub(super) commits: u64,
    pub(super) fenced: u64,
    pub(super) rewinds: u64,
    /// Keys taken out.
    pub(super) removed: u64,
}

/// What has been seen of one stream.
pub(super) struct StreamSeen {
    /// Where it was first read from: what happened before is not asked for.
    pub(super) start: Option<UnixMs>,
    /// The stored cursor.
    pub(super) cursor: Option<Cursor>,
    /// The stored windows, by number.
    pub(super) windows: BTreeMap<u32, Window>,
    /// Where the stored cursor was put by the last split.
    pub(super) split: Option<UnixMs>,
    commits: u64,
    newest: Option<UnixMs>,
    /// By event: acknowledged by which sinks.
    acked: Vec<[bool; 2]>,
    /// By event: in the quarantine of the store.
    set_aside: Vec<bool>,
    /// By event: how often it was committed.
    pub(super) committed: Vec<u32>,
    /// Every token that was ever committed.
    ends: HashSet<Cursor>,
}

impl Watch {
    pub(super) fn new(plan: &Plan, truth: &Truth) -> Watch {
        let stream = |stream: &Stream| {
            let events = truth.log(*stream).events.len();
            StreamSeen {
                start: None,
                cursor: None,
                split: None,
                commits: 0,
                newest: None,
                windows: BTreeMap::new(),
                acked: vec![[false; 2]; events],
                set_aside: vec![false; events],
                committed: vec![0; events],
                ends: HashSet::new(),
            }
        };
        let seen = Seen {
            trace: DefaultHasher::new(),
            violation: None,
            epoch: Epoch(0),
            streams: Stream::ALL.iter().map(stream).collect(),
            runs: BTreeMap::new(),
            plan: plan.clone(),
            counted: Counted::default(),
            unknown: HashSet::new(),
            undone: HashSet::new(),
        };
        Watch { zero: Instant::now(), seen: Mutex::new(seen) }
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    /// Adds to the trace: what happened, and when.
    pub(super) fn note(&self, what: &str, of: &impl Hash) {
        (self.zero.elapsed().as_nanos(), what, of).hash(&mut self.seen().trace);
    }

    /// A number that two histories share only if the same happened at the same times.
    pub(super) fn trace(&self) -> u64 {
        self.seen().trace.finish()
    }

    /// Keeps the first violation.
    pub(super) fn violated(&self, what: String) {
        let at = self.zero.elapsed();
        self.seen().violation.get_or_insert_with(|| format!("after {at:?}: {what}"));
    }

    fn check(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.violated(what());
        }
    }

    /// A run starts from these checkpoints: from the last commit, and nothing else.
    pub(super) fn claimed(&self, epoch: Epoch, checkpoints: &BTreeMap<String, Checkpoint>) {
        self.note("claim", &epoch.0);
        let mut wrong = Vec::new();
        {
            let mut seen = self.seen();
            if epoch <= seen.epoch {
                wrong.push(format!("run {} follows run {}", epoch.0, seen.epoch.0));
            }
            seen.epoch = epoch;
            let mut starts = Vec::new();
            for stream in Stream::ALL {
                let checkpoint = &checkpoints[stream.name()];
                let of = &mut seen.streams[*stream as usize];
                if let Cursor::Since(at) = checkpoint.cursor {
                    of.start.get_or_insert(at);
                }
                let known = of.cursor.get_or_insert_with(|| checkpoint.cursor.clone());
                if *known != checkpoint.cursor || of.commits != checkpoint.commits {
                    wrong.push(format!("{} is claimed at {:?}, not {known:?}", stream.name(), checkpoint));
                }
                if of.windows != numbered(checkpoint) {
                    wrong.push(format!("{} is claimed with other windows: {checkpoint:?}", stream.name()));
                }
                let windows = checkpoint.windows.iter().map(|window| &window.cursor);
                let cursors = windows.chain([&checkpoint.cursor]).cloned();
                starts.extend(cursors.map(|cursor| (*stream, cursor)));
            }
            let flow = Flow::new(starts, &seen.plan);
            seen.runs.insert(epoch, flow);
        }
        wrong.into_iter().for_each(|wrong| self.violated(wrong));
    }

    /// Before a commit: whether it has to be taken. None must be refused but an old run's.
    pub(super) fn committing(&self, commit: &Commit) -> bool {
        let mut seen = self.seen();
        if commit.epoch != seen.epoch {
            seen.counted.fenced += 1;
            return false;
        }
        let mut skips = Vec::new();
        for step in &commit.steps {
            let of = &seen.streams[Stream::named(&step.stream).unwrap() as usize];
            let splits = commit.steps.iter().filter(|split| split.stream == step.stream);
            let mut opened = splits.filter_map(|step| step.split.as_ref()).flat_map(|split| &split.windows);
            let stands = match step.window {
                None => of.cursor.as_ref(),
                Some(step) => {
                    let stored = of.windows.get(&step.number);
                    let window = stored.or_else(|| opened.find(|window| window.number == step.number));
                    window.map(|window| &window.cursor)
                }
            };
            if stands != Some(step.advance.from()) {
                skips.push(format!("{}: {:?} does not start at {stands:?}", step.stream, step.advance));
            }
        }
        drop(seen);
        skips.into_iter().for_each(|skip| self.violated(format!("a commit skips or repeats: {skip}")));
        true
    }

    /// After a commit was taken: what it made true.
    pub(super) fn committed(
        &self,
        truth: &Truth,
        now: UnixMs,
        commit: &Commit,
        stored: &BTreeMap<String, Checkpoint>,
    ) {
        let mut wrong = Vec::new();
        {
            let seen = &mut *self.seen();
            seen.counted.commits += 1;
            for entry in &commit.directory {
                seen.unknown.remove(&(entry.key.clone(), entry.record.clone()));
            }
            for entry in &commit.quarantined {
                let stream = Stream::named(&entry.stream).unwrap();
                match truth.log(stream).by_body(&entry.body) {
                    Some(number) if truth.log(stream).events[number].poison => {
                        seen.streams[stream as usize].set_aside[number] = true;
                    }
                    _ => wrong.push(format!("what makes sense was set aside: {entry:?}")),
                }
            }
            for step in &commit.steps {
                let stream = Stream::named(&step.stream).unwrap();
                let stored = &stored[&step.stream];
                let of = &mut seen.streams[stream as usize];
                of.commits += 1;
                let (from, to) = (step.advance.from(), step.advance.to());
                let left = stored
                    .windows
                    .iter()
                    .find(|window| step.window.is_some_and(|of| of.number == window.number));
                let whole = match step.window {
                    None => stored.cursor == *to,
                    Some(of) if of.done => left.is_none(),
                    Some(_) => left.is_some_and(|window| window.cursor == *to),
                };
                if !whole || stored.newest_event < of.newest {
                    wrong.push(format!("{stored:?} is not what {:?} leads to", step.advance));
                }
                of.newest = stored.newest_event;
                if step.window.is_none() {
                    of.cursor = Some(to.clone());
                }
                of.windows = numbered(stored);
                of.split = step.split.as_ref().map(|split| split.since).or(of.split);
                let opened = step.split.as_ref().map_or(0, |split| split.windows.len());
                seen.counted.windows[0] += opened as u64;
                seen.counted.windows[1] += u64::from(step.window.is_some_and(|of| of.done));
                if from != to && !of.ends.insert(to.clone()) && matches!(to, Cursor::Token(_)) {
                    wrong.push(format!("the page that leads to {to:?} was committed twice"));
                }
                let leaps = step.rewound || step.split.is_some();
                if let (Cursor::Token(from), Cursor::Token(to), false) = (from, to, leaps)
                    && Place::read(from).index > Place::read(to).index
                {
                    wrong.push(format!("{} went back from {from} to {to} without a rewind", step.stream));
                }
                seen.counted.rewinds += u64::from(step.rewound);
                for id in step.seen.iter().flatten() {
                    match truth.log(stream).by_id(*id) {
                        Some(number) => of.committed[number] += 1,
                        None => wrong.push(format!("{} committed an event nobody sent", step.stream)),
                    }
                }
            }
            for (name, stored) in stored {
                let stream = Stream::named(name).unwrap();
                let of = &seen.streams[stream as usize];
                if stored.commits != of.commits {
                    wrong.push(format!("{stored:?} has not counted {} commits", of.commits));
                }
                wrong.extend(of.conserved(truth, stream, now, stored, &seen.plan));
            }
        }
        for step in &commit.steps {
            self.note("commit", &(commit.epoch.0, &step.stream, step.advance.to(), step.events()));
        }
        wrong.into_iter().for_each(|wrong| self.violated(wrong));
    }

    /// A commit was refused.
    pub(super) fn refused_commit(&self, commit: &Commit, why: &opgraph_state::StoreError) {
        self.note("refused", &commit.epoch.0);
        let newest = self.seen().epoch;
        self.check(commit.epoch != newest, || format!("the newest run's commit was refused: {why}"));
    }

    /// A person puts a stream's cursor back; every run so far is fenced.
    pub(super) fn put_back(&self, stream: Stream, stored: &Checkpoint) {
        self.note("put back", &stored.cursor);
        let mut seen = self.seen();
        seen.epoch = Epoch(seen.epoch.0 + 1);
        let of = &mut seen.streams[stream as usize];
        of.cursor = Some(stored.cursor.clone());
        of.newest = stored.newest_event;
        of.windows = numbered(stored);
    }

    /// A sink takes what an upload covers, whatever becomes of the answer.
    pub(super) fn written(&self, epoch: Epoch, coverage: &Coverage) {
        let seen = &mut *self.seen();
        let is_newest = seen.epoch == epoch;
        if !is_newest {
            seen.undone.extend(coverage.gone().cloned());
        }
        for entry in coverage.shared() {
            seen.unknown.insert((entry.key.clone(), entry.record.clone()));
            if is_newest {
                seen.undone.remove(&entry.key);
            }
        }
    }

    /// A sink has acknowledged these events.
    pub(super) fn acked(&self, epoch: Epoch, sink: usize, events: &[(Stream, usize)]) {
        self.note("ack", &(epoch.0, sink, events));
        let mut seen = self.seen();
        for (stream, number) in events {
            seen.streams[*stream as usize].acked[*number][sink] = true;
        }
    }

    /// Where the newest run stands, as committed.
    pub(super) fn newest_event(&self, stream: Stream) -> Option<UnixMs> {
        self.seen().streams[stream as usize].newest
    }

    pub(super) fn is_newest(&self, epoch: Epoch) -> bool {
        self.seen().epoch == epoch
    }

    /// Events that are not yet safe, over all streams.
    pub(super) fn missing(&self, truth: &Truth) -> usize {
        let seen = self.seen();
        let missing = Stream::ALL.iter().map(|stream| {
            let (of, log) = (&seen.streams[*stream as usize], truth.log(*stream));
            (0..log.events.len()).filter(|n| of.is_lost(truth, *stream, *n, seen.plan.two_sinks)).count()
        });
        missing.sum()
    }
}

impl StreamSeen {
    /// Whether an event that was asked for is neither acknowledged by every sink nor set aside.
    fn is_lost(&self, truth: &Truth, stream: Stream, number: usize, two_sinks: bool) -> bool {
        let event = &truth.log(stream).events[number];
        let asked = self.start.is_some_and(|start| event.at > start);
        let [first, second] = self.acked[number];
        let safe = if event.poison { self.set_aside[number] } else { first && (second || !two_sinks) };
        asked && !safe
    }

    /// Every event is acknowledged by every sink, or in quarantine, or still
    /// comes: to the stored cursor, or to a window. One that has not reached the
    /// API yet comes to the cursor, or never.
    fn conserved(
        &self,
        truth: &Truth,
        stream: Stream,
        now: UnixMs,
        stored: &Checkpoint,
        plan: &Plan,
    ) -> Option<String> {
        let log = truth.log(stream);
        let arrived = log.arrived(now);
        let comes = |number: usize, cursor: &Cursor| {
            let place = Place::of(cursor);
            place.index <= number && place.gives(log.events[number].at, plan)
        };
        let to_live = |number: usize| {
            let event = &log.events[number];
            let of_window = stored.is_of_a_window(Some(event.at)) && !event.poison;
            comes(number, &stored.cursor) && !of_window
        };
        let to_window = |number: usize| {
            let event = &log.events[number];
            let owned = |window: &Window| window.owns(Some(event.at)) || event.poison;
            number < arrived
                && stored.windows.iter().any(|window| owned(window) && comes(number, &window.cursor))
        };
        let lost = (0..log.events.len()).find(|number| {
            self.is_lost(truth, stream, *number, plan.two_sinks) && !to_live(*number) && !to_window(*number)
        })?;
        let at = log.events[lost].at;
        Some(format!("{} has passed event {lost} of {at}: {stored:?}", stream.name()))
    }
}

fn numbered(checkpoint: &Checkpoint) -> BTreeMap<u32, Window> {
    checkpoint.windows.iter().map(|window| (window.number, window.clone())).collect()
}
