//! One attempt at one request.

use std::{
    io::Write,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use jiff::fmt::rfc2822;
use reqwest::{Method, header, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use super::remedy::{Asked, Failure, LONGEST_PAUSE, Outcome, Remedy, for_status};

/// How requests are made.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Time to establish a connection.
    pub connect_timeout: Duration,
    /// Time for a whole request, its answer's body included.
    pub timeout: Duration,
    /// The most bytes an answer's body may have, decompressed.
    pub largest_answer: usize,
}

impl Default for ClientSettings {
    fn default() -> ClientSettings {
        ClientSettings {
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(60),
            // A page of 1,000 events is about 1 MB.
            largest_answer: 64 << 20,
        }
    }
}

/// Sends requests over pooled connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    largest_answer: usize,
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

/// A JSON request body, compressed or not. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Body {
    bytes: Bytes,
    gzip: bool,
}

impl Body {
    /// Sends the JSON text as it is.
    pub fn plain(json: impl Into<Bytes>) -> Body {
        Body { bytes: json.into(), gzip: false }
    }

    /// Compresses the JSON text (gzip, level 1), whole and in memory: writing
    /// piecemeal into the encoder is many times slower.
    pub fn gzip(json: &[u8]) -> Body {
        let mut encoder = GzEncoder::new(Vec::with_capacity(json.len() / 5 + 64), Compression::new(1));
        let bytes = encoder.write_all(json).and_then(|()| encoder.finish());
        match bytes {
            Ok(bytes) => Body { bytes: bytes.into(), gzip: true },
            // Writing to memory does not fail; if it ever does, plain is as good.
            Err(_) => Body::plain(Bytes::copy_from_slice(json)),
        }
    }

    /// Bytes on the wire.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// A successful answer (2xx).
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The whole body, decompressed.
    pub body: Vec<u8>,
}

impl Client {
    /// Makes a client: no redirects, time-outs always, connections kept 15 s.
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
            .pool_idle_timeout(Duration::from_secs(15))
            .redirect(redirect::Policy::none())
            .referer(false)
            .tcp_nodelay(true)
            .gzip(true)
            .zstd(true)
            .build()?;
        Ok(Client { http, largest_answer: settings.largest_answer })
    }

    /// Makes one attempt. Ok is a 2xx answer with its whole body; everything
    /// else is a [`Failure`] with its remedy.
    pub async fn send(&self, request: &Request) -> Result<Answer, Failure> {
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
        let mut response = builder.send().await.map_err(|error| broken(request, error))?;

        let status = response.status().as_u16();
        let after = pause_asked_for(response.headers());
        let mut body = Vec::with_capacity(response.content_length().unwrap_or(0).min(1 << 21) as usize);
        while let Some(chunk) = response.chunk().await.map_err(|error| broken(request, error))? {
            if body.len() + chunk.len() > self.largest_answer {
                return Err(too_large(request, status, self.largest_answer));
            }
            body.extend_from_slice(&chunk);
        }
        if (200..300).contains(&status) {
            return Ok(Answer { status, body });
        }
        Err(refused(request, status, after, &body))
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
    // Whatever stands between may send back what it was sent.
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
    /// Never fails: an error body that makes no sense is no reason for another
    /// error. `secret` is not repeated.
    pub(super) fn read(body: &str, secret: &str) -> ErrorBody {
        // Once JSON's escapes are undone, and before anything is cut: half a
        // secret could not be found any more.
        let clean = |text: &str| text.replace(secret, "[token]");
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
            let message = inner.message.map(|text| short(&clean(&text)));
            return ErrorBody { code: inner.code.map(|code| clean(&code)), message };
        }
        let message = match body.trim() {
            "" => None,
            html if html.starts_with('<') => Some("the answer is an HTML page".to_owned()),
            text => Some(short(&clean(text))),
        };
        ErrorBody { code: None, message }
    }
}

/// The first line's first 200 characters.
fn short(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}

/// The pause a 429 or 503 asks for: `Retry-After` in seconds or as a date
/// (RFC 9110), else `RateLimit-Reset` in seconds; at most [`LONGEST_PAUSE`].
pub(super) fn pause_asked_for(headers: &header::HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let seconds = |text: &str| text.parse::<f64>().ok().filter(|s| s.is_finite() && *s >= 0.0);
    let pause = match text("retry-after") {
        Some(value) => match seconds(value) {
            Some(seconds) => Some(seconds),
            None => {
                date(value).map(|at| at.duration_since(SystemTime::now()).unwrap_or_default().as_secs_f64())
            }
        },
        None => text("ratelimit-reset").and_then(seconds),
    }?;
    Some(Duration::from_secs_f64(pause.min(LONGEST_PAUSE.as_secs_f64())))
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
            let read = ErrorBody::read(body, "s3cr3t");
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
        check(r#"{"message":"no s3cr3t, no s3\u0063r3t"}"#, None, Some("no [token], no [token]"));
        check(r#"{"error":{"code":"s3c\u00723t"}}"#, Some("[token]"), None);
        check("you sent s3cr3t", None, Some("you sent [token]"));
        check(r#"{"error":"text"}"#, None, Some(r#"{"error":"text"}"#));
        check("\u{fffd}", None, Some("\u{fffd}"));
        assert_eq!(ErrorBody::read(&"\u{fffd}".repeat(999), "s3cr3t").message.unwrap().chars().count(), 200);
    }

    #[test]
    fn a_pause_is_read_in_every_form_and_bounded() {
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
        check("retry-after", "1e300", Some(3600));
        check("retry-after", "99999999999", Some(3600));
        check("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT", Some(0));
        check("retry-after", "Tue, 06 Nov 2192 08:49:37 GMT", Some(3600));
        check("retry-after", "soon", None);
        check("ratelimit-reset", "42", Some(42));
        check("x-other", "42", None);
    }

    #[test]
    fn a_gzip_body_decodes_to_what_was_put_in() {
        let json = "{\"entities\":[]}".repeat(1000);
        let body = Body::gzip(json.as_bytes());
        assert!(body.gzip && body.len() < json.len() / 10);
        let mut decoded = String::new();
        let mut reader = flate2::read::GzDecoder::new(body.bytes.as_ref());
        std::io::Read::read_to_string(&mut reader, &mut decoded).unwrap();
        assert_eq!(decoded, json);
    }
}
