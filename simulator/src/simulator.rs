//! The simulator as its user holds it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    Comparison, Config, Expected, HeldInFull, JobSeen, Report, Script, Vaults, connect,
    generate::{World, upper_uuid},
    host::{Host, Names},
    jupiterone,
    mix::mix,
    oracle, server,
    token::{Claims, ConnectClaims, EVERY_VAULT, VaultScope},
};

/// Why a simulator could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not loopback. A simulator answers nobody else.
    #[error("cannot listen on {0}, which is not loopback")]
    NotLoopback(SocketAddr),
    /// The address cannot be bound.
    #[error("cannot listen on {listen}")]
    Bind {
        /// The configured address.
        listen: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// A setting is out of its range.
    #[error("cannot simulate with {0}")]
    Setting(&'static str),
}

/// A running simulator. Dropping it stops it.
#[derive(Debug)]
pub struct Simulator {
    address: SocketAddr,
    host: Arc<Host>,
    seed: u64,
    issued: i64,
    stop: CancellationToken,
    listening: Option<JoinHandle<()>>,
}

impl Simulator {
    /// Starts listening; all three APIs answer when this returns.
    pub async fn start(config: Config) -> Result<Simulator, Error> {
        check(&config)?;
        let listen = config.listen;
        let bind = |source| Error::Bind { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let start = config.now.unwrap_or_else(jiff::Timestamp::now).as_nanosecond();
        let start = i64::try_from(start).map_err(|_| Error::Setting("a time that 64 bits do not hold"))?;
        let world = World::new(&config, start);
        let (seed, issued) = (config.seed, start / 1_000_000_000 - 3600);
        let features: Vec<&str> = config.features.iter().map(|stream| stream.name()).collect();
        let lifetime =
            config.token_lifetime.map(|lifetime| start / 1_000_000_000 + lifetime.as_secs() as i64);
        // No two simulators have one secret: a program that outlived an earlier one, with the same seed and since
        // then at the same address, is refused, and cannot bring the old story into the new one.
        let secret = mix(seed ^ jiff::Timestamp::now().as_nanosecond() as u64);
        let names = Names {
            secret,
            account_uuid: account_uuid(seed),
            integration_uuid: upper_uuid(seed ^ 0x696e),
            token: claims(seed, address, &features, issued, lifetime).sign(secret),
            jupiterone_token: format!("jupiterone-key-{:016x}", mix(secret ^ 0x6b65_7900)),
            jupiterone_account: format!("account-{:08x}", mix(seed ^ 0x6163) >> 32),
            integration_instance_id: jupiterone::uuid(seed ^ 0x696e_7374),
        };
        let host = Arc::new(Host::new(config, names, world));
        let stop = CancellationToken::new();
        let listening = tokio::spawn(server::listen(listener, Arc::clone(&host), stop.clone()));
        Ok(Simulator { address, host, seed, issued, stop, listening: Some(listening) })
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the base URL of the Events API, without a closing slash.
    pub fn events_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the base URL of JupiterOne, without a closing slash.
    pub fn jupiterone_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns a bearer token of the Events API with the configured features.
    pub fn events_token(&self) -> &str {
        &self.host.names.token
    }

    /// Returns a bearer token of the Events API with exactly these features, names of streams.
    pub fn token_with_features(&self, features: &[&str]) -> String {
        claims(self.seed, self.address, features, self.issued, None).sign(self.host.names.secret)
    }

    /// Lets every events token get 401 from now on (`true`), or work again (`false`).
    pub fn revoke_tokens(&self, revoked: bool) {
        self.host.revoke(revoked);
    }

    /// Returns the uuid of the 1Password account, as introspection tells it.
    pub fn account_uuid(&self) -> &str {
        &self.host.names.account_uuid
    }

    /// Returns JupiterOne's API key.
    pub fn jupiterone_token(&self) -> &str {
        &self.host.names.jupiterone_token
    }

    /// Returns JupiterOne's account id.
    pub fn jupiterone_account(&self) -> &str {
        &self.host.names.jupiterone_account
    }

    /// Returns the id of the one integration instance that JupiterOne knows.
    pub fn integration_instance_id(&self) -> &str {
        &self.host.names.integration_instance_id
    }

    /// Returns the base URL of Connect, without `/v1` and without a closing slash.
    pub fn connect_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns what changes the vaults and items that Connect tells.
    pub fn connect(&self) -> Vaults<'_> {
        Vaults::new(&self.host)
    }

    /// Returns a bearer token of Connect for every vault, those that are made later too. It is none of the Events API, and revoking those leaves it.
    pub fn connect_token(&self) -> String {
        let vaults = self.host.world.cast.vaults.iter().map(String::as_str);
        self.sign_connect(vaults.chain([EVERY_VAULT]))
    }

    /// Returns a bearer token of Connect for exactly these vaults, by their ids.
    pub fn connect_token_for(&self, vaults: &[&str]) -> String {
        self.sign_connect(vaults.iter().copied())
    }

    /// Returns texts of which every secret that Connect serves contains one, and nothing else does: field values,
    /// one-time codes, recipes, entropies, notes, and what leads to a file's content.
    ///
    /// A text here that turns up in a graph, a log or a state directory is a leak.
    pub fn secret_canaries(&self) -> Vec<String> {
        connect::secret_canaries(self.seed)
    }

    /// Queues a fault.
    pub fn script(&self, script: Script) {
        self.host.plan.script(script);
    }

    /// Forgets every scripted fault that is still to come: an outage is over.
    pub fn calm(&self) {
        self.host.plan.calm();
    }

    /// Returns every sync job there is, in the order they were started. Looking moves none on.
    pub fn jobs(&self) -> Vec<JobSeen> {
        self.host.jupiterone.seen()
    }

    /// Returns what was seen so far, with JupiterOne's graph compared.
    ///
    /// Takes well under a microsecond for each event served and each record held, and no lock of the
    /// Events API meanwhile. Jobs that are still finalizing are not yet in the graph: see [`settle`](Self::settle).
    pub fn report(&self) -> Report {
        self.host.report(None)
    }

    /// Returns [`report`](Self::report) with another graph compared in place of JupiterOne's: of
    /// [`Held`](crate::Held) records, or of [`HeldInFull`] ones.
    pub fn report_of(&self, held: impl IntoIterator<Item = impl Into<HeldInFull>>) -> Report {
        self.host.report(Some(self.compare(held)))
    }

    /// Compares any graph with what the served events, vaults and items must have become: of
    /// [`Held`](crate::Held) records, or of [`HeldInFull`] ones.
    pub fn compare(&self, held: impl IntoIterator<Item = impl Into<HeldInFull>>) -> Comparison {
        oracle::compare(&self.host.keys, &self.host.expectation(), held)
    }

    /// Returns what the graph must hold for what was served so far.
    pub fn expectations(&self) -> Expected {
        self.host.expected()
    }

    /// Brings every job that is finalizing to its end now.
    pub fn settle(&self) {
        self.host.jupiterone.settle();
    }

    fn sign_connect<'a>(&self, vaults: impl Iterator<Item = &'a str>) -> String {
        let own = claims(self.seed ^ 0x636f_6e6e, self.address, &["vaultaccess"], self.issued, None);
        let claims = ConnectClaims {
            account_uuid: self.account_uuid().to_owned(),
            features: own.features,
            vaults: vaults.map(|vault| VaultScope { vault: vault.to_owned(), access: 48 }).collect(),
            aud: vec!["com.1password.connect".to_owned()],
            sub: own.sub,
            iss: own.iss,
            jti: own.jti,
            iat: own.iat,
        };
        claims.sign(self.seed)
    }

    /// Stops listening and drops every connection.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(listening) = self.listening.take()
            && let Err(error) = listening.await
        {
            tracing::debug!(%error, "the listener did not end by itself");
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Checks what no type checks.
fn check(config: &Config) -> Result<(), Error> {
    if !config.listen.ip().is_loopback() {
        return Err(Error::NotLoopback(config.listen));
    }
    let settings = [
        (config.users >= 8, "fewer than 8 users"),
        (config.users < 1 << 30, "that many users"),
        ((1..=1000).contains(&config.vaults), "a number of vaults that is not between 1 and 1000"),
        (config.items_per_vault < 1_000_000, "a million items in a vault"),
        (
            (0.0..=1e6).contains(&config.connect_changes_per_hour),
            "changes of Connect that are not between 0 and a million an hour",
        ),
        (config.events < 1 << 40, "that many events"),
        ((1..=1000).contains(&config.page_cap), "a page cap that is not between 1 and 1000"),
        (config.rate >= 0.0 && config.rate <= 1e6, "a rate that is not between 0 and a million"),
        ((0.0..=1.0).contains(&config.poison), "a share of poison that is not between 0 and 1"),
        (config.history <= Duration::from_secs(20 * 366 * 86_400), "more than 20 years of history"),
    ];
    match settings.iter().find(|(good, _)| !good) {
        Some((_, what)) => Err(Error::Setting(what)),
        None => Ok(()),
    }
}

fn account_uuid(seed: u64) -> String {
    upper_uuid(seed ^ 0x6163_636f)
}

/// Returns what a token says. `aud` is the host without a scheme, as in 1Password's own.
fn claims(seed: u64, address: SocketAddr, features: &[&str], issued: i64, expires: Option<i64>) -> Claims {
    Claims {
        account_uuid: account_uuid(seed),
        features: features.iter().map(|feature| (*feature).to_owned()).collect(),
        aud: vec![address.to_string()],
        sub: upper_uuid(seed ^ 0x7375_6200),
        iss: "com.1password.b5".to_owned(),
        jti: upper_uuid(seed ^ 0x6a74_6900).to_ascii_lowercase(),
        iat: issued,
        exp: expires,
    }
}

/// Runs a simulator until `until` is done: what a command line calls. `ready` is told once it listens.
///
/// Returns the last report.
pub async fn serve(
    config: Config,
    ready: impl FnOnce(&Simulator),
    until: impl Future<Output = ()>,
) -> Result<Report, Error> {
    let simulator = Simulator::start(config).await?;
    ready(&simulator);
    until.await;
    let report = simulator.report();
    simulator.stop().await;
    Ok(report)
}
