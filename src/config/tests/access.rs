//! Tokens and hosts.

use std::{fs, os::unix::fs::PermissionsExt};

use secrecy::SecretString;

use super::*;
use crate::http::hosts;

#[test]
fn all_regions_and_loopback_are_accepted() {
    for host in hosts::ONEPASSWORD {
        for url in [format!("https://{host}"), format!("https://{host}/"), format!(" https://{host} ")] {
            let tenant = tenant(&format!("{ACME}base_url = \"{url}\""));
            assert_eq!(tenant.events.base_url.unwrap().as_str(), format!("https://{host}/"));
        }
    }
    for url in ["http://127.0.0.1:8300", "http://localhost:8300/prefix", "http://[::1]:1"] {
        assert!(tenant(&format!("{ACME}base_url = \"{url}\"")).events.base_url.is_some());
    }
    let custom = format!("allow_custom_hosts = true\n{ACME}base_url = \"https://proxy.example/1password\"");
    assert_eq!(tenant(&custom).events.base_url.unwrap().as_str(), "https://proxy.example/1password");
}

#[test]
fn a_token_goes_nowhere_else() {
    let url = |url: &str, what: &str, hint: &str| {
        let expect = format!("opgraph.toml:6:12: tenant[0].events.base_url: {what}\n  hint: {hint}");
        check_events(&format!("base_url = \"{url}\""), &[&expect]);
    };
    let hosts = "events.1password.com, events.ent.1password.com, events.1password.ca, events.1password.eu";
    let custom = "correct it, or set `allow_custom_hosts = true` if the token may go there";
    url("https://events.1password.org", &format!("`events.1password.org` is none of {hosts}"), custom);
    url(
        "http://evil.example",
        "`http://evil.example/` would send the token unencrypted",
        "write `https://evil.example`",
    );
    url(
        "https://a:c2VjcmV0@events.1password.com",
        "a base URL must not hold a user name or password",
        "write the token under `token`",
    );
    let example = "write it like `https://events.1password.com`";
    url("events.1password.com", "not a URL: relative URL without a base", example);
    url("https://", "not a URL: empty host", example);
    url("https://events.1password.com/?a=c2VjcmV0", "a base URL has no `?` and no `#`", example);
    url(
        "https://events.1password.eu/api/v2",
        "a base URL ends with the host: paths are added to it",
        "write `https://events.1password.eu`",
    );
}

#[test]
fn a_token_in_the_file_is_refused_and_never_shown() {
    let hint =
        "a token does not belong in this file: write where it is read from, and replace it if it was real";
    let table = "expected a table like `{ env = \"NAME\" }`, `{ file = \"PATH\" }` or `{ op = \"op://…\" }`";
    let given = |token: &str, at: &str, key: &str, what: &str, hint: &str| {
        let text = ACME.replace("{ env = \"OP_EVENTS_TOKEN\" }", token);
        check(&text, &[&format!("opgraph.toml:{at}: tenant[0].events.token{key}: {what}\n  hint: {hint}")]);
    };
    given(&format!("\"{SECRET}\""), "5:9", "", &format!("{table}, found a text"), hint);
    let name = "write the name of the variable, never the token itself, as in `env = \"OP_EVENTS_TOKEN\"`";
    given(&format!("{{ env = \"{SECRET}\" }}"), "5:17", ".env", "`env` holds no variable's name", name);
    let path = "write the path of a file, never the token itself";
    given(&format!("{{ file = \"{SECRET}\" }}"), "5:18", ".file", "`file` holds no path", path);
    let op = "write it like `op = \"op://vault/item/field\"`";
    given(&format!("{{ op = \"{SECRET}\" }}"), "5:16", ".op", "`op` holds no secret reference", op);
    let one = "write one of `{ env = \"OP_EVENTS_TOKEN\" }`, `{ file = \"PATH\" }`, `{ op = \"op://vault/item/field\" }`";
    given("{}", "5:9", "", "it does not say where the token is", one);
    given("{ env = \"A\", file = \"b\" }", "5:9", "", "it names more than one place for the token", one);
    given("{ enf = \"A\" }", "5:11", ".enf", "unknown key", "did you mean `env`?");
    // A token as the value of anything is not shown either.
    let anything = format!("tag_account_name = \"{SECRET}\"");
    check_tenant(
        &anything,
        &["opgraph.toml:4:20: tenant[0].tag_account_name: expected `true` or `false`, found a text"],
    );
    check(
        &format!("{ACME}token = \"{SECRET}\""),
        &["opgraph.toml:6:1: duplicate key\n  \
           hint: the file is not valid TOML: every text stands in \"quotes\", every section is in [brackets]"],
    );
    assert!(parse(&ACME.replace("{ env = \"OP_EVENTS_TOKEN\" }", SECRET)).is_err());
}

#[test]
fn token_sources_are_read_as_written() {
    let source = |token: &str| tenant(&ACME.replace("{ env = \"OP_EVENTS_TOKEN\" }", token)).events.token;
    assert_eq!(source("{ env = \"A_1\" }"), TokenSource::Env("A_1".to_owned()));
    assert_eq!(source("{ file = \"/run/token\" }"), TokenSource::File("/run/token".into()));
    assert_eq!(source("{ op = \"op://v/i/f\" }"), TokenSource::Op("op://v/i/f".to_owned()));
}

#[test]
fn the_token_goes_to_the_configured_host_else_to_its_own() {
    let resolve = |line: &str, audience: Option<&str>| {
        let claims = audience.map(|host| Claims { audience: Some(host.to_owned()), ..Claims::default() });
        tenant(&format!("{ACME}{line}")).events.resolve_base_url(claims.as_ref()).to_string()
    };
    assert_eq!(resolve("", None), "https://events.1password.com/");
    assert_eq!(resolve("", Some("events.1password.eu")), "https://events.1password.eu/");
    assert_eq!(resolve("", Some("com.1password.streamingservice")), "https://events.1password.com/");
    assert_eq!(resolve("", Some("evil.example")), "https://events.1password.com/");
    let configured = "base_url = \"https://events.1password.ca\"";
    assert_eq!(resolve(configured, Some("events.1password.eu")), "https://events.1password.ca/");
}

#[test]
fn a_token_file_that_others_may_read_is_found_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    fs::write(&token, SECRET).unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
    let text = format!(
        "{}[tenant.jupiterone]\naccount = \"j1\"\ntoken = {{ env = \"OPGRAPH_TEST_UNSET\" }}\nscope = \"s\"",
        ACME.replace("env = \"OP_EVENTS_TOKEN\"", "file = \"token\""),
    );
    let file = dir.path().join("opgraph.toml");
    fs::write(&file, text).unwrap();
    let error = Config::load(&file).unwrap().check_tokens().unwrap_err();
    let path = token.display();
    assert_eq!(
        error.to_string(),
        format!(
            "tenant `acme`: events.token: the token file `{path}` may be read by others (mode 644)\n  \
             hint: run `chmod 600 {path}`, and replace the token if others use this machine\n\
             tenant `acme`: jupiterone.token: the variable OPGRAPH_TEST_UNSET is not set\n  \
             hint: set it to the token, or configure a file or an `op://` reference instead"
        )
    );
}

#[test]
fn nothing_of_a_configuration_shows_a_token() {
    // A key of small letters passes for a variable's name.
    let config = parse(&ACME.replace("OP_EVENTS_TOKEN", "c2VjcmV0a1b2")).unwrap();
    assert!(!format!("{config:?}").contains("c2VjcmV0"));
    let error = config.check_tokens().unwrap_err();
    assert!(!format!("{error:?}{error}").contains("c2VjcmV0"));
    let token = SecretString::from(SECRET);
    assert!(!format!("{token:?}{:?}", Claims::read(&token)).contains("c2VjcmV0"));
}
