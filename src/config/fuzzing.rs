//! The fuzz target of configuration files.

use std::{collections::BTreeSet, path::Path};

use super::Config;

/// Configuration files: what is accepted keeps what [`Config`] promises, and
/// what is refused says where and what to write instead.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Config::parse(text, Path::new("/etc/opgraph.toml")) {
        Ok(config) => {
            let names: BTreeSet<&str> = config.tenants.iter().map(|tenant| tenant.name.as_str()).collect();
            assert!(names.len() == config.tenants.len() && !names.is_empty());
            for tenant in &config.tenants {
                assert!(tenant.jupiterone.is_some() || tenant.graph.is_some(), "a tenant without a sink");
                assert!(tenant.events.streams.as_ref().is_none_or(|streams| !streams.is_empty()));
            }
            assert_eq!(Config::parse(text, Path::new("/etc/opgraph.toml")).as_ref(), Ok(&config));
        }
        Err(error) => {
            assert!(!error.problems().is_empty());
            let lines: Vec<&str> = text.split('\n').collect();
            for problem in error.problems() {
                let (line, column) = problem.place.expect("a problem of a file has a place");
                let longest = lines.get(line - 1).map_or(0, |line| line.chars().count() + 1);
                assert!((1..=longest).contains(&column), "{line}:{column} is not in the file: {problem}");
                assert!(!problem.what.is_empty());
                // Either the sentence says what is expected, or a hint does.
                let hinted = problem.hint.as_ref().is_some_and(|hint| !hint.is_empty());
                assert!(hinted || problem.what.starts_with("expected "), "no hint: {problem}");
            }
            assert!(!error.to_string().is_empty());
        }
    }
}
