//! Who may look: a pure decision about a request, before anything is answered.

use std::net::IpAddr;

use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::{HeaderMap, Method, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

/// Which way a request came, and what that way asks for.
#[derive(Clone, Debug)]
pub enum Door {
    /// The socket in the state directory: only its owner gets here.
    Socket,
    /// A loopback address: everybody on this machine, and every page that a
    /// browser on it has open, unless the `Host` header is looked at.
    Loopback(Option<SecretString>),
    /// Any other address: whoever has the token.
    Open(SecretString),
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) why: &'static str,
}

const NOT_GET: Refusal =
    Refusal { status: StatusCode::METHOD_NOT_ALLOWED, why: "only GET: there is nothing to change here" };
const NO_HOST: Refusal = Refusal {
    status: StatusCode::MISDIRECTED_REQUEST,
    why: "ask by `localhost` or a loopback address: the Host header names something else",
};
const NO_TOKEN: Refusal = Refusal {
    status: StatusCode::UNAUTHORIZED,
    why: "the token of [admin] is missing or wrong: send it as a bearer token, or as the password in a browser",
};

impl Door {
    /// Decides.
    ///
    /// | door     | method  | host           | token configured | answer             |
    /// |----------|---------|----------------|------------------|--------------------|
    /// | any      | not GET | any            | any              | 405                |
    /// | socket   | GET     | any            | -                | yes                |
    /// | loopback | GET     | not loopback's | any              | 421: DNS rebinding |
    /// | loopback | GET     | loopback's     | no               | yes                |
    /// | loopback | GET     | loopback's     | yes              | yes, with it       |
    /// | open     | GET     | any            | yes              | yes, with it       |
    ///
    /// `/healthz` and `/readyz` need no token: they say nothing but yes or no,
    /// and whoever restarts programs should not have to keep one.
    pub(super) fn admits(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<(), Refusal> {
        if method != Method::GET {
            return Err(NOT_GET);
        }
        let token = match self {
            Door::Socket => return Ok(()),
            Door::Loopback(_) if !names_loopback(headers) => return Err(NO_HOST),
            Door::Loopback(None) => return Ok(()),
            Door::Loopback(Some(token)) | Door::Open(token) => token,
        };
        let health = matches!(path, "/healthz" | "/readyz");
        if health || shown(headers).is_some_and(|shown| same(&shown, token)) { Ok(()) } else { Err(NO_TOKEN) }
    }
}

/// Whether the one `Host` header there is names this machine.
fn names_loopback(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Ok(host) = host.to_str() else { return false };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(address, _)| address),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    let address = name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    address || name.eq_ignore_ascii_case("localhost")
}

/// The token that came along: a bearer token, or the password that a browser asked for.
fn shown(headers: &HeaderMap) -> Option<SecretString> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().into());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64_STANDARD.decode(rest.trim()).ok()?).ok()?;
    Some(decoded.split_once(':')?.1.into())
}

/// Compares in a time that says nothing of where they differ.
fn same(shown: &SecretString, token: &SecretString) -> bool {
    shown.expose_secret().as_bytes().ct_eq(token.expose_secret().as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "a-token-of-this-test";

    fn check(door: &Door, method: Method, path: &str, headers: &[(&'static str, &str)], expect: u16) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let status =
            door.admits(&method, path, &map).map_or_else(|refusal| refusal.status.as_u16(), |()| 200);
        assert_eq!(status, expect, "{door:?} {method} {path} {headers:?}");
    }

    #[test]
    fn nothing_but_get_is_answered_through_any_door() {
        let doors = [Door::Socket, Door::Loopback(None), Door::Open(TOKEN.into())];
        for door in &doors {
            for method in
                [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::HEAD, Method::CONNECT]
            {
                check(door, method, "/", &[("host", "localhost")], 405);
            }
        }
        check(&doors[0], Method::GET, "/api/status", &[], 200);
    }

    #[test]
    fn a_page_of_another_host_that_resolves_to_loopback_sees_nothing() {
        let door = Door::Loopback(None);
        let host = |host: &str, expect| check(&door, Method::GET, "/", &[("host", host)], expect);
        for good in ["localhost", "LOCALHOST:9184", "127.0.0.1:9184", "127.1.2.3", "[::1]:9184", "[::1]"] {
            host(good, 200);
        }
        for bad in [
            "evil.example",
            "evil.example:9184",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "0.0.0.0",
            "",
            "[::1",
            "[fe80::1]",
            "local host",
            "::1",
        ] {
            host(bad, 421);
        }
        check(&door, Method::GET, "/", &[], 421);
        check(&door, Method::GET, "/", &[("host", "localhost"), ("host", "evil.example")], 421);
        check(&door, Method::GET, "/healthz", &[("host", "evil.example")], 421);
    }

    #[test]
    fn whoever_has_no_token_learns_only_whether_it_is_up() {
        let basic = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
        let loopback = Door::Loopback(Some(TOKEN.into()));
        let open = Door::Open(TOKEN.into());
        for door in [&loopback, &open] {
            let shows = |path, authorization: &str, expect| {
                check(
                    door,
                    Method::GET,
                    path,
                    &[("host", "localhost"), ("authorization", authorization)],
                    expect,
                );
            };
            for path in
                ["/", "/api/status", "/metrics", "/assets/page.css", "/nothing", "/healthz/..", "//healthz"]
            {
                check(door, Method::GET, path, &[("host", "localhost")], 401);
                shows(path, "Bearer wrong", 401);
                shows(path, &format!("Bearer {TOKEN}x"), 401);
                shows(path, &format!("Bearer {}", &TOKEN[1..]), 401);
                shows(path, TOKEN, 401);
                shows(path, "Bearer", 401);
                shows(path, &basic(TOKEN), 401);
                shows(path, "Basic ???", 401);
                shows(path, &format!("Bearer {TOKEN}"), 200);
                shows(path, &format!("bearer  {TOKEN} "), 200);
                shows(path, &basic(&format!("anybody:{TOKEN}")), 200);
            }
            for path in ["/healthz", "/readyz"] {
                check(door, Method::GET, path, &[("host", "localhost")], 200);
            }
        }
        check(&open, Method::GET, "/", &[("host", "evil.example")], 401);
        check(&open, Method::GET, "/healthz", &[("host", "10.0.0.7")], 200);
        assert!(!format!("{loopback:?} {open:?}").contains(TOKEN));
    }
}
