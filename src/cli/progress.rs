//! What a run is doing, while somebody watches.

use std::{
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
    telemetry::{Meter, StreamState, TenantState},
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
            "{events:>10} events {:>8.0}/s  lag {:<8} cursor age {age:<8} {}",
            self.speed,
            lag(counted.newest_event.get(), &counted.state.get(), now),
            state(&counted.state.get()),
        ));
        self.bar.tick();
    }
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
    loop {
        ticks.tick().await;
        let tenants = roster.list();
        if !fit(&tenants) {
            in_total(&tenants, clock.now());
            continue;
        }
        for (tenant, meter) in &tenants {
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
            for stream in Stream::ALL {
                let counted = meter.stream(*stream);
                info!(
                    %tenant,
                    stream = stream.name(),
                    events = counted.events.get(),
                    committed = counted.committed.get(),
                    remembered = counted.remembered.get(),
                    remembered_bytes = counted.remembered_bytes.get(),
                    lag = lag(counted.newest_event.get(), &counted.state.get(), clock.now()),
                    state = state(&counted.state.get()),
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
