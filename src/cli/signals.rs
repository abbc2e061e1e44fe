//! Signals: SIGTERM and SIGINT stop, SIGHUP reads the configuration again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::{error, info};

use super::failed::{Exit, Failed};
use crate::config::{Config, ConfigError, Flags};

/// Listens for as long as it lives, from one configuration to the next: a
/// signal that came in between would be lost, and with it the wish to stop.
pub(super) struct Signals {
    turn: Arc<Mutex<Turn>>,
    _listening: AbortOnDropHandle<()>,
}

/// The time with one configuration.
#[derive(Default)]
struct Turn {
    closing: CancellationToken,
    next: Option<Config>,
    stopping: bool,
}

impl Signals {
    /// Listens for SIGTERM and SIGINT, and with `flags` for SIGHUP, upon which
    /// the configuration that they name is read again.
    ///
    /// The first signal to stop closes and drains, the second ends the process
    /// at once. Both are safe: what is not committed is read again.
    pub(super) fn listen(flags: Option<Flags>) -> Result<Signals, Failed> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failed::new(Exit::Other, "listen for signals").because(error))
        };
        let mut terminate = listen(SignalKind::terminate())?;
        let mut interrupt = listen(SignalKind::interrupt())?;
        // Without flags it keeps its usual meaning: the terminal is gone.
        let mut hangup = flags.is_some().then(|| listen(SignalKind::hangup())).transpose()?;
        let turn = Arc::new(Mutex::new(Turn::default()));
        let of_task = turn.clone();
        let listening = async move {
            loop {
                let again = async {
                    match &mut hangup {
                        Some(hangup) => hangup.recv().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    _ = terminate.recv() => stop(&mut locked(&of_task)),
                    _ = interrupt.recv() => stop(&mut locked(&of_task)),
                    _ = again => {
                        if let Some(flags) = &flags {
                            take(read(flags), &mut locked(&of_task));
                        }
                    }
                }
            }
        };
        Ok(Signals { turn, _listening: AbortOnDropHandle::new(tokio::spawn(listening)) })
    }

    /// Cancelled when this turn is to end.
    pub(super) fn closing(&self) -> CancellationToken {
        locked(&self.turn).closing.clone()
    }

    /// Begins the next turn, if there is to be one.
    pub(super) fn next(&self) -> Option<Config> {
        let mut turn = locked(&self.turn);
        let next = turn.next.take()?;
        turn.closing = CancellationToken::new();
        Some(next)
    }
}

fn locked(turn: &Mutex<Turn>) -> MutexGuard<'_, Turn> {
    // No step in between leaves a turn that is none.
    turn.lock().unwrap_or_else(PoisonError::into_inner)
}

fn stop(turn: &mut Turn) {
    if turn.stopping {
        std::process::exit(Exit::Other as i32);
    }
    info!("stopping: finishing what is in flight; a second signal stops at once");
    turn.stopping = true;
    turn.next = None;
    turn.closing.cancel();
}

/// Takes a configuration for the next turn. One that makes no sense changes nothing.
fn take(read: Result<Config, ConfigError>, turn: &mut Turn) {
    match read {
        Ok(_) if turn.stopping => info!("stopping already: the configuration is not read again"),
        Ok(config) => {
            info!("configuration read again: finishing what is in flight, then going on with it");
            turn.next = Some(config);
            turn.closing.cancel();
        }
        Err(error) => error!(%error, "the configuration was not taken: going on as before"),
    }
}

fn read(flags: &Flags) -> Result<Config, ConfigError> {
    let config = Config::from_flags(flags)?;
    config.check_tokens()?;
    Ok(config)
}
