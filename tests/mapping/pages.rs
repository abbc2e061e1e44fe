//! The envelope of a page: read, or refused without quoting a word of it.

use std::error::Error;

use opgraph::stream::{Read, Stream, read_page};
use opgraph_state::Cursor;

/// A word that stands in every refused page and must not come out of it.
const CANARY: &str = "canary-5f3a";

fn read(body: &str) -> Read {
    read_page(Stream::ItemUsages, body.as_bytes().to_vec()).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// Checks that the body is no page of any stream, and that the error is silent about it.
fn refused(body: impl Into<Vec<u8>>) {
    let body = body.into();
    let shown = String::from_utf8_lossy(&body).into_owned();
    for stream in Stream::ALL {
        let Err(error) = read_page(*stream, body.clone()) else { panic!("taken for a page: {shown}") };
        let mut said = format!("{error} {error:?} {error:#?}");
        let mut cause = error.source();
        while let Some(error) = cause {
            said.push_str(&format!(" {error} {error:?}"));
            cause = error.source();
        }
        assert!(!said.contains("canary"), "{said}");
    }
}

#[test]
fn a_page_gives_its_cursor_whatever_it_holds() {
    let rows = [
        (r#"{"cursor":"c1","has_more":true,"items":[]}"#, "c1", true, 0),
        (r#"{"cursor":"c1","has_more":false,"items":[]}"#, "c1", false, 0),
        (r#"{"cursor":"c1","has_more":false,"items":null}"#, "c1", false, 0),
        (r#"{"items":[{"uuid":"A"},{"uuid":"B"}],"has_more":true,"cursor":"c1"}"#, "c1", true, 2),
        (r#"{"cursor":"c\u0031\"\ud83d\ude00","has_more":true,"items":[{"uuid":"A"}]}"#, "c1\"😀", true, 1),
        (" \r\n\t{ \"cursor\" : \"c1\" , \"has_more\" : false , \"items\" : [ ] } \n", "c1", false, 0),
        (r#"{"cursor":"c1","has_more":false,"items":[],"new":{"cursor":"c2"},"new":[1]}"#, "c1", false, 0),
    ];
    for (body, cursor, has_more, events) in rows {
        let read = read(body);
        assert_eq!(read.next, Cursor::Token(cursor.to_owned()), "{body}");
        assert_eq!(read.has_more, has_more, "{body}");
        assert_eq!((read.events.len(), read.rejected.len()), (events, 0), "{body}");
    }
}

#[test]
fn a_cursor_is_kept_whatever_its_length_and_text() {
    for cursor in ["x".repeat(100_000), "=".to_owned(), " ".to_owned(), "ü\0".to_owned()] {
        let body = serde_json::json!({"cursor": cursor, "has_more": false, "items": []}).to_string();
        assert_eq!(read(&body).next, Cursor::Token(cursor));
    }
}

#[test]
fn a_body_that_is_no_json_is_refused() {
    let good = format!(r#"{{"cursor":"{CANARY}","has_more":false,"items":[{{"uuid":"{CANARY}"}}]}}"#);
    read(&good);
    refused("");
    refused("   \n");
    refused(CANARY);
    refused(format!("404 page not found: {CANARY}"));
    refused(format!("<html><body>{CANARY}</body></html>"));
    // A byte order mark is no white space in JSON.
    refused(format!("\u{feff}{good}"));
    refused(good.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>());
    for bad in [&b"\xff"[..], b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf"] {
        for place in [good.find(CANARY), good.rfind(CANARY), Some(good.len()), Some(0)] {
            let mut body = good.clone().into_bytes();
            let place = place.expect("the canary");
            body.splice(place..place, bad.iter().copied());
            refused(body);
        }
    }
    for trailing in ["}", "{}", "x", ",", "\0", "null", &good] {
        refused(format!("{good}{trailing}"));
        refused(format!("{good}\n{trailing}"));
    }
    for word in
        ["NaN", "Infinity", "-Infinity", "undefined", "01", "+1", ".5", "'x'", "\"\u{1}\"", "\"\\x\"", "1,"]
    {
        refused(format!(
            r#"{{"cursor":"{CANARY}","has_more":false,"items":[{{"uuid":"{CANARY}","aux_id":{word}}}]}}"#
        ));
    }
}

#[test]
fn a_truncated_page_is_refused_wherever_it_ends() {
    let good = format!(
        r#"{{"cursor":"{CANARY}","has_more":true,"items":[{{"uuid":"é {CANARY}","aux_id":12}},{{"uuid":"\u00e9"}}]}}"#
    );
    read(&good);
    for end in 0..good.len() {
        refused(&good.as_bytes()[..end]);
    }
}

#[test]
fn json_that_is_no_page_is_refused() {
    for body in [
        // What an error looks like, should it come with a 200.
        format!(r#"{{"Error":{{"Message":"{CANARY}"}}}}"#),
        format!(r#"{{"status":401,"message":"{CANARY}"}}"#),
        "null".to_owned(),
        "{}".to_owned(),
        "[]".to_owned(),
        "1".to_owned(),
        format!("\"{CANARY}\""),
        format!(r#"["{CANARY}",true,[]]"#),
        format!(r#"["{CANARY}",true,null]"#),
        format!(r#"[{{"cursor":"{CANARY}","has_more":true,"items":[]}}]"#),
        // The cursor.
        format!(r#"{{"has_more":false,"items":[{{"uuid":"{CANARY}"}}]}}"#),
        format!(r#"{{"cursor":"","has_more":false,"items":[{{"uuid":"{CANARY}"}}]}}"#),
        format!(r#"{{"cursor":null,"has_more":false,"items":[{{"uuid":"{CANARY}"}}]}}"#),
        format!(r#"{{"cursor":["{CANARY}"],"has_more":false,"items":[]}}"#),
        format!(r#"{{"cursor":{{"{CANARY}":1}},"has_more":false,"items":[]}}"#),
        format!(r#"{{"cursor":17,"has_more":false,"items":["{CANARY}"]}}"#),
        format!(r#"{{"cursor":"{CANARY}\ud800","has_more":false,"items":[]}}"#),
        format!(r#"{{"Cursor":"{CANARY}","has_more":false,"items":[]}}"#),
        // Whether there is more.
        format!(r#"{{"cursor":"{CANARY}","items":[]}}"#),
        format!(r#"{{"cursor":"{CANARY}","has_more":null,"items":[]}}"#),
        format!(r#"{{"cursor":"{CANARY}","has_more":"{CANARY}","items":[]}}"#),
        format!(r#"{{"cursor":"{CANARY}","has_more":1,"items":[]}}"#),
        // The items. Without them, what the cursor would pass is unknown.
        format!(r#"{{"cursor":"{CANARY}","has_more":false}}"#),
        format!(r#"{{"cursor":"{CANARY}","has_more":true,"audit_events":[{{"uuid":"{CANARY}"}}]}}"#),
        format!(r#"{{"cursor":"c","has_more":false,"items":"{CANARY}"}}"#),
        format!(r#"{{"cursor":"c","has_more":false,"items":{{"{CANARY}":[]}}}}"#),
        format!(r#"{{"cursor":"{CANARY}","has_more":false,"items":0}}"#),
        // The same member twice: which one holds is anybody's guess.
        format!(r#"{{"cursor":"{CANARY}","cursor":"{CANARY}","has_more":false,"items":[]}}"#),
        format!(r#"{{"cursor":"{CANARY}","has_more":false,"has_more":true,"items":[]}}"#),
        format!(r#"{{"cursor":"{CANARY}","has_more":false,"items":[],"items":[]}}"#),
    ] {
        refused(body);
    }
}

#[test]
fn nesting_without_end_is_refused_or_skipped_and_never_fatal() {
    const DEEP: usize = 200_000;
    refused("[".repeat(DEEP));
    refused("{\"a\":".repeat(DEEP));
    refused(format!(
        r#"{{"cursor":{}"{CANARY}"{},"has_more":false,"items":[]}}"#,
        "[".repeat(DEEP),
        "]".repeat(DEEP)
    ));
    let body = format!(
        r#"{{"x":{}1{},"cursor":"c","has_more":false,"items":[{}{}]}}"#,
        "[".repeat(DEEP),
        "]".repeat(DEEP),
        "[".repeat(DEEP),
        "]".repeat(DEEP),
    );
    let read = read(&body);
    assert_eq!((read.events.len(), read.rejected.len()), (0, 1));
}

#[test]
fn one_flipped_byte_never_panics_and_never_speaks() {
    let good =
        format!(r#"{{"cursor":"{CANARY}","has_more":true,"items":[{{"uuid":"{CANARY}","aux_id":12}}]}}"#);
    for at in 0..good.len() {
        for byte in [0u8, b'"', b'{', b'}', b'[', b',', b'\\', b'9', b' ', 0x80, 0xff] {
            let mut body = good.clone().into_bytes();
            body[at] = byte;
            if let Err(error) = read_page(Stream::AuditEvents, body) {
                assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
            }
        }
    }
}
