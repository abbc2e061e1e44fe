//! The table of metrics in Prometheus's text format, and as names with numbers.

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use opgraph_state::UnixMs;

use super::{
    metrics::{METRICS, Metric, Of, Sample, Samples, Value},
    process::Process,
};
use crate::{stream::Stream, telemetry::Meter};

/// The type of an answer in this format.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes every metric of the process and its tenants.
///
/// Streams that are not read at all have no series, so that nobody is told of a
/// stream that nobody configured.
pub(super) fn text(process: &Process, tenants: &[(Arc<str>, Arc<Meter>)], now: UnixMs) -> String {
    let mut text = String::with_capacity(8 << 10);
    for metric in METRICS {
        let mut lines = Lines { metric, text: String::new() };
        match metric.of {
            Of::Process(read) => lines.add(&[], read(process)),
            Of::Tenant(read) => {
                for (tenant, meter) in tenants {
                    lines.add(&[("tenant", tenant)], read(meter, now));
                }
            }
            Of::Stream(read) => {
                for (tenant, meter) in tenants {
                    for stream in watched(meter) {
                        let labels = [("tenant", &**tenant), ("stream", stream.name())];
                        lines.add(&labels, read(meter.stream(stream), now));
                    }
                }
            }
        }
        if !lines.text.is_empty() {
            let (name, help, kind) = (metric.name, metric.help, metric.kind.name());
            text += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{}", lines.text);
        }
    }
    text
}

/// The streams that are to be read.
pub(super) fn watched(meter: &Meter) -> impl Iterator<Item = Stream> {
    Stream::ALL.iter().copied().filter(|stream| meter.stream(*stream).wanted.get() > 0)
}

/// What a tenant's own metrics say, each under its name and its own labels.
pub(super) fn of_tenant(meter: &Meter, now: UnixMs) -> BTreeMap<String, f64> {
    collect(|metric| match metric.of {
        Of::Tenant(read) => read(meter, now),
        _ => Vec::new(),
    })
}

/// What the metrics of a stream say.
pub(super) fn of_stream(meter: &Meter, stream: Stream, now: UnixMs) -> BTreeMap<String, f64> {
    collect(|metric| match metric.of {
        Of::Stream(read) => read(meter.stream(stream), now),
        _ => Vec::new(),
    })
}

/// What the metrics of the process say.
pub(super) fn of_process(process: &Process) -> BTreeMap<String, f64> {
    collect(|metric| match metric.of {
        Of::Process(read) => read(process),
        _ => Vec::new(),
    })
}

fn collect(read: impl Fn(&Metric) -> Samples) -> BTreeMap<String, f64> {
    let mut numbers = BTreeMap::new();
    for metric in METRICS {
        for Sample { labels, value } in read(metric) {
            let labels: Vec<_> = metric.labels.iter().copied().zip(labels.iter().map(|it| &**it)).collect();
            let mut add = |end: &str, number: f64| numbers.insert(series(metric.name, end, &labels), number);
            match value {
                Value::Number(number) => drop(add("", number)),
                Value::Times(spread) => {
                    add("_count", spread.count as f64);
                    add("_sum", spread.sum);
                }
            }
        }
    }
    numbers
}

/// The lines of one metric.
struct Lines<'m> {
    metric: &'m Metric,
    text: String,
}

impl Lines<'_> {
    fn add(&mut self, scope: &[(&'static str, &str)], samples: Samples) {
        let name = self.metric.name;
        for Sample { labels, value } in samples {
            let own = self.metric.labels.iter().copied().zip(labels.iter().map(|it| &**it));
            let labels: Vec<(&str, &str)> = scope.iter().copied().chain(own).collect();
            match value {
                Value::Number(number) => self.line("", &labels, number),
                Value::Times(spread) => {
                    let bounds = spread.at_most.iter().map(|(bound, count)| (bound.to_string(), *count));
                    for (bound, count) in bounds.chain([("+Inf".to_owned(), spread.count)]) {
                        let labels = [&labels[..], &[("le", &bound)]].concat();
                        let _ = writeln!(self.text, "{} {count}", series(name, "_bucket", &labels));
                    }
                    self.line("_sum", &labels, spread.sum);
                    self.line("_count", &labels, spread.count as f64);
                }
            }
        }
    }

    fn line(&mut self, end: &str, labels: &[(&str, &str)], number: f64) {
        let _ = writeln!(self.text, "{} {number}", series(self.metric.name, end, labels));
    }
}

/// The name of a series: a metric's name with its labels.
fn series(name: &str, end: &str, labels: &[(&str, &str)]) -> String {
    let mut series = format!("{name}{end}");
    for (n, (label, value)) in labels.iter().enumerate() {
        series += if n == 0 { "{" } else { "," };
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(series, "{label}=\"{value}\"");
    }
    if !labels.is_empty() {
        series.push('}');
    }
    series
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::telemetry::StreamState;

    #[test]
    fn the_text_is_what_prometheus_reads() {
        let meter = Arc::new(Meter::default());
        meter.runs.add(3);
        meter.stream(Stream::AuditEvents).wanted.set(1);
        meter.stream(Stream::AuditEvents).events.add(7);
        meter.stream(Stream::AuditEvents).state.set(StreamState::CaughtUp);
        meter.commit_times.took(Duration::from_millis(30));
        let process = Process::look(UnixMs(1_500), (0, 4));
        let text = text(&process, &[("a \"b\"\\".into(), meter)], UnixMs(2_000));
        for line in [
            "# TYPE opgraph_runs_total counter",
            r#"opgraph_runs_total{tenant="a \"b\"\\"} 3"#,
            r#"opgraph_events_read_total{tenant="a \"b\"\\",stream="auditevents"} 7"#,
            r#"opgraph_lag_seconds{tenant="a \"b\"\\",stream="auditevents"} 0"#,
            r#"opgraph_commit_seconds_bucket{tenant="a \"b\"\\",le="0.025"} 0"#,
            r#"opgraph_commit_seconds_bucket{tenant="a \"b\"\\",le="0.05"} 1"#,
            r#"opgraph_commit_seconds_bucket{tenant="a \"b\"\\",le="+Inf"} 1"#,
            r#"opgraph_commit_seconds_sum{tenant="a \"b\"\\"} 0.03"#,
            r#"opgraph_log_events_total{level="warn"} 4"#,
            "process_start_time_seconds 1.5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("stream=\"itemusages\""), "a stream that is not read has no series");
        // Every family in one piece, its head in front of it.
        let heads: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        let unique: std::collections::BTreeSet<_> = heads.iter().collect();
        assert_eq!(heads.len(), unique.len());
    }
}
