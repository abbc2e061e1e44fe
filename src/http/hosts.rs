//! Which hosts a token may be sent to.

use std::net::IpAddr;

use url::{Host, Url};

/// 1Password's Events API, one host a region (its documentation, "Base URLs").
pub const ONEPASSWORD: &[&str] =
    &["events.1password.com", "events.ent.1password.com", "events.1password.ca", "events.1password.eu"];

/// JupiterOne's API, one host a region (its SDK's default, and the EU's).
pub const JUPITERONE: &[&str] = &["api.us.jupiterone.io", "api.eu.jupiterone.io"];

/// Which hosts are known for a service.
#[derive(Clone, Copy, Debug)]
pub enum Known {
    /// These, of whoever offers it.
    Named(&'static [&'static str]),
    /// None: people run it themselves, often without `https` within a network of their own.
    Own,
}

/// Checks a base URL before any token is sent to it: `https`, and one of
/// `known`; loopback may be anything. `allow_custom` drops the list of hosts,
/// and the demand for `https` only for what people run themselves, and only
/// towards private addresses and names that no public resolver knows.
///
/// # Errors
///
/// A sentence that says what to write instead.
pub fn check(url: &Url, known: Known, allow_custom: bool) -> Result<(), String> {
    let named = match known {
        Known::Named(hosts) => hosts,
        Known::Own => &[],
    };
    let Some(host) = url.host() else {
        let example = named.first().unwrap_or(&"connect.example");
        return Err(format!("`{url}` names no host; write it like `https://{example}`"));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "a base URL must not hold a user name or password; write the token under `token`".to_owned()
        );
    }
    if is_loopback(&host) && matches!(url.scheme(), "http" | "https") {
        return Ok(());
    }
    let within = matches!(known, Known::Own) && url.scheme() == "http" && is_private(&host);
    if url.scheme() != "https" && !within {
        return Err(format!("`{url}` would send the token unencrypted; write `https://{host}`"));
    }
    if allow_custom || named.iter().any(|known| host.to_string() == *known) {
        return Ok(());
    }
    let what = match known {
        Known::Named(hosts) => format!("`{host}` is none of {}; correct it, or", hosts.join(", ")),
        Known::Own => format!("`{host}` is another machine; correct it, or"),
    };
    Err(format!("{what} set `allow_custom_hosts = true` if the token may go there"))
}

/// Whether the host is this machine, whatever the resolver says.
fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(ip) => IpAddr::from(*ip).is_loopback(),
        Host::Ipv6(ip) => IpAddr::from(*ip).is_loopback(),
    }
}

/// Whether the host lies within a network of one's own: a private address, a
/// name of one label, or one under a domain that is reserved for such networks.
fn is_private(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            !name.contains('.')
                || [".local", ".internal", ".svc", ".home.arpa"].iter().any(|end| name.ends_with(end))
        }
        Host::Ipv4(ip) => ip.is_private() || ip.is_link_local(),
        Host::Ipv6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_to_known_hosts_over_https_and_nowhere_else() {
        let check = |url: &str, custom: bool| {
            super::check(&url.parse().unwrap(), Known::Named(ONEPASSWORD), custom).is_ok()
        };
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

    #[test]
    fn a_server_of_ones_own_may_do_without_https_within_a_private_network_only() {
        let check = |url: &str, custom: bool| super::check(&url.parse().unwrap(), Known::Own, custom).is_ok();
        assert!(check("http://127.0.0.1:8080", false) && check("http://localhost:8080", false));
        for within in [
            "http://connect:8080",
            "http://onepassword-connect.vault.svc.cluster.local:8080",
            "http://connect.vault.svc",
            "http://10.0.0.7:8080",
            "http://192.168.1.7",
            "http://[fd00::7]:8080",
            "https://connect.example.com",
        ] {
            assert!(!check(within, false), "{within}");
            assert!(check(within, true), "{within}");
        }
        for never in [
            "http://connect.example.com",
            "http://8.8.8.8",
            "http://[2001:db8::1]",
            "http://local",
            "ftp://connect",
            "https://user:pass@connect",
        ] {
            assert!(check(never, true) == (never == "http://local"), "{never}");
        }
    }
}
