//! How many requests a configuration will make in a day.

use std::time::Duration;

use crate::{
    config::{self, Polling, Tenant},
    http::Limits,
    source::events_api::PAGE_SIZE,
    stream::Stream,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// What the tenant will ask of each API: one line an API.
pub(super) fn a_day(tenant: &Tenant) -> Vec<String> {
    let events = events(tenant);
    let connect = tenant.connect.as_ref().map(|connect| connect_requests(connect, tenant.polling_interval));
    let jupiterone = tenant.jupiterone.as_ref().map(uploads);
    std::iter::once(events).chain(connect).chain(jupiterone).collect()
}

/// Each stream that has caught up makes one request an interval.
fn events(tenant: &Tenant) -> String {
    let limits = tenant.events.limits;
    let bounded = format!(
        "never more than {} a minute and {} an hour",
        with_commas(limits.per_minute.get().into()),
        with_commas(limits.per_hour.get().into()),
    );
    let Polling::Every(interval) = tenant.polling_interval else {
        return format!(
            "requests to 1Password: one for every {} events of a `run --once`, {bounded}",
            with_commas(PAGE_SIZE.get().into())
        );
    };
    let (streams, which) = match &tenant.events.streams {
        Some(streams) => (streams.len(), "stream(s)"),
        None => (Stream::ALL.len(), "streams, or as many as the token may read"),
    };
    let wanted = times(interval) * streams as u64;
    let (made, waits) = match allowed(limits) {
        allowed if wanted > allowed => {
            (allowed, "; the polling interval asks for more, and waits for the limits")
        }
        _ => (wanted, ""),
    };
    format!(
        "requests to 1Password: {} a day when little happens ({streams} {which}, every {}), one more for every \
         {} events; {bounded}{waits}",
        with_commas(made),
        written(interval),
        with_commas(PAGE_SIZE.get().into()),
    )
}

/// What the limits let through in a day: the budget keeps to nine tenths of them.
fn allowed(limits: Limits) -> u64 {
    let (minute, hour) = (u64::from(limits.per_minute.get()), u64::from(limits.per_hour.get()));
    (minute * 60).min(hour) * 24 * 9 / 10
}

/// An account in which nothing has changed costs one request a snapshot.
fn connect_requests(connect: &config::Connect, polling: Polling) -> String {
    let opened = if connect.item_details { " and for each new version of an item" } else { "" };
    match polling {
        Polling::Every(_) => format!(
            "requests to Connect: {} a day when nothing changes (every {}), one more for each changed vault{opened}",
            with_commas(times(connect.interval)),
            written(connect.interval),
        ),
        Polling::Disabled => {
            format!("requests to Connect: one each `run --once`, one more for each changed vault{opened}")
        }
    }
}

/// An upload is finished at its age or when it is full, and nothing to send opens none.
fn uploads(jupiterone: &config::JupiterOne) -> String {
    let limits = jupiterone.upload;
    let jobs = match jupiterone.plan {
        config::Plan::Instance { .. } => "one sync job each",
        config::Plan::Scope { .. } => {
            "a sync job each for every stream and for every scope of shared records that changed"
        }
    };
    format!(
        "uploads to JupiterOne: at most {} a day (one every {}), one more for every {} events; {jobs}; none when \
         nothing happens",
        with_commas(times(limits.age)),
        written(limits.age),
        with_commas(limits.events),
    )
}

/// How often an interval fits into a day, a part counted as one.
fn times(interval: Duration) -> u64 {
    u64::try_from(DAY.as_nanos().div_ceil(interval.as_nanos().max(1))).unwrap_or(u64::MAX)
}

/// A duration as the configuration has it: `30s`, `2m 30s`, `15m`.
fn written(time: Duration) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let mut left = time.as_secs();
    let mut parts = Vec::new();
    for (unit, name) in units {
        if left >= unit {
            parts.push(format!("{}{name}", left / unit));
            left %= unit;
        }
    }
    if time.subsec_millis() > 0 || parts.is_empty() {
        parts.push(format!("{}ms", time.subsec_millis()));
    }
    parts.join(" ")
}

fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn check(lines: &str, sections: &str, expect: &[&str]) {
        let text = format!(
            "[[tenant]]\nname = \"acme\"\n{lines}\n[tenant.events]\ntoken = {{ env = \"OP_EVENTS_TOKEN\" }}\n{sections}"
        );
        let config =
            Config::parse(&text, Path::new("opgraph.toml")).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(a_day(&config.tenants[0]), expect, "{text}");
    }

    #[test]
    fn a_day_is_counted_from_the_intervals_and_bounded_by_the_limits() {
        let bounded = "never more than 600 a minute and 30,000 an hour";
        let all = "3 streams, or as many as the token may read";
        check(
            "",
            "",
            &[&format!(
                "requests to 1Password: 8,640 a day when little happens ({all}, every 30s), one more for every 1,000 events; {bounded}"
            )],
        );
        check(
            "polling_interval = \"1m 30s\"",
            "streams = [\"auditevents\"]",
            &[&format!(
                "requests to 1Password: 960 a day when little happens (1 stream(s), every 1m 30s), one more for every 1,000 events; {bounded}"
            )],
        );
        // 3 * 86,400 is more than 24 * 0.9 * 600.
        check(
            "polling_interval = \"1s\"",
            "limits = { per_hour = 600 }",
            &[&format!(
                "requests to 1Password: 12,960 a day when little happens ({all}, every 1s), one more for every 1,000 events; \
                 never more than 600 a minute and 600 an hour; the polling interval asks for more, and waits for the limits"
            )],
        );
        check(
            "polling_interval = \"DISABLED\"",
            "[tenant.connect]\nbase_url = \"http://127.0.0.1:8080\"\ntoken = { env = \"C\" }\nitem_details = false",
            &[
                &format!("requests to 1Password: one for every 1,000 events of a `run --once`, {bounded}"),
                "requests to Connect: one each `run --once`, one more for each changed vault",
            ],
        );
    }

    #[test]
    fn snapshots_and_uploads_are_counted_too() {
        let connect = "[tenant.connect]\nbase_url = \"http://127.0.0.1:8080\"\ntoken = { env = \"C\" }\ninterval = \"7m\"\n";
        let jupiterone = "[tenant.jupiterone]\naccount = \"A\"\ntoken = { env = \"J\" }\nscope = \"s\"\nupload_age = \"5m\"\n";
        let text = format!(
            "[[tenant]]\nname = \"acme\"\n[tenant.events]\ntoken = {{ env = \"E\" }}\n{connect}{jupiterone}"
        );
        let config = Config::parse(&text, Path::new("opgraph.toml")).unwrap();
        let lines = a_day(&config.tenants[0]);
        assert_eq!(
            lines[1..],
            [
                "requests to Connect: 206 a day when nothing changes (every 7m), one more for each changed vault and for each new version of an item",
                "uploads to JupiterOne: at most 288 a day (one every 5m), one more for every 100,000 events; a sync job each for every stream and for every scope of shared records that changed; none when nothing happens",
            ]
        );
    }
}
