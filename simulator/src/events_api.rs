//! 1Password's Events API v2: requests, pages, errors.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Served, Stream, answer::Answer, bits::Bits, cursor::Cursor, generate::World, mix::mix};

/// Items of a page when the request does not say, and at most (1Password docs, pagination).
const DEFAULT_LIMIT: u16 = 100;
const MOST: u16 = 1000;

const HOUR: i64 = 3_600_000_000_000;
const TWO_DAYS: i64 = 48 * HOUR;

/// Events looked at for one page, in pages: a page can be empty because none of them was in time.
const LOOK: u64 = 8;

/// A request body: one of the two shapes (1Password OpenAPI, `oneOf`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Reset { limit: u16, start: Option<i64>, end: Option<i64> },
    Continue(String),
}

/// The fields of both shapes, to tell which was meant.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(default, deserialize_with = "present")]
    cursor: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    limit: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    start_time: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    end_time: Option<Value>,
}

/// Reads a field that is there; `null` is there too.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Ask {
    /// Reads a request body. The error says what is wrong with it; it is answered 400.
    pub(crate) fn read(body: &[u8]) -> Result<Ask, &'static str> {
        const NEITHER: &str = "the body is neither a ResetCursor nor a cursor";
        // Serde would read an array as the fields in their order.
        if !body.trim_ascii_start().starts_with(b"{") {
            return Err(NEITHER);
        }
        let fields: Fields = serde_json::from_slice(body).map_err(|_| NEITHER)?;
        if let Some(cursor) = fields.cursor {
            if fields.limit.is_some() || fields.start_time.is_some() || fields.end_time.is_some() {
                return Err("a cursor excludes limit, start_time and end_time");
            }
            return match cursor {
                Value::String(cursor) => Ok(Ask::Continue(cursor)),
                _ => Err("cursor is not a string"),
            };
        }
        let limit = match fields.limit {
            None => DEFAULT_LIMIT,
            Some(limit) => limit
                .as_u64()
                .filter(|limit| (1..=u64::from(MOST)).contains(limit))
                .ok_or("limit is not between 1 and 1000")? as u16,
        };
        let start = fields.start_time.map(|value| time(&value)).transpose()?;
        let end = fields.end_time.map(|value| time(&value)).transpose()?;
        if matches!((start, end), (Some(start), Some(end)) if start > end) {
            return Err("start_time is after end_time");
        }
        Ok(Ask::Reset { limit, start, end })
    }
}

/// Reads an RFC 3339 time as nanoseconds since the epoch, cut to what 64 bits hold.
fn time(value: &Value) -> Result<i64, &'static str> {
    let text = value.as_str().filter(|text| text.as_bytes().get(10) == Some(&b'T') && !text.contains('['));
    let time: jiff::Timestamp =
        text.and_then(|text| text.parse().ok()).ok_or("start_time or end_time is not an RFC 3339 time")?;
    Ok(time.as_nanosecond().clamp(i64::MIN.into(), i64::MAX.into()) as i64)
}

/// One page, ready to be sent.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) body: Vec<u8>,
    /// The numbers of its events.
    pub(crate) events: Vec<u64>,
}

/// Returns the first cursor of a request that has none. `now` in nanoseconds since the epoch.
pub(crate) fn first_cursor(
    world: &World,
    stream: Stream,
    (limit, start, end): (u16, Option<i64>, Option<i64>),
    arrived: u64,
    now: i64,
) -> Cursor {
    // Without a start: one hour before the end, or one hour ago (1Password docs).
    let start = start.unwrap_or_else(|| end.unwrap_or(now).saturating_sub(HOUR));
    Cursor {
        stream,
        index: world.first_at(stream, start, arrived),
        paused: false,
        limit,
        start,
        end: end.unwrap_or(i64::MAX),
    }
}

/// Serves the page at a cursor, of `arrived` events and at most `cap` items.
///
/// The same cursor gives the same items as long as nothing new arrives. Now and then, by the seed, a page is
/// empty or half full although there is more, and the last page says that there may be more.
pub(crate) fn page(world: &World, seed: u64, cursor: Cursor, arrived: u64, cap: u16) -> Page {
    let stream = cursor.stream;
    let die = mix(seed ^ mix(cursor.index ^ (stream.index() as u64) << 60));
    let pause = die % 61 == 3 && !cursor.paused && cursor.index < arrived;
    let wanted = usize::from(cursor.limit.min(cap));
    let wanted = if die % 37 == 5 { wanted.div_ceil(2) } else { wanted };
    let mut events = Vec::with_capacity(wanted);
    let mut next = Cursor { paused: pause, ..cursor };
    // The body begins with the cursor, which is known last: room for it is left.
    let head = head(&cursor.encode(seed), false).len();
    let mut body = vec![b' '; head];
    if !pause {
        body.reserve(wanted * 800);
        let look = (cursor.index + LOOK * u64::from(cursor.limit)).min(arrived);
        while next.index < look && events.len() < wanted {
            let event = world.event(stream, next.index);
            if event.time.saturating_sub(TWO_DAYS) >= cursor.end && cursor.end < i64::MAX {
                break;
            }
            if event.time >= cursor.start && event.time < cursor.end {
                if !events.is_empty() {
                    body.push(b',');
                }
                body.reserve(event.len());
                world.write(stream, next.index, &event, &mut body);
                events.push(next.index);
            }
            next.index += 1;
        }
    }
    let finite_end = next.index < arrived && next.index == cursor.index && !pause;
    let maybe = !events.is_empty() && die % 5 == 1;
    let has_more = (next.index < arrived || maybe) && !finite_end;
    let written = self::head(&next.encode(seed), has_more);
    body[..head].copy_from_slice(written.as_bytes());
    body.extend_from_slice(b"]}");
    Page { body, events }
}

/// Returns the beginning of a page's body; always of the same length.
fn head(cursor: &str, has_more: bool) -> String {
    let more = if has_more { "true, " } else { "false," };
    format!(r#"{{"cursor":"{cursor}","has_more":{more}"items":["#)
}

/// What was served of one stream.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) served: Bits,
    pub(crate) counts: Served,
}

impl Ledger {
    /// Notes that a page was sent whole.
    pub(crate) fn note(&mut self, world: &World, stream: Stream, events: &[u64]) {
        self.counts.pages += 1;
        self.counts.empty_pages += u64::from(events.is_empty());
        for index in events {
            if self.served.insert(*index) {
                self.counts.served += 1;
                self.counts.poison += u64::from(world.event(stream, *index).truth.is_none());
            } else {
                self.counts.repeated += 1;
            }
        }
    }
}

/// Returns an error in one of the three shapes that 1Password's errors have, by `die`.
///
/// Sources: the OpenAPI file and a production log (`Error.Message`), the docs (`status`, `message`), and what
/// proxies say (plain text).
pub(crate) fn error(status: u16, words: &str, die: u64) -> Answer {
    match die % 3 {
        0 => Answer::value(status, &json!({"Error": {"Message": words}})),
        1 => Answer::value(status, &json!({"status": status, "message": words})),
        _ => Answer::text(status, words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_exactly_one_of_the_two_bodies() {
        let reset = |limit, start, end| Ok(Ask::Reset { limit, start, end });
        let good = [
            ("{}", reset(100, None, None)),
            (r#"{"limit":1000}"#, reset(1000, None, None)),
            (r#"{"cursor":"abc"}"#, Ok(Ask::Continue("abc".into()))),
            (
                r#"{"limit":1,"start_time":"1970-01-01T00:00:01Z","end_time":"1970-01-01T01:00:02.5+01:00"}"#,
                reset(1, Some(1_000_000_000), Some(2_500_000_000)),
            ),
        ];
        for (body, expect) in good {
            assert_eq!(Ask::read(body.as_bytes()), expect, "{body}");
        }
        let bad = [
            "",
            "[]",
            "null",
            r#"{"cursor":"abc","limit":10}"#,
            r#"{"cursor":"abc","start_time":"2026-01-01T00:00:00Z"}"#,
            r#"{"cursor":null}"#,
            r#"{"cursor":7}"#,
            r#"{"limit":1001}"#,
            r#"{"limit":0}"#,
            r#"{"limit":-1}"#,
            r#"{"limit":2.5}"#,
            r#"{"limit":"10"}"#,
            r#"{"limit":null}"#,
            r#"{"start_time":"yesterday"}"#,
            r#"{"start_time":"2026-01-01 00:00:00Z"}"#,
            r#"{"start_time":"2026-01-01T00:00:00"}"#,
            r#"{"start_time":1767225600}"#,
            r#"{"start_time":"2026-01-02T00:00:00Z","end_time":"2026-01-01T00:00:00Z"}"#,
            r#"{"page_size":10}"#,
        ];
        for body in bad {
            assert!(Ask::read(body.as_bytes()).is_err(), "{body}");
        }
    }
}
