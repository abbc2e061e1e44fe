//! `opgraph check`: is the configuration right, and do the APIs agree?

mod credentials;

mod requests;

use self::credentials::Told;
use super::{
    args::Check,
    failed::{Exit, Failed},
    out,
};
use crate::{
    clock::Clock,
    config::{self, Config},
    http::{Client, ClientSettings},
};

/// Runs the command: reports every tenant, and fails with the first failure.
pub(super) async fn run(check: Check) -> Result<(), Failed> {
    let config = Config::from_flags(&check.flags)?;
    config.check_tokens()?;
    let tenants = config.tenants.len();
    out::print(format_args!("configuration: {tenants} tenant(s), state in {}", config.state_dir.display()));
    for tenant in &config.tenants {
        out::print(format_args!("{}: {}", tenant.name, destinations(tenant)));
        for line in requests::a_day(tenant) {
            out::print(format_args!("{}: {line}", tenant.name));
        }
    }
    if !check.connect && !check.canary {
        out::print("nobody was contacted: `--connect` asks the APIs");
        return Ok(());
    }
    let client = Client::new(&ClientSettings::default())
        .map_err(|error| Failed::new(Exit::Other, "make an HTTP client").because(error))?;
    let now = Clock::system().now();
    let mut first = None;
    for tenant in &config.tenants {
        let mut tell = |what: &str, told: Told| {
            for line in told.lines {
                out::print(format_args!("{}: {what}: {line}", tenant.name));
            }
            if let Some(failed) = told.failed {
                out::print(format_args!("{}: {what}: {failed}", tenant.name));
                first.get_or_insert(failed);
            }
        };
        tell("1Password", credentials::events(tenant, &client, now).await);
        if let Some(settings) = &tenant.connect {
            tell("Connect", credentials::connect(settings, now).await);
        }
        if let Some(settings) = &tenant.jupiterone {
            tell("JupiterOne", credentials::jupiterone(settings, &client).await);
            if check.canary {
                tell("canary", credentials::canary(settings, &client).await);
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
