//! The windows of one stream that are still to be read, and who waits for them.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use opgraph_state::{UnixMs, Window};
use tokio::sync::Notify;

use crate::{
    clock::Clock,
    stream::Stream,
    telemetry::{Meter, StreamState},
};

/// A queue of windows, the oldest first: what dedup has to keep of the past
/// goes with the oldest one that is not done.
#[derive(Debug)]
pub(super) struct Past {
    stream: Stream,
    clock: Clock,
    meter: Arc<Meter>,
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<Window>,
    /// Windows that somebody is reading.
    reading: usize,
    /// The API has said that nothing more waits behind the live cursor.
    at_end: bool,
    /// No window comes any more.
    over: bool,
}

impl Past {
    pub(super) fn new(stream: Stream, clock: Clock, meter: Arc<Meter>) -> Past {
        Past { stream, clock, meter, inner: Mutex::default(), changed: Notify::new() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // No code under the lock panics.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds windows, of `all` that there were.
    pub(super) fn open(&self, windows: Vec<Window>, all: usize) {
        if windows.is_empty() {
            return;
        }
        let counted = self.meter.stream(self.stream);
        let mut inner = self.inner();
        if inner.waiting.is_empty() && inner.reading == 0 {
            for gauge in [&counted.windows, &counted.windows_done, &counted.past, &counted.past_read] {
                gauge.set(0);
            }
        }
        counted.windows.set(counted.windows.get() + all as u64);
        counted.windows_done.set(counted.windows_done.get() + (all - windows.len()) as u64);
        counted.past.set(counted.past.get() + windows.iter().map(length).sum::<u64>());
        inner.waiting.extend(windows);
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Waits for a window that nobody reads; `None` once there will be none.
    pub(super) async fn next(&self) -> Option<Window> {
        self.once(|inner| match inner.waiting.pop_front() {
            Some(window) => {
                inner.reading += 1;
                Some(Some(window))
            }
            None => inner.over.then_some(None),
        })
        .await
    }

    /// Waits until no window is left; whether there was any.
    pub(super) async fn is_read(&self) -> bool {
        let any = !self.inner().is_read();
        self.once(|inner| inner.is_read().then_some(any)).await
    }

    /// Waits until something is the case.
    async fn once<T>(&self, mut is: impl FnMut(&mut Inner) -> Option<T>) -> T {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(answer) = is(&mut self.inner()) {
                return answer;
            }
            changed.await;
        }
    }

    /// Notes how far the window at hand is read: from one instant to the next.
    pub(super) fn advance(&self, from: UnixMs, to: UnixMs) {
        let read = &self.meter.stream(self.stream).past_read;
        read.set(read.get() + to.since(from).as_millis() as u64);
    }

    /// Notes that a window is read to its end.
    pub(super) fn done(&self) {
        let done = &self.meter.stream(self.stream).windows_done;
        let mut inner = self.inner();
        done.set(done.get() + 1);
        inner.reading -= 1;
        self.tell(&inner);
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Notes whether anything waits behind the live cursor.
    pub(super) fn live_is_at_end(&self, at_end: bool) {
        let mut inner = self.inner();
        inner.at_end = at_end;
        self.tell(&inner);
    }

    /// No window comes any more.
    pub(super) fn is_over(&self) {
        self.inner().over = true;
        self.changed.notify_waiters();
    }

    /// A stream has caught up when its live cursor has, and no window is left.
    fn tell(&self, inner: &Inner) {
        let counted = self.meter.stream(self.stream);
        let caught_up = inner.at_end && inner.is_read();
        if caught_up {
            counted.caught_up_at.set(self.clock.now());
        }
        counted.state.set(if caught_up { StreamState::CaughtUp } else { StreamState::Reading });
    }
}

impl Inner {
    fn is_read(&self) -> bool {
        self.waiting.is_empty() && self.reading == 0
    }
}

fn length(window: &Window) -> u64 {
    window.end.since(window.start).as_millis() as u64
}
