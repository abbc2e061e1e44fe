//! What a run amounted to, for people and for machines.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::Serialize;

use crate::{
    stream::Stream,
    telemetry::{Meter, SnapshotMeter, StreamState},
};

/// The sum of one tenant's runs since the process started.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    tenant: String,
    seconds: f64,
    streams: BTreeMap<&'static str, StreamSummary>,
    /// Left out where none are made.
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshots: Option<SnapshotSummary>,
    /// Records mapped, by type; shared ones count each time an event names them.
    records: BTreeMap<&'static str, u64>,
    /// Ids that dedup remembers, and the bytes it takes for them.
    remembered: u64,
    remembered_bytes: u64,
    runs: u64,
    uploads: u64,
    jobs: u64,
    requests: u64,
    retries: u64,
    bytes_in: u64,
    bytes_out: u64,
    quarantined: u64,
    raw_data_dropped: u64,
    not_stored: u64,
    users_without_uuid: u64,
    unknown_values: u64,
    unreadable_times: u64,
    bad_coordinates: u64,
    bad_emails: u64,
}

#[derive(Clone, Debug, Serialize)]
struct StreamSummary {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    events: u64,
    duplicates: u64,
    committed: u64,
    pages: u64,
    rewinds: u64,
}

#[derive(Clone, Debug, Serialize)]
struct SnapshotSummary {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    done: u64,
    failed: u64,
    vaults: u64,
    items: u64,
    /// Items opened for their labels.
    details: u64,
    /// Records removed.
    removed: u64,
}

impl SnapshotSummary {
    fn of(counted: &SnapshotMeter) -> Option<SnapshotSummary> {
        let (state, why) = said(counted.state.get());
        (state != "starting").then(|| SnapshotSummary {
            state,
            why,
            done: counted.done.get(),
            failed: counted.failed.get(),
            vaults: counted.vaults.get(),
            items: counted.items.get(),
            details: counted.details.get(),
            removed: counted.removed.get(),
        })
    }
}

/// A state in one word, and why if a person has to know.
fn said(state: StreamState) -> (&'static str, Option<String>) {
    match state {
        StreamState::Starting => ("starting", None),
        StreamState::Reading => ("reading", None),
        StreamState::CaughtUp => ("caught up", None),
        StreamState::Parked(why) => ("parked", Some(why)),
        StreamState::Halted(why) => ("halted", Some(why)),
    }
}

impl Summary {
    /// Reads a tenant's counters.
    pub(crate) fn of(tenant: &str, meter: &Meter, took: Duration) -> Summary {
        let streams = Stream::ALL.iter().map(|stream| {
            let counted = meter.stream(*stream);
            let (state, why) = said(counted.state.get());
            let summary = StreamSummary {
                state,
                why,
                events: counted.events.get(),
                duplicates: counted.duplicates.get(),
                committed: counted.committed.get(),
                pages: counted.pages.get(),
                rewinds: counted.rewinds.get(),
            };
            (stream.name(), summary)
        });
        Summary {
            tenant: tenant.to_owned(),
            seconds: took.as_secs_f64(),
            streams: streams.collect(),
            snapshots: SnapshotSummary::of(&meter.snapshots),
            records: meter.records().filter(|(_, n)| *n > 0).map(|(of, n)| (of.name(), n)).collect(),
            remembered: meter.remembered.get(),
            remembered_bytes: meter.remembered_bytes.get(),
            runs: meter.runs.get(),
            uploads: meter.uploads.get(),
            jobs: meter.jobs.get(),
            requests: meter.requests.get(),
            retries: meter.retries.get(),
            bytes_in: meter.bytes_in.get(),
            bytes_out: meter.bytes_out.get(),
            quarantined: meter.quarantined.get(),
            raw_data_dropped: meter.raw_data_dropped.get(),
            not_stored: meter.not_stored.get(),
            users_without_uuid: meter.users_without_uuid.get(),
            unknown_values: meter.unknown_values.get(),
            unreadable_times: meter.unreadable_times.get(),
            bad_coordinates: meter.bad_coordinates.get(),
            bad_emails: meter.bad_emails.get(),
        }
    }

    fn events(&self) -> u64 {
        self.streams.values().map(|stream| stream.events).sum()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.events() as f64 / self.seconds.max(0.001);
        writeln!(
            f,
            "{}: {} events in {:.1} s ({rate:.0} a second)",
            self.tenant,
            self.events(),
            self.seconds
        )?;
        writeln!(f)?;
        writeln!(
            f,
            "  {:<16} {:>10} {:>10} {:>10} {:>8} {:>8}  state",
            "stream", "read", "duplicate", "committed", "pages", "rewinds"
        )?;
        for (name, s) in &self.streams {
            let why = s.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            writeln!(
                f,
                "  {name:<16} {:>10} {:>10} {:>10} {:>8} {:>8}  {}{why}",
                s.events, s.duplicates, s.committed, s.pages, s.rewinds, s.state
            )?;
        }
        if let Some(s) = &self.snapshots {
            writeln!(f)?;
            let why = s.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            writeln!(
                f,
                "  {} snapshots ({} not whole) listed {} vaults and {} items, opened {}, removed {} records: {}{why}",
                s.done + s.failed,
                s.failed,
                s.vaults,
                s.items,
                s.details,
                s.removed,
                s.state
            )?;
        }
        writeln!(f)?;
        writeln!(f, "  {:<70} {:>10}", "records mapped, by type", "count")?;
        for (name, count) in &self.records {
            writeln!(f, "  {name:<70} {count:>10}")?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "  {} uploads in {} sync jobs, {} requests of which {} were repeated, {} MB in, {} MB out, {} runs",
            self.uploads,
            self.jobs,
            self.requests,
            self.retries,
            self.bytes_in / 1_000_000,
            self.bytes_out / 1_000_000,
            self.runs
        )?;
        for (count, what) in [
            (self.quarantined, "events or records set aside in quarantine"),
            (
                self.raw_data_dropped,
                "records without their raw data: too large for a request, or nested too deeply to be read",
            ),
            (self.not_stored, "records that JupiterOne took and could not store; its job says why"),
            (self.users_without_uuid, "user objects without uuid: no entity"),
            (self.unknown_values, "values that 1Password's documentation does not list, kept as they are"),
            (self.unreadable_times, "times that cannot be read: no createdOn"),
            (self.bad_coordinates, "coordinates outside the globe, left out"),
            (self.bad_emails, "e-mail addresses that are none, null in the graph"),
        ] {
            if count > 0 {
                writeln!(f, "  {count} {what}")?;
            }
        }
        Ok(())
    }
}
