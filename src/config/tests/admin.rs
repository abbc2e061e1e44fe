//! `[admin]`: nobody is let in who was not meant to be.

use super::*;

fn check_admin(lines: &str, expect: &[&str]) {
    check(&format!("{ACME}[admin]\n{lines}\n"), expect);
}

#[test]
fn the_page_is_off_unless_it_is_asked_for() {
    assert_eq!(parse(ACME).unwrap().admin, None);
    let config = parse(&format!("{ACME}[admin]\nlisten = \"127.0.0.1:9184\"")).unwrap();
    assert_eq!(config.admin, Some(Admin { listen: "127.0.0.1:9184".parse().unwrap(), token: None }));
}

#[test]
fn an_address_that_others_reach_needs_a_token() {
    let hint = "hint: add `token = { env = \"OPGRAPH_ADMIN_TOKEN\" }` to `[admin]`, or listen on 127.0.0.1";
    for open in ["0.0.0.0:9184", "[::]:9184", "10.0.0.7:9184"] {
        check_admin(
            &format!("listen = \"{open}\""),
            &[&format!(
                "opgraph.toml:7:10: admin.listen: other machines reach `{open}`: it needs a token\n  {hint}"
            )],
        );
        let token = "token = { env = \"OPGRAPH_ADMIN_TOKEN\" }";
        let config = parse(&format!("{ACME}[admin]\nlisten = \"{open}\"\n{token}")).unwrap();
        assert!(config.admin.unwrap().token.is_some());
        assert!(parse(ACME).unwrap().with_admin(Some(open.parse().unwrap()), &|_| None).is_err());
    }
    for loopback in ["127.0.0.1:0", "127.9.9.9:1", "[::1]:9184"] {
        assert!(parse(&format!("{ACME}[admin]\nlisten = \"{loopback}\"")).is_ok(), "{loopback}");
    }
}

#[test]
fn what_is_no_address_is_told_with_an_example() {
    let hint = "hint: write it like `127.0.0.1:9184`";
    for wrong in ["localhost:9184", "9184", "127.0.0.1", ""] {
        check_admin(
            &format!("listen = \"{wrong}\""),
            &[&format!("opgraph.toml:7:10: admin.listen: `{wrong}` is no address with a port\n  {hint}")],
        );
    }
    check_admin(
        "",
        &[
            "opgraph.toml:6:1: admin: `listen` is missing\n  hint: say where to listen, as in `listen = \"127.0.0.1:9184\"`",
        ],
    );
    check_admin(
        "listen = \"127.0.0.1:1\"\nport = 3",
        &["opgraph.toml:8:1: admin.port: unknown key\n  hint: the keys here are listen, token"],
    );
}

#[test]
fn the_flag_goes_before_the_file_and_keeps_its_token() {
    let address = "127.0.0.1:1".parse().unwrap();
    let file = "[admin]\nlisten = \"0.0.0.0:9184\"\ntoken = { file = \"t\" }";
    let config = parse(&format!("{ACME}{file}")).unwrap();
    let kept = config.clone().with_admin(None, &|_| None).unwrap();
    assert_eq!(kept, config);
    let admin = config.with_admin(Some(address), &|_| None).unwrap().admin.unwrap();
    assert_eq!((admin.listen, admin.token.is_some()), (address, true));
    let variable = |name: &str| (name == "OPGRAPH_ADMIN_TOKEN").then(|| "t".into());
    let open = "0.0.0.0:1".parse().unwrap();
    let admin = parse(ACME).unwrap().with_admin(Some(open), &variable).unwrap().admin.unwrap();
    assert_eq!(admin, Admin { listen: open, token: Some(TokenSource::env("OPGRAPH_ADMIN_TOKEN").unwrap()) });
}
