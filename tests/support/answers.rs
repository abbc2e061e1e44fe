//! Answers as no API documents them.

use std::{io::Write, sync::OnceLock};

use flate2::{Compress, Compression, FlushCompress, write::GzEncoder};

use super::chaos::{End, Fault, Whole};

/// What something in between shows to a person.
pub(crate) const LOGIN: &str =
    "<!doctype html>\n<html><body><form action=\"/login\">Sign in, {token}</form></body></html>";

/// An answer with this status, these headers and this body.
pub(crate) fn say(status: &str, headers: &str, body: &str) -> Fault {
    // The body's length is known once it is filled in.
    raw(&format!("HTTP/1.1 {status}\r\n{headers}content-length: {{length}}\r\n\r\n{body}"), End::Keep)
}

/// Just these bytes.
pub(crate) fn raw(text: &str, end: End) -> Fault {
    Fault::Say(text.as_bytes().to_vec(), end)
}

/// Puts in what a table cannot know: `{token}`, `{elsewhere}`, `{length}`.
pub(crate) fn filled_in(fault: &Fault, said: &[(&str, String)]) -> Fault {
    let Fault::Say(bytes, end) = fault else { return fault.clone() };
    // What is not text has no such places.
    let Ok(mut text) = String::from_utf8(bytes.clone()) else { return fault.clone() };
    for (place, value) in said {
        text = text.replace(place, value);
    }
    let length = text.split_once("\r\n\r\n").map_or(0, |(_, body)| body.len());
    Fault::Say(text.replacen("{length}", &length.to_string(), 1).into_bytes(), *end)
}

fn half(body: &[u8]) -> &[u8] {
    &body[..body.len() / 2]
}

pub(crate) fn shorter_than_it_says(whole: Whole) -> Vec<u8> {
    let all = whole.with("", &whole.body);
    all[..all.len() - whole.body.len() / 2].to_vec()
}

fn in_chunks(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in body.chunks(1000) {
        bytes.extend(format!("{:x}\r\n", piece.len()).into_bytes());
        bytes.extend(piece);
        bytes.extend(b"\r\n");
    }
    bytes
}

fn with_chunks(whole: &Whole, chunks: Vec<u8>) -> Vec<u8> {
    Whole { head: whole.head.clone(), body: chunks }.endless("transfer-encoding: chunked\r\n")
}

pub(crate) fn chunked(whole: Whole) -> Vec<u8> {
    with_chunks(&whole, [in_chunks(&whole.body), b"0\r\n\r\n".to_vec()].concat())
}

/// The JSON is whole, and still there may be more to come.
pub(crate) fn chunks_without_end(whole: Whole) -> Vec<u8> {
    with_chunks(&whole, in_chunks(&whole.body))
}

pub(crate) fn bad_chunk(whole: Whole) -> Vec<u8> {
    with_chunks(&whole, [in_chunks(&whole.body), b"zz\r\n".to_vec()].concat())
}

/// Nothing on the wire says that something is missing.
pub(crate) fn cut_and_closed(whole: Whole) -> Vec<u8> {
    Whole { body: half(&whole.body).to_vec(), ..whole }.endless("")
}

pub(crate) fn two_lengths(whole: Whole) -> Vec<u8> {
    whole.with("content-length: 7\r\n", &whole.body)
}

pub(crate) fn http_1_0(whole: Whole) -> Vec<u8> {
    Whole { head: whole.head.replacen("HTTP/1.1", "HTTP/1.0", 1), ..whole }.endless("")
}

pub(crate) fn created(whole: Whole) -> Vec<u8> {
    Whole { head: whole.head.replacen("200 OK", "201 Created", 1), body: Vec::new() }.with("", &whole.body)
}

pub(crate) fn early_hints(whole: Whole) -> Vec<u8> {
    let hints = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n";
    [&hints[..], &hints[..], &whole.with("", &whole.body)].concat()
}

pub(crate) fn spaced(whole: Whole) -> Vec<u8> {
    whole.with("", &[b" \r\n\t", &whole.body[..], b"\n\n"].concat())
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn with_gzip(whole: &Whole, body: &[u8]) -> Vec<u8> {
    whole.with("content-encoding: gzip\r\n", body)
}

pub(crate) fn gzipped(whole: Whole) -> Vec<u8> {
    with_gzip(&whole, &gzip(&whole.body))
}

pub(crate) fn gzipped_twice(whole: Whole) -> Vec<u8> {
    let (first, second) = whole.body.split_at(whole.body.len() / 2);
    with_gzip(&whole, &[gzip(first), gzip(second)].concat())
}

pub(crate) fn gzip_cut(whole: Whole) -> Vec<u8> {
    with_gzip(&whole, half(&gzip(&whole.body)))
}

/// The last eight bytes hold checksum and length.
pub(crate) fn gzip_flipped(whole: Whole) -> Vec<u8> {
    let mut bytes = gzip(&whole.body);
    let at = bytes.len() - 7;
    bytes[at] ^= 0x10;
    with_gzip(&whole, &bytes)
}

pub(crate) fn gzip_that_is_none(whole: Whole) -> Vec<u8> {
    with_gzip(&whole, &whole.body)
}

/// Four gibibytes of spaces, as four megabytes of gzip.
pub(crate) fn bomb() -> Fault {
    static BOMB: OnceLock<Vec<u8>> = OnceLock::new();
    let bytes = BOMB.get_or_init(|| {
        const MEBIBYTE: usize = 1 << 20;
        let mut piece = Vec::with_capacity(MEBIBYTE);
        // After a full flush the same bytes may come again.
        let mut deflate = Compress::new(Compression::best(), false);
        deflate.compress_vec(&vec![b' '; MEBIBYTE], &mut piece, FlushCompress::Full).unwrap();
        let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
        for _ in 0..4096 {
            gzip.extend_from_slice(&piece);
        }
        assert!(gzip.len() < 8 << 20, "{} bytes", gzip.len());
        let head = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n";
        [head.as_bytes(), &gzip].concat()
    });
    Fault::Say(bytes.clone(), End::Close)
}

pub(crate) fn huge_header(bytes: usize) -> Fault {
    raw(&format!("HTTP/1.1 200 OK\r\nx-huge: {}", "x".repeat(bytes)), End::Close)
}

pub(crate) fn many_headers(count: usize) -> Fault {
    let headers: String = (0..count).map(|number| format!("x-{number}: 1\r\n")).collect();
    raw(&format!("HTTP/1.1 200 OK\r\n{headers}content-length: 2\r\n\r\n{{}}"), End::Close)
}

pub(crate) fn byte_order_mark(whole: Whole) -> Vec<u8> {
    whole.with("", &["\u{feff}".as_bytes(), &whole.body].concat())
}

pub(crate) fn utf_16(whole: Whole) -> Vec<u8> {
    let text = String::from_utf8(whole.body.clone()).unwrap();
    whole.with("", &text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>())
}

/// Breaks a string: the last closing quote has a stray byte before it.
pub(crate) fn no_utf_8(whole: Whole) -> Vec<u8> {
    let mut body = whole.body.clone();
    let quote = body.iter().rposition(|byte| *byte == b'"').unwrap();
    body.insert(quote, 0xff);
    whole.with("", &body)
}

/// The answer's object, with one more member at its end.
pub(crate) fn with_field(whole: &Whole, name: &str, value: &str) -> Vec<u8> {
    let text = std::str::from_utf8(&whole.body).unwrap();
    let open = text.trim_end().strip_suffix('}').unwrap();
    whole.with("", format!("{open},\"{name}\":{value}}}").as_bytes())
}

pub(crate) fn deep_field(whole: Whole) -> Vec<u8> {
    let value = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    with_field(&whole, "new", &value)
}

/// The answer's object, with this member changed by `change`.
fn changed(whole: &Whole, change: impl Fn(&mut serde_json::Map<String, serde_json::Value>)) -> Vec<u8> {
    let mut object = serde_json::from_slice(&whole.body).unwrap();
    change(&mut object);
    whole.with("", &serde_json::to_vec(&object).unwrap())
}

pub(crate) fn without(whole: &Whole, name: &str) -> Vec<u8> {
    changed(whole, |object| assert!(object.remove(name).is_some()))
}

pub(crate) fn replaced(whole: &Whole, name: &str, value: &str) -> Vec<u8> {
    let value: serde_json::Value = serde_json::from_str(value).unwrap();
    changed(whole, |object| assert!(object.insert(name.to_owned(), value.clone()).is_some()))
}

/// An introspection of a token that may read all but the audit events.
pub(crate) fn without_auditevents(whole: Whole) -> Vec<u8> {
    let text = String::from_utf8(whole.body.clone()).unwrap();
    let body = text.replace("\"auditevents\"", "\"other\"");
    assert_ne!(body, text);
    whole.with("", body.as_bytes())
}
