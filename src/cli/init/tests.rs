//! The dialogue with scripted answers, and the file that comes of it.

use std::{collections::VecDeque, fs, os::unix::fs::PermissionsExt};

use clap::Parser;
use secrecy::ExposeSecret;

use super::*;
use crate::{
    cli::args::{Cli, Command},
    config::{self, Config},
};

const SECRET: &str = "eyJhbGciOiJFUzI1NiJ9.c2VjcmV0.c2lnbmF0dXJl";

fn init(line: &str) -> Init {
    let words = std::iter::once("opgraph").chain(line.split_whitespace());
    let Command::Init(init) = Cli::try_parse_from(words).unwrap().command else { panic!("{line}") };
    *init
}

/// Answers in turn, and keeps all that was said.
struct Scripted {
    lines: VecDeque<&'static str>,
    heard: String,
}

impl Scripted {
    fn of(script: &'static str) -> Scripted {
        let lines = script.lines().map(str::trim).skip(1).collect();
        Scripted { lines, heard: String::new() }
    }
}

impl Person for Scripted {
    fn tell(&mut self, text: &str) {
        self.heard.push_str(&format!("{text}\n"));
    }

    fn answer(&mut self, question: &str) -> Result<String, Failed> {
        let line = self.lines.pop_front().ok_or_else(|| Failed::text(Exit::Other, "the script ends"))?;
        self.heard.push_str(&format!("{question} {line}\n"));
        Ok(line.to_owned())
    }

    fn secret(&mut self, question: &str) -> Result<Option<SecretString>, Failed> {
        self.heard.push_str(&format!("{question}\n"));
        let line = self.lines.pop_front().unwrap();
        Ok(Some(line).filter(|line| !line.is_empty()).map(SecretString::from))
    }
}

/// Asks with these flags; answers the file's text, what was typed, and what was said.
fn asked(line: &str, script: &'static str) -> (String, Vec<Typed>, String) {
    let init = init(line);
    let mut answers = Answers::of(&init, &|_| None).unwrap();
    let mut person = Scripted::of(script);
    let folder = Path::new("/nowhere");
    let typed = dialogue::ask(&mut person, &init, folder, &mut answers)
        .unwrap_or_else(|failed| panic!("{failed}\n{}", person.heard));
    assert!(person.lines.is_empty(), "not asked for {:?}:\n{}", person.lines, person.heard);
    (written::text(&answers), typed, person.heard)
}

fn parse(text: &str) -> Config {
    Config::parse(text, Path::new("opgraph.toml")).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// What a person sees of the file when all comments are taken out.
fn said(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

#[test]
fn nothing_but_enter_gives_a_local_graph_and_a_token_from_the_environment() {
    let (text, typed, _) = asked("init", "\n\n\n\n\n\n\n");
    let lines = [
        "[[tenant]]",
        "name = \"default\"",
        "[tenant.events]",
        "token = { env = \"OP_EVENTS_TOKEN\" }",
        "[tenant.graph]",
        "path = \"graph.db\"",
    ];
    assert_eq!(said(&text), lines);
    assert!(typed.is_empty());
    let config = parse(&text);
    assert!(config.tenants[0].connect.is_none() && config.tenants[0].jupiterone.is_none());
}

#[test]
fn answers_that_make_no_sense_are_asked_for_again_with_a_hint() {
    let script = "
        acme
        uk
        eu
        OP_EVENTS_TOKEN
        eyJhbGciOiJFUzI1NiJ9.c2VjcmV0.c2lnbmF0dXJl
        env:eyJhbGciOiJFUzI1NiJ9
        file:events-token
        eyJhbGciOiJFUzI1NiJ9.c2VjcmV0.c2lnbmF0dXJl
        not a url
        http://connect.example.com:8080
        https://connect.example.com
        maybe
        y
        op://security/opgraph/connect
        n
        account with spaces
        j1-account
        mars
        eu
        env:J1
        11111111-1111-1111-1111-111111111111
        graph.db";
    let (text, typed, heard) = asked("init", script);
    for reason in [
        "write com, ent, ca, eu or token",
        "never the token itself",
        "`env` holds no variable's name",
        "not a URL",
        "would send the token unencrypted",
        "write `y` or `n`",
        "write us or eu",
    ] {
        assert!(heard.contains(reason), "`{reason}` was not said:\n{heard}");
    }
    let config = parse(&text);
    let tenant = &config.tenants[0];
    assert!(config.allow_custom_hosts);
    assert_eq!(tenant.events.base_url.as_ref().unwrap().as_str(), "https://events.1password.eu/");
    let connect = tenant.connect.as_ref().unwrap();
    assert!(!connect.item_details);
    assert_eq!(connect.token, TokenSource::Op("op://security/opgraph/connect".to_owned()));
    let jupiterone = tenant.jupiterone.as_ref().unwrap();
    assert_eq!(jupiterone.base_url.as_str(), "https://api.eu.jupiterone.io/");
    assert!(matches!(jupiterone.plan, config::Plan::Instance { .. }));
    assert!(tenant.graph.is_some());
    // The token that was typed goes into its file, and nowhere else.
    let [(path, token)] = &typed[..] else { panic!("{}", typed.len()) };
    assert_eq!((path.as_path(), token.expose_secret()), (Path::new("/nowhere/events-token"), SECRET));
    assert!(!text.contains("c2VjcmV0") && text.contains("token = { file = \"events-token\" }"), "{text}");
}

#[test]
fn who_refuses_to_send_a_token_elsewhere_has_no_connect_server() {
    let (text, _, _) = asked("init", "\n\n\n\nhttps://connect.example.com\n\n\n\n");
    let config = parse(&text);
    assert!(config.tenants[0].connect.is_none() && !config.allow_custom_hosts);
}

#[test]
fn what_flags_say_is_not_asked() {
    let line = "init --tenant-name acme --region ca --events-token-from env:EVENTS --graph g.db \
                --connect-url http://127.0.0.1:8080 --no-item-details --jupiterone-account A --jupiterone-scope s/a";
    let (text, _, heard) = asked(line, "");
    assert_eq!(heard.lines().count(), 1, "{heard}");
    let config = parse(&text);
    assert_eq!(config.tenants[0].name, "acme");
    assert_eq!(
        config.tenants[0].jupiterone.as_ref().unwrap().plan,
        config::Plan::Scope { prefix: "s/a".to_owned() }
    );
}

#[test]
fn every_flag_stands_in_the_file_as_it_was_given() {
    let line = "init --no-input --tenant-name acme --state-dir st --events-url https://events.1password.eu \
                --events-token-from file:ev --streams auditevents,itemusages --start 7d --polling-interval 5m \
                --connect-url https://connect.example --connect-token-from op://v/i/f --no-item-details \
                --jupiterone-account A --jupiterone-instance I --jupiterone-url https://api.eu.jupiterone.io \
                --jupiterone-key-from env:KEY --graph g.db --tag-account-name --allow-custom-hosts";
    let text = written::text(&Answers::of(&init(line), &|_| None).unwrap());
    let lines = [
        "state_dir = \"st\"",
        "allow_custom_hosts = true",
        "[[tenant]]",
        "name = \"acme\"",
        "tag_account_name = true",
        "polling_interval = \"5m\"",
        "start = \"7d\"",
        "[tenant.events]",
        "base_url = \"https://events.1password.eu\"",
        "token = { file = \"ev\" }",
        "streams = [\"auditevents\", \"itemusages\"]",
        "[tenant.connect]",
        "base_url = \"https://connect.example\"",
        "token = { op = \"op://v/i/f\" }",
        "item_details = false",
        "[tenant.jupiterone]",
        "base_url = \"https://api.eu.jupiterone.io\"",
        "account = \"A\"",
        "token = { env = \"KEY\" }",
        "integration_instance_id = \"I\"",
        "[tenant.graph]",
        "path = \"g.db\"",
    ];
    assert_eq!(said(&text), lines, "{text}");
    parse(&text);
    // Every other key of the example stands there too, commented out.
    for (_, key) in
        [("tenant", "raw_data"), ("tenant.jupiterone", "upload_age"), ("tenant.connect", "interval")]
    {
        assert!(text.lines().any(|line| line.starts_with(&format!("# {key} = "))), "{key}");
    }
}

#[test]
fn the_environment_stands_in_for_flags_and_a_token_never_for_its_place() {
    let env = |name: &str| match name {
        "OPGRAPH_TENANT" => Some("from-env".into()),
        "JUPITERONE_ACCOUNT" => Some("A".into()),
        _ => None,
    };
    let answers = Answers::of(&init("init --no-input"), &env).unwrap();
    assert_eq!((answers.name.as_str(), answers.graph.as_deref()), ("from-env", None));
    for flag in ["--events-token-from", "--connect-url http://127.0.0.1:1 --connect-token-from"] {
        let failed = Answers::of(&init(&format!("init {flag} {SECRET}")), &|_| None).unwrap_err();
        assert_eq!(failed.exit, Exit::Configuration);
        assert!(!failed.to_string().contains("c2VjcmV0"), "{failed}");
    }
    let alone = Answers::of(&init("init --jupiterone-scope s"), &|_| None).unwrap_err();
    assert!(alone.to_string().contains("hint: add `--jupiterone-account`"), "{alone}");
}

#[test]
fn a_file_that_is_there_is_replaced_only_by_force_and_written_whole() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("opgraph.toml");
    let line = |more: &str| init(&format!("init --no-input {more} {}", file.display()));
    run(line("")).unwrap();
    let first = fs::read_to_string(&file).unwrap();
    parse(&first);
    let refused = run(line("--tenant-name other")).unwrap_err();
    assert_eq!(refused.exit, Exit::Configuration);
    assert!(refused.to_string().contains("--force"), "{refused}");
    // Somebody who was faster than the first look is not overwritten either.
    assert!(write(&line("--tenant-name other"), "text").is_err());
    assert_eq!(fs::read_to_string(&file).unwrap(), first);
    // What makes no sense leaves what is there.
    assert!(run(line("--force --start soon")).is_err());
    assert_eq!(fs::read_to_string(&file).unwrap(), first);
    run(line("--force --tenant-name other")).unwrap();
    assert!(fs::read_to_string(&file).unwrap().contains("name = \"other\""));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left behind");
}

#[test]
fn a_typed_token_is_for_its_owner_alone_and_replaces_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    write_token(&path, &SecretString::from(SECRET)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(write_token(&path, &SecretString::from("other")).is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), SECRET);
}
