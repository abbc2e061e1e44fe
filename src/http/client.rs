//! One attempt at one request.

use std::{
    error::Error,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use jiff::fmt::rfc2822;
use reqwest::{Method, header, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use super::{
    body::Body,
    remedy::{Asked, Failure, Outcome, Remedy, for_status},
};

/// How requests are made.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Time to establish a connection.
    pub connect_timeout: Duration,
    /// Time for a whole request, its answer's body included.
    pub timeout: Duration,
    /// Time for the next bytes of an answer to arrive.
    pub idle_timeout: Duration,
    /// Whether answers may come compressed.
    pub compressed: bool,
    /// The most bytes an answer's body may have, decompressed.
    pub largest_answer: usize,
    /// The longest pause that the other side may impose on us.
    pub longest_pause: Duration,
}

impl Default for ClientSettings {
    fn default() -> ClientSettings {
        ClientSettings {
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(60),
            compressed: true,
            // A page of 1,000 events is about 1 MB.
            largest_answer: 64 << 20,
            // The longest window that anybody's limits have.
            longest_pause: Duration::from_secs(3600),
        }
    }
}

/// Sends requests over pooled connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    largest_answer: usize,
    longest_pause: Duration,
}

/// One request, complete.
#[derive(Clone, Debug)]
pub struct Request {
    /// What it is for, such as `read a page of auditevents`: completes the sentence `cannot …`.
    pub doing: String,
    /// What is asked, for the remedy table.
    pub asked: Asked,
    /// The HTTP method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// The bearer token.
    pub token: SecretString,
    /// More headers. Never a secret.
    pub headers: Vec<(&'static str, String)>,
    /// The JSON body, if any.
    pub body: Option<Body>,
}

/// A successful answer (2xx).
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The whole body, decompressed.
    pub body: Vec<u8>,
}

/// What stands before the body of a successful answer (2xx).
#[derive(Debug)]
pub struct Head {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: header::HeaderMap,
}

impl Head {
    /// What time it was where the answer was made (`Date`), if it says so.
    pub fn date(&self) -> Option<SystemTime> {
        date(self.headers.get(header::DATE)?.to_str().ok()?)
    }
}

/// What went wrong with a piece of an answer.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A successful answer (2xx) whose body is still to come.
#[derive(Debug)]
pub struct Coming<'a> {
    request: &'a Request,
    response: reqwest::Response,
    arrived: usize,
    largest: usize,
}

impl Coming<'_> {
    /// What stands before the body.
    pub fn head(&self) -> Head {
        Head { status: self.response.status().as_u16(), headers: self.response.headers().clone() }
    }

    /// Bytes of the body, if it is not compressed and says how many.
    pub fn told(&self) -> Option<usize> {
        self.response.content_length().and_then(|len| usize::try_from(len).ok())
    }

    /// Receives the next piece of the body, decompressed; `None` at its end.
    /// What nobody asks for stays with the network.
    ///
    /// # Errors
    ///
    /// The answer breaks off, or is larger than answers may be.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
        let Some(piece) = self.response.chunk().await.map_err(|error| broken(self.request, error))? else {
            return Ok(None);
        };
        self.arrived += piece.len();
        if self.arrived > self.largest {
            return Err(too_large(self.request, self.response.status().as_u16(), self.largest));
        }
        Ok(Some(piece))
    }
}

impl Client {
    /// Makes a client: no redirects, time-outs always, connections kept 50 s.
    ///
    /// That is longer than a stream which has caught up waits as a rule, so that
    /// a poll does not begin with three handshakes, and shorter than the minute
    /// for which servers and what stands before them keep theirs.
    ///
    /// # Errors
    ///
    /// If the platform's certificates cannot be read.
    pub fn new(settings: &ClientSettings) -> Result<Client, reqwest::Error> {
        // One crypto provider in the whole program; a second call changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .user_agent(concat!("opgraph/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.timeout)
            .read_timeout(settings.idle_timeout)
            .pool_idle_timeout(Duration::from_secs(50))
            .redirect(redirect::Policy::none())
            .referer(false)
            .tcp_nodelay(true)
            .gzip(settings.compressed)
            .zstd(settings.compressed)
            .build()?;
        let ClientSettings { largest_answer, longest_pause, .. } = *settings;
        Ok(Client { http, largest_answer, longest_pause })
    }

    /// Makes one attempt. Ok is a 2xx answer with its whole body; everything
    /// else is a [`Failure`] with its remedy.
    pub async fn send(&self, request: &Request) -> Result<Answer, Failure> {
        let mut body = Vec::new();
        let head = self.read(request, &mut body, |body, piece| {
            body.extend_from_slice(piece);
            Ok(())
        });
        let Head { status, .. } = head.await?;
        Ok(Answer { status, body })
    }

    /// Makes one attempt whose answer is read in pieces, decompressed: `take`
    /// gets each with `into`, which has to be empty at the start. Ok is a 2xx
    /// answer whose whole body was taken.
    ///
    /// # Errors
    ///
    /// A [`Failure`] with its remedy; what `take` answers may succeed another time.
    pub async fn read<T>(
        &self,
        request: &Request,
        into: &mut T,
        mut take: impl FnMut(&mut T, &[u8]) -> Result<(), BoxError>,
    ) -> Result<Head, Failure> {
        let mut coming = self.ask(request).await?;
        let head = coming.head();
        while let Some(piece) = coming.piece().await? {
            take(into, &piece).map_err(|cause| senseless(request, head.status, cause))?;
        }
        Ok(head)
    }

    /// Makes one attempt; Ok is a 2xx answer whose body is still to come.
    ///
    /// # Errors
    ///
    /// A [`Failure`] with its remedy.
    pub async fn ask<'a>(&self, request: &'a Request) -> Result<Coming<'a>, Failure> {
        let mut builder = self
            .http
            .request(request.method.clone(), request.url.clone())
            .bearer_auth(request.token.expose_secret())
            .header(header::ACCEPT, "application/json");
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        if let Some(body) = &request.body {
            builder = builder.header(header::CONTENT_TYPE, "application/json").body(body.bytes.clone());
            if body.gzip {
                builder = builder.header(header::CONTENT_ENCODING, "gzip");
            }
        }
        let response = builder.send().await.map_err(|error| broken(request, error))?;

        let status = response.status().as_u16();
        let after = pause_asked_for(response.headers()).map(|pause| pause.min(self.longest_pause));
        let mut coming = Coming { request, response, arrived: 0, largest: self.largest_answer };
        if (200..300).contains(&status) {
            return Ok(coming);
        }
        let mut refusal = Vec::new();
        while let Some(piece) = coming.piece().await? {
            refusal.extend_from_slice(&piece);
        }
        Err(refused(request, status, after, &refusal))
    }
}

/// An answer that is not what was asked for. It may have been garbled on its way.
pub fn senseless(request: &Request, status: u16, cause: BoxError) -> Failure {
    Failure {
        doing: request.doing.clone(),
        status: Some(status),
        code: None,
        outcome: Outcome::NotDone,
        remedy: Remedy::RETRY,
        cause,
    }
}

/// The connection failed, or the answer broke off.
fn broken(request: &Request, error: reqwest::Error) -> Failure {
    let never_sent = error.is_connect() || error.is_builder();
    Failure {
        doing: request.doing.clone(),
        status: None,
        code: None,
        outcome: if never_sent { Outcome::NotDone } else { Outcome::Unknown },
        remedy: if error.is_builder() {
            Remedy::halt("check the base URL and that the token has no stray characters")
        } else {
            Remedy::RETRY
        },
        // The URL adds nothing to `doing`, and a base URL may carry what its owner regrets.
        cause: error.without_url().into(),
    }
}

fn too_large(request: &Request, status: u16, cap: usize) -> Failure {
    Failure {
        doing: request.doing.clone(),
        status: Some(status),
        code: None,
        outcome: Outcome::Unknown,
        remedy: Remedy::RETRY,
        cause: format!("the answer is larger than {cap} bytes").into(),
    }
}

/// Another status than success.
pub(super) fn refused(request: &Request, status: u16, after: Option<Duration>, body: &[u8]) -> Failure {
    let said = ErrorBody::read(&String::from_utf8_lossy(body), request.token.expose_secret());
    Failure {
        doing: request.doing.clone(),
        status: Some(status),
        outcome: if status >= 500 || status == 408 { Outcome::Unknown } else { Outcome::NotDone },
        remedy: for_status(status, request.asked, after),
        cause: match &said.message {
            Some(message) => format!("HTTP {status}: {message}").into(),
            None => format!("HTTP {status}").into(),
        },
        code: said.code,
    }
}

/// What an error body says, in any of the shapes seen: `{"Error":{"Message"}}`
/// (1Password's OpenAPI file), `{"status","message"}` (its documentation,
/// Connect), `{"error":{"code","message"}}` (JupiterOne), plain text, HTML.
#[derive(Debug, Default)]
pub(super) struct ErrorBody {
    pub(super) code: Option<String>,
    message: Option<String>,
}

impl ErrorBody {
    /// Never fails: an error body that makes no sense is no reason for another error.
    ///
    /// Whatever stands between may send back what it was sent, in JSON's escapes
    /// perhaps. So `token` is taken out of what was decoded, and before anything
    /// is cut: half a token could not be found any more.
    pub(super) fn read(body: &str, token: &str) -> ErrorBody {
        let clean = |text: String| text.replace(token, "[token]");
        #[derive(Deserialize)]
        struct Inner {
            #[serde(alias = "Code")]
            code: Option<String>,
            #[serde(alias = "Message")]
            message: Option<String>,
        }
        #[derive(Deserialize)]
        struct Outer {
            #[serde(alias = "Error")]
            error: Option<Inner>,
            message: Option<String>,
        }
        if let Ok(outer) = serde_json::from_str::<Outer>(body) {
            let inner = outer.error.unwrap_or(Inner { code: None, message: outer.message });
            return ErrorBody {
                code: inner.code.map(clean),
                message: inner.message.map(|text| short(&clean(text))),
            };
        }
        let message = match body.trim() {
            "" => None,
            html if html.starts_with('<') => Some("the answer is an HTML page".to_owned()),
            text => Some(short(&clean(text.to_owned()))),
        };
        ErrorBody { code: None, message }
    }
}

/// The first line's first 200 characters.
fn short(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}

/// The pause a 429 or 503 asks for: `Retry-After` in seconds or as a date
/// (RFC 9110), else `RateLimit-Reset` in seconds. Whatever makes no sense asks for none.
pub(super) fn pause_asked_for(headers: &header::HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let seconds = |text: &str| text.parse::<f64>().ok().filter(|s| s.is_finite() && *s >= 0.0);
    let until = |at: SystemTime| at.duration_since(SystemTime::now()).unwrap_or_default().as_secs_f64();
    let pause = text("retry-after")
        .and_then(|value| seconds(value).or_else(|| date(value).map(until)))
        .or_else(|| text("ratelimit-reset").and_then(seconds))?;
    Some(Duration::try_from_secs_f64(pause).unwrap_or(Duration::MAX))
}

/// Reads an HTTP date, such as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn date(text: &str) -> Option<SystemTime> {
    let zoned = rfc2822::DateTimeParser::new().parse_zoned(text).ok()?;
    Some(SystemTime::from(zoned.timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_of_error_body_is_read_and_none_fails() {
        let check = |body: &str, code: Option<&str>, message: Option<&str>| {
            let read = ErrorBody::read(body, "eyJ.canary");
            assert_eq!((read.code.as_deref(), read.message.as_deref()), (code, message), "{body}");
        };
        check(r#"{"Error":{"Message":"Bad Request"}}"#, None, Some("Bad Request"));
        check(r#"{"status":401,"message":"Unauthorized"}"#, None, Some("Unauthorized"));
        check(
            r#"{"error":{"code":"JOB_NOT_AWAITING_UPLOADS","message":"no"}}"#,
            Some("JOB_NOT_AWAITING_UPLOADS"),
            Some("no"),
        );
        check("404 page not found\n", None, Some("404 page not found"));
        check("<html><body>login</body></html>", None, Some("the answer is an HTML page"));
        check("", None, None);
        check(r#"{"error":"text"}"#, None, Some(r#"{"error":"text"}"#));
        check("\u{fffd}", None, Some("\u{fffd}"));
        check("Bearer eyJ.canary is wrong", None, Some("Bearer [token] is wrong"));
        check(r#"{"message":"\u0065yJ.canary"}"#, None, Some("[token]"));
        check(r#"{"error":{"code":"eyJ.canary","message":"no"}}"#, Some("[token]"), Some("no"));
        check(&format!("{}eyJ.canary", "x".repeat(198)), None, Some(&format!("{}[t", "x".repeat(198))));
        let long = ErrorBody::read(&"\u{fffd}".repeat(999), "eyJ.canary");
        assert_eq!(long.message.unwrap().chars().count(), 200);
    }

    #[test]
    fn a_pause_is_read_in_every_form() {
        let check = |name: &'static str, value: &str, expect: Option<u64>| {
            let mut headers = header::HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            assert_eq!(pause_asked_for(&headers).map(|pause| pause.as_secs()), expect, "{name}: {value}");
        };
        check("retry-after", "7", Some(7));
        check("retry-after", " 7 ", Some(7));
        check("retry-after", "0", Some(0));
        check("retry-after", "-3", None);
        check("retry-after", "NaN", None);
        check("retry-after", "inf", None);
        check("retry-after", "1e300", Some(u64::MAX));
        check("retry-after", "99999999999", Some(99_999_999_999));
        check("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT", Some(0));
        check("retry-after", "soon", None);
        check("retry-after", "", None);
        check("ratelimit-reset", "42", Some(42));
        check("ratelimit-reset", "soon", None);
        check("x-other", "42", None);

        let mut headers = header::HeaderMap::new();
        headers.insert("retry-after", "Tue, 06 Nov 2192 08:49:37 GMT".parse().unwrap());
        assert!(pause_asked_for(&headers).unwrap() > Duration::from_secs(100 * 365 * 86_400));
        headers.insert("ratelimit-reset", "42".parse().unwrap());
        headers.insert("retry-after", "soon".parse().unwrap());
        assert_eq!(pause_asked_for(&headers), Some(Duration::from_secs(42)), "the other says it");
        headers.insert("retry-after", "7".parse().unwrap());
        assert_eq!(pause_asked_for(&headers), Some(Duration::from_secs(7)), "the first one counts");
    }
}
