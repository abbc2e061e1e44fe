//! Pages and cursors.

use std::collections::HashSet;

use opgraph_simulator::{Config, Limits, Stream};
use serde_json::{Value, json};

use crate::support::{NOW, STREAMS, config, rig, told};

fn uuid(event: &Value) -> &str {
    event["uuid"].as_str().unwrap()
}

/// Milliseconds of an event's timestamp, if it has one.
fn time(event: &Value) -> Option<i64> {
    event["timestamp"].as_str().map(|text| text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

#[tokio::test]
async fn a_stream_read_to_its_end_gives_every_event_once() {
    let rig = rig(config()).await;
    for stream in STREAMS {
        let (events, _) = rig.read(stream).await;
        let uuids: HashSet<&str> = events.iter().map(uuid).collect();
        assert_eq!(uuids.len(), events.len());
    }
    let report = rig.sim.report();
    let served: Vec<u64> = report.streams.values().map(|stream| stream.served).collect();
    assert_eq!(served, [400, 1100, 500]);
    assert!(report.is_caught_up());
    assert_eq!(report.streams[&Stream::ItemUsages].repeated, 0);
}

#[tokio::test]
async fn one_seed_gives_one_sequence_of_bytes() {
    let mut bytes = Vec::new();
    for _ in 0..2 {
        let rig = rig(config()).await;
        let mut run = String::new();
        let mut body = json!({"limit": 500, "start_time": "2020-01-01T00:00:00Z"});
        for _ in 0..5 {
            let request = rig.page_request("itemusages", rig.sim.events_token(), body.to_string());
            let text = request.send().await.unwrap().text().await.unwrap();
            let page: Value = serde_json::from_str(&text).unwrap();
            body = json!({"cursor": page["cursor"]});
            run.push_str(&text);
        }
        bytes.push(run);
    }
    assert_eq!(bytes[0], bytes[1]);
}

#[tokio::test]
async fn a_body_that_is_not_exactly_one_of_the_two_is_refused() {
    let rig = rig(config()).await;
    let (_, cursor) = rig.read("itemusages").await;
    let cases = [
        json!({"cursor": cursor, "limit": 10}),
        json!({"limit": 1001}),
        json!({"limit": 0}),
        json!({"cursor": "bm90IG9uZSBvZiBvdXJz"}),
        json!({"cursor": ""}),
        json!([]),
        json!({"start_time": "last week"}),
    ];
    for body in cases {
        assert_eq!(rig.page("itemusages", body.clone()).await.0, 400, "{body}");
    }
    let (status, _) = told(rig.page_request("itemusages", rig.sim.events_token(), String::new())).await;
    assert_eq!(status, 400);
    assert_eq!(rig.page("signinattempts", json!({"cursor": cursor})).await.0, 400, "another stream's cursor");
    assert_eq!(rig.sim.report().streams[&Stream::ItemUsages].refused, 8);
}

#[tokio::test]
async fn an_empty_object_means_the_last_hour_and_a_hundred() {
    let rig = rig(Config { events: 400_000, ..config() }).await;
    let now = NOW.parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let (status, page) = rig.page("itemusages", json!({})).await;
    assert_eq!(status, 200);
    let (events, _) = rig.read_from("itemusages", json!({})).await;
    assert!(events.len() > 100, "{}", events.len());
    assert!(page["items"].as_array().unwrap().len() <= 100);
    for event in &events {
        assert!(time(event).is_none_or(|time| (now - 3_600_000..=now + 60_000).contains(&time)));
    }
}

#[tokio::test]
async fn a_cursor_carries_limit_start_and_end() {
    let rig = rig(config()).await;
    let start = "2026-02-10T00:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let end = "2026-02-20T00:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let first = json!({"limit": 7, "start_time": "2026-02-10T00:00:00Z", "end_time": "2026-02-20T00:00:00Z"});
    let mut body = first.clone();
    let mut within = 0;
    loop {
        let (_, page) = rig.page("itemusages", body).await;
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 7);
        within += items.len();
        for event in items {
            assert!(time(event).is_none_or(|time| (start..end).contains(&time)), "{event}");
        }
        if page["has_more"] == false {
            let again = json!({"cursor": page["cursor"]});
            let (_, last) = rig.page("itemusages", again).await;
            assert_eq!((last["items"].as_array().unwrap().len(), &last["cursor"]), (0, &page["cursor"]));
            break;
        }
        body = json!({"cursor": page["cursor"]});
    }
    let (all, _) = rig.read("itemusages").await;
    let timed = all.iter().filter_map(time).filter(|time| (start..end).contains(time)).count();
    assert!(timed > 100 && within >= timed, "nothing in time is left out");
}

#[tokio::test]
async fn an_exhausted_stream_gives_the_cursor_it_was_sent() {
    let rig = rig(config()).await;
    let (_, cursor) = rig.read("auditevents").await;
    for _ in 0..3 {
        let (status, page) = rig.page("auditevents", json!({"cursor": cursor})).await;
        assert_eq!((status, &page["has_more"]), (200, &json!(false)));
        assert_eq!((&page["cursor"], &page["items"]), (&json!(cursor), &json!([])));
    }
}

#[tokio::test]
async fn a_cursor_asked_twice_gives_the_same_page() {
    let rig = rig(config()).await;
    let (_, first) = rig.page("itemusages", json!({"limit": 50, "start_time": "2020-01-01T00:00:00Z"})).await;
    let body = json!({"cursor": first["cursor"]});
    assert_eq!(rig.page("itemusages", body.clone()).await, rig.page("itemusages", body).await);
    assert!(rig.sim.report().streams[&Stream::ItemUsages].repeated > 0);
}

#[tokio::test]
async fn some_pages_are_empty_and_some_short_although_there_is_more() {
    let rig = rig(Config { limits: Limits { per_minute: 10_000, per_hour: 30_000 }, ..config() }).await;
    let (mut empty, mut short, mut promised) = (0, 0, 0);
    let mut body = json!({"limit": 5, "start_time": "2020-01-01T00:00:00Z"});
    let mut before_had_more = true;
    loop {
        let (_, page) = rig.page("itemusages", body).await;
        let (items, more) = (page["items"].as_array().unwrap().len(), page["has_more"] == true);
        empty += u32::from(items == 0 && more);
        short += u32::from((1..5).contains(&items) && more);
        promised += u32::from(items == 0 && !more && before_had_more);
        before_had_more = more;
        if !more {
            break;
        }
        body = json!({"cursor": page["cursor"]});
    }
    assert!(empty > 0 && short > 0, "{empty} {short} {promised}");
}

#[tokio::test]
async fn item_usages_arrive_up_to_two_days_late_and_out_of_order() {
    let rig = rig(Config { events: 20_000, ..config() }).await;
    let (events, _) = rig.read("itemusages").await;
    let times: Vec<i64> = events.iter().filter_map(time).collect();
    let mut newest = i64::MIN;
    let latest = times.iter().map(|time| {
        newest = newest.max(*time);
        newest - time
    });
    let latest = latest.max().unwrap();
    assert!((40 * 3_600_000..48 * 3_600_000).contains(&latest), "{latest}");
}

#[tokio::test]
async fn live_events_arrive_while_it_runs() {
    tokio::time::pause();
    let rig = rig(Config { events: 100, rate: 100.0, ..config() }).await;
    tokio::time::advance(std::time::Duration::from_secs(20)).await;
    assert_eq!(rig.sim.report().streams[&Stream::ItemUsages].arrived, 55 + 1100);
}
