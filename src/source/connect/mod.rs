//! 1Password Connect: vaults and items.

pub mod wire;

pub mod records;

mod elements;

mod open;

use std::{fmt, sync::Arc, time::Duration};

use opgraph_state::die_at;
use reqwest::{Method, header::HeaderMap};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::{debug, warn};
use url::Url;

pub use self::wire::{Item, Labels, Vault};
use self::{
    elements::{Elements, NoList},
    open::Opener,
};
use super::Lister;
use crate::{
    http::{Asked, Client, ClientSettings, Failure, Halt, Head, Patience, Remedy, Request, until_done},
    telemetry::Meter,
};

/// Where Connect is, and how it is asked.
#[derive(Clone, Debug)]
pub struct ConnectSettings {
    /// Its base URL, such as `http://127.0.0.1:8080`, without `/v1`.
    pub base_url: Url,
    /// The bearer token. It may read what its vault scopes say.
    pub token: SecretString,
    /// Requests in flight at once.
    pub connections: usize,
    /// How long one request is repeated.
    pub patience: Patience,
}

impl ConnectSettings {
    /// How long one request is repeated. Connect answers 401 to its very first
    /// request, 403 and `database is locked` now and then, and 500 before its
    /// first sync (its changelog; 1Password/connect#82, connect-sdk-python#9).
    /// What takes longer is left to the next snapshot.
    pub const PATIENCE: Patience = Patience {
        first: Duration::from_millis(100),
        longest: Duration::from_secs(10),
        give_up_after: Some(Duration::from_secs(30)),
        repeat_unknown: true,
    };

    /// The settings that fit most servers.
    pub fn new(base_url: Url, token: SecretString) -> ConnectSettings {
        ConnectSettings { base_url, token, connections: 4, patience: ConnectSettings::PATIENCE }
    }
}

/// The oldest version without known faults that we would notice: locked
/// databases (before 1.7.0), 401 on the first request (before 1.7.2).
const GOOD_VERSION: (u32, u32, u32) = (1, 7, 2);

/// The oldest version whose answers are as its OpenAPI file describes them (the
/// header that tells the version is from 1.3.0, correct errors from 1.5.0).
const SUPPORTED_VERSION: (u32, u32, u32) = (1, 5, 0);

/// A Connect server.
pub struct Connect {
    client: Client,
    settings: ConnectSettings,
    in_flight: Semaphore,
    opener: Opener,
    /// The version was looked at: one warning a run is enough.
    versioned: std::sync::Once,
    meter: Arc<Meter>,
}

impl Connect {
    /// Makes a client of the server. Contacts nobody.
    ///
    /// # Errors
    ///
    /// If an HTTP client cannot be made, or the thread that opens items cannot be started.
    pub fn new(settings: ConnectSettings, meter: Arc<Meter>) -> Result<Connect, Failure> {
        let failed = |cause: Box<dyn std::error::Error + Send + Sync>| Failure {
            doing: "prepare to ask 1Password Connect".to_owned(),
            status: None,
            code: None,
            outcome: crate::http::Outcome::NotDone,
            remedy: Remedy::RETRY,
            cause,
        };
        // There are no pages: a vault of 100,000 items is one answer of some 50 MB.
        let lists = ClientSettings {
            timeout: Duration::from_secs(15 * 60),
            largest_answer: 1 << 30,
            ..ClientSettings::default()
        };
        Ok(Connect {
            client: Client::new(&lists).map_err(|error| failed(error.into()))?,
            in_flight: Semaphore::new(settings.connections.max(1)),
            opener: Opener::start().map_err(|error| failed(error.into()))?,
            versioned: std::sync::Once::new(),
            settings,
            meter,
        })
    }

    fn request(&self, doing: String, path: &[&str]) -> Request {
        let mut url = self.settings.base_url.clone();
        // A base URL that cannot be a base has no host, and was refused as such.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        let token = self.settings.token.clone();
        Request {
            doing,
            asked: Asked::Inventory,
            method: Method::GET,
            url,
            token,
            headers: Vec::new(),
            body: None,
        }
    }

    async fn until_done<T, F>(&self, attempt: impl FnMut() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let failed = |failure: &Failure| {
            self.meter.retries.add(1);
            debug!(error = %failure, cause = %failure.cause, "request to Connect failed, trying again");
        };
        until_done(None, &self.settings.patience, failed, attempt).await
    }

    async fn slot(&self) -> Option<SemaphorePermit<'_>> {
        // Never closed.
        self.in_flight.acquire().await.ok()
    }

    /// Reads a list; each element is taken in as it arrives. One that breaks
    /// off, or holds something else, is begun anew.
    async fn list<E: DeserializeOwned, C: Extend<E>>(
        &self,
        request: &Request,
        begin: impl Fn() -> C,
    ) -> Result<C, Failure> {
        let _slot = self.slot().await;
        self.until_done(async || {
            die_at!("connect.before");
            let mut reading = (Elements::default(), begin());
            let head = self.client.read(request, &mut reading, |(elements, taken), piece| {
                elements.push(piece, |element| -> Result<(), Unreadable> {
                    taken.extend([serde_json::from_slice(element)?]);
                    Ok(())
                })?;
                Ok(())
            });
            let head = head.await?;
            let (elements, taken) = reading;
            elements.end().map_err(|error| crate::http::senseless(request, head.status, error.into()))?;
            self.look_at_version(&head);
            Ok(taken)
        })
        .await
    }

    /// Warns, once a run, if the server is older than what we know.
    fn look_at_version(&self, Head { headers, .. }: &Head) {
        self.versioned.call_once(|| {
            let (better, old) = match version(headers) {
                Some(version) if version >= GOOD_VERSION => return,
                Some(version) => {
                    (version >= SUPPORTED_VERSION, format!("{}.{}.{}", version.0, version.1, version.2))
                }
                None => (false, "1.2.0 or older (it does not say)".to_owned()),
            };
            if better {
                warn!(
                    version = old,
                    "this Connect server refuses requests now and then that it should grant: 1.7.2 is better"
                );
            } else {
                warn!(
                    version = old,
                    "this Connect server is older than 1.5.0, the oldest that is supported: update it"
                );
            }
        });
    }
}

/// The version in the header `1Password-Connect-Version`, which is there since 1.3.0.
fn version(headers: &HeaderMap) -> Option<(u32, u32, u32)> {
    let text = headers.get("1password-connect-version")?.to_str().ok()?;
    let mut numbers = text.trim().trim_start_matches('v').split(['.', '-', '+']).map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some((next()?, next()?, next().unwrap_or(0)))
}

/// Why an element of a list cannot be read.
#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error(transparent)]
    NoList(#[from] NoList),
    /// The class of the error, and not its text: that is somebody else's data.
    #[error("an element of the list is not what Connect documents ({:?} error)", .0.classify())]
    Element(serde_json::Error),
}

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Unreadable {
        Unreadable::Element(error)
    }
}

/// A refusal that lasted is believed.
fn believed(failure: Failure) -> Failure {
    let remedy = match failure.status {
        Some(401) => Remedy::Halt(Halt::Credentials {
            hint: "issue a new Connect token in 1Password (Developer → Connect), or correct where it is read from (`connect.token`)"
                .to_owned(),
        }),
        _ => return failure,
    };
    Failure { remedy, ..failure }
}

impl Lister for Connect {
    async fn vaults(&self) -> Result<Vec<Vault>, Failure> {
        let request = self.request("list the vaults".to_owned(), &["vaults"]);
        let listed = self.list(&request, Vec::new).await.map_err(|failure| match failure.status {
            Some(404) => Failure {
                remedy: Remedy::halt("check `connect.base_url`: there is no Connect server behind it"),
                ..failure
            },
            _ => believed(failure),
        });
        die_at!("connect.vaults");
        listed
    }

    async fn items<C: Extend<Item> + Send>(
        &self,
        vault: &str,
        begin: impl Fn() -> C + Send + Sync,
    ) -> Result<C, Failure> {
        let request = self.request(format!("list the items of vault {vault}"), &["vaults", vault, "items"]);
        let listed = self.list(&request, begin).await.map_err(believed);
        die_at!("connect.items");
        listed
    }

    async fn labels(&self, vault: &str, item: &str) -> Result<Option<Labels>, Failure> {
        let doing = format!("open item {item} of vault {vault}");
        let request = self.request(doing, &["vaults", vault, "items", item]);
        let _slot = self.slot().await;
        let opened = self.until_done(async || {
            die_at!("connect.before");
            match self.opener.open(request.clone()).await {
                Err(failure) if failure.status == Some(404) => Ok(None),
                opened => opened.map(Some),
            }
        });
        let opened = opened.await.map_err(believed);
        die_at!("connect.labels");
        opened
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_in_every_form() {
        let check = |text: &'static str, expect: Option<(u32, u32, u32)>| {
            let mut headers = HeaderMap::new();
            headers.insert("1Password-Connect-Version", text.parse().unwrap());
            assert_eq!(version(&headers), expect, "{text}");
        };
        check("1.8.1", Some((1, 8, 1)));
        check("v1.5.0", Some((1, 5, 0)));
        check("1.7", Some((1, 7, 0)));
        check("1.8.0-beta.1", Some((1, 8, 0)));
        check("soon", None);
        check("", None);
        assert_eq!(version(&HeaderMap::new()), None);
    }
}
