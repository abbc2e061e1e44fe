//! 1Password's Events API, version 2.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU32, Ordering::Relaxed},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use opgraph_state::{Cursor, SourceInfo, UnixMs, die_at};
use reqwest::Method;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize};
use tracing::{Instrument, error_span, warn};
use url::Url;

use super::{
    Source,
    room::{Arriving, Rooms},
};
use crate::{
    allowance::{Allowance, Share},
    http::{
        Asked, Body, BoxError, Budget, Client, Failure, Patience, Remedy, Request, senseless, until_done,
    },
    stream::{Read, Stream, Texts, read_page_of},
    telemetry::Meter,
};

/// The version in every path. A cursor of another version is another cursor.
pub const API_VERSION: &str = "v2";

/// Events a page: the most the API allows (1Password's documentation, pagination).
pub const PAGE_SIZE: NonZeroU32 = NonZeroU32::new(1000).unwrap();

/// How many answers to one question may make no sense before a person has to look.
const MOST_SENSELESS: u32 = 5;

/// One account's Events API.
#[derive(Clone, Debug)]
pub struct EventsApi {
    client: Client,
    base_url: Url,
    token: SecretString,
    budget: Arc<Budget>,
    patience: Patience,
    account: Option<String>,
    /// Whose pages these are, in logs and traces.
    tenant: Arc<str>,
    /// The latest time that an answer told; `i64::MIN` before.
    time: Arc<AtomicI64>,
    meter: Arc<Meter>,
    /// Memory for pages, of all clones.
    texts: Texts,
    /// How many events a page has at most.
    page_size: NonZeroU32,
    /// What pages are counted by before they are read in.
    rooms: Option<Rooms>,
}

/// What the token may do (`GET /api/v2/auth/introspect`).
#[derive(Clone, Debug, Deserialize)]
pub struct Introspection {
    /// The integration's uuid, not a user's.
    pub uuid: Option<String>,
    /// The account's uuid; missing before API 1.4.1.
    pub account_uuid: Option<String>,
    /// The streams the token may read. Without the list it is no introspection:
    /// what an error says, should it come with a 200, is no token without rights.
    #[serde(deserialize_with = "listed")]
    pub features: Vec<String>,
}

/// A list that has to be there; an empty one may be `null`, as Go writes it.
fn listed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Introspection {
    /// Whether the token may read the stream.
    pub fn may_read(&self, stream: Stream) -> bool {
        self.features.iter().any(|feature| feature == stream.name())
    }
}

/// The two request bodies. Never both: `limit` travels inside a cursor. `end_time`
/// for windows only: a cursor made with one ends there.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Ask<'a> {
    Since {
        limit: u32,
        start_time: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        end_time: Option<String>,
    },
    After {
        cursor: &'a str,
    },
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
        EventsApi {
            client,
            base_url,
            token,
            budget,
            patience,
            account: None,
            tenant: "".into(),
            time: Arc::new(AtomicI64::new(i64::MIN)),
            meter,
            texts: Texts::default(),
            page_size: PAGE_SIZE,
            rooms: None,
        }
    }

    /// Makes requests from another budget: the account's turned out to be another one.
    pub fn from_budget(mut self, budget: Arc<Budget>) -> EventsApi {
        self.budget = budget;
        self
    }

    /// Pins the account that the cursors belong to.
    pub fn of_account(mut self, account: Option<String>) -> EventsApi {
        self.account = account;
        self
    }

    /// Names the tenant that the pages are for.
    pub fn of_tenant(mut self, tenant: Arc<str>) -> EventsApi {
        self.tenant = tenant;
        self
    }

    /// Keeps pages in memory that others share.
    pub fn with_texts(mut self, texts: Texts) -> EventsApi {
        self.texts = texts;
        self
    }

    /// Asks for pages of at most so many events, and reads each in only when there is
    /// room for it among the tenant's bytes in flight. A cursor goes on with pages of
    /// the size that it was begun with.
    pub fn within(mut self, page_size: NonZeroU32, allowance: Allowance) -> EventsApi {
        self.page_size = page_size.min(PAGE_SIZE);
        self.rooms = Some(Rooms::new(allowance, self.page_size));
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
        let hint = "check the Events API base URL: the answers are no introspection";
        self.until_sensible(&request, hint, None, |body, _| {
            // What class of error, not the text: it is somebody else's page.
            serde_json::from_slice(&body).map_err(|error| {
                format!("the answer is not what the API documents ({:?} error)", error.classify()).into()
            })
        })
        .await
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
            if failure.status == Some(429) {
                self.meter.throttled.add(1);
            }
            warn!(error = %failure, cause = %failure.cause, "request failed, trying again");
        };
        until_done(Some(&self.budget), &self.patience, failed, || {
            self.meter.requests.add(1);
            self.meter.budgeted.add(1);
            attempt()
        })
        .await
    }

    /// Repeats the request until its answer can be read. An answer that makes no
    /// sense, or is too large, may have been garbled on its way; one that stays so is
    /// beyond this program: then it halts with `hint`.
    async fn until_sensible<T>(
        &self,
        request: &Request,
        hint: &str,
        rooms: Option<(&Rooms, Stream)>,
        read: impl Fn(Vec<u8>, Option<Share>) -> Result<T, BoxError>,
    ) -> Result<T, Failure> {
        let made_no_sense = AtomicU32::new(0);
        let remedy = || match made_no_sense.fetch_add(1, Relaxed) + 1 {
            MOST_SENSELESS.. => Remedy::halt(hint),
            // At once it would be garbled again.
            _ => Remedy::Retry { after: Some(self.patience.first) },
        };
        self.until_done(|| async {
            let received = async {
                let mut coming = self.client.ask(request).await?;
                // Until there is room, the answer stays with the network.
                let mut arriving = Arriving::new(&self.texts, coming.told(), rooms).await;
                while let Some(piece) = coming.piece().await? {
                    arriving.take(&piece).await;
                }
                Ok((coming.head(), arriving.whole()))
            };
            let (head, (body, share)) = received.await.map_err(|failure: Failure| match failure.status {
                Some(200..300) => Failure { remedy: remedy(), ..failure },
                _ => failure,
            })?;
            if let Some(told) = head.date().and_then(instant) {
                self.time.fetch_max(told.0, Relaxed);
            }
            read(body, share).map_err(|cause| {
                let failure = senseless(request, head.status, cause);
                Failure { remedy: remedy(), ..failure }
            })
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
    async fn ready(&self, stream: Stream) {
        if let Some(rooms) = &self.rooms {
            rooms.ready(stream).await;
        }
    }

    async fn page(&self, stream: Stream, at: &Cursor) -> Result<Read, Failure> {
        let first = |start: UnixMs, end: Option<UnixMs>| {
            let (start_time, end_time) = (rfc3339(start), end.map(rfc3339));
            (Asked::FirstPage, Ask::Since { limit: self.page_size.get(), start_time, end_time })
        };
        let (asked, ask) = match at {
            Cursor::Since(at) => first(*at, None),
            Cursor::Between { from, to, .. } => first(*from, Some(*to)),
            Cursor::Token(cursor) => (Asked::NextPage, Ask::After { cursor }),
        };
        let doing = format!("read a page of `{}`", stream.name());
        let body = serde_json::to_vec(&ask).map(Body::plain).ok();
        let request = self.request(doing, asked, Method::POST, stream.name(), body);
        // To skip a page that makes no sense would lose its events.
        let hint = "nothing was skipped: the stream goes on from its cursor once the API answers as documented, or with a newer opgraph";
        let read = |body, share| {
            die_at!("fetch.answered");
            let read = read_page_of(stream, body, Some(self.texts.clone()))?;
            Ok(Read { share, ..read })
        };
        let rooms = self.rooms.as_ref().map(|rooms| (rooms, stream));
        die_at!("fetch.before");
        let span = error_span!("page", tenant = &*self.tenant, stream = stream.name());
        match self.until_sensible(&request, hint, rooms, read).instrument(span).await {
            Err(failure) if failure.status == Some(401) => Err(self.explain(stream, failure).await),
            read => read,
        }
    }

    fn time(&self) -> Option<UnixMs> {
        Some(UnixMs(self.time.load(Relaxed))).filter(|told| told.0 > i64::MIN)
    }

    fn info(&self) -> SourceInfo {
        SourceInfo {
            account: self.account.clone(),
            api_version: API_VERSION.to_owned(),
            page_size: self.page_size.get(),
        }
    }
}

/// A time since 1970.
fn instant(at: SystemTime) -> Option<UnixMs> {
    let since = at.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok().map(UnixMs)
}

/// Writes a time as the API wants it.
fn rfc3339(at: UnixMs) -> String {
    jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}
