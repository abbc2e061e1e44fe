//! Keys: known, unknown, misplaced, of later versions, not TOML at all.

use super::*;

#[test]
fn what_the_process_may_take_has_to_do_for_its_tenants() {
    assert_eq!(parse(ACME).unwrap().max_memory, 256 << 20);
    assert_eq!(parse(&format!("max_memory = \"80MB\"{ACME}")).unwrap().max_memory, 80 << 20);
    check(
        &format!("max_memory = \"16MB\"{ACME}"),
        &["opgraph.toml:1:14: max_memory: 16 MB is too little for 1 tenant: at least 73 MB is needed\n  \
           hint: write a larger size, or leave it out: 256 MB is the default"],
    );
    check(
        &format!("max_memory = \"much\"{ACME}"),
        &["opgraph.toml:1:14: max_memory: `much` is not a size\n  hint: write one like `256MB` or `1.5GB`"],
    );
}

#[test]
fn the_known_keys_are_the_ones_that_serde_knows() {
    use tables::{
        ConnectTable, EventsTable, GraphTable, JupiterOneTable, KEYS, LimitsTable, Root, TenantTable,
        TokenTable,
    };
    fn known<T: serde::de::DeserializeOwned + std::fmt::Debug>() -> Vec<String> {
        let error = toml::from_str::<T>("no_such_key = 1").unwrap_err().to_string();
        let list = error.split_once("expected ").unwrap().1;
        list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }
    let serde = [
        known::<Root>(),
        known::<TenantTable>(),
        known::<EventsTable>(),
        known::<JupiterOneTable>(),
        known::<GraphTable>(),
        known::<ConnectTable>(),
        known::<TokenTable>(),
        known::<LimitsTable>(),
    ];
    for ((table, keys), serde) in KEYS.iter().zip(serde) {
        assert_eq!(*keys, serde, "{table}");
    }
}

#[test]
fn unknown_keys_are_refused_and_the_right_one_is_named() {
    let check_root = |line: &str, expect: &str| check(&format!("{line}{ACME}"), &[expect]);
    check_root(
        "statedir = \"s\"",
        "opgraph.toml:1:1: statedir: unknown key\n  hint: did you mean `state_dir`?",
    );
    check_root(
        "colour = \"s\"",
        "opgraph.toml:1:1: colour: unknown key\n  \
         hint: the keys here are state_dir, max_memory, allow_custom_hosts, admin, tenants, tenant",
    );
    check_root(
        "polling_interval = \"30s\"",
        "opgraph.toml:1:1: polling_interval: unknown key\n  hint: it belongs to `[[tenant]]`",
    );
    let in_tenant = |line: &str, key: &str, hint: &str| {
        check_tenant(line, &[&format!("opgraph.toml:4:1: tenant[0].{key}: unknown key\n  hint: {hint}")]);
    };
    in_tenant("poling-interval = \"30s\"", "poling-interval", "did you mean `polling_interval`?");
    in_tenant("interval = \"30s\"", "interval", "did you mean `polling_interval`?");
    in_tenant(
        "token = {}",
        "token",
        "it belongs to `[tenant.events]` or `[tenant.jupiterone]` or `[tenant.connect]` or `[admin]`",
    );
    in_tenant("path = \"g\"", "path", "it belongs to `[tenant.graph]`");
    let in_events = |line: &str, key: &str, hint: &str| {
        check_events(
            line,
            &[&format!("opgraph.toml:6:1: tenant[0].events.{key}: unknown key\n  hint: {hint}")],
        );
    };
    in_events("url = \"u\"", "url", "did you mean `base_url`?");
    in_events("stream = []", "stream", "did you mean `streams`?");
    in_events("start = \"120d\"", "start", "it belongs to `[[tenant]]`");
    check_events(
        "limits = { per_second = 1 }",
        &["opgraph.toml:6:12: tenant[0].events.limits.per_second: unknown key\n  \
           hint: the keys here are per_minute, per_hour"],
    );
    check_jupiterone(
        "instance_id = \"i\"",
        &["opgraph.toml:9:1: tenant[0].jupiterone.instance_id: unknown key\n  \
           hint: did you mean `integration_instance_id`?"],
    );
}

#[test]
fn what_is_not_toml_is_refused_with_its_place() {
    let hint = "the file is not valid TOML: every text stands in \"quotes\", every section is in [brackets]";
    check(
        "[[tenant]\n",
        &[&format!("opgraph.toml:1:10: unclosed array table, expected `]`\n  hint: {hint}")],
    );
    assert!(parse("state_dir = ").is_err());
    assert!(parse("\u{feff}").is_err());
}

#[test]
fn every_problem_is_told_in_one_go_and_in_the_order_of_the_file() {
    let text = r#"
statedir = "s"
[[tenant]]
name = 3
polling_interval = "1ms"
start = "soon"
[tenant.events]
base_url = "http://evil.example"
tokn = {}
streams = ["audit"]
[admin]
"#;
    let expect = [
        "2:1: statedir: unknown key",
        "4:8: tenant[0].name: expected a text in quotes, found integer `3`",
        "5:20: tenant[0].polling_interval: `1ms` is too short: a second is the shortest",
        "6:9: tenant[0].start: `soon` is neither a duration nor a time",
        "8:12: tenant[0].events.base_url: `http://evil.example/` would send the token unencrypted",
        "9:1: tenant[0].events.tokn: unknown key",
        "10:12: tenant[0].events.streams[0]: there is no stream `audit`",
        "11:1: admin: `listen` is missing",
    ];
    let found = problems(text);
    let first_lines: Vec<&str> = found.iter().map(|problem| problem.lines().next().unwrap()).collect();
    assert_eq!(first_lines, expect.map(|line| format!("opgraph.toml:{line}")));
}

#[test]
fn whatever_is_written_is_taken_or_refused_and_no_token_is_shown() {
    let text = include_str!("../../../docs/config.example.toml");
    let lines: Vec<&str> = text.lines().collect();
    let secret = format!("\"{SECRET}\"");
    let values = [
        &secret,
        SECRET,
        "\"x\"",
        "\"\"",
        "3",
        "-1.5",
        "true",
        "[]",
        "[[3]]",
        "[\"x\"]",
        "{}",
        "{ x = 1 }",
        "2026-01-31",
        "",
        "[",
        "\"",
        "{ env = \"A\" }",
        "{ env = [] }",
    ];
    let try_lines = |lines: Vec<&str>| drop(parse(&lines.join("\n")));
    for (n, line) in lines.iter().enumerate().filter(|(_, line)| !line.starts_with('#')) {
        let with = |line: &str| {
            try_lines([&lines[..n], &[line], &lines[n + 1..]].concat());
        };
        let key = line.split(' ').next().unwrap();
        values.iter().for_each(|value| with(&format!("{key} = {value}")));
        for value in [SECRET, "x", "tenant.x", "[tenant]", "", "]"] {
            with(&format!("{value} = 1"));
            with(&format!("[{value}]"));
        }
        with("");
        with(&format!("{line}\n{line}"));
        try_lines(lines[..n].to_vec());
        try_lines(lines[n..].to_vec());
    }
    // Cut anywhere, in the middle of a line as well.
    let bare: String =
        lines.iter().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    for (end, _) in bare.char_indices() {
        drop(parse(&bare[..end]));
    }
}
