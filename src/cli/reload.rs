//! SIGHUP: the configuration is read again.

use std::net::SocketAddr;

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};
use tracing::{error, info, warn};

use super::failed::{Exit, Failed};
use crate::{
    config::{self, Config, Flags, Problem},
    tenant,
};

/// Listens for SIGHUP as long as the answer is polled. Each time the whole
/// configuration is read again, and the tenants in it are sent. One with a
/// problem changes nothing and is told in the words of the start; so is a
/// setting of the process that cannot change.
pub(super) fn on_hangup(
    flags: (Flags, Option<SocketAddr>),
    first: Config,
    wanted: mpsc::Sender<Vec<config::Tenant>>,
) -> Result<impl Future<Output = ()> + Send, Failed> {
    let mut hangups = listen()?;
    Ok(async move {
        while hangups.recv().await.is_some() {
            info!("SIGHUP: reading the configuration again");
            let (flags, first) = (flags.clone(), first.clone());
            match tokio::task::spawn_blocking(move || again(&flags, &first)).await {
                Ok(Some(tenants)) => {
                    if wanted.send(tenants).await.is_err() {
                        return;
                    }
                }
                Ok(None) => error!("SIGHUP: nothing was changed, everything runs on as it was"),
                Err(error) => error!(%error, "SIGHUP: the configuration could not be read again"),
            }
        }
    })
}

/// A run that ends by itself reads its configuration once.
pub(super) fn ignored() -> Result<impl Future<Output = ()> + Send, Failed> {
    let mut hangups = listen()?;
    Ok(async move {
        while hangups.recv().await.is_some() {
            warn!("SIGHUP ignored: a run that ends by itself reads its configuration only at the start");
        }
    })
}

fn listen() -> Result<Signal, Failed> {
    signal(SignalKind::hangup())
        .map_err(|error| Failed::new(Exit::Other, "listen for signals").because(error))
}

/// Reads the tenants again; `None` if something is wrong, which has been told.
pub(super) fn again(
    (flags, admin): &(Flags, Option<SocketAddr>),
    first: &Config,
) -> Option<Vec<config::Tenant>> {
    let config = Config::from_flags(flags);
    let config = match config.and_then(|config| config.with_admin(*admin, &|name| std::env::var_os(name))) {
        Ok(config) => config,
        Err(refused) => {
            tell(refused.problems());
            return None;
        }
    };
    if let Some(key) = first.fixed_but_changed(&config) {
        error!(key, "this cannot change while opgraph runs: start it again, or put the old value back");
        return None;
    }
    if let Err(failed) = tokens(&config).and_then(|()| somebody(&config)) {
        error!("{failed}");
        return None;
    }
    Some(config.tenants)
}

/// Looks at all tokens. A tenant without one halts and shows it, the others
/// run; only if none of them could, nothing is begun.
pub(super) fn tokens(config: &Config) -> Result<(), Failed> {
    if config.tenants.iter().all(|tenant| !tenant.token_problems().is_empty()) {
        return Ok(config.check_tokens()?);
    }
    for tenant in &config.tenants {
        tell(&tenant.token_problems());
    }
    Ok(())
}

/// Whether there is anybody to run for ever.
pub(super) fn somebody(config: &Config) -> Result<(), Failed> {
    if config.tenants.iter().any(|tenant| tenant::pace(tenant, false).is_some()) {
        return Ok(());
    }
    let text = "there is no tenant to run: polling is disabled for all";
    Err(Failed::text(Exit::Configuration, text).hint("use `run --once`, or set `polling_interval`"))
}

fn tell(problems: &[Problem]) {
    for problem in problems {
        error!(%problem, "the configuration has a problem");
    }
}
