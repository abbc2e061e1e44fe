//! The table against Prometheus's conventions, its page and all that names its metrics.

use std::{collections::BTreeSet, fs, path::Path};

use super::*;
use crate::stream::Stream;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn names_keep_prometheus_s_conventions() {
    let names: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), METRICS.len(), "no name twice");
    for Metric { name, kind, help, labels, .. } in METRICS {
        let own = name.starts_with("opgraph_") || name.starts_with("process_");
        assert!(own && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}: only what grows is a total");
        assert!(*kind != Kind::Histogram || name.ends_with("_seconds"), "{name}");
        for unit in ["_ms", "_millis", "_kb", "_mb", "_minutes", "_hours", "_percent"] {
            assert!(!name.ends_with(unit), "{name} is not in a base unit");
        }
        assert!(help.ends_with('.') && !help.contains(['\n', '|']), "{name}: {help}");
        for reserved in ["le", "tenant", "stream", "job", "instance"] {
            assert!(!labels.contains(&reserved), "{name}: the label `{reserved}` is somebody else's");
        }
    }
}

#[test]
fn every_sample_has_the_labels_that_its_row_names() {
    let meter = Meter::default();
    let now = UnixMs(1_000);
    meter.stream(Stream::AuditEvents).newest_event.set(UnixMs(0));
    let mut seen = 0;
    for Metric { name, kind, labels, of, .. } in METRICS {
        let samples = match of {
            Of::Process(read) => read(&Process::look(UnixMs(0), (1, 2))),
            Of::Tenant(read) => read(&meter, now),
            Of::Stream(read) => read(meter.stream(Stream::AuditEvents), now),
        };
        let mut sets = BTreeSet::new();
        for Sample { labels: values, value } in samples {
            assert_eq!(values.len(), labels.len(), "{name}");
            assert_eq!(matches!(value, Value::Times(_)), *kind == Kind::Histogram, "{name}");
            assert!(sets.insert(values), "{name}: the same labels twice");
            seen += 1;
        }
    }
    assert!(seen > 80, "{seen}");
}

#[test]
fn lag_is_nothing_once_caught_up_and_unknown_before_the_first_page() {
    let counted = StreamMeter::default();
    assert_eq!(lag(&counted, UnixMs(5_000)), None);
    counted.newest_event.set(UnixMs(2_000));
    assert_eq!(lag(&counted, UnixMs(5_000)), Some(Duration::from_secs(3)));
    counted.state.set(StreamState::CaughtUp);
    assert_eq!(lag(&counted, UnixMs(5_000)), Some(Duration::ZERO));
    counted.state.set(StreamState::Parked(String::new()));
    assert_eq!(lag(&counted, UnixMs(5_000)), None);
}

#[test]
fn the_page_of_metrics_is_the_table() {
    if std::env::var_os("OPGRAPH_WRITE_DOCS").is_some() {
        fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/METRICS.md"), markdown()).unwrap();
    }
    assert!(
        read("docs/METRICS.md") == markdown(),
        "docs/METRICS.md is old: `OPGRAPH_WRITE_DOCS=1 cargo test --lib metrics` writes it anew"
    );
}

/// The names of metrics in a text of PromQL, without what a histogram adds to them.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_' && char != ':');
    let ours = words.filter(|word| word.starts_with("opgraph_") || word.starts_with("process_"));
    let bare = |word: &str| {
        let known = |name: &str| METRICS.iter().any(|metric| metric.name == name);
        let ends = ["_bucket", "_sum", "_count"];
        let times = ends.iter().find_map(|end| word.strip_suffix(end)).filter(|name| {
            METRICS.iter().any(|metric| metric.name == *name && metric.kind == Kind::Histogram)
        });
        times.filter(|_| !known(word)).unwrap_or(word).to_owned()
    };
    ours.map(bare).collect()
}

#[test]
fn what_the_dashboard_and_the_alerts_name_is_in_the_table() {
    for path in ["deploy/grafana/opgraph.json", "deploy/prometheus/opgraph.rules.yaml"] {
        let text = read(path);
        let named = named(&text);
        assert!(named.len() > 8, "{path} names {named:?}");
        for name in named {
            assert!(METRICS.iter().any(|metric| metric.name == name), "{path}: there is no metric `{name}`");
        }
    }
    let dashboard: serde_json::Value = serde_json::from_str(&read("deploy/grafana/opgraph.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let queries = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    assert!(queries.map(|query| query["expr"].as_str().unwrap()).all(|query| !named(query).is_empty()));
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "no two panels share an id");
}
