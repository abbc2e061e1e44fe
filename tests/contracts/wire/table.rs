//! What goes wrong, and what must come of it: one line a fault.

use std::time::Duration;

use super::{
    Place,
    row::{Kind, Row},
    run::{CAP, LONGEST_PAUSE},
};
use crate::support::{
    answers::*,
    chaos::{End, Fault},
};

/// The streams' hint when pages make no sense, and the tenant's when introspections do not.
const PAGES: &str = "nothing was skipped";
const INTROSPECTIONS: &str = "the answers are no introspection";

/// Faults that pass: the run ends exact, with a request more for each.
#[rustfmt::skip]
pub(super) fn passing() -> Vec<Row> {
    vec![
        Row::passes("500", say("500 Internal Server Error", "", r#"{"status":500,"message":"no"}"#), 1),
        Row::passes("500, ten times", say("500 Internal Server Error", "", "no"), 10),
        Row::passes("502, three times", say("502 Bad Gateway", "", LOGIN), 3),
        Row::passes("503", say("503 Service Unavailable", "", ""), 1),
        Row::passes("503, ten times", say("503 Service Unavailable", "", "busy"), 10),
        Row::passes("504, three times", say("504 Gateway Timeout", "", "{"), 3),
        Row::passes("520", say("520 Unknown", "", "\0\0"), 1),
        Row::passes("520, ten times", say("520 Unknown", "", "[]"), 10),
        Row::passes("408", say("408 Request Timeout", "", ""), 1),
        Row::passes("425", say("425 Too Early", "", ""), 1),
        Row::passes("511, a network's login", say("511 Network Authentication Required", "", LOGIN), 3),
        Row::passes("an error that repeats the token", say("500 No", "", "Bearer {token} failed"), 1),
        Row::passes("an error of 100 kB", say("502 Bad Gateway", "", &"<p>".repeat(33_000)), 1),
        Row::passes("nobody listens", Fault::Refuse(Duration::from_millis(30)), 1),
        Row::passes("reset before the answer", raw("", End::Reset), 1),
        Row::passes("reset, three times", raw("", End::Reset), 3),
        Row::passes("reset within the head", raw("HTTP/1.1 200 OK\r\ncontent-", End::Reset), 1),
        Row::passes("reset within the body", Fault::Change(shorter_than_it_says, End::Reset), 1),
        Row::passes("closed before the answer", raw("", End::Close), 1),
        Row::passes("half closed before the answer", raw("", End::Half), 1),
        Row::passes("half closed within the body", Fault::Change(shorter_than_it_says, End::Half), 3),
        Row::passes("a body shorter than its length", Fault::Change(shorter_than_it_says, End::Close), 10),
        Row::passes("chunks without an end", Fault::Change(chunks_without_end, End::Close), 1),
        Row::passes("a chunk of a bad length", Fault::Change(bad_chunk, End::Close), 1),
        Row::passes("an answer that never comes", raw("", End::Silent), 1).hasty(),
        Row::passes("a body that never ends", Fault::Change(shorter_than_it_says, End::Silent), 1).hasty(),
        Row::passes("a byte now and then", Fault::Drip(Duration::from_millis(3)), 1).hasty(),
        Row::passes("gzip cut short", Fault::Change(gzip_cut, End::Keep), 3),
        Row::passes("gzip with flipped bits", Fault::Change(gzip_flipped, End::Keep), 1),
        Row::passes("gzip that is none", Fault::Change(gzip_that_is_none, End::Keep), 1),
        Row::passes("no HTTP at all", raw("SSH-2.0-OpenSSH_9.6\r\n", End::Close), 1),
        Row::passes("a header without end", huge_header(4 << 20), 1),
        Row::passes("a thousand headers", many_headers(1000), 1),
        Row::passes("a length that is none", raw("HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}", End::Close), 1),
        Row::passes("two lengths", Fault::Change(two_lengths, End::Close), 1),
    ]
}

/// A wait that was asked for is kept, and no longer than our bound.
#[rustfmt::skip]
pub(super) fn waits() -> Vec<Row> {
    let asked = |name, header: &str, wait| {
        let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
        [
            Row::passes(name, say("429 Too Many Requests", &header, "{}"), 1).everybody_waits(wait),
            Row::passes(name, say("503 Service Unavailable", &header, ""), 2).waits(wait),
        ]
    };
    let (none, short, longest) = (Duration::ZERO, Duration::from_millis(40), LONGEST_PAUSE);
    [
        asked("no Retry-After", "", none),
        asked("Retry-After: 0", "retry-after: 0", none),
        asked("Retry-After: 0.04", "retry-after: 0.04", short),
        asked("Retry-After: 7", "retry-after: 7", longest),
        asked("Retry-After, a date gone by", "retry-after: Sun, 06 Nov 1994 08:49:37 GMT", none),
        asked("Retry-After, a date centuries ahead", "retry-after: Tue, 06 Nov 2192 08:49:37 GMT", longest),
        asked("Retry-After, negative", "retry-after: -3", none),
        asked("Retry-After: NaN", "retry-after: NaN", none),
        asked("Retry-After: inf", "retry-after: inf", none),
        asked("Retry-After: 1e300", "retry-after: 1e300", longest),
        asked("Retry-After, more than 64 bits", "retry-after: 99999999999999999999999", longest),
        asked("Retry-After, text", "retry-after: soon", none),
        asked("RateLimit-Reset", "ratelimit-reset: 0.04", short),
        asked("RateLimit-Reset, as a time", "ratelimit-reset: 1780272000", longest),
        asked("Retry-After before RateLimit-Reset", "retry-after: 0.04\r\nratelimit-reset: 9", short),
        asked("RateLimit-Reset beside text", "retry-after: soon\r\nratelimit-reset: 9", longest),
    ].into_iter().flatten().collect()
}

/// Answers that are whole, however unusual: not a request more.
#[rustfmt::skip]
pub(super) fn odd() -> Vec<Row> {
    vec![
        Row::taken("gzip", Fault::Change(gzipped, End::Keep)),
        Row::taken("chunks", Fault::Change(chunked, End::Keep)),
        Row::taken("no length, closed at the end", Fault::Change(|whole| whole.endless(""), End::Close)),
        Row::taken("HTTP/1.0, closed at the end", Fault::Change(http_1_0, End::Close)),
        Row::taken("a length, closed at the end", Fault::Change(|whole| whole.with("connection: close\r\n", &whole.body), End::Close)),
        Row::taken("103 before it", Fault::Change(early_hints, End::Keep)),
        Row::taken("another content type", Fault::Change(|whole| whole.with_type("text/html"), End::Keep)),
        Row::taken("no content type", Fault::Change(|whole| whole.with_type(""), End::Keep)),
        Row::taken("201", Fault::Change(created, End::Keep)),
        Row::taken("white space around", Fault::Change(spaced, End::Keep)),
        Row::taken("an unknown field", Fault::Change(|whole| with_field(&whole, "new", "[1]"), End::Keep)),
        Row::taken("an unknown field, nested deep", Fault::Change(deep_field, End::Keep)),
        Row::taken("an unknown field twice", Fault::Change(|whole| with_field(&whole, "new", "1,\"new\":2"), End::Keep)),
        Row::taken("a large header", Fault::Change(|whole| whole.with(&format!("x-large: {}\r\n", "x".repeat(60_000)), &whole.body), End::Keep)),
    ]
}

/// Answers that make no sense: once, they were garbled on their way; always, they end what asked.
#[rustfmt::skip]
pub(super) fn senseless() -> Vec<Row> {
    let any = |name, fault: Fault| {
        let all = |once: Row, always: Row| [once, always];
        all(Row::passes(name, fault.clone(), 1), Row::ends_at_last(name, fault, PAGES, INTROSPECTIONS))
    };
    let page = |name, change| any(name, Fault::Change(change, End::Keep)).map(Row::pages_only);
    let introspection = |name, change| any(name, Fault::Change(change, End::Keep)).map(|row| row.only(Place::Introspection));
    [
        any("an empty body", say("200 OK", "", "")),
        any("204", raw("HTTP/1.1 204 No Content\r\n\r\n", End::Keep)),
        any("a login page", say("200 OK", "content-type: text/html\r\n", LOGIN)),
        any("an error with 200, nested", say("200 OK", "", r#"{"Error":{"Message":"no, {token}"}}"#)),
        any("an error with 200, flat", say("200 OK", "", r#"{"status":401,"message":"Unauthorized"}"#)),
        any("null", say("200 OK", "", "null")),
        any("an empty object", say("200 OK", "", "{}")),
        any("an array", say("200 OK", "", "[]")),
        any("a byte order mark", Fault::Change(byte_order_mark, End::Keep)),
        any("UTF-16", Fault::Change(utf_16, End::Keep)),
        any("bytes that are no UTF-8", Fault::Change(no_utf_8, End::Keep)),
        any("cut short, closed at the end", Fault::Change(cut_and_closed, End::Close)),
        any("more after the end", Fault::Change(|whole| whole.with("", &[&whole.body[..], b"{}"].concat()), End::Keep)),
        any("gzip in two members, of which one is read", Fault::Change(gzipped_twice, End::Keep)),
        any("nested deep", say("200 OK", "", &"[".repeat(100_000))),
        any("nested deep, objects", say("200 OK", "", &"{\"a\":".repeat(30_000))),
        any("a number that is NaN", Fault::Change(|whole| with_field(&whole, "new", "NaN"), End::Keep)),
        any("a number that is infinite", Fault::Change(|whole| with_field(&whole, "new", "-Infinity"), End::Keep)),
        any("a body over the cap", say("200 OK", "", &" ".repeat(CAP + 1))),
        any("a body over the cap, without a length", raw(&format!("HTTP/1.1 200 OK\r\n\r\n{}", " ".repeat(CAP + 1)), End::Close)),
        any("4 GiB in 4 MB of gzip", bomb()),
        page("cursor twice", |whole| with_field(&whole, "cursor", "\"\"")),
        page("items twice", |whole| with_field(&whole, "items", "[]")),
        page("has_more twice", |whole| with_field(&whole, "has_more", "false")),
        page("no cursor", |whole| without(&whole, "cursor")),
        page("cursor null", |whole| replaced(&whole, "cursor", "null")),
        page("cursor empty", |whole| replaced(&whole, "cursor", "\"\"")),
        page("no has_more", |whole| without(&whole, "has_more")),
        page("no items", |whole| without(&whole, "items")),
        page("an object for items", |whole| replaced(&whole, "items", "{}")),
        introspection("features twice", |whole| with_field(&whole, "features", "[]")),
        introspection("no features", |whole| without(&whole, "features")),
    ].into_iter().flatten().collect()
}

/// Refusals that no repeating mends.
#[rustfmt::skip]
pub(super) fn refusals() -> Vec<Row> {
    let token = "issue a new Events Reporting token";
    let redirect = |status: &'static str| {
        let to = "location: http://{elsewhere}/{token}\r\n";
        Row::ends(status, say(status, to, LOGIN), Kind::Other, "redirects are never followed")
    };
    vec![
        Row::ends("401, always", say("401 Unauthorized", "", r#"{"status":401,"message":"Unauthorized"}"#), Kind::Credentials, token),
        Row::ends("401, with the token in it", say("401 Unauthorized", "", r#"{"Error":{"Message":"{token}","Code":"{token}"}}"#), Kind::Credentials, token),
        Row::ends("401 for all, mid-run", say("401 Unauthorized", "", ""), Kind::Credentials, token).everywhere(),
        Row::ends("the feature is gone", say("401 Unauthorized", "", ""), Kind::Park, "the token may not read `auditevents`").and_lost_feature(),
        Row::ends("403", say("403 Forbidden", "", LOGIN), Kind::Credentials, token),
        Row::ends("404", say("404 Not Found", "content-type: text/plain\r\n", "404 page not found\n"), Kind::Other, "a truncated token answers 404"),
        Row::ends("407, a proxy's", say("407 Proxy Authentication Required", "proxy-authenticate: Basic\r\n", LOGIN), Kind::Configuration, "`HTTPS_PROXY`"),
        Row::ends("405", say("405 Method Not Allowed", "", ""), Kind::Other, "the API refused the request"),
        Row::ends("413", say("413 Content Too Large", "", ""), Kind::Other, "the API refused the request"),
        Row::ends("451", say("451 Unavailable For Legal Reasons", "", ""), Kind::Other, "the API refused the request"),
        redirect("301 Moved Permanently"),
        redirect("302 Found"),
        redirect("303 See Other"),
        redirect("307 Temporary Redirect"),
        redirect("308 Permanent Redirect"),
        Row::ends("304", raw("HTTP/1.1 304 Not Modified\r\n\r\n", End::Keep), Kind::Other, "redirects are never followed"),
        Row::ends("400 to no cursor", bad_request(), Kind::Other, "the API refused the request").only(Place::Introspection),
        Row::ends("400 to no cursor", bad_request(), Kind::Other, "the API refused the request").only(Place::First),
    ]
}

/// 400 to requests that carry a cursor.
#[rustfmt::skip]
pub(super) fn refused_cursors() -> Vec<Row> {
    let support = "1Password refuses every cursor";
    vec![
        Row::rereads("400, once", bad_request(), 1),
        Row::rereads("400, three in a row", bad_request(), 3).not_at_the_last(),
        Row::ends("400, always", bad_request(), Kind::Other, support).refuses_cursors().not_at_the_last(),
    ]
}

fn bad_request() -> Fault {
    say("400 Bad Request", "", r#"{"Error":{"Message":"Bad Request"}}"#)
}
