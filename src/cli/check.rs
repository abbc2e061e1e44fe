//! `opgraph check`: is the configuration right, and do the APIs agree?

use std::{sync::Arc, time::Duration};

use super::{
    args::Check,
    failed::{Exit, Failed},
    out,
    progress::short,
};
use crate::{
    clock::Clock,
    config::{self, Config},
    http::{Budget, Client, ClientSettings, Patience},
    sink::jupiterone,
    source::{Lister, connect::Connect, events_api::EventsApi},
    stream::Stream,
    telemetry::Meter,
    tenant,
};

/// How long a check tries to reach an API.
const PATIENCE: Patience = Patience { give_up_after: Some(Duration::from_secs(20)), ..Patience::ENDLESS };

/// Runs the command: reports every tenant, and fails with the first failure.
pub(super) async fn run(check: Check) -> Result<(), Failed> {
    let config = Config::from_flags(&check.flags)?;
    config.check_tokens()?;
    let tenants = config.tenants.len();
    out::print(format_args!("configuration: {tenants} tenant(s), state in {}", config.state_dir.display()));
    for tenant in &config.tenants {
        out::print(format_args!("{}: {}", tenant.name, destinations(tenant)));
    }
    if !check.connect && !check.canary {
        out::print("nobody was contacted: `--connect` asks the APIs");
        return Ok(());
    }
    let client = Client::new(&ClientSettings::default())
        .map_err(|error| Failed::new(Exit::Other, "make an HTTP client").because(error))?;
    let mut first = None;
    for tenant in &config.tenants {
        let mut tell = |what: &str, result: Result<String, Failed>| match result {
            Ok(text) => out::print(format_args!("{}: {what}: {text}", tenant.name)),
            Err(failed) => {
                out::print(format_args!("{}: {what}: {failed}", tenant.name));
                first.get_or_insert(failed);
            }
        };
        tell("1Password", events(tenant, &client).await);
        if let Some(settings) = &tenant.connect {
            tell("Connect", vaults(settings).await);
        }
        if let Some(settings) = &tenant.jupiterone {
            tell("JupiterOne", sync_job(settings, &client).await);
            if check.canary {
                tell("canary", canary(settings, &client).await);
            }
        }
    }
    first.map_or(Ok(()), Err)
}

/// Where a tenant's records go.
fn destinations(tenant: &config::Tenant) -> String {
    let jupiterone = tenant.jupiterone.as_ref().map(|place| match &place.plan {
        config::Plan::Instance { id, .. } => format!("JupiterOne account {}, instance {id}", place.account),
        config::Plan::Scope { prefix } => format!("JupiterOne account {}, scopes {prefix}/…", place.account),
    });
    let graph = tenant.graph.as_ref().map(|graph| format!("local graph {}", graph.path.display()));
    jupiterone.into_iter().chain(graph).collect::<Vec<_>>().join(" and ")
}

/// Asks 1Password what the token may do. One request.
async fn events(tenant: &config::Tenant, client: &Client) -> Result<String, Failed> {
    let access = tenant::access(&tenant.events)
        .await
        .map_err(|error| Failed::text(Exit::Configuration, error.to_string()).hint(error.hint()))?;
    // A check may be made beside a run: it takes no burst, only a little of the margin that runs leave.
    let budget = Arc::new(Budget::new(tenant.events.limits, Some(Duration::ZERO)));
    let host = access.base_url.to_string();
    let meter = Arc::new(Meter::default());
    let api = EventsApi::new(client.clone(), access.base_url, access.token, budget, PATIENCE, meter);
    let introspection = api.introspect().await?;
    let (may, may_not): (Vec<Stream>, Vec<Stream>) =
        Stream::ALL.iter().partition(|stream| introspection.may_read(**stream));
    let names =
        |streams: &[Stream]| streams.iter().map(|stream| stream.name()).collect::<Vec<_>>().join(", ");
    if let Some(missing) = tenant.events.streams.iter().flatten().find(|stream| may_not.contains(stream)) {
        let text = format!("the token may not read `{}`", missing.name());
        return Err(Failed::text(Exit::Credentials, text)
            .hint("issue a token with that event type, or leave it out of `streams`"));
    }
    if may.is_empty() {
        return Err(Failed::text(Exit::Credentials, "the token may read no stream")
            .hint("issue an Events Reporting token with event types"));
    }
    let mut text = format!("{host} accepts the token; it may read {}", names(&may));
    if !may_not.is_empty() {
        text.push_str(&format!(", not {}", names(&may_not)));
    }
    if let Some(account) = introspection.account_uuid {
        text.push_str(&format!("; account {account}"));
    }
    match access.expires {
        Some(at) => text.push_str(&format!("; it expires in {}", short(at.since(Clock::system().now())))),
        None => text.push_str("; it says nothing of an end"),
    }
    Ok(text)
}

/// Asks Connect which vaults the token may see. One request; no item is listed or opened.
async fn vaults(settings: &config::Connect) -> Result<String, Failed> {
    let resolved = tenant::connect(settings).await;
    let mut resolved =
        resolved.map_err(|error| Failed::text(Exit::Configuration, error.to_string()).hint(error.hint()))?;
    resolved.patience = PATIENCE;
    let vaults = Connect::new(resolved, Arc::new(Meter::default()))?.vaults().await?;
    if vaults.is_empty() {
        return Err(Failed::text(Exit::Credentials, "the token may see no vault")
            .hint("grant the Connect token access to vaults, in 1Password (Developer → Connect)"));
    }
    let items: u64 = vaults.iter().filter_map(|vault| vault.items).sum();
    Ok(format!(
        "{} accepts the token; it may see {} vault(s) with {items} item(s)",
        settings.base_url,
        vaults.len()
    ))
}

/// Opens a sync job and aborts it: nothing reaches the graph.
async fn sync_job(settings: &config::JupiterOne, client: &Client) -> Result<String, Failed> {
    let resolved = resolve(settings).await?;
    jupiterone::probe(client.clone(), resolved).await?;
    Ok(format!("{} opened and aborted a sync job", settings.base_url))
}

async fn canary(settings: &config::JupiterOne, client: &Client) -> Result<String, Failed> {
    let resolved = resolve(settings).await?;
    jupiterone::canary(client.clone(), resolved).await?;
    Ok("what a job does not mention is kept".to_owned())
}

async fn resolve(settings: &config::JupiterOne) -> Result<Arc<jupiterone::JupiterOneSettings>, Failed> {
    let resolved = tenant::jupiterone(settings).await;
    let resolved =
        resolved.map_err(|error| Failed::text(Exit::Configuration, error.to_string()).hint(error.hint()))?;
    Ok(Arc::new(resolved))
}
