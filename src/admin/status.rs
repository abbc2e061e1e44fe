//! What a person is shown: the page, `/api/status` and `opgraph status` all are this.

use std::collections::BTreeMap;

use opgraph_state::UnixMs;
use serde::{Deserialize, Serialize};

use super::{
    history::{History, Plot, Used},
    metrics::{lag, stream_said, tenant_said},
    prometheus::{of_stream, of_tenant, watched},
    stored::{Committed, Reason, StoredTenant},
    warnings::{Warning, shown},
};
use crate::{
    http::Cellful,
    telemetry::{About, Meter, StreamState},
};

/// Everything that is shown. Times are in milliseconds since 1970.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Status {
    /// Whether this is of a running process, or of what its state directory holds.
    pub running: bool,
    /// The version of whoever says it.
    pub version: String,
    /// When it was said.
    pub now: UnixMs,
    /// When the process started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<UnixMs>,
    /// The metrics of the process, by name and labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    /// The tenants, by name.
    pub tenants: BTreeMap<String, TenantStatus>,
    /// The newest warnings and errors, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

/// One tenant.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TenantStatus {
    /// What it is doing, in one word; none where only the state was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Why, if a person has to know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where its records go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sinks: Vec<String>,
    /// Events read a second, over the last ten.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_per_second: Option<f64>,
    /// How far the stream is behind that is furthest behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<f64>,
    /// When an ack was last committed by this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_ack: Option<UnixMs>,
    /// Its streams, by name.
    pub streams: BTreeMap<String, StreamStatus>,
    /// The snapshots of vaults and items, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<SnapshotStatus>,
    /// The account's rate budget.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetStatus>,
    /// What waits between the stages, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub queues: Vec<QueueStatus>,
    /// Bytes of pages in flight, and how many there may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<(usize, usize)>,
    /// Entries in quarantine.
    pub quarantined: u64,
    /// Why, the most frequent reasons first.
    pub reasons: Vec<Reason>,
    /// Its metrics, by name and labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    /// The last hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_hour: Option<Plot>,
}

/// One stream.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamStatus {
    /// What it is doing, in one or two words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Why, if a person has to know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Events read a second, over the last ten.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_per_second: Option<f64>,
    /// How far it is behind; none if nobody knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<f64>,
    /// What is committed, over all runs.
    #[serde(flatten)]
    pub committed: Committed,
    /// Its metrics, by name and labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
}

/// The snapshots of vaults and items.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SnapshotStatus {
    /// What they are doing; none where only the state was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Why, if a person has to know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// When this process last made a whole one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done_at: Option<UnixMs>,
    /// Vaults that every sink has.
    pub vaults: u64,
}

/// The rate budget.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct BudgetStatus {
    /// The minute's limit.
    pub minute: Window,
    /// The hour's limit.
    pub hour: Window,
    /// How long a 429 still keeps everybody waiting.
    pub held_seconds: f64,
}

/// One limit.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Window {
    /// Requests made in it, up to now.
    pub used: u64,
    /// Requests that the API allows.
    pub limit: u64,
    /// Requests that could be made at once.
    pub left: u64,
    /// The most that could ever be made at once.
    pub size: u64,
}

/// One channel between two stages.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QueueStatus {
    /// What waits in it.
    pub name: String,
    /// Pages that wait.
    pub pages: usize,
    /// Pages that may wait.
    pub most: usize,
}

impl TenantStatus {
    /// What the state alone says.
    pub(crate) fn stored(stored: StoredTenant) -> TenantStatus {
        let stream = |(name, committed)| (name, StreamStatus { committed, ..StreamStatus::default() });
        let listed = SnapshotStatus { vaults: stored.vaults, ..SnapshotStatus::default() };
        TenantStatus {
            streams: stored.streams.into_iter().map(stream).collect(),
            snapshots: (stored.vaults > 0).then_some(listed),
            quarantined: stored.quarantined,
            reasons: stored.reasons,
            ..TenantStatus::default()
        }
    }

    /// What its counters say; what is committed comes from the state.
    pub(super) fn of(meter: &Meter, history: &History, stored: StoredTenant, now: UnixMs) -> TenantStatus {
        let About { description, sinks, limits } = meter.about.get();
        let (state, why) = said(tenant_said(&meter.state.get()));
        let mut committed = stored.streams;
        let streams: BTreeMap<_, _> = watched(meter)
            .map(|stream| {
                let counted = meter.stream(stream);
                let (state, why) = said(stream_said(&counted.state.get()));
                let status = StreamStatus {
                    state,
                    why,
                    events_per_second: Some(history.rate(stream)),
                    lag_seconds: lag(counted, now).map(|lag| lag.as_secs_f64()),
                    committed: committed.remove(stream.name()).unwrap_or_default(),
                    metrics: of_stream(meter, stream, now),
                };
                (stream.name().to_owned(), status)
            })
            .collect();
        let (state_of_snapshots, why_of_snapshots) = said(stream_said(&meter.snapshots.state.get()));
        let snapshots = SnapshotStatus {
            state: state_of_snapshots,
            why: why_of_snapshots,
            done_at: meter.snapshots.done_at.get(),
            vaults: stored.vaults,
        };
        let queue = |queue: crate::telemetry::Queue| QueueStatus {
            name: queue.name.to_owned(),
            pages: queue.pages,
            most: queue.most,
        };
        TenantStatus {
            state,
            why,
            description,
            sinks: sinks.into_iter().map(str::to_owned).collect(),
            events_per_second: Some(streams.values().filter_map(|stream| stream.events_per_second).sum()),
            lag_seconds: streams.values().filter_map(|stream| stream.lag_seconds).max_by(f64::total_cmp),
            last_ack: meter.acked_at.get(),
            snapshots: (meter.snapshots.state.get() != StreamState::Starting).then_some(snapshots),
            budget: meter
                .budget
                .get()
                .map(|budget| budget_status(&budget.left(), history.used(budget.granted()), &limits)),
            queues: meter.queues.depths().into_iter().map(queue).collect(),
            in_flight: meter.queues.bytes(),
            quarantined: meter.in_quarantine.get().max(stored.quarantined),
            reasons: stored.reasons,
            metrics: of_tenant(meter, now),
            last_hour: Some(history.plot()),
            streams,
        }
    }

    /// Whether a person has to look.
    pub(crate) fn needs_a_person(&self) -> bool {
        let streams = self.streams.values().filter_map(|stream| stream.state.as_deref());
        let snapshots = self.snapshots.iter().filter_map(|snapshots| snapshots.state.as_deref());
        let halted = streams.chain(snapshots).any(|state| matches!(state, "halted" | "parked"));
        halted || self.state.as_deref() == Some("stopped")
    }
}

fn said((state, why): (&'static str, Option<&str>)) -> (Option<String>, Option<String>) {
    (Some(state.to_owned()), why.map(shown))
}

fn budget_status(left: &crate::http::Left, used: Used, limits: &crate::http::Limits) -> BudgetStatus {
    let window = |cell: Cellful, used: u64, limit: std::num::NonZeroU32| Window {
        used,
        limit: limit.get().into(),
        left: cell.now.into(),
        size: cell.most.into(),
    };
    BudgetStatus {
        minute: window(left.minute, used.minute, limits.per_minute),
        hour: window(left.hour, used.hour, limits.per_hour),
        held_seconds: left.held.as_secs_f64(),
    }
}
