//! What a tenant is: names, times, streams, limits, paths.

use opgraph_state::UnixMs;

use super::*;

#[test]
fn a_tenant_needs_a_name_and_a_token() {
    let name = |name: &str, what: &str| {
        let expect = format!(
            "opgraph.toml:3:8: tenant[0].name: {what}\n  hint: name the account, as in `name = \"acme\"`"
        );
        check(&ACME.replace("\"acme\"", name), &[&expect]);
    };
    name("\" \"", "the name is empty");
    name(&format!("\"{}\"", "ä".repeat(65)), "the name has 65 characters; at most 64 are allowed");
    name("\"a\\nb\"", "the name holds a control character, such as a line break");
    assert!(parse(&ACME.replace("acme", &"ä".repeat(64))).is_ok());
    check(
        "[[tenant]]",
        &[
            "opgraph.toml:1:1: tenant[0]: `name` is missing\n  hint: name the account, as in `name = \"acme\"`",
            "opgraph.toml:1:1: tenant[0]: `events` is missing\n  \
             hint: write a section `[tenant.events]` with a `token`",
        ],
    );
    check(
        "[[tenant]]\nname = \"acme\"\n[tenant.events]",
        &["opgraph.toml:3:1: tenant[0].events: `token` is missing\n  \
           hint: say where it is read from, as in `token = { env = \"OP_EVENTS_TOKEN\" }`"],
    );
    check(
        "# nothing",
        &["opgraph.toml:1:1: tenant: there is no tenant\n  \
           hint: write a section `[[tenant]]` with a `name`, and `[tenant.events]` with a `token`"],
    );
    check(
        "[tenant]\nname = \"acme\"",
        &["opgraph.toml:1:1: tenant: expected a list of tenants, found one table\n  \
           hint: write `[[tenant]]`, with two brackets"],
    );
    check(
        "[[tenant]]\nname = \"acme\"\nevents = 3",
        &["opgraph.toml:3:10: tenant[0].events: expected a table, found integer `3`"],
    );
}

#[test]
fn durations_and_times_are_refused_with_examples() {
    let polling = |value: &str, expect: &str| {
        check_tenant(
            &format!("polling_interval = {value}"),
            &[&format!("opgraph.toml:4:20: tenant[0].polling_interval: {expect}")],
        );
    };
    let example = "write one like `30s`, `15m`, `2h30m` or `120d`";
    polling("\"soon\"", &format!("`soon` is not a duration\n  hint: {example}"));
    polling("\"30\"", &format!("`30` is not a duration\n  hint: {example}"));
    let short = "is too short: a second is the shortest\n  \
                 hint: 30s is the default; write `DISABLED` to read only with `run --once`";
    polling("\"999ms\"", &format!("`999ms` {short}"));
    polling("\"0s\"", &format!("`0s` {short}"));
    polling("30", "expected a duration in quotes, such as `\"30s\"`, found integer");
    check_tenant(
        "start = \"yesterday\"",
        &["opgraph.toml:4:9: tenant[0].start: `yesterday` is neither a duration nor a time\n  \
           hint: write it like `120d` or `2026-01-31T00:00:00Z`"],
    );
    check_tenant(
        "start = 2026-01-31",
        &["opgraph.toml:4:9: tenant[0].start: `2026-01-31` is neither a duration nor a time\n  \
           hint: write it like `120d` or `2026-01-31T00:00:00Z`"],
    );
    check_tenant(
        "start = { days = 3 }",
        &[
            "opgraph.toml:4:9: tenant[0].start: expected a duration in quotes, such as `\"120d\"`, or a time, found table",
        ],
    );
    let with = |line: &str| tenant(&ACME.replace("[tenant.events]", &format!("{line}\n[tenant.events]")));
    assert_eq!(with("polling_interval = \"1s\"").polling_interval, Polling::Every(Duration::from_secs(1)));
    assert_eq!(with("polling_interval = \"DISABLED\"").polling_interval, Polling::Disabled);
    assert_eq!(with("start = \"36h\"").start, Start::Ago(Duration::from_secs(36 * 3600)));
    let at = Start::At(UnixMs(1_769_817_600_000));
    assert_eq!(with("start = \"2026-01-31T00:00:00Z\"").start, at);
    assert_eq!(with("start = 2026-01-31T00:00:00Z").start, at);
    assert_eq!(with("start = 2026-01-31 01:00:00+01:00").start, at);
}

#[test]
fn streams_are_known_and_named_once() {
    let streams = |list: &str, expect: &[&str]| check_events(&format!("streams = {list}"), expect);
    streams(
        "[\"auditevents\", \"itemusage\", \"logins\", \"auditevents\"]",
        &[
            "opgraph.toml:6:27: tenant[0].events.streams[1]: there is no stream `itemusage`\n  \
             hint: did you mean `itemusages`?",
            "opgraph.toml:6:40: tenant[0].events.streams[2]: there is no stream `logins`\n  \
             hint: the streams are signinattempts, itemusages, auditevents",
            "opgraph.toml:6:50: tenant[0].events.streams[3]: `auditevents` is named twice\n  hint: name it once",
        ],
    );
    streams(
        "[]",
        &["opgraph.toml:6:11: tenant[0].events.streams: no stream is named\n  \
           hint: name a stream, or leave `streams` out to read all that the token may read"],
    );
    streams(
        "\"auditevents\"",
        &["opgraph.toml:6:11: tenant[0].events.streams: expected a list in [brackets], found a text"],
    );
    streams(
        "[1]",
        &["opgraph.toml:6:12: tenant[0].events.streams[0]: expected a text in quotes, found integer `1`"],
    );
    let some = tenant(&format!("{ACME}streams = [\"itemusages\", \"signinattempts\"]"));
    assert_eq!(some.events.streams, Some(vec![Stream::ItemUsages, Stream::SignInAttempts]));
}

#[test]
fn limits_are_numbers_of_requests() {
    check_events(
        "limits = { per_minute = 0, per_hour = -1 }",
        &[
            "opgraph.toml:6:25: tenant[0].events.limits.per_minute: `0` is no number of requests\n  \
             hint: write 1 or more; 1Password allows 600",
            "opgraph.toml:6:39: tenant[0].events.limits.per_hour: `-1` is no number of requests\n  \
             hint: write 1 or more; 1Password allows 30000",
        ],
    );
    check_events(
        "limits = { per_minute = \"600\" }",
        &["opgraph.toml:6:25: tenant[0].events.limits.per_minute: expected a whole number, found a text"],
    );
    check_events(
        "limits = [600, 30000]",
        &[
            "opgraph.toml:6:10: tenant[0].events.limits: expected a table like `{ per_minute = 600, per_hour = 30000 }`, \
           found sequence",
        ],
    );
    let half = tenant(&format!("{ACME}limits = {{ per_minute = 300 }}")).events.limits;
    assert_eq!((half.per_minute.get(), half.per_hour.get()), (300, 30_000));
}

#[test]
fn no_two_tenants_write_to_the_same_place() {
    let second = ACME.replace("acme", "umbrella");
    check(
        &format!("{ACME}{ACME}[tenant.graph]\npath = \"b.db\""),
        &[
            "opgraph.toml:8:8: tenant[1].name: tenant[0] has this name too\n  hint: give each tenant a name of its own",
        ],
    );
    let file = "give each tenant a file of its own: `[tenant.graph]` with `path = \"acme.db\"`";
    check(
        &format!("{ACME}{second}"),
        &[&format!(
            "opgraph.toml:7:1: tenant[1].graph.path: tenant[0] has this graph file too\n  hint: {file}"
        )],
    );
    check(
        &format!("{ACME}[tenant.graph]\npath = \"a.db\"\n{second}[tenant.graph]\npath = \"./a.db\""),
        &[&format!(
            "opgraph.toml:14:8: tenant[1].graph.path: tenant[0] has this graph file too\n  hint: {file}"
        )],
    );
    let jupiterone =
        |plan: &str| format!("[tenant.jupiterone]\naccount = \"j1\"\ntoken = {{ env = \"K\" }}\n{plan}\n");
    let (instance, scope) = (jupiterone("integration_instance_id = \"i\""), jupiterone("scope = \"s\""));
    check(
        &format!("{ACME}{instance}{second}{instance}"),
        &[
            "opgraph.toml:18:27: tenant[1].jupiterone.integration_instance_id: tenant[0] has this place in JupiterOne too\n  \
           hint: give each tenant its own: what one uploads replaces what the other did",
        ],
    );
    check(
        &format!("{ACME}{scope}{second}{scope}"),
        &["opgraph.toml:18:9: tenant[1].jupiterone.scope: tenant[0] has this place in JupiterOne too\n  \
           hint: give each tenant its own: what one uploads replaces what the other did"],
    );
    let apart = format!("{ACME}{scope}{second}{}", scope.replace("\"s\"", "\"t\""));
    assert_eq!(parse(&apart).unwrap().tenants.len(), 2);
}

#[test]
fn relative_paths_start_from_the_folder_of_the_file() {
    let text = format!(
        "state_dir = \"s\"\n{}[tenant.graph]\npath = \"g\"",
        ACME.replace("env = \"OP_EVENTS_TOKEN\"", "file = \"t\""),
    );
    let config = Config::parse(&text, Path::new("/etc/opgraph/opgraph.toml")).unwrap();
    assert_eq!(config.state_dir, Path::new("/etc/opgraph/s"));
    assert_eq!(config.tenants[0].graph, Some(Graph { path: "/etc/opgraph/g".into() }));
    assert_eq!(config.tenants[0].events.token, TokenSource::File("/etc/opgraph/t".into()));
    let config =
        Config::parse(&text.replace("\"s\"", "\"/s\""), Path::new("/etc/opgraph/opgraph.toml")).unwrap();
    assert_eq!(config.state_dir, Path::new("/s"));
    let path = |value: &str, expect: &str| {
        check(
            &format!("state_dir = \"{value}\"{ACME}"),
            &[&format!("opgraph.toml:1:13: state_dir: {expect}")],
        );
    };
    path("~/s", "`~` means nothing here: only a shell expands it\n  hint: write the whole path");
    path("", "the path is empty\n  hint: `opgraph-state` is the default");
}
