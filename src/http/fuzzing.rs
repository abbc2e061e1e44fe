//! The fuzz target of answers that are no success.

use reqwest::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use secrecy::SecretString;

use super::{
    Asked, ClientSettings, Request,
    client::{ErrorBody, pause_asked_for, refused},
};

/// The token that no message may repeat.
const TOKEN: &str = "eyJ0b2tlbg.eyJvZg.b3Vycw";

/// Answers other than success, written as on the wire (a line with the status,
/// lines of headers, an empty line, the body): every one becomes a failure with
/// a remedy, says little and never the token, and no header makes the reading of a pause panic.
pub fn answer(data: &[u8]) {
    let end = data.windows(2).position(|two| two == b"\n\n").unwrap_or(data.len());
    let (head, body) = (&data[..end], data.get(end + 2..).unwrap_or_default());
    let mut lines = head.split(|byte| *byte == b'\n');
    let status = lines.next().and_then(|line| std::str::from_utf8(line).ok()?.parse().ok());
    // A success never comes here.
    let status = status.filter(|status: &u16| !(200..300).contains(status)).unwrap_or(503);
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let named = HeaderName::from_bytes(&line[..colon]).ok();
        if let Some((name, value)) = named.zip(HeaderValue::from_bytes(&line[colon + 1..]).ok()) {
            headers.insert(name, value);
        }
    }
    let longest = ClientSettings::default().longest_pause;
    let after = pause_asked_for(&headers).map(|pause| pause.min(longest));
    for asked in [Asked::FirstPage, Asked::NextPage, Asked::Introspection, Asked::SyncJob] {
        let request = Request {
            doing: "ask".to_owned(),
            asked,
            method: Method::GET,
            url: "http://127.0.0.1/".parse().expect("a constant URL"),
            token: SecretString::from(TOKEN),
            headers: Vec::new(),
            body: None,
        };
        let failure = refused(&request, status, after, body);
        let said = format!("{failure} {} {:?}", failure.cause, failure.code);
        assert!(!said.contains(TOKEN), "the token is repeated: {said}");
        assert!(failure.cause.to_string().chars().count() < 250, "too much is said: {said}");
        assert!(!failure.cause.to_string().contains('\n'), "one line is enough: {said}");
    }
    // The code decides what happens to a job: none comes of a body that is no JSON.
    let text = String::from_utf8_lossy(body);
    let code = ErrorBody::read(&text, TOKEN).code;
    assert!(code.is_none() || serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok());
}
