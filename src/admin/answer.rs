//! From a request to its answer: six things to look at, and nothing to change.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{HeaderMap, Request, Response, StatusCode, header};

use super::{Door, Site, guard::Refusal, page, prometheus};

/// What a browser may do with an answer: load the three files of this server, and ask it again.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Answers one request that came through this door.
pub(super) async fn answer<B>(site: &Arc<Site>, door: &Door, request: &Request<B>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if let Err(refusal) = door.admits(request.method(), path, request.headers()) {
        return refused(&refusal);
    }
    match path {
        "/" => plain(StatusCode::OK, "text/html; charset=utf-8", page::whole(&site.status().await)),
        // The page asks for what has changed in the form in which it shows it.
        "/api/status" if wants_html(request.headers()) => {
            plain(StatusCode::OK, "text/html; charset=utf-8", page::inner(&site.status().await))
        }
        "/api/status" => match serde_json::to_vec(&site.status().await) {
            Ok(json) => plain(StatusCode::OK, "application/json", json),
            Err(error) => {
                text(StatusCode::INTERNAL_SERVER_ERROR, format!("the status has no JSON form: {error}"))
            }
        },
        "/metrics" => plain(StatusCode::OK, prometheus::CONTENT_TYPE, site.metrics()),
        "/healthz" => text(StatusCode::OK, "ok".to_owned()),
        "/readyz" => ready(site.idle()),
        asset => match page::asset(asset) {
            Some((kind, body)) => {
                let mut answer = plain(StatusCode::OK, kind, body);
                // Its address changes with it.
                let forever = header::HeaderValue::from_static("public, max-age=31536000, immutable");
                answer.headers_mut().insert(header::CACHE_CONTROL, forever);
                answer
            }
            None => text(
                StatusCode::NOT_FOUND,
                "there is /, /api/status, /metrics, /healthz and /readyz".to_owned(),
            ),
        },
    }
}

fn wants_html(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).is_some_and(|accept| accept.as_bytes().starts_with(b"text/html"))
}

/// Ready once every tenant is at work. Nobody's name is told.
fn ready((idle, all): (usize, usize)) -> Response<Full<Bytes>> {
    if idle == 0 {
        return text(StatusCode::OK, "ready".to_owned());
    }
    text(StatusCode::SERVICE_UNAVAILABLE, format!("{idle} of {all} tenants are not at work"))
}

fn refused(refusal: &Refusal) -> Response<Full<Bytes>> {
    let mut answer = text(refusal.status, refusal.why.to_owned());
    let headers = answer.headers_mut();
    match refusal.status {
        StatusCode::METHOD_NOT_ALLOWED => {
            headers.insert(header::ALLOW, header::HeaderValue::from_static("GET"));
        }
        StatusCode::UNAUTHORIZED => {
            // Programs send the first; a browser knows how to ask for the second.
            for scheme in ["Bearer realm=\"opgraph\"", "Basic realm=\"opgraph\", charset=\"UTF-8\""] {
                headers.append(header::WWW_AUTHENTICATE, header::HeaderValue::from_static(scheme));
            }
        }
        _ => {}
    }
    answer
}

fn text(status: StatusCode, said: String) -> Response<Full<Bytes>> {
    plain(status, "text/plain; charset=utf-8", said + "\n")
}

fn plain(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    for (name, value) in HEADERS.iter() {
        headers.insert(name, value.clone());
    }
    answer
}

/// What every answer carries.
static HEADERS: LazyLock<[(header::HeaderName, header::HeaderValue); 6]> = LazyLock::new(|| {
    [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ]
    .map(|(name, value)| (name, header::HeaderValue::from_static(value)))
});

#[cfg(test)]
mod tests;
