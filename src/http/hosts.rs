//! Which hosts a token may be sent to.

use std::net::IpAddr;

use url::{Host, Url};

/// 1Password's Events API, one host a region (its documentation, "Base URLs").
pub const ONEPASSWORD: &[&str] =
    &["events.1password.com", "events.ent.1password.com", "events.1password.ca", "events.1password.eu"];

/// JupiterOne's API, one host a region (its SDK's default, and the EU's).
pub const JUPITERONE: &[&str] = &["api.us.jupiterone.io", "api.eu.jupiterone.io"];

/// Checks a base URL before any token is sent to it: `https`, and one of
/// `known`; loopback may be anything. `allow_custom` drops the list of hosts,
/// never the demand for `https`.
///
/// # Errors
///
/// A sentence that says what to write instead.
pub fn check(url: &Url, known: &[&str], allow_custom: bool) -> Result<(), String> {
    let Some(host) = url.host() else {
        return Err(format!("`{url}` names no host; write it like `https://{}`", known[0]));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "a base URL must not hold a user name or password; write the token under `token`".to_owned()
        );
    }
    if is_loopback(&host) && matches!(url.scheme(), "http" | "https") {
        return Ok(());
    }
    if url.scheme() != "https" {
        return Err(format!("`{url}` would send the token unencrypted; write `https://{host}`"));
    }
    let listed = known.iter().any(|known| host.to_string() == *known);
    if listed || allow_custom {
        return Ok(());
    }
    Err(format!(
        "`{host}` is none of {}; correct it, or set `allow_custom_hosts = true` if the token may go there",
        known.join(", "),
    ))
}

/// Whether the host is this machine, whatever the resolver says.
fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(ip) => IpAddr::from(*ip).is_loopback(),
        Host::Ipv6(ip) => IpAddr::from(*ip).is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_to_known_hosts_over_https_and_nowhere_else() {
        let check =
            |url: &str, custom: bool| super::check(&url.parse().unwrap(), ONEPASSWORD, custom).is_ok();
        for host in ONEPASSWORD {
            assert!(check(&format!("https://{host}"), false));
            assert!(!check(&format!("http://{host}"), false));
            assert!(!check(&format!("http://{host}"), true));
        }
        for loopback in ["http://127.0.0.1:9", "http://[::1]:9", "http://localhost:9", "https://localhost"] {
            assert!(check(loopback, false), "{loopback}");
        }
        for other in [
            "https://example.com",
            "https://events.1password.com.evil.example",
            "https://evil-events.1password.com",
            "https://localhost.evil.example",
            "https://128.0.0.1",
        ] {
            assert!(!check(other, false), "{other}");
            assert!(check(other, true), "{other}");
        }
        for never in
            ["ftp://127.0.0.1", "https://user:pass@events.1password.com", "http://10.0.0.1", "data:x"]
        {
            assert!(!check(never, true), "{never}");
        }
    }
}
