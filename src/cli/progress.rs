//! What a run is doing, while somebody watches.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal},
    sync::Arc,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use opgraph_state::UnixMs;
use tokio::time::{Instant, interval};
use tracing::{info, warn};

use super::{logs::Screen, run::Orders};
use crate::{
    clock::Clock,
    stream::Stream,
    telemetry::{Meter, StreamMeter, StreamState, TenantState},
    tenants::Roster,
};

/// How often the lines on a terminal change.
const REFRESH: Duration = Duration::from_millis(250);
/// How often a line is logged where there is no terminal: while somebody waits, and for ever.
const LOG_EVERY: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));

/// How many streams are told of one by one; of more, only totals are logged.
const MOST_LINES: usize = 24;

/// Shows each tenant's streams until it is dropped: lines that change on a
/// terminal, a log line now and then elsewhere.
pub(super) fn show(
    roster: Roster,
    clock: Clock,
    screen: Screen,
    orders: &Orders,
) -> impl Future<Output = ()> + Send + use<> {
    let watched = orders.watched;
    let log_every = if orders.once { LOG_EVERY.0 } else { LOG_EVERY.1 };
    let lines = orders.once && io::stderr().is_terminal() && fit(&roster.list());
    async move {
        match (watched, lines) {
            (false, _) => (),
            (true, true) => on_terminal(roster.list(), clock, screen).await,
            (true, false) => in_log(roster, clock, log_every).await,
        }
    }
}

/// Whether there are few enough to show each of their streams.
fn fit(tenants: &[(Arc<str>, Arc<Meter>)]) -> bool {
    tenants.len() * Stream::ALL.len() <= MOST_LINES
}

async fn on_terminal(tenants: Vec<(Arc<str>, Arc<Meter>)>, clock: Clock, Screen(screen): Screen) {
    let style = ProgressStyle::with_template("{spinner} {prefix:<28} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let mut lines = Vec::new();
    for (name, meter) in tenants {
        for stream in Stream::ALL {
            let bar = screen.add(ProgressBar::new_spinner().with_style(style.clone()));
            bar.set_prefix(format!("{name}/{}", stream.name()));
            lines.push(Line {
                bar,
                meter: meter.clone(),
                stream: *stream,
                last: (Instant::now(), 0),
                speed: 0.0,
                past: Past::default(),
            });
        }
    }
    let mut ticks = interval(REFRESH);
    loop {
        ticks.tick().await;
        for line in &mut lines {
            line.refresh(clock.now());
        }
    }
}

/// One stream on the terminal.
struct Line {
    bar: ProgressBar,
    meter: Arc<Meter>,
    stream: Stream,
    last: (Instant, u64),
    speed: f64,
    past: Past,
}

impl Line {
    fn refresh(&mut self, now: UnixMs) {
        let counted = self.meter.stream(self.stream);
        let events = counted.events.get();
        let elapsed = self.last.0.elapsed().as_secs_f64();
        if elapsed >= 1.0 {
            self.speed = (events - self.last.1) as f64 / elapsed;
            self.last = (Instant::now(), events);
        }
        let age = counted.committed_at.get().map_or("none yet".to_owned(), |at| short(now.since(at)));
        self.bar.set_message(format!(
            "{events:>10} events {:>8.0}/s  lag {:<8} cursor age {age:<8} {}{}",
            self.speed,
            lag(counted.newest_event.get(), &counted.state.get(), now),
            state(&counted.state.get()),
            self.past.told(counted),
        ));
        self.bar.tick();
    }
}

/// How a stream's past is getting on, as far as it has been watched.
#[derive(Default)]
struct Past {
    /// When it was first looked at, how long the past was, and how much of it was read.
    first: Option<(Instant, u64, u64)>,
}

impl Past {
    /// Windows done and the time left; nothing once all are done.
    fn told(&mut self, counted: &StreamMeter) -> String {
        let (done, all) = (counted.windows_done.get(), counted.windows.get());
        if done >= all {
            self.first = None;
            return String::new();
        }
        let left = self.left(counted).map_or("unknown".to_owned(), |left| format!("about {}", short(left)));
        format!(", windows {done}/{all}, time left {left}")
    }

    /// How long the rest of the past takes, if it is as full of events as what has been read of it.
    fn left(&mut self, counted: &StreamMeter) -> Option<Duration> {
        let (all, read) = (counted.past.get(), counted.past_read.get());
        // Another run, or another split: what was seen before says nothing of it.
        let first = self.first.filter(|(_, known, before)| *known == all && *before <= read);
        let (since, _, before) = *self.first.insert(first.unwrap_or((Instant::now(), all, read)));
        time_left(since.elapsed(), read - before, all)
            .map(|whole| whole.mul_f64(all.saturating_sub(read) as f64 / all as f64))
    }
}

/// How long `all` takes where `read` of it took so long; nobody knows before a hundredth of it is read.
fn time_left(took: Duration, read: u64, all: u64) -> Option<Duration> {
    (read > 0 && read >= all / 100).then(|| took.mul_f64(all as f64 / read as f64))
}

/// Clears the line when the display ends, however it ends.
impl Drop for Line {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

async fn in_log(roster: Roster, clock: Clock, every: Duration) {
    let mut ticks = interval(every);
    ticks.tick().await;
    let mut pasts = BTreeMap::new();
    loop {
        ticks.tick().await;
        let tenants = roster.list();
        if !fit(&tenants) {
            in_total(&tenants, clock.now());
            continue;
        }
        for (tenant, meter) in &tenants {
            let pasts: &mut [Past; Stream::ALL.len()] = pasts.entry(tenant.clone()).or_default();
            let snapshots = &meter.snapshots;
            if snapshots.state.get() != StreamState::Starting {
                info!(
                    %tenant,
                    snapshots = snapshots.done.get(),
                    failed = snapshots.failed.get(),
                    items = snapshots.items.get(),
                    details = snapshots.details.get(),
                    removed = snapshots.removed.get(),
                    state = state(&snapshots.state.get()),
                    "progress"
                );
            }
            for (stream, past) in Stream::ALL.iter().zip(pasts) {
                let counted = meter.stream(*stream);
                let state = format!("{}{}", state(&counted.state.get()), past.told(counted));
                info!(
                    %tenant,
                    stream = stream.name(),
                    events = counted.events.get(),
                    committed = counted.committed.get(),
                    lag = lag(counted.newest_event.get(), &counted.state.get(), clock.now()),
                    state,
                    "progress"
                );
            }
        }
    }
}

/// Many tenants in one line, and one for each that needs a person.
fn in_total(tenants: &[(Arc<str>, Arc<Meter>)], now: UnixMs) {
    let (mut events, mut committed, mut caught_up, mut streams) = (0, 0, 0, 0);
    let mut last = (Duration::ZERO, "");
    let mut halted = 0;
    for (tenant, meter) in tenants {
        if let TenantState::Stopped(why) = meter.state.get() {
            halted += 1;
            warn!(%tenant, why, "halted");
            continue;
        }
        for counted in Stream::ALL.iter().map(|stream| meter.stream(*stream)) {
            let state = counted.state.get();
            events += counted.events.get();
            committed += counted.committed.get();
            streams += 1;
            match (&state, counted.newest_event.get()) {
                (StreamState::CaughtUp, _) => caught_up += 1,
                (StreamState::Reading, Some(newest)) => last = last.max((now.since(newest), tenant)),
                _ => (),
            }
        }
    }
    let (lag, tenant) = last;
    info!(
        tenants = tenants.len(),
        halted,
        streams,
        caught_up,
        events,
        committed,
        longest_lag = short(lag),
        of = tenant,
        "progress"
    );
}

fn state(state: &StreamState) -> &'static str {
    match state {
        StreamState::Starting => "starting",
        StreamState::Reading => "reading",
        StreamState::CaughtUp => "caught up",
        StreamState::Parked(_) => "parked",
        StreamState::Halted(_) => "halted",
    }
}

/// How far behind the newest event read is; nothing once the stream has caught up.
fn lag(newest: Option<UnixMs>, state: &StreamState, now: UnixMs) -> String {
    match (newest, state) {
        (_, StreamState::CaughtUp) => "none".to_owned(),
        (Some(newest), _) => short(now.since(newest)),
        (None, _) => "unknown".to_owned(),
    }
}

/// A duration in its largest unit.
pub(crate) fn short(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7200 => format!("{}m", seconds / 60),
        seconds @ 7200..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_what_the_rest_takes_at_the_pace_so_far() {
        let seconds = Duration::from_secs;
        assert_eq!(time_left(seconds(10), 250, 1000), Some(seconds(40)));
        assert_eq!(time_left(seconds(10), 10, 1000), Some(seconds(1000)));
        for unknown in [0, 9] {
            assert_eq!(time_left(seconds(10), unknown, 1000), None, "{unknown}");
        }
        assert_eq!(time_left(seconds(10), 0, 0), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_past_is_told_by_its_windows_and_the_time_left_until_it_is_read() {
        let counted = StreamMeter::default();
        let mut past = Past::default();
        assert_eq!(past.told(&counted), "");
        counted.windows.set(48);
        counted.past.set(1000);
        assert_eq!(past.told(&counted), ", windows 0/48, time left unknown");
        tokio::time::advance(Duration::from_secs(60)).await;
        counted.windows_done.set(12);
        counted.past_read.set(250);
        assert_eq!(past.told(&counted), ", windows 12/48, time left about 3m");
        // Another split makes it longer: what was watched before says nothing of it.
        counted.past.set(2000);
        assert_eq!(past.told(&counted), ", windows 12/48, time left unknown");
        counted.windows_done.set(48);
        assert_eq!(past.told(&counted), "");
    }
}
