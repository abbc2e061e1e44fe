//! The status page: written here, shown as it is, and written anew while somebody looks.
//!
//! The page works without script. With it, `page.js` asks every two seconds for
//! the same HTML and changes what has changed, so that what is selected, open or
//! focused stays so.

mod plot;

mod tenant;

use std::{hash::BuildHasher, sync::LazyLock, time::Duration};

use super::{
    Status, Warning, words,
    words::{bytes, count, safe, span},
};

/// Tenants that the page shows; those first that need a person.
const MOST_TENANTS: usize = 50;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const ICON: &str = include_str!("icon.svg");

/// What changes when any of the files does: browsers keep them for ever.
static EDITION: LazyLock<String> = LazyLock::new(|| {
    format!("{:016x}", foldhash::fast::FixedState::default().hash_one((STYLE, SCRIPT, ICON)))
});

/// A file of the page, with its type.
pub(super) fn asset(path: &str) -> Option<(&'static str, &'static str)> {
    match path {
        "/assets/page.css" => Some(("text/css; charset=utf-8", STYLE)),
        "/assets/page.js" => Some(("text/javascript; charset=utf-8", SCRIPT)),
        "/assets/icon.svg" => Some(("image/svg+xml", ICON)),
        _ => None,
    }
}

/// The whole page.
pub(super) fn whole(status: &Status) -> String {
    let edition = &*EDITION;
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>\
         <link rel=\"icon\" href=\"/assets/icon.svg?{edition}\" type=\"image/svg+xml\">\
         <link rel=\"stylesheet\" href=\"/assets/page.css?{edition}\">\
         <script src=\"/assets/page.js?{edition}\" defer></script></head>\
         <body><main>{inner}</main>\
         <footer><a href=\"/api/status\">/api/status</a><a href=\"/metrics\">/metrics</a>\
         <a href=\"/healthz\">/healthz</a><a href=\"/readyz\">/readyz</a>\
         <span id=\"live\" role=\"status\">as it was when the page was loaded</span>\
         <button id=\"pause\" type=\"button\" aria-pressed=\"false\" hidden>Pause</button></footer></body></html>\n",
        title = safe(&title(status)),
        inner = inner(status),
    )
}

/// What changes while somebody looks.
pub(super) fn inner(status: &Status) -> String {
    let mut tenants: Vec<_> = status.tenants.iter().collect();
    tenants.sort_by_key(|(_, tenant)| (!tenant.needs_a_person(), tenant.state.as_deref() != Some("pausing")));
    let more = tenants.len().saturating_sub(MOST_TENANTS);
    let shown: String =
        tenants.iter().take(MOST_TENANTS).map(|(name, of)| tenant::card(name, of, status.now)).collect();
    let more = match more {
        0 => String::new(),
        more => format!(
            "<p class=\"more\">and {more} more tenants: see <a href=\"/api/status\">/api/status</a></p>"
        ),
    };
    format!("{}{shown}{more}{}", head(status), warnings(status))
}

fn title(status: &Status) -> String {
    match waiting(status) {
        0 => "opgraph".to_owned(),
        some => format!("({some}) opgraph"),
    }
}

/// Tenants that wait for a person.
fn waiting(status: &Status) -> usize {
    status.tenants.values().filter(|tenant| tenant.needs_a_person()).count()
}

fn head(status: &Status) -> String {
    let all = status.tenants.len();
    let verdict = match waiting(status) {
        0 => "<span class=\"chip ok\">all is well</span>".to_owned(),
        1 => "<span class=\"chip bad\">1 tenant needs you</span>".to_owned(),
        some => format!("<span class=\"chip bad\">{some} tenants need you</span>"),
    };
    let metric = |name: &str| status.metrics.get(name).copied();
    let rate: f64 = status.tenants.values().filter_map(|tenant| tenant.events_per_second).sum();
    let up = status.started_at.map(|at| span(status.now.since(at)));
    let facts = [
        (if all == 1 { "tenant" } else { "tenants" }, Some(count(all as f64))),
        ("events a second", Some(words::rate(rate))),
        ("memory", metric("process_resident_memory_bytes").map(bytes)),
        ("up", up),
    ];
    let facts: String = facts
        .into_iter()
        .filter_map(|(name, value)| Some(format!("<div><dt>{name}</dt><dd>{}</dd></div>", safe(&value?))))
        .collect();
    format!(
        "<header class=\"top\" data-title=\"{title}\"><h1>opgraph <small>{version}</small></h1>{verdict}\
         <dl class=\"facts\">{facts}</dl></header>",
        title = safe(&title(status)),
        version = safe(&status.version),
    )
}

fn warnings(status: &Status) -> String {
    if status.warnings.is_empty() {
        return "<section class=\"warnings\"><h2>Recent warnings</h2><p class=\"quiet\">None since the start.</p></section>".to_owned();
    }
    let line = |warning: &Warning| {
        let Warning { at, level, tenant, stream, text, times } = warning;
        let ago = span(Duration::from_secs(status.now.since(*at).as_secs()));
        let whose: String =
            [tenant, stream].into_iter().flatten().map(|name| format!("<b>{}</b> ", safe(name))).collect();
        let times = if *times > 1 { format!(" <em>{times} times</em>") } else { String::new() };
        let class = if level == "error" { "bad" } else { "warn" };
        format!(
            "<li><span class=\"chip {class}\">{}</span><time>{ago} ago</time>\
             <span class=\"what\">{whose}{}{times}</span></li>",
            safe(level),
            safe(text),
        )
    };
    let lines: String = status.warnings.iter().map(line).collect();
    format!(
        "<section class=\"warnings\"><h2>Recent warnings</h2>\
         <ol tabindex=\"0\" aria-label=\"Recent warnings, newest first\">{lines}</ol></section>"
    )
}

#[cfg(test)]
mod tests;
