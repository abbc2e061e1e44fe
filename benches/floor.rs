//! The floor: what no design can avoid.
//!
//! The same pages are received and as many bytes are sent, compressed by the same compressor at the same level,
//! over as many connections. Nothing is parsed but the next cursor, nothing is kept, nothing is committed.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use opgraph::{
    bench::Bodies,
    graph::Records,
    stream::{Mapping, Stream, read_page},
};
use reqwest::{Client, header};
use tokio::task::JoinSet;

use crate::{Failed, pages_of_all, simulated::Access};

/// Requests that are sent at once, as many as the program has in flight.
const IN_FLIGHT: usize = 4;

/// Pages of each stream from which the bodies are made.
const PAGES: usize = 12;

/// What is to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Bytes of bodies on the wire.
    pub sent: u64,
    /// Whether they are compressed.
    pub gzip: bool,
}

/// What was received and sent.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Passed {
    /// Bytes of pages.
    pub received: u64,
    /// Bytes of bodies on the wire.
    pub sent: u64,
}

/// Bodies such as the program sends: what has to be compressed decides what that costs.
///
/// # Errors
///
/// If the pages cannot be had.
pub async fn bodies() -> Result<Vec<Bytes>, Failed> {
    let mapping = Mapping { raw_data: true, account_name: None };
    let (mut packing, mut bodies) = (Bodies::new(), Vec::new());
    for (stream, pages) in pages_of_all(PAGES).await? {
        for page in pages {
            let mut records = Records::default();
            read_page(stream, page)?.events.map(&mapping, &mut records);
            bodies.extend(packing.take(&records, stream.name()));
        }
    }
    bodies.extend(packing.rest());
    Ok(bodies.into_iter().map(|(_, body)| body).collect())
}

/// Receives all pages and sends what the plan says.
///
/// # Errors
///
/// If a request fails.
pub async fn run(access: &Access, bodies: Vec<Bytes>, plan: Plan) -> Result<Passed, Failed> {
    let client = Client::builder().tcp_nodelay(true).build()?;
    let mut running = JoinSet::new();
    for stream in Stream::ALL {
        let url = format!("{}/api/v2/{}", access.url, stream.name());
        running.spawn(receive(client.clone(), url, access.events_token.clone()));
    }
    let feed = Arc::new(Feed { bodies, plan, next: AtomicUsize::new(0), left: AtomicU64::new(plan.sent) });
    for _ in 0..IN_FLIGHT {
        running.spawn(send(client.clone(), access.drain.clone(), feed.clone()));
    }
    let mut sum = Passed::default();
    while let Some(passed) = running.join_next().await {
        let passed = passed??;
        sum.received += passed.received;
        sum.sent += passed.sent;
    }
    Ok(sum)
}

/// Receives the pages of a stream.
async fn receive(client: Client, url: String, token: String) -> Result<Passed, Failed> {
    let mut ask = r#"{"limit":1000,"start_time":"2000-01-01T00:00:00Z"}"#.to_owned();
    let mut passed = Passed::default();
    loop {
        let request = client.post(&url).bearer_auth(&token).header(header::CONTENT_TYPE, "application/json");
        let mut response = request.body(ask.clone()).send().await?.error_for_status()?;
        let mut head = Vec::new();
        while let Some(piece) = response.chunk().await? {
            passed.received += piece.len() as u64;
            if head.len() < HEAD {
                head.extend_from_slice(&piece[..piece.len().min(HEAD)]);
            }
        }
        let head = String::from_utf8_lossy(&head);
        let (cursor, rest) = next(&head).ok_or("a page does not begin with its cursor")?;
        // A page may say that more is waiting when it is the last; it then leads to an empty one.
        if !rest.starts_with(",\"has_more\":true") {
            return Ok(passed);
        }
        ask = format!(r#"{{"cursor":"{cursor}"}}"#);
    }
}

/// Bytes in which a page's cursor ends.
const HEAD: usize = 4096;

/// The cursor that a page begins with, and what follows it.
fn next(head: &str) -> Option<(&str, &str)> {
    head.strip_prefix("{\"cursor\":\"")?.split_once('"')
}

/// What there is to send.
struct Feed {
    bodies: Vec<Bytes>,
    plan: Plan,
    next: AtomicUsize,
    left: AtomicU64,
}

/// Sends body after body until enough was sent.
async fn send(client: Client, url: String, feed: Arc<Feed>) -> Result<Passed, Failed> {
    let mut passed = Passed::default();
    while feed.left.load(Relaxed) > 0 {
        let body = feed.bodies[feed.next.fetch_add(1, Relaxed) % feed.bodies.len()].clone();
        let body =
            if feed.plan.gzip { tokio::task::spawn_blocking(move || gzip(&body)).await?? } else { body };
        let before =
            feed.left.fetch_update(Relaxed, Relaxed, |left| Some(left.saturating_sub(body.len() as u64)));
        let due = before.unwrap_or_default().min(body.len() as u64);
        if due > 0 {
            let request = client.post(&url).header(header::CONTENT_TYPE, "application/json");
            request.body(body.slice(..due as usize)).send().await?.error_for_status()?;
            passed.sent += due;
        }
    }
    Ok(passed)
}

/// What the program does to a body, and at the same level.
fn gzip(json: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(json.len() / 5 + 64), Compression::new(1));
    encoder.write_all(json)?;
    Ok(encoder.finish()?.into())
}
