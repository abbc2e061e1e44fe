//! One tenant without a file.

use std::{collections::HashMap, fs};

use super::*;

/// Resolves a command line in an environment.
fn flags(line: &str, env: &[(&str, &str)]) -> Result<Config, String> {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }
    let line: Line =
        clap::Parser::try_parse_from(std::iter::once("opgraph").chain(line.split_whitespace())).unwrap();
    let env: HashMap<String, OsString> =
        env.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))).collect();
    Config::from_flags_and(&line.flags, &|name| env.get(name).cloned()).map_err(|error| error.to_string())
}

#[test]
fn one_tenant_needs_no_file() {
    let mut expect = parse(ACME).unwrap();
    expect.tenants[0].name = "default".to_owned();
    assert_eq!(flags("", &[]), Ok(expect.clone()));
    expect.tenants[0].name = "acme".to_owned();
    assert_eq!(flags("--tenant-name acme", &[("OPGRAPH_TENANT", "other")]), Ok(expect.clone()));
    assert_eq!(flags("", &[("OPGRAPH_TENANT", "acme"), ("OPGRAPH_EVENTS_URL", "")]), Ok(expect));

    let text = r#"
        state_dir = "s"
        allow_custom_hosts = true
        [[tenant]]
        name = "acme"
        tag_account_name = true
        polling_interval = "DISABLED"
        start = "7d"
        [tenant.events]
        base_url = "https://proxy.example"
        token = { file = "t" }
        streams = ["auditevents", "itemusages"]
        [tenant.jupiterone]
        base_url = "https://api.eu.jupiterone.io"
        account = "j1"
        token = { file = "k" }
        integration_instance_id = "i"
        [tenant.graph]
        path = "g"
    "#;
    let line = "--tenant-name acme --events-token-file t --events-url https://proxy.example \
                --streams auditevents,itemusages --start 7d --polling-interval DISABLED --state-dir s --graph g \
                --jupiterone-account j1 --jupiterone-instance i --jupiterone-url https://api.eu.jupiterone.io \
                --jupiterone-key-file k --tag-account-name --allow-custom-hosts";
    assert_eq!(flags(line, &[]), parse(text));

    let scope = flags("--jupiterone-scope s", &[("JUPITERONE_ACCOUNT", "j1")]).unwrap().tenants.remove(0);
    let jupiterone = scope.jupiterone.unwrap();
    assert_eq!(jupiterone.plan, Plan::Scope { prefix: "s".to_owned() });
    assert_eq!(jupiterone.token, TokenSource::Env("JUPITERONE_API_KEY".to_owned()));
    assert_eq!(scope.graph, None);
}

#[test]
fn a_problem_of_a_flag_or_a_variable_names_it() {
    let check = |line: &str, env: &[(&str, &str)], expect: &str| {
        assert_eq!(flags(line, env), Err(expect.to_owned()), "{line}");
    };
    check(
        "--start soon --streams audit,itemusage",
        &[("OPGRAPH_EVENTS_URL", "http://evil.example")],
        "--start: `soon` is neither a duration nor a time\n  hint: write it like `120d` or `2026-01-31T00:00:00Z`\n\
         OPGRAPH_EVENTS_URL: `http://evil.example/` would send the token unencrypted\n  \
         hint: write `https://evil.example`\n\
         --streams: there is no stream `audit`\n  hint: did you mean `auditevents`?\n\
         --streams: there is no stream `itemusage`\n  hint: did you mean `itemusages`?",
    );
    check(
        "--events-url https://events.1password.org",
        &[],
        "--events-url: `events.1password.org` is none of events.1password.com, events.ent.1password.com, \
         events.1password.ca, events.1password.eu\n  \
         hint: correct it, or set `--allow-custom-hosts` if the token may go there",
    );
    check(
        "",
        &[("JUPITERONE_ACCOUNT", "j1")],
        "JUPITERONE_ACCOUNT: neither an integration instance nor a scope is given\n  \
         hint: add `--jupiterone-instance ID` or `--jupiterone-scope NAME`",
    );
    check(
        "--jupiterone-instance i",
        &[],
        "--jupiterone-instance: the JupiterOne account is missing\n  \
         hint: add `--jupiterone-account ID`, or set JUPITERONE_ACCOUNT",
    );
    check(
        "--jupiterone-account j1 --jupiterone-instance i --jupiterone-scope s",
        &[],
        "--jupiterone-scope: both an integration instance and a scope are given\n  \
         hint: keep the instance if JupiterOne gave you one, else the scope; never both",
    );
    check(
        "--polling-interval 1ms",
        &[],
        "--polling-interval: `1ms` is too short: a second is the shortest\n  \
         hint: 30s is the default; write `DISABLED` to read only with `run --once`",
    );
}

#[test]
fn a_file_and_flags_for_a_tenant_contradict_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("opgraph.toml");
    fs::write(&file, ACME).unwrap();
    let file = file.display().to_string();
    let expect = format!(
        "--start, --tag-account-name: these flags describe a tenant, and so does `{file}`\n  \
         hint: write them into the file, or leave `--config` (and OPGRAPH_CONFIG) out"
    );
    assert_eq!(flags(&format!("--config {file} --start 7d --tag-account-name"), &[]), Err(expect.clone()));
    assert_eq!(flags("--start 7d --tag-account-name", &[("OPGRAPH_CONFIG", &file)]), Err(expect));
    // Variables may be there for other programs; the state directory is no tenant's.
    let env = [("JUPITERONE_ACCOUNT", "j1"), ("OPGRAPH_STATE_DIR", "from-env")];
    let config = flags(&format!("--config {file}"), &env).unwrap();
    assert_eq!((config.state_dir, config.tenants[0].jupiterone.is_none()), ("from-env".into(), true));
    let config = flags(&format!("--config {file} --state-dir from-flag"), &env).unwrap();
    assert_eq!(config.state_dir, Path::new("from-flag"));
    let config = flags(&format!("--config {file}"), &[]).unwrap();
    assert_eq!(config.state_dir, dir.path().join("opgraph-state"));
}

#[test]
fn a_connect_server_is_named_by_flags_or_variables() {
    let url = "http://127.0.0.1:8080";
    let text =
        format!("{ACME}[tenant.connect]\nbase_url = \"{url}\"\ntoken = {{ env = \"OP_CONNECT_TOKEN\" }}");
    let mut expect = parse(&text).unwrap();
    expect.tenants[0].name = "default".to_owned();
    assert_eq!(flags(&format!("--connect-url {url}"), &[]), Ok(expect.clone()));
    assert_eq!(flags("", &[("OPGRAPH_CONNECT_URL", url)]), Ok(expect.clone()));
    expect.tenants[0].connect.as_mut().unwrap().item_details = false;
    assert_eq!(flags("--no-item-details", &[("OPGRAPH_CONNECT_URL", url)]), Ok(expect));
    for alone in ["--no-item-details", "--connect-token-file t"] {
        let told = flags(alone, &[]).unwrap_err();
        assert!(told.contains("the Connect server is missing"), "{told}");
    }
}

#[test]
fn the_memory_may_be_said_outside_the_file_and_the_flag_wins() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("opgraph.toml");
    fs::write(&file, format!("max_memory = \"100MB\"{ACME}")).unwrap();
    let line = format!("--config {}", file.display());
    let env = [("OPGRAPH_MAX_MEMORY", "75MB")];
    assert_eq!(flags(&line, &[]).unwrap().max_memory, 100 << 20);
    assert_eq!(flags(&line, &env).unwrap().max_memory, 75 << 20);
    assert_eq!(flags(&format!("{line} --max-memory 80MB"), &env).unwrap().max_memory, 80 << 20);
    assert_eq!(flags("--max-memory 80MB", &env).unwrap().max_memory, 80 << 20);
    let refused = flags("--max-memory 1MB", &[]).unwrap_err();
    assert!(
        refused.starts_with("--max-memory: 1 MB is too little for 1 tenant: at least 73 MB"),
        "{refused}"
    );
    let refused = flags("", &[("OPGRAPH_MAX_MEMORY", "all")]).unwrap_err();
    assert!(refused.starts_with("OPGRAPH_MAX_MEMORY: `all` is not a size"), "{refused}");
}
