//! docs/config.example.toml: what it shows is what holds.

use super::*;

#[test]
fn the_example_is_valid_and_shows_the_defaults() {
    let text = include_str!("../../../docs/config.example.toml");
    let config = parse(text).unwrap();
    let mut example = config.tenants[0].clone();
    assert_eq!(
        example.jupiterone.take().unwrap().plan,
        Plan::Instance {
            id: "11111111-1111-1111-1111-111111111111".to_owned(),
            source: InstanceSource::External,
        }
    );
    assert_eq!(
        example.connect.take().unwrap(),
        Connect {
            base_url: "http://127.0.0.1:8080".parse().unwrap(),
            token: TokenSource::env("OP_CONNECT_TOKEN").unwrap(),
            interval: CONNECT_INTERVAL,
            item_details: true,
            connections: CONNECTIONS,
        }
    );
    assert_eq!(example.description.take().as_deref(), Some("production"));
    assert_eq!(config.admin, Some(Admin { listen: "127.0.0.1:9184".parse().unwrap(), token: None }));
    let default = parse(ACME).unwrap();
    assert_eq!(example, default.tenants[0]);
    assert_eq!(
        (config.state_dir, config.max_memory, config.allow_custom_hosts),
        (default.state_dir, default.max_memory, default.allow_custom_hosts)
    );
}

#[test]
fn every_alternative_of_the_example_is_valid_in_its_place() {
    let text = include_str!("../../../docs/config.example.toml");
    let lines: Vec<&str> = text.lines().collect();
    let key = |line: &str| line.trim_start_matches("# ").split_once(" = ").map(|(key, _)| key.to_owned());
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("tenants.d")).unwrap();
    let mut tried = 0;
    for (n, line) in lines.iter().enumerate() {
        let Some(alternative) =
            line.strip_prefix("# ").filter(|_| key(line).is_some_and(|key| !key.contains(' ')))
        else {
            continue;
        };
        // It replaces the nearest line above with the same key; `scope` replaces the instance.
        let mut changed: Vec<&str> = lines.clone();
        changed[n] = alternative;
        let own = key(line).unwrap();
        if let Some(above) = (0..n)
            .rev()
            .take_while(|at| !lines[*at].starts_with('['))
            .find(|at| !lines[*at].starts_with('#') && key(lines[*at]) == Some(own.clone()))
        {
            changed[above] = "";
        }
        if own == "scope" {
            for line in &mut changed {
                if line.starts_with("integration_instance_id") || line.starts_with("source") {
                    *line = "";
                }
            }
        }
        Config::parse(&changed.join("\n"), &dir.path().join("opgraph.toml"))
            .unwrap_or_else(|error| panic!("{alternative}: {error}"));
        tried += 1;
    }
    assert_eq!(tried, 19);
}

#[test]
fn the_example_names_every_key() {
    let text = include_str!("../../../docs/config.example.toml");
    for (table, keys) in tables::KEYS {
        for key in *keys {
            assert!(text.contains(key), "{key} of {table}");
        }
    }
}
