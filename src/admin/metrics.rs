//! The one table of metrics: what Prometheus reads, what `/api/status` shows and what docs/METRICS.md says.
//!
//! Labels are bounded: tenants and streams are configured, the rest are lists in this file.

use std::{borrow::Cow, time::Duration};

use opgraph_state::UnixMs;
use serde::Serialize;

use super::process::Process;
use crate::{
    http::Left,
    telemetry::{Meter, Spread, StreamMeter, StreamState, TenantState},
};

/// One metric: a row of the table.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Metric {
    /// Its name, after Prometheus's conventions: base units, `_total` for what only grows.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// What it says, in one sentence.
    pub help: &'static str,
    /// The labels it has besides those of its scope.
    pub labels: &'static [&'static str],
    /// What it is of.
    #[serde(skip)]
    pub(super) of: Of,
}

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It only grows, until the process ends.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How often something took at most so long.
    Histogram,
}

impl Kind {
    /// The name in Prometheus's text format.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// What a metric is of, and how it is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Of {
    Process(fn(&Process) -> Samples),
    Tenant(fn(&Meter, UnixMs) -> Samples),
    Stream(fn(&StreamMeter, UnixMs) -> Samples),
}

impl Metric {
    /// Every label, in the order in which they are written.
    pub fn all_labels(&self) -> Vec<&'static str> {
        let scope: &[&str] = match self.of {
            Of::Process(_) => &[],
            Of::Tenant(_) => &["tenant"],
            Of::Stream(_) => &["tenant", "stream"],
        };
        scope.iter().chain(self.labels).copied().collect()
    }
}

/// What a metric says at the moment: one sample for each set of its own labels.
pub(super) type Samples = Vec<Sample>;

/// One number, or one spread of times.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    /// The value of each of [`Metric::labels`].
    pub(super) labels: Vec<Cow<'static, str>>,
    pub(super) value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Number(f64),
    Times(Spread),
}

fn one(value: impl Number) -> Samples {
    vec![Sample { labels: Vec::new(), value: Value::Number(value.number()) }]
}

fn maybe(value: Option<impl Number>) -> Samples {
    value.map(one).unwrap_or_default()
}

fn times(spread: Spread) -> Samples {
    vec![Sample { labels: Vec::new(), value: Value::Times(spread) }]
}

fn each<N: Number>(samples: impl IntoIterator<Item = (&'static str, N)>) -> Samples {
    let sample = |(label, value): (&'static str, N)| Sample {
        labels: vec![label.into()],
        value: Value::Number(value.number()),
    };
    samples.into_iter().map(sample).collect()
}

/// What can be written as a sample.
trait Number {
    fn number(self) -> f64;
}

impl Number for u64 {
    fn number(self) -> f64 {
        self as f64
    }
}

impl Number for f64 {
    fn number(self) -> f64 {
        self
    }
}

impl Number for Duration {
    fn number(self) -> f64 {
        self.as_secs_f64()
    }
}

/// A time is so many seconds since 1970.
impl Number for UnixMs {
    fn number(self) -> f64 {
        self.0 as f64 / 1e3
    }
}

/// How far behind the newest event read is, while more is waiting; nothing once
/// the stream has caught up. `None` before the first page, and of a stream that is not read.
pub(crate) fn lag(counted: &StreamMeter, now: UnixMs) -> Option<Duration> {
    match counted.state.get() {
        StreamState::CaughtUp => Some(Duration::ZERO),
        StreamState::Parked(_) => None,
        _ => counted.newest_event.get().map(|newest| now.since(newest)),
    }
}

/// What a stream is doing, in one word, and why if a person has to know.
pub(crate) fn stream_said(state: &StreamState) -> (&'static str, Option<&str>) {
    match state {
        StreamState::Starting => ("starting", None),
        StreamState::Reading => ("reading", None),
        StreamState::CaughtUp => ("caught up", None),
        StreamState::Parked(why) => ("parked", Some(why)),
        StreamState::Halted(why) => ("halted", Some(why)),
    }
}

/// What a tenant is doing, in one word, and why if a person has to know.
pub(crate) fn tenant_said(state: &TenantState) -> (&'static str, Option<&str>) {
    match state {
        TenantState::Starting => ("starting", None),
        TenantState::Running => ("running", None),
        TenantState::Pausing(why) => ("pausing", Some(why)),
        TenantState::Done => ("done", None),
        TenantState::Stopped(why) => ("stopped", Some(why)),
    }
}

/// One for the state that holds, zero for the others.
fn state_set<const N: usize>(all: [&'static str; N], now: &str) -> Samples {
    each(all.map(|state| (state, u64::from(state == now))))
}

fn left(meter: &Meter) -> Option<Left> {
    Some(meter.budget.get()?.left())
}

/// A row: `counter!("name", "help", [labels], of)` and so on would hide less
/// than it saves, so each is written out by this function.
const fn row(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    of: Of,
    help: &'static str,
) -> Metric {
    Metric { name, kind, help, labels, of }
}

use Kind::{Counter, Gauge, Histogram};
use Of::{Process as P, Stream as S, Tenant as T};

/// Every metric there is.
#[rustfmt::skip]
pub const METRICS: &[Metric] = &[
    row("opgraph_build_info", Gauge, &["version"], P(|p| vec![Sample { labels: vec![p.version.into()], value: Value::Number(1.0) }]),
        "Always 1; the version is in the label."),
    row("process_start_time_seconds", Gauge, &[], P(|p| one(p.started_at)),
        "When the process started, in seconds since 1970."),
    row("process_resident_memory_bytes", Gauge, &[], P(|p| maybe(p.resident)),
        "Memory of the process that is resident."),
    row("process_cpu_seconds_total", Counter, &[], P(|p| maybe(p.cpu)),
        "Processor time that the process has used, user and system."),
    row("opgraph_log_events_total", Counter, &["level"], P(|p| each([("error", p.errors), ("warn", p.warnings)])),
        "Warnings and errors logged."),

    row("opgraph_tenant_state", Gauge, &["state"], T(|m, _| state_set(TENANT_STATES, tenant_said(&m.state.get()).0)),
        "1 for what the tenant is doing, 0 for the rest: `stopped` needs a person, `pausing` is between two runs."),
    row("opgraph_runs_total", Counter, &[], T(|m, _| one(m.runs.get())),
        "Runs started."),
    row("opgraph_restarts_total", Counter, &[], T(|m, _| one(m.restarts.get())),
        "Runs that failed and were followed by another, from the checkpoints."),
    row("opgraph_remedies_total", Counter, &["remedy"], T(|m, _| {
            let rewinds = crate::stream::Stream::ALL.iter().map(|of| m.stream(*of).rewinds.get()).sum();
            each([("retry", m.retries.get()), ("rewind", rewinds), ("park", m.parks.get()), ("halt", m.halts.get())])
        }),
        "Failures by what was done about them: a request repeated, a stream rewound, parked or halted."),
    row("opgraph_requests_total", Counter, &[], T(|m, _| one(m.requests.get())),
        "Requests made, to 1Password and JupiterOne, repeats included."),
    row("opgraph_budgeted_requests_total", Counter, &[], T(|m, _| one(m.budgeted.get())),
        "Requests that took from the account's rate budget: those to the Events API."),
    row("opgraph_throttled_total", Counter, &[], T(|m, _| one(m.throttled.get())),
        "Answers of the Events API that said that the account's limit was reached (429)."),
    row("opgraph_budget_left_requests", Gauge, &["window"], T(|m, _| left(m).map_or(Vec::new(), |left| each([
            ("minute", u64::from(left.minute.now)), ("hour", u64::from(left.hour.now)),
        ]))),
        "Requests that the budget would let through at once; it needs one of both windows for each."),
    row("opgraph_budget_size_requests", Gauge, &["window"], T(|m, _| left(m).map_or(Vec::new(), |left| each([
            ("minute", u64::from(left.minute.most)), ("hour", u64::from(left.hour.most)),
        ]))),
        "The most that the budget ever lets through at once: a twelfth of the limit."),
    row("opgraph_budget_held_seconds", Gauge, &[], T(|m, _| maybe(left(m).map(|left| left.held))),
        "How long a 429 still keeps every request of the account waiting."),
    row("opgraph_queue_pages", Gauge, &["queue"], T(|m, _| each(m.queues.depths().into_iter().map(|queue| (queue.name, queue.pages as u64)))),
        "Pages that wait behind a stage: `fetched`, `fresh` (deduplicated) and `mapped` ones, and `acks`."),
    row("opgraph_queue_pages_limit", Gauge, &["queue"], T(|m, _| each(m.queues.depths().into_iter().map(|queue| (queue.name, queue.most as u64)))),
        "Pages that may wait behind a stage before the one in front of it waits too."),
    row("opgraph_in_flight_bytes", Gauge, &[], T(|m, _| maybe(m.queues.bytes().map(|(now, _)| now as u64))),
        "Bytes of pages in flight, as they weigh once mapped."),
    row("opgraph_in_flight_bytes_limit", Gauge, &[], T(|m, _| maybe(m.queues.bytes().map(|(_, most)| most as u64))),
        "Bytes of pages that may be in flight: the tenant's allowance."),
    row("opgraph_received_bytes_total", Counter, &[], T(|m, _| one(m.bytes_in.get())),
        "Bytes of events received in pages, decompressed."),
    row("opgraph_sent_bytes_total", Counter, &[], T(|m, _| one(m.bytes_out.get())),
        "Bytes sent to JupiterOne, as on the wire."),
    row("opgraph_records_mapped_total", Counter, &["type"], T(|m, _| each(m.records().map(|(of, count)| (of.name(), count)))),
        "Records mapped, by type; a shared one counts each time an event names it."),
    row("opgraph_oddities_total", Counter, &["kind"], T(|m, _| each([
            ("user_without_uuid", m.users_without_uuid.get()), ("unknown_value", m.unknown_values.get()),
            ("unreadable_time", m.unreadable_times.get()), ("bad_coordinates", m.bad_coordinates.get()),
            ("bad_email", m.bad_emails.get()), ("raw_data_dropped", m.raw_data_dropped.get()),
        ])),
        "What events held that the documentation does not know, and what was left out of records for it."),
    row("opgraph_uploads_total", Counter, &[], T(|m, _| one(m.uploads.get())),
        "Uploads acknowledged and committed."),
    row("opgraph_uploads_open", Gauge, &[], T(|m, _| one(m.uploads_open.get())),
        "Uploads that are being filled or finished."),
    row("opgraph_upload_seconds", Histogram, &[], T(|m, _| times(m.upload_times.get())),
        "How long uploads took, from the first page to the ack; they are filled for up to `upload_age`."),
    row("opgraph_jobs_opened_total", Counter, &[], T(|m, _| one(m.jobs.get())),
        "Sync jobs opened at JupiterOne."),
    row("opgraph_jobs_finished_total", Counter, &[], T(|m, _| one(m.jobs_finished.get())),
        "Sync jobs that JupiterOne has finished, with all that was sent."),
    row("opgraph_jobs_open", Gauge, &["state"], T(|m, _| each([
            ("uploading", m.jobs_uploading.get()), ("finalizing", m.jobs_finalizing.get()),
        ])),
        "Sync jobs by what they are doing."),
    row("opgraph_not_stored_total", Counter, &[], T(|m, _| one(m.not_stored.get())),
        "Records that JupiterOne took and reported it could not store."),
    row("opgraph_commits_total", Counter, &[], T(|m, _| one(m.commits.get())),
        "Commits made durable."),
    row("opgraph_commit_seconds", Histogram, &[], T(|m, _| times(m.commit_times.get())),
        "How long commits took to be durable."),
    row("opgraph_last_ack_timestamp_seconds", Gauge, &[], T(|m, _| maybe(m.acked_at.get())),
        "When an ack was last committed, in seconds since 1970."),
    row("opgraph_quarantined_total", Counter, &[], T(|m, _| one(m.quarantined.get())),
        "Events and records set aside."),
    row("opgraph_quarantine_entries", Gauge, &[], T(|m, _| one(m.in_quarantine.get())),
        "Entries in quarantine that wait for a person."),
    row("opgraph_remembered_ids", Gauge, &[], T(|m, _| one(m.remembered.get())),
        "Ids that dedup remembers in memory."),
    row("opgraph_remembered_bytes", Gauge, &[], T(|m, _| one(m.remembered_bytes.get())),
        "Memory that the ids take."),
    row("opgraph_snapshot_state", Gauge, &["state"], T(|m, _| state_set(STREAM_STATES, stream_said(&m.snapshots.state.get()).0)),
        "1 for what the snapshots of vaults and items are doing, 0 for the rest; `starting` for ever where none are made."),
    row("opgraph_snapshots_total", Counter, &["result"], T(|m, _| each([
            ("whole", m.snapshots.done.get()), ("failed", m.snapshots.failed.get()),
        ])),
        "Snapshots of vaults and items, whole or not."),
    row("opgraph_last_snapshot_timestamp_seconds", Gauge, &[], T(|m, _| maybe(m.snapshots.done_at.get())),
        "When a snapshot was last whole, in seconds since 1970."),
    row("opgraph_vaults_listed_total", Counter, &[], T(|m, _| one(m.snapshots.vaults.get())),
        "Vaults that the lists of Connect named."),
    row("opgraph_items_listed_total", Counter, &[], T(|m, _| one(m.snapshots.items.get())),
        "Active items that the lists of Connect named."),
    row("opgraph_items_opened_total", Counter, &[], T(|m, _| one(m.snapshots.details.get())),
        "Items opened for their labels; 1Password records each as a use."),
    row("opgraph_removed_total", Counter, &[], T(|m, _| one(m.snapshots.removed.get())),
        "Records removed because what they tell of is no more."),

    row("opgraph_stream_state", Gauge, &["state"], S(|s, _| state_set(STREAM_STATES, stream_said(&s.state.get()).0)),
        "1 for what the stream is doing, 0 for the rest: `halted` and `parked` need a person."),
    row("opgraph_events_read_total", Counter, &[], S(|s, _| one(s.events.get())),
        "Events read, duplicates included."),
    row("opgraph_events_duplicate_total", Counter, &[], S(|s, _| one(s.duplicates.get())),
        "Events dropped because they had been seen."),
    row("opgraph_events_committed_total", Counter, &[], S(|s, _| one(s.committed.get())),
        "Events acknowledged by every sink and committed."),
    row("opgraph_pages_read_total", Counter, &[], S(|s, _| one(s.pages.get())),
        "Pages read."),
    row("opgraph_rewinds_total", Counter, &[], S(|s, _| one(s.rewinds.get())),
        "Rewinds made because a cursor was refused."),
    row("opgraph_lag_seconds", Gauge, &[], S(|s, now| maybe(lag(s, now))),
        "How far the newest event read is behind now while more is waiting; 0 once caught up."),
    row("opgraph_newest_event_timestamp_seconds", Gauge, &[], S(|s, _| maybe(s.newest_event.get())),
        "When the newest event read happened, in seconds since 1970."),
    row("opgraph_last_read_timestamp_seconds", Gauge, &[], S(|s, _| maybe(s.read_at.get())),
        "When the API last answered with a page, in seconds since 1970."),
    row("opgraph_last_commit_timestamp_seconds", Gauge, &[], S(|s, _| maybe(s.committed_at.get())),
        "When the stream's cursor last moved in the state, in seconds since 1970."),
    row("opgraph_windows", Gauge, &["state"], S(|s, _| {
            let done = s.windows_done.get().min(s.windows.get());
            each([("done", done), ("left", s.windows.get() - done)])
        }),
        "Windows that the stream's past was cut into, as far as this process knows of them."),
    row("opgraph_past_seconds", Gauge, &[], S(|s, _| one(Duration::from_millis(s.past.get()))),
        "How much of the past lay in windows when this run began, or was split off since."),
    row("opgraph_past_read_seconds", Gauge, &[], S(|s, _| one(Duration::from_millis(s.past_read.get()))),
        "How much of that past is read."),
];

/// What a tenant may be doing.
const TENANT_STATES: [&str; 5] = ["starting", "running", "pausing", "done", "stopped"];
/// What a stream may be doing.
const STREAM_STATES: [&str; 5] = ["starting", "reading", "caught up", "parked", "halted"];

/// What stands below the table.
const TRACES: &str = "
## Dashboard and alerts

`deploy/grafana/opgraph.json` is a dashboard to import; `deploy/prometheus/opgraph.rules.yaml` are alerts for `rule_files`.

## Traces

A build with the cargo feature `otlp` sends a span for each page, upload and commit to the OpenTelemetry collector that
`OTEL_EXPORTER_OTLP_ENDPOINT` names (OTLP over HTTP, protobuf), and nothing where it is not set. A span says its tenant, its
stream, its times and how much there was; never a log line, an error's text or a token. The other standard variables hold
too: `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER`.
";

/// Writes the table as Markdown: docs/METRICS.md is this text.
pub fn markdown() -> String {
    let mut text = "\
# Metrics

What `/metrics` says, in Prometheus's text format. Generated from `src/admin/metrics.rs`, as `opgraph schema metrics`
prints it; do not edit it by hand. `/api/status` and `opgraph status --json` show the same numbers under the same names,
each with its tenant or stream.

Labels are bounded: a tenant has one series for each row and set of labels, a stream too. Counters start at zero with the
process. A time that is not known yet has no series.
"
    .to_owned();
    type Is = fn(&Of) -> bool;
    let parts: [(&str, Is); 3] = [
        ("Of the process", |of| matches!(of, Of::Process(_))),
        ("Of a tenant", |of| matches!(of, Of::Tenant(_))),
        ("Of a stream", |of| matches!(of, Of::Stream(_))),
    ];
    for (title, is) in parts {
        text += &format!("\n## {title}\n\n| metric | type | labels | what it says |\n|---|---|---|---|\n");
        for metric in METRICS.iter().filter(|metric| is(&metric.of)) {
            let labels = metric.all_labels();
            let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
            let (name, kind) = (metric.name, metric.kind.name());
            text += &format!("| `{name}` | {kind} | {} | {} |\n", labels.join(", "), metric.help);
        }
    }
    text + TRACES
}

#[cfg(test)]
mod tests;
