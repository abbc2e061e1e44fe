//! One tenant: how it is, its pipeline as a picture, its last hour.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use opgraph_state::UnixMs;

use super::plot;
use crate::{
    admin::{
        BudgetStatus, QueueStatus, SnapshotStatus, StreamStatus, TenantStatus, Window,
        words::{UNKNOWN, bytes, count, lag, rate, safe, span},
    },
    stream::Stream,
};

/// The whole of it.
pub(super) fn card(name: &str, tenant: &TenantStatus, now: UnixMs) -> String {
    let state = tenant.state.as_deref().unwrap_or("unknown");
    let to = tenant.sinks.join(" and ");
    let to = if to.is_empty() { String::new() } else { format!("to {to}") };
    let about: Vec<_> = [tenant.description.as_deref().unwrap_or_default(), &to]
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(safe)
        .collect();
    let ack = tenant.last_ack.map_or(UNKNOWN.to_owned(), |at| ago(at, now));
    let facts = [
        ("events a second", rate(tenant.events_per_second.unwrap_or(0.0)), ""),
        ("lag", lag(tenant.lag_seconds), ""),
        ("last ack", ack, ""),
        ("in quarantine", count(tenant.quarantined as f64), if tenant.quarantined > 0 { "warn" } else { "" }),
    ];
    let facts: String = facts
        .iter()
        .map(|(name, value, class)| format!("<div class=\"{class}\"><dt>{name}</dt><dd>{value}</dd></div>"))
        .collect();
    // A tenant that never came to its streams has nothing to draw.
    let drawn = !tenant.streams.is_empty();
    let plots = tenant.last_hour.as_ref().filter(|_| drawn).map(plot::both).unwrap_or_default();
    let picture = if drawn { picture(tenant, now) } else { String::new() };
    let name = safe(name);
    format!(
        "<article class=\"tenant\" aria-label=\"tenant {name}\"><header><h2>{name}</h2>\
         {chip}<p class=\"about\">{about}</p>\
         <dl class=\"facts\">{facts}</dl></header>{why}{picture}{set_aside}{plots}</article>",
        chip = chip(state),
        about = about.join(" · "),
        why = why(tenant),
        set_aside = set_aside(tenant),
    )
}

/// A state: its word, and its colour.
fn chip(state: &str) -> String {
    format!("<span class=\"chip {}\">{}</span>", class(state), safe(state))
}

/// The colour of a state. The word stands beside it, always.
fn class(state: &str) -> &'static str {
    match state {
        "running" | "reading" | "caught up" | "done" => "ok",
        "pausing" => "warn",
        "stopped" | "halted" | "parked" => "bad",
        _ => "idle",
    }
}

fn ago(at: UnixMs, now: UnixMs) -> String {
    format!("{} ago", span(Duration::from_secs(now.since(at).as_secs())))
}

/// Why somebody has to look, in full.
fn why(tenant: &TenantStatus) -> String {
    let mut lines = String::new();
    let mut line = |of: &str, state: Option<&str>, why: &str| {
        let class = class(state.unwrap_or_default());
        let of = if of.is_empty() { String::new() } else { format!("<b>{}</b> ", safe(of)) };
        let _ = write!(lines, "<p class=\"why {class}\">{of}{}</p>", safe(why));
    };
    if let Some(why) = &tenant.why {
        line("", tenant.state.as_deref(), why);
    }
    for (name, stream) in &tenant.streams {
        if let Some(why) = &stream.why {
            line(name, stream.state.as_deref(), why);
        }
    }
    if let Some(SnapshotStatus { why: Some(why), state, .. }) = &tenant.snapshots {
        line("vaults and items", state.as_deref(), why);
    }
    lines
}

/// The pipeline: streams, the stages behind them, what waits in between.
fn picture(tenant: &TenantStatus, now: UnixMs) -> String {
    let metrics = &tenant.metrics;
    let metric = |name: &str| metrics.get(name).copied().unwrap_or(0.0);
    let of_streams =
        |name: &str| -> f64 { tenant.streams.values().filter_map(|stream| stream.metrics.get(name)).sum() };
    let queue = |name: &str| tenant.queues.iter().find(|queue| queue.name == name);
    let records = sum(metrics, "opgraph_records_mapped_total{");
    let oddities = sum(metrics, "opgraph_oddities_total{");
    let (uploads, commits) = (metric("opgraph_upload_seconds_count"), metric("opgraph_commit_seconds_count"));
    let each = |sum: f64, count: f64| {
        if count > 0.0 {
            format!("{} each", span(Duration::from_secs_f64(sum / count)))
        } else {
            String::new()
        }
    };
    let jobs =
        [("uploading", "uploading"), ("finalizing", "finalizing")].into_iter().filter_map(|(state, word)| {
            let jobs = metric(&format!("opgraph_jobs_open{{state=\"{state}\"}}"));
            (jobs > 0.0).then(|| {
                format!("{} {word}", if jobs == 1.0 { "job".to_owned() } else { format!("{jobs} jobs") })
            })
        });
    let open = jobs.collect::<Vec<_>>().join(", ");
    let ids = format!(
        "{} ids, {}",
        count(metric("opgraph_remembered_ids")),
        bytes(metric("opgraph_remembered_bytes"))
    );
    let mut stages = String::new();
    stages += &arrow(queue("fetched"));
    stages += &stage("dedup", &count(of_streams("opgraph_events_duplicate_total")), "dropped", &ids);
    stages += &arrow(queue("fresh"));
    let odd = if oddities > 0.0 { format!("{} odd values", count(oddities)) } else { String::new() };
    stages += &stage("map", &count(records), "records", &odd);
    stages += &arrow(queue("mapped"));
    let took = each(metric("opgraph_upload_seconds_sum"), uploads);
    stages += &stage(
        "upload",
        &count(metric("opgraph_uploads_total")),
        "uploads",
        if open.is_empty() { &took } else { &open },
    );
    stages += &arrow(queue("acks"));
    let took = each(metric("opgraph_commit_seconds_sum"), commits);
    let ack = tenant.last_ack.map_or("no ack yet".to_owned(), |at| format!("ack {}", ago(at, now)));
    stages += &stage(
        "commit",
        &count(metric("opgraph_commits_total")),
        "commits",
        &if took.is_empty() { ack } else { format!("{took}, {ack}") },
    );
    let in_flight = tenant.in_flight.map_or(String::new(), |(held, most)| {
        let share = held as f64 / most.max(1) as f64;
        bar("in flight", share, &format!("{} of {}", bytes(held as f64), bytes(most as f64)))
    });
    let streams: String = Stream::ALL
        .iter()
        .filter_map(|stream| Some(stream_row(stream.name(), tenant.streams.get(stream.name())?)))
        .collect();
    let snapshots = tenant.snapshots.as_ref().map(|of| snapshot_row(of, metrics, now)).unwrap_or_default();
    let budget = tenant.budget.as_ref().map(budget).unwrap_or_default();
    format!(
        "<div class=\"pipeline\"><div class=\"sources\"><ul>{streams}{snapshots}</ul></div>\
         <ol class=\"stages\" aria-label=\"stages of the pipeline\">{stages}</ol>\
         <div class=\"bars\">{budget}{in_flight}</div></div>"
    )
}

fn sum(metrics: &BTreeMap<String, f64>, prefix: &str) -> f64 {
    metrics.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, value)| value).sum()
}

fn stream_row(name: &str, stream: &StreamStatus) -> String {
    let state = stream.state.as_deref().unwrap_or("unknown");
    let metric = |name: &str| stream.metrics.get(name).copied().unwrap_or(0.0);
    let (past, read) = (metric("opgraph_past_seconds"), metric("opgraph_past_read_seconds"));
    // While the past is read, what is new is never far behind.
    let behind = if metric("opgraph_windows{state=\"left\"}") > 0.0 {
        format!("past {:.0} %", 100.0 * read / past.max(1.0))
    } else {
        format!("lag {}", lag(stream.lag_seconds))
    };
    row(
        name,
        state,
        &format!("{} /s", rate(stream.events_per_second.unwrap_or(0.0))),
        &behind,
        &format!("{} read", count(metric("opgraph_events_read_total"))),
    )
}

fn snapshot_row(of: &SnapshotStatus, metrics: &BTreeMap<String, f64>, now: UnixMs) -> String {
    let items = metrics.get("opgraph_items_listed_total").copied().unwrap_or(0.0);
    let done = of.done_at.map_or("none whole yet".to_owned(), |at| format!("whole {}", ago(at, now)));
    let state = of.state.as_deref().unwrap_or("unknown");
    row(
        "vaults and items",
        state,
        &format!("{} vaults", count(of.vaults as f64)),
        &done,
        &format!("{} listed", count(items)),
    )
}

fn row(name: &str, state: &str, first: &str, second: &str, third: &str) -> String {
    format!(
        "<li><b>{name}</b>{}<span>{first}</span><span>{second}</span><span>{third}</span></li>",
        chip(state),
    )
}

fn stage(name: &str, number: &str, units: &str, note: &str) -> String {
    let unit = if number == "1" { units.trim_end_matches('s') } else { units };
    format!(
        "<li class=\"stage\"><h3>{name}</h3><p><strong>{number}</strong> {unit}</p><p class=\"note\">{}</p></li>",
        safe(note)
    )
}

/// What waits between two stages: a cell for each page that may.
fn arrow(queue: Option<&QueueStatus>) -> String {
    let (pages, most) = queue.map_or((0, 4), |queue| (queue.pages, queue.most));
    // More cells than these are no picture any more.
    let cells = most.clamp(1, 8);
    let full = (pages * cells).div_ceil(most.max(1)).min(cells);
    let mut drawn = String::new();
    for cell in 0..cells {
        let class = if cell < full { "full" } else { "empty" };
        // The page that leaves next is at the right.
        let x = (cells - 1 - cell) * 7;
        let _ = write!(drawn, "<rect class=\"{class}\" x=\"{x}\" width=\"5\" height=\"12\" rx=\"1\"/>");
    }
    let said = format!("{pages} of {most} pages waiting");
    let width = cells * 7 - 2;
    format!(
        "<li class=\"arrow\"><svg viewBox=\"0 0 {width} 12\" width=\"{width}\" height=\"12\" role=\"img\" \
         aria-label=\"{said}\"><title>{said}</title>{drawn}</svg></li>"
    )
}

fn budget(of: &BudgetStatus) -> String {
    let window = |name: &str, window: &Window| {
        let share = window.used as f64 / window.limit.max(1) as f64;
        bar(name, share, &format!("{} of {} requests", count(window.used as f64), count(window.limit as f64)))
    };
    let held = if of.held_seconds > 0.0 {
        let left = span(Duration::from_secs_f64(of.held_seconds));
        format!(
            "<p class=\"held\"><span class=\"chip warn\">held</span> 1Password asked to wait: {left} left</p>"
        )
    } else {
        String::new()
    };
    window("budget, last minute", &of.minute) + &window("budget, last hour", &of.hour) + &held
}

/// How much of something is used, with the numbers beside it.
fn bar(name: &str, share: f64, said: &str) -> String {
    let share = share.clamp(0.0, 1.0);
    let class = if share > 0.95 { "high" } else { "" };
    format!(
        "<div class=\"bar {class}\"><span>{name}</span><svg viewBox=\"0 0 100 6\" preserveAspectRatio=\"none\" \
         aria-hidden=\"true\"><rect class=\"empty\" width=\"100\" height=\"6\"/>\
         <rect class=\"full\" width=\"{:.1}\" height=\"6\"/></svg><span>{said}</span></div>",
        share * 100.0
    )
}

/// What waits in quarantine, and why.
fn set_aside(tenant: &TenantStatus) -> String {
    if tenant.quarantined == 0 {
        return String::new();
    }
    let reason = |reason: &crate::admin::Reason| {
        format!(
            "<li><strong>{}</strong> {}: {}</li>",
            count(reason.entries as f64),
            safe(&reason.stream),
            safe(&reason.reason)
        )
    };
    let reasons: String = tenant.reasons.iter().map(reason).collect();
    let (number, entries) =
        (count(tenant.quarantined as f64), if tenant.quarantined == 1 { "entry" } else { "entries" });
    format!(
        "<section class=\"aside\"><h3><span class=\"chip warn\">quarantine</span> {number} {entries} set aside</h3>\
         <ul>{reasons}</ul><p class=\"note\">See them with <code>opgraph quarantine list</code> once this process is stopped.</p></section>"
    )
}
