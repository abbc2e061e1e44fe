//! What is accepted, and the exact sentence for what is not.

mod connect;

mod example;

mod keys;

mod tenants;

mod folders;

mod access;

mod admin;

mod jupiterone;

mod flags;

use super::*;

const SECRET: &str = "eyJhbGciOiJFUzI1NiJ9.c2VjcmV0.c2lnbmF0dXJl";

/// A file in which only the lines under test are unusual.
const ACME: &str = r#"
[[tenant]]
name = "acme"
[tenant.events]
token = { env = "OP_EVENTS_TOKEN" }
"#;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("opgraph.toml")).map_err(|error| {
        assert!(!format!("{error:?}{error}").contains("c2VjcmV0"), "no error shows a token");
        error.to_string()
    })
}

/// The errors of a file, one string a problem.
fn problems(text: &str) -> Vec<String> {
    let error = Config::parse(text, Path::new("opgraph.toml")).expect_err(text);
    assert!(!format!("{error:?}{error}").contains("c2VjcmV0"), "no error shows a token");
    error.problems().iter().map(|problem| problem.to_string()).collect()
}

fn check(text: &str, expect: &[&str]) {
    assert_eq!(problems(text), expect, "{text}");
}

/// Like `check`, for lines that are added to a tenant.
fn check_tenant(lines: &str, expect: &[&str]) {
    check(&ACME.replace("[tenant.events]", &format!("{lines}\n[tenant.events]")), expect);
}

/// Like `check`, for lines that are added to the events section.
fn check_events(lines: &str, expect: &[&str]) {
    check(&format!("{ACME}{lines}"), expect);
}

/// Like `check`, for lines that follow a JupiterOne account and token.
fn check_jupiterone(lines: &str, expect: &[&str]) {
    let start = "[tenant.jupiterone]\naccount = \"j1\"\ntoken = { env = \"JUPITERONE_API_KEY\" }\n";
    check(&format!("{ACME}{start}{lines}"), expect);
}

fn tenant(text: &str) -> Tenant {
    parse(text).unwrap().tenants.remove(0)
}

#[test]
fn little_is_needed_and_the_rest_has_defaults() {
    let expect = Config {
        state_dir: "opgraph-state".into(),
        max_memory: 256 << 20,
        allow_custom_hosts: false,
        admin: None,
        tenants: vec![Tenant {
            name: "acme".to_owned(),
            description: None,
            tag_account_name: false,
            raw_data: true,
            polling_interval: Polling::Every(Duration::from_secs(30)),
            start: Start::Ago(Duration::from_secs(120 * 86_400)),
            events: Events {
                base_url: None,
                token: TokenSource::Env("OP_EVENTS_TOKEN".to_owned()),
                streams: None,
                readers: None,
                limits: Limits::default(),
            },
            connect: None,
            jupiterone: None,
            graph: Some(Graph { path: "graph.db".into() }),
            files: None,
        }],
    };
    assert_eq!(parse(ACME), Ok(expect));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = Config::load(Path::new("/no/such/opgraph.toml")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/no/such/opgraph.toml: cannot read the configuration: No such file or directory (os error 2)\n  \
         hint: name another file with `--config`, or leave it out and use flags"
    );
}
