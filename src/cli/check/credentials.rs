//! What each credential can do and cannot do, and when it ends.

use std::{sync::Arc, time::Duration};

use opgraph_state::UnixMs;
use secrecy::SecretString;

use crate::{
    cli::{
        failed::{Exit, Failed},
        out,
        progress::short,
    },
    config,
    http::{Budget, Client, Patience},
    secret::{Claims, SecretError},
    sink::jupiterone,
    source::{Lister, connect::Connect, events_api::EventsApi},
    stream::Stream,
    telemetry::Meter,
    tenant,
};

/// How long a check tries to reach an API.
const PATIENCE: Patience = Patience { give_up_after: Some(Duration::from_secs(20)), ..Patience::ENDLESS };

/// What is known of a credential, and what is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) lines: Vec<String>,
    pub(super) failed: Option<Failed>,
}

impl Told {
    fn say(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    fn of(result: Result<Vec<String>, Failed>) -> Told {
        match result {
            Ok(lines) => Told { lines, failed: None },
            Err(failed) => Told { lines: Vec::new(), failed: Some(failed) },
        }
    }
}

/// Asks 1Password what the token may do. One request.
pub(super) async fn events(tenant: &config::Tenant, client: &Client, now: UnixMs) -> Told {
    introspected(tenant, client, now).await.unwrap_or_else(|failed| Told::of(Err(failed)))
}

async fn introspected(tenant: &config::Tenant, client: &Client, now: UnixMs) -> Result<Told, Failed> {
    let access = tenant::access(&tenant.events).await.map_err(unreadable)?;
    // A check may be made beside a run: it takes no burst, only a little of the margin that runs leave.
    let budget = Arc::new(Budget::new(tenant.events.limits, Some(Duration::ZERO)));
    let (host, end) = (access.base_url.clone(), end(&access.token, now));
    let meter = Arc::new(Meter::default());
    let api = EventsApi::new(client.clone(), access.base_url, access.token, budget, PATIENCE, meter);
    let introspection = api.introspect().await?;

    let mut told = Told::default();
    told.say(format!("{host} accepts the token ({})", tenant.events.token));
    let (may, may_not): (Vec<Stream>, Vec<Stream>) =
        Stream::ALL.iter().partition(|stream| introspection.may_read(**stream));
    let names =
        |streams: &[Stream]| streams.iter().map(|stream| stream.name()).collect::<Vec<_>>().join(", ");
    if !may.is_empty() {
        told.say(format!("it can read {}", names(&may)));
    }
    if !may_not.is_empty() {
        told.say(format!("it cannot read {}", names(&may_not)));
    }
    told.say(
        "it cannot read vaults or items, and cannot change anything: an Events API token only reads events",
    );
    told.say(match (&introspection.account_uuid, &introspection.uuid) {
        (Some(account), Some(of)) => format!("it is for account {account}, by integration {of}"),
        (Some(account), None) => format!("it is for account {account}"),
        (None, _) => "it does not say which account it is for".to_owned(),
    });
    told.say(end);
    if let Some(missing) = tenant.events.streams.iter().flatten().find(|stream| may_not.contains(stream)) {
        let text = format!("the token may not read `{}`", missing.name());
        told.failed = Some(
            Failed::text(Exit::Credentials, text)
                .hint("issue a token with that event type, or leave it out of `streams`"),
        );
    } else if may.is_empty() {
        told.failed = Some(
            Failed::text(Exit::Credentials, "the token may read no stream")
                .hint("issue an Events Reporting token with event types"),
        );
    }
    Ok(told)
}

/// Asks Connect which vaults the token may see. One request; no item is listed or opened.
pub(super) async fn connect(settings: &config::Connect, now: UnixMs) -> Told {
    Told::of(vaults(settings, now).await)
}

async fn vaults(settings: &config::Connect, now: UnixMs) -> Result<Vec<String>, Failed> {
    let mut resolved = tenant::connect(settings).await.map_err(unreadable)?;
    resolved.patience = PATIENCE;
    let end = end(&resolved.token, now);
    let vaults = Connect::new(resolved, Arc::new(Meter::default()))?.vaults().await?;
    if vaults.is_empty() {
        return Err(Failed::text(Exit::Credentials, "the token may see no vault")
            .hint("grant the Connect token access to vaults, in 1Password (Developer → Connect)"));
    }
    let items: u64 = vaults.iter().filter_map(|vault| vault.items).sum();
    Ok(vec![
        format!("{} accepts the token ({})", settings.base_url, settings.token),
        format!("it can see {} vault(s) with {items} item(s)", vaults.len()),
        "it cannot see any other vault: a Connect token is issued for the vaults that it names".to_owned(),
        "it does not say whether it may change items; opgraph only reads".to_owned(),
        match settings.item_details {
            true => {
                "each new version of an item is opened once for its labels, which 1Password records as a use"
            }
            false => "no item is ever opened (`item_details = false`)",
        }
        .to_owned(),
        end,
    ])
}

/// Opens a sync job and aborts it: nothing reaches the graph.
pub(super) async fn jupiterone(settings: &config::JupiterOne, client: &Client) -> Told {
    Told::of(sync_job(settings, client).await)
}

async fn sync_job(settings: &config::JupiterOne, client: &Client) -> Result<Vec<String>, Failed> {
    let resolved = resolve(settings).await?;
    jupiterone::probe(client.clone(), resolved).await?;
    let place = match &settings.plan {
        config::Plan::Instance { id, .. } => format!("through instance {id}"),
        config::Plan::Scope { prefix } => format!("into scopes {prefix}/…"),
    };
    Ok(vec![
        format!("{} accepts the key ({})", settings.base_url, settings.token),
        format!("it can upload {place}: it opened and aborted a sync job"),
        "it does not say what else it may do, nor when it expires".to_owned(),
    ])
}

/// Uploads two entities, to prove that uploading one deletes no other.
pub(super) async fn canary(settings: &config::JupiterOne, client: &Client) -> Told {
    let kept = async {
        jupiterone::canary(client.clone(), resolve(settings).await?).await?;
        Ok(vec!["what a job does not mention is kept".to_owned()])
    };
    Told::of(kept.await)
}

async fn resolve(settings: &config::JupiterOne) -> Result<Arc<jupiterone::JupiterOneSettings>, Failed> {
    tenant::jupiterone(settings).await.map(Arc::new).map_err(unreadable)
}

fn unreadable(error: SecretError) -> Failed {
    Failed::text(Exit::Configuration, error.to_string()).hint(error.hint())
}

/// When a token of 1Password's ends, as far as it says. An introspection does not.
fn end(token: &SecretString, now: UnixMs) -> String {
    let Some(claims) = Claims::read(token) else { return "it does not say when it expires".to_owned() };
    match claims.expires {
        None => "it does not say when it expires, like tokens that never do".to_owned(),
        Some(at) if at <= now => format!("it expired on {}, by this machine's clock", out::time(at)),
        Some(at) => format!(
            "it expires in {}, on {}; replace it before: after that it is refused (exit code 3)",
            short(at.since(now)),
            out::time(at),
        ),
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

    use super::*;

    #[test]
    fn a_token_says_when_it_ends_or_that_it_does_not() {
        let check = |token: &str, expect: &str| {
            let said = end(&SecretString::from(token), UnixMs(1_780_000_000_000));
            assert_eq!(said, expect, "{token}");
        };
        let jwt = |claims: &str| format!("eyJ.{}.sig", BASE64_URL_SAFE_NO_PAD.encode(claims));
        check("opaque", "it does not say when it expires");
        check(&jwt("{}"), "it does not say when it expires, like tokens that never do");
        check(
            &jwt(r#"{"exp":1780432000}"#),
            "it expires in 5d, on 2026-06-02T20:26:40Z; replace it before: after that it is refused (exit code 3)",
        );
        check(&jwt(r#"{"exp":1779999999}"#), "it expired on 2026-05-28T20:26:39Z, by this machine's clock");
    }
}
