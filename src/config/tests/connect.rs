//! A Connect server of one's own.

use super::*;

const REST: &str = "token = { env = \"OP_CONNECT_TOKEN\" }";

fn check_connect(lines: &str, expect: &[&str]) {
    check(&format!("{ACME}[tenant.connect]\n{REST}\n{lines}"), expect);
}

#[test]
fn connect_needs_a_place_and_a_token() {
    check(
        &format!("{ACME}[tenant.connect]\nitem_details = true"),
        &[
            "opgraph.toml:6:1: tenant[0].connect: `base_url` is missing\n  hint: write where your Connect server is, \
             as in `base_url = \"http://127.0.0.1:8080\"`",
            "opgraph.toml:6:1: tenant[0].connect: `token` is missing\n  hint: say where it is read from, as in \
             `token = { env = \"OP_CONNECT_TOKEN\" }`",
        ],
    );
    let custom = "set `allow_custom_hosts = true` if the token may go there";
    check_connect(
        "base_url = \"https://connect.example\"",
        &[&format!(
            "opgraph.toml:8:12: tenant[0].connect.base_url: `connect.example` is another machine\n  \
             hint: correct it, or {custom}"
        )],
    );
}

#[test]
fn what_is_out_of_range_is_told_with_what_is_usual() {
    let place = "base_url = \"http://127.0.0.1:8080\"";
    check_connect(
        &format!("{place}\ninterval = \"1s\"\nconnections = 0\nitems = true"),
        &[
            "opgraph.toml:9:12: tenant[0].connect.interval: it is out of range\n  \
             hint: write `10s` or more; `15m` is usual",
            "opgraph.toml:10:15: tenant[0].connect.connections: it is out of range\n  \
             hint: write 1 to 64; 4 is usual",
            "opgraph.toml:11:1: tenant[0].connect.items: unknown key\n  \
             hint: the keys here are base_url, token, interval, item_details, connections",
        ],
    );
}

#[test]
fn a_token_in_place_of_where_it_is_read_from_is_not_repeated() {
    let text = format!("{ACME}[tenant.connect]\nbase_url = \"http://127.0.0.1:1\"\ntoken = \"eyJ.canary\"");
    let told = problems(&text).join("\n");
    assert!(told.contains("tenant[0].connect.token") && !told.contains("canary"), "{told}");
}
