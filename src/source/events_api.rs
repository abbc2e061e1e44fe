//! 1Password's Events API, version 2.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use opgraph_state::{Cursor, SourceInfo, UnixMs, die_at};
use reqwest::Method;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tracing::warn;
use url::Url;

use super::Source;
use crate::{
    http::{Answer, Asked, Body, Budget, Client, Failure, Outcome, Patience, Remedy, Request, until_done},
    stream::{Read, Stream, read_page},
    telemetry::Meter,
};

/// The version in every path. A cursor of another version is another cursor.
pub const API_VERSION: &str = "v2";

/// Events a page: the most the API allows (1Password's documentation, pagination).
pub const PAGE_SIZE: NonZeroU32 = NonZeroU32::new(1000).unwrap();

/// How often a page that makes no sense is asked for again before its stream halts.
const MALFORMED_ATTEMPTS: u32 = 5;

/// One account's Events API.
#[derive(Clone, Debug)]
pub struct EventsApi {
    client: Client,
    base_url: Url,
    token: SecretString,
    budget: Arc<Budget>,
    patience: Patience,
    account: Option<String>,
    meter: Arc<Meter>,
}

/// What the token may do (`GET /api/v2/auth/introspect`).
#[derive(Clone, Debug, Deserialize)]
pub struct Introspection {
    /// The integration's uuid, not a user's.
    pub uuid: Option<String>,
    /// The account's uuid; missing before API 1.4.1.
    pub account_uuid: Option<String>,
    /// The streams the token may read.
    #[serde(default)]
    pub features: Vec<String>,
}

impl Introspection {
    /// Whether the token may read the stream.
    pub fn may_read(&self, stream: Stream) -> bool {
        self.features.iter().any(|feature| feature == stream.name())
    }
}

/// The two request bodies. Never both: `limit` travels inside a cursor. Never
/// `end_time`: a cursor made with one ends there.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Ask<'a> {
    Since { limit: u32, start_time: String },
    After { cursor: &'a str },
}

impl EventsApi {
    /// Makes a client of the account behind `token`. The budget is the account's.
    pub fn new(
        client: Client,
        base_url: Url,
        token: SecretString,
        budget: Arc<Budget>,
        patience: Patience,
        meter: Arc<Meter>,
    ) -> EventsApi {
        EventsApi { client, base_url, token, budget, patience, account: None, meter }
    }

    /// Pins the account that the cursors belong to.
    pub fn of_account(mut self, account: Option<String>) -> EventsApi {
        self.account = account;
        self
    }

    /// Asks what the token may do.
    ///
    /// # Errors
    ///
    /// A refused token halts with a hint; an answer that makes no sense halts too.
    pub async fn introspect(&self) -> Result<Introspection, Failure> {
        let doing = "learn what the Events API token may do";
        let request =
            self.request(doing.to_owned(), Asked::Introspection, Method::GET, "auth/introspect", None);
        let answer = self.until_done(|| self.client.send(&request)).await?;
        serde_json::from_slice(&answer.body).map_err(|error| Failure {
            doing: doing.to_owned(),
            status: Some(answer.status),
            code: None,
            outcome: Outcome::NotDone,
            remedy: Remedy::halt("check the Events API base URL: the answer is not an introspection"),
            // Line and column, not the text: it is somebody else's page.
            cause: format!("the answer is not what the API documents ({:?} error)", error.classify()).into(),
        })
    }

    fn request(
        &self,
        doing: String,
        asked: Asked,
        method: Method,
        path: &str,
        body: Option<Body>,
    ) -> Request {
        let mut url = self.base_url.clone();
        url.set_path(&format!("{}/api/{API_VERSION}/{path}", self.base_url.path().trim_end_matches('/')));
        Request { doing, asked, method, url, token: self.token.clone(), headers: Vec::new(), body }
    }

    async fn until_done<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let failed = |failure: &Failure| {
            self.meter.retries.add(1);
            warn!(error = %failure, cause = %failure.cause, "request failed, trying again");
        };
        until_done(Some(&self.budget), &self.patience, failed, || {
            self.meter.requests.add(1);
            attempt()
        })
        .await
    }

    /// Tells a lost feature from a lost token: both answer 401.
    async fn explain(&self, stream: Stream, refusal: Failure) -> Failure {
        match self.introspect().await {
            Ok(introspection) if !introspection.may_read(stream) => {
                Failure { remedy: not_allowed(stream), ..refusal }
            }
            _ => refusal,
        }
    }
}

/// The remedy for a stream that the token may not read.
pub fn not_allowed(stream: Stream) -> Remedy {
    let hint = format!(
        "the token may not read `{0}`: issue one with that event type, or leave `{0}` out of `streams`",
        stream.name(),
    );
    Remedy::Park { hint }
}

impl Source for EventsApi {
    async fn page(&self, stream: Stream, at: &Cursor) -> Result<Read, Failure> {
        let (asked, ask) = match at {
            Cursor::Since(at) => {
                let ask = Ask::Since { limit: PAGE_SIZE.get(), start_time: rfc3339(*at) };
                (Asked::FirstPage, ask)
            }
            Cursor::Token(cursor) => (Asked::NextPage, Ask::After { cursor }),
        };
        let doing = format!("read a page of `{}`", stream.name());
        let body = serde_json::to_vec(&ask).map(Body::plain).ok();
        let request = self.request(doing, asked, Method::POST, stream.name(), body);
        let malformed = AtomicU32::new(0);
        let read = self
            .until_done(|| async {
                die_at!("fetch.before");
                let answer = self.client.send(&request).await?;
                die_at!("fetch.answered");
                decode(stream, &request, answer, &malformed)
            })
            .await;
        match read {
            Err(failure) if failure.status == Some(401) => Err(self.explain(stream, failure).await),
            read => read,
        }
    }

    fn info(&self) -> SourceInfo {
        SourceInfo {
            account: self.account.clone(),
            api_version: API_VERSION.to_owned(),
            page_size: PAGE_SIZE.get(),
        }
    }
}

/// Reads the page. One that makes no sense may have been garbled on its way; one
/// that stays so is beyond this program, and to skip it would lose its events.
fn decode(stream: Stream, request: &Request, answer: Answer, malformed: &AtomicU32) -> Result<Read, Failure> {
    read_page(stream, answer.body).map_err(|error| {
        let last = malformed.fetch_add(1, Relaxed) + 1 >= MALFORMED_ATTEMPTS;
        let remedy = if last {
            Remedy::halt("nothing was skipped: the stream goes on from its cursor once the API answers as documented, or with a newer opgraph")
        } else {
            Remedy::Retry { after: Some(Duration::from_millis(200)) }
        };
        Failure {
            doing: request.doing.clone(),
            status: Some(answer.status),
            code: None,
            outcome: Outcome::NotDone,
            remedy,
            cause: error.into(),
        }
    })
}

/// Writes a time as the API wants it.
fn rfc3339(at: UnixMs) -> String {
    jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}
