//! Cursors: opaque to clients, and all that the server remembers of a request.

use base64::{Engine, prelude::BASE64_STANDARD};

use crate::{Stream, mix::mix};

/// A place in a stream, with the conditions it was asked for under.
///
/// `limit` and `end` travel in the cursor: a new one is the only way to change them (1Password docs).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) stream: Stream,
    /// The next event, in the order of arrival.
    pub(crate) index: u64,
    /// Whether the empty page that some places have was given already.
    pub(crate) paused: bool,
    pub(crate) limit: u16,
    /// The earliest time of an event, inclusive. Nanoseconds since the epoch.
    pub(crate) start: i64,
    /// The time from which events are left out; `i64::MAX` for none.
    pub(crate) end: i64,
}

impl Cursor {
    /// Returns the text of a cursor. Cursors of one account have one length.
    pub(crate) fn encode(&self, seed: u64) -> String {
        let mut bytes = Vec::with_capacity(36);
        bytes.extend_from_slice(&[self.stream.index() as u8, u8::from(self.paused)]);
        bytes.extend_from_slice(&self.limit.to_le_bytes());
        bytes.extend_from_slice(&self.index.to_le_bytes());
        bytes.extend_from_slice(&self.start.to_le_bytes());
        bytes.extend_from_slice(&self.end.to_le_bytes());
        bytes.extend_from_slice(&checksum(seed, &bytes).to_le_bytes());
        BASE64_STANDARD.encode(bytes)
    }

    /// Reads a cursor of `stream`; `None` for anything that [`encode`](Self::encode) did not write for it.
    pub(crate) fn decode(text: &str, stream: Stream, seed: u64) -> Option<Cursor> {
        let bytes: [u8; 36] = BASE64_STANDARD.decode(text).ok()?.try_into().ok()?;
        let eight = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes);
        if eight(28).ok()? != checksum(seed, &bytes[..28]) || bytes[0] as usize != stream.index() {
            return None;
        }
        Some(Cursor {
            stream,
            paused: bytes[1] == 1,
            limit: u16::from_le_bytes([bytes[2], bytes[3]]),
            index: eight(4).ok()?,
            start: eight(12).ok()? as i64,
            end: eight(20).ok()? as i64,
        })
    }
}

fn checksum(seed: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(mix(seed), |sum, byte| mix(sum ^ u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_on_its_own_stream_only() {
        let cursor = Cursor {
            stream: Stream::ItemUsages,
            index: 123_456_789,
            paused: true,
            limit: 1000,
            start: -5,
            end: i64::MAX,
        };
        let text = cursor.encode(1);
        assert_eq!(Cursor::decode(&text, Stream::ItemUsages, 1), Some(cursor));
        assert_eq!(Cursor::decode(&text, Stream::AuditEvents, 1), None);
        assert_eq!(Cursor::decode(&text, Stream::ItemUsages, 2), None, "another account's");
        assert_eq!(Cursor::decode(&text[1..], Stream::ItemUsages, 1), None);
        assert_eq!(Cursor::decode("aGVsbG8h", Stream::ItemUsages, 1), None);
        let mut garbled = text.into_bytes();
        garbled[10] = if garbled[10] == b'A' { b'B' } else { b'A' };
        let garbled = String::from_utf8(garbled).expect("ASCII");
        assert_eq!(Cursor::decode(&garbled, Stream::ItemUsages, 1), None);
    }
}
