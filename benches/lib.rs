//! What all measurements share: a simulated account, its pages as they are on the wire, the other side in a process of
//! its own, and the floor.

pub mod floor;

pub mod place;

pub mod process;

pub mod simulated;

use opgraph::{
    http::{Asked, Body, Client, ClientSettings, Request},
    stream::{Stream, read_page},
};
use opgraph_simulator::{Config, Faults, Limits, Simulator};
use opgraph_state::Cursor;
use serde_json::json;

/// What goes wrong in a measurement is told and ends it.
pub type Failed = Box<dyn std::error::Error + Send + Sync>;

/// The account that everything is measured on: no faults, no limits that would be felt.
pub fn account(events: u64) -> Config {
    Config {
        events,
        limits: Limits { per_minute: 10_000_000, per_hour: 500_000_000 },
        faults: Faults::none(),
        ..Config::default()
    }
}

/// The first pages of a stream that hold events, as the simulator sends them.
///
/// # Errors
///
/// If there are not so many.
pub async fn pages(simulator: &Simulator, stream: Stream, most: usize) -> Result<Vec<Vec<u8>>, Failed> {
    let client = Client::new(&ClientSettings::default())?;
    let mut ask = json!({ "limit": 1000, "start_time": "2020-01-01T00:00:00Z" });
    let mut pages = Vec::new();
    while pages.len() < most {
        let request = Request {
            doing: "read a page".to_owned(),
            asked: Asked::FirstPage,
            method: reqwest::Method::POST,
            url: format!("{}/api/v2/{}", simulator.events_url(), stream.name()).parse()?,
            token: simulator.events_token().into(),
            headers: Vec::new(),
            body: Some(Body::plain(ask.to_string())),
        };
        let body = client.send(&request).await?.body;
        let read = read_page(stream, body.clone())?;
        let Cursor::Token(cursor) = read.next else { return Err("a page without a cursor".into()) };
        if read.events.is_empty() && !read.has_more {
            return Err(format!("the account has fewer than {most} pages of {}", stream.name()).into());
        }
        ask = json!({ "cursor": cursor });
        // Now and then a page is empty although more is waiting.
        if !read.events.is_empty() {
            pages.push(body);
        }
    }
    Ok(pages)
}

/// So many pages of every stream, the same on every day.
///
/// # Errors
///
/// If the simulator cannot be started, or what it serves makes no sense.
pub async fn pages_of_all(most: usize) -> Result<Vec<(Stream, Vec<Vec<u8>>)>, Failed> {
    // The rarest of the streams has a fifth of the events.
    let now = Some("2026-06-01T12:00:00Z".parse()?);
    let simulator = Simulator::start(Config { now, ..account(5_000 * most as u64 + 5_000) }).await?;
    let mut all = Vec::new();
    for stream in Stream::ALL {
        all.push((*stream, pages(&simulator, *stream, most).await?));
    }
    simulator.stop().await;
    Ok(all)
}
