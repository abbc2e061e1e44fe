//! Where a run lets itself be looked at: the socket in its state directory, and an address if one is configured.

use std::{path::Path, sync::Arc};

use secrecy::{ExposeSecret, SecretString};
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::failed::{Exit, Failed};
use crate::{
    admin::{Door, Listening, Site, listen, socket},
    config,
};

/// The fewest characters of a token: what is shorter can be guessed.
const SHORTEST_TOKEN: usize = 16;

/// All that is open, for as long as it is kept.
pub(super) struct Doors {
    _watch: AbortOnDropHandle<()>,
    _socket: Option<socket::Socket>,
    _listening: Option<Listening>,
}

/// Opens the socket, and the address that is configured.
pub(super) async fn open(
    admin: Option<config::Admin>,
    state_dir: &Path,
    site: Arc<Site>,
) -> Result<Doors, Failed> {
    let watch = {
        let site = site.clone();
        AbortOnDropHandle::new(tokio::spawn(async move { site.watch().await }))
    };
    // Nothing but `opgraph status` needs it, so nothing stops without it.
    let socket = socket::listen(state_dir, site.clone())
        .inspect_err(|error| warn!(error = %error, "no socket for `opgraph status` in the state directory"));
    let listening = match admin {
        Some(admin) => Some(listening(admin, site).await?),
        None => None,
    };
    Ok(Doors { _watch: watch, _socket: socket.ok(), _listening: listening })
}

async fn listening(admin: config::Admin, site: Arc<Site>) -> Result<Listening, Failed> {
    let config::Admin { listen: address, token } = admin;
    let token = match token {
        Some(source) => Some(long_enough(source.read().await.map_err(|error| {
            Failed::new(Exit::Configuration, "read the token of [admin]").because(&error).hint(error.hint())
        })?)?),
        None => None,
    };
    let door = match (address.ip().is_loopback(), token) {
        (true, token) => Door::Loopback(token),
        (false, Some(token)) => Door::Open(token),
        // The configuration has refused it already.
        (false, None) => {
            let text = format!("other machines reach `{address}`: it needs a token");
            return Err(Failed::text(Exit::Configuration, text));
        }
    };
    let listening = listen(address, door, site).await.map_err(|error| {
        Failed::new(Exit::Configuration, &format!("show the status at {address}"))
            .because(error)
            .hint("choose another port for `listen` in `[admin]`, or with `--admin`")
    })?;
    info!(address = %format_args!("http://{}", listening.address), "the status page is there");
    Ok(listening)
}

fn long_enough(token: SecretString) -> Result<SecretString, Failed> {
    if token.expose_secret().len() >= SHORTEST_TOKEN {
        return Ok(token);
    }
    let text = format!("the token of [admin] has fewer than {SHORTEST_TOKEN} characters");
    Err(Failed::text(Exit::Configuration, text).hint("make one with `openssl rand -hex 32`"))
}
