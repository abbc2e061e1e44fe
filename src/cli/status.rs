//! `opgraph status`: how a running opgraph is, or how far each stream has come.

use std::{
    fmt::{self, Write as _},
    io::{self, IsTerminal},
    path::Path,
    time::Duration,
};

use opgraph_state::{OpenOptions, SledStore, StoreError, UnixMs};
use tokio::time::sleep;

use super::{
    args,
    failed::{Exit, Failed},
    out,
    progress::short,
    run,
};
use crate::{
    admin::{
        self, SnapshotStatus, Status, StreamStatus, TenantStatus, socket,
        words::{bytes, count, lag, rate, span},
    },
    clock::Clock,
    config::Config,
    stream::Stream,
};

/// How often it is shown again.
const EVERY: Duration = Duration::from_secs(1);
/// How long a process that has the state and no socket yet is given to make it.
const STARTING: Duration = Duration::from_secs(2);

/// Moves to the top of a terminal and clears it.
const ANEW: &str = "\u{1b}[H\u{1b}[J";

/// Runs the command.
pub(super) async fn run(status: args::Status) -> Result<(), Failed> {
    let dir = Config::state_dir(&status.flags)?;
    let terminal = io::stdout().is_terminal();
    let mut shown = look(&dir).await?;
    loop {
        if status.json {
            out::json(&shown)?;
        } else if status.watch && terminal {
            out::print(format_args!("{ANEW}{}", Table(&shown)));
        } else {
            out::print(Table(&shown));
        }
        if !status.watch {
            return Ok(());
        }
        sleep(EVERY).await;
        shown = match (asked(&dir).await?, shown.running) {
            (Some(status), _) => status,
            // Once: whoever wants to start must not find the state in use.
            (None, true) => look(&dir).await?,
            (None, false) => Status { now: Clock::system().now(), ..shown },
        };
    }
}

/// Asks whoever runs; reads the state if nobody does.
async fn look(dir: &Path) -> Result<Status, Failed> {
    if let Some(status) = asked(dir).await? {
        return Ok(status);
    }
    let path = dir.to_owned();
    let opened = tokio::task::spawn_blocking(move || SledStore::open(&path, OpenOptions::default()));
    let store =
        match opened.await.map_err(|error| Failed::new(Exit::State, "open the state").because(error))? {
            Err(error @ StoreError::InUse { .. }) => return waited(dir, error.into()).await,
            opened => opened?,
        };
    run::told_if_older(&store);
    let tenants = admin::stored(&store).await?.into_iter();
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now: Clock::system().now(),
        tenants: tenants.map(|(name, stored)| (name, TenantStatus::stored(stored))).collect(),
        ..Status::default()
    })
}

/// A process that has just opened the state makes its socket next.
async fn waited(dir: &Path, failed: Failed) -> Result<Status, Failed> {
    let step = Duration::from_millis(100);
    for _ in 0..STARTING.as_millis() / step.as_millis() {
        sleep(step).await;
        if let Some(status) = asked(dir).await? {
            return Ok(status);
        }
    }
    Err(failed)
}

async fn asked(dir: &Path) -> Result<Option<Status>, Failed> {
    socket::ask(dir).await.map_err(|error| {
        Failed::new(Exit::State, "ask the opgraph that runs on this state directory")
            .because(error)
            .hint("it may be stopping, or be of another version or user: ask again, or stop it first")
    })
}

/// The status as text.
struct Table<'s>(&'s Status);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Status { running, version, now, started_at, metrics, tenants, warnings } = self.0;
        if *running {
            let up = started_at.map_or(String::new(), |at| format!(" for {}", short(now.since(at))));
            let memory = metrics.get("process_resident_memory_bytes");
            let memory = memory.map_or(String::new(), |held| format!(", {} of memory", bytes(*held)));
            write!(f, "opgraph {version}, running{up}{memory}")?;
        } else {
            write!(f, "no opgraph runs on this state directory; what it holds:")?;
        }
        if tenants.is_empty() {
            write!(f, "\nnothing has been read yet")?;
        }
        for (name, tenant) in tenants {
            write!(f, "\n\n{}", of_tenant(name, tenant, *now))?;
        }
        if let Some(newest) = warnings.first() {
            let whose = newest.tenant.as_deref().map(|tenant| format!("{tenant}: ")).unwrap_or_default();
            let age = ago(Some(newest.at), *now);
            write!(f, "\n\nlast {}, {age}: {whose}{}", newest.level, newest.text)?;
        }
        Ok(())
    }
}

fn of_tenant(name: &str, tenant: &TenantStatus, now: UnixMs) -> String {
    let mut text = name.to_owned();
    // Writing to a string does not fail.
    if let Some(state) = &tenant.state {
        let to = if tenant.sinks.is_empty() {
            String::new()
        } else {
            format!(", to {}", tenant.sinks.join(" and "))
        };
        let _ = write!(text, ": {state}{to}");
        if let Some(why) = &tenant.why {
            let _ = write!(text, "\n  {why}");
        }
        let _ = write!(
            text,
            "\n  {} events a second, lag {}, last ack {}",
            rate(tenant.events_per_second.unwrap_or(0.0)),
            lag(tenant.lag_seconds),
            ago(tenant.last_ack, now),
        );
    }
    if let Some(budget) = &tenant.budget {
        let (minute, hour) = (budget.minute, budget.hour);
        let _ = write!(
            text,
            "\n  budget: {} of {} requests in the last minute, {} of {} in the last hour",
            minute.used, minute.limit, hour.used, hour.limit
        );
        if budget.held_seconds > 0.0 {
            let _ = write!(text, "; held for {} more", span(Duration::from_secs_f64(budget.held_seconds)));
        }
    }
    if !tenant.streams.is_empty() {
        let _ = write!(
            text,
            "\n  {:<16} {:<10} {:>9} {:>8} {:>13} {:>13} {:>13} {:>13}",
            "stream", "state", "events/s", "lag", "read", "committed", "newest event", "last commit"
        );
    }
    let known = Stream::ALL.iter().filter_map(|of| tenant.streams.get_key_value(of.name()));
    let other = tenant.streams.iter().filter(|(name, _)| Stream::named(name).is_none());
    for (name, stream) in known.chain(other) {
        text += &of_stream(name, stream, now);
    }
    if let Some(snapshots) = &tenant.snapshots {
        text += &of_snapshots(snapshots, tenant, now);
    }
    if !tenant.queues.is_empty() {
        let queues: Vec<_> = tenant
            .queues
            .iter()
            .map(|queue| format!("{} {}/{}", queue.name, queue.pages, queue.most))
            .collect();
        let _ = write!(text, "\n  pages waiting: {}", queues.join(", "));
        if let Some((held, most)) = tenant.in_flight {
            let _ = write!(text, "; {} of {} in flight", bytes(held as f64), bytes(most as f64));
        }
    }
    if tenant.quarantined > 0 {
        let _ = write!(text, "\n  {} in quarantine, most of them because:", tenant.quarantined);
        for admin::Reason { stream, reason, entries } in &tenant.reasons {
            let _ = write!(text, "\n    {entries:>6}  {stream}: {reason}");
        }
        let _ = write!(text, "\n  see them: opgraph quarantine list --tenant {name}");
    }
    text
}

fn of_stream(name: &str, stream: &StreamStatus, now: UnixMs) -> String {
    let at = &stream.committed;
    let overlap = if at.rewinding { "  reading a rewind's overlap" } else { "" };
    let past = match at.windows {
        0 => String::new(),
        windows => format!("  {windows} windows of its past to read"),
    };
    let why = stream.why.as_deref().map(|why| format!("\n    {why}")).unwrap_or_default();
    let read = stream.metrics.get("opgraph_events_read_total").map_or("-".to_owned(), |read| count(*read));
    format!(
        "\n  {name:<16} {:<10} {:>9} {:>8} {read:>13} {:>13} {:>13} {:>13}{overlap}{past}{why}",
        stream.state.as_deref().unwrap_or("-"),
        stream.events_per_second.map_or("-".to_owned(), rate),
        if stream.state.is_some() { lag(stream.lag_seconds) } else { "-".to_owned() },
        count(at.events as f64),
        ago(at.newest_event, now),
        ago(at.committed_at, now),
    )
}

fn of_snapshots(of: &SnapshotStatus, tenant: &TenantStatus, now: UnixMs) -> String {
    let metric = |name: &str| tenant.metrics.get(name).map(|number| count(*number));
    let mut text = format!("\n  {:<16} {:<10}", "vaults and items", of.state.as_deref().unwrap_or("-"));
    let _ = write!(text, " {} vaults known", of.vaults);
    if let (Some(items), Some(opened), Some(removed)) = (
        metric("opgraph_items_listed_total"),
        metric("opgraph_items_opened_total"),
        metric("opgraph_removed_total"),
    ) {
        let whole = ago(of.done_at, now);
        let _ =
            write!(text, ", {items} items listed, {opened} opened, {removed} records removed; whole {whole}");
    }
    if let Some(why) = &of.why {
        let _ = write!(text, "\n    {why}");
    }
    text
}

/// A time as people say it.
pub(super) fn ago(at: Option<UnixMs>, now: UnixMs) -> String {
    at.map_or("never".to_owned(), |at| format!("{} ago", short(now.since(at))))
}
