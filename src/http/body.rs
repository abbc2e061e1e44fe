//! Request bodies: written piece by piece, compressed as they come.

use std::{
    borrow::Cow,
    fmt,
    io::Read,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress, Status, read::GzDecoder};

/// Text that is compressed at once: a call costs as much as hundreds of bytes
/// do, and what was just written is still in the processor's cache.
const CHUNK: usize = 32 << 10;

/// What stands before the compressed text (RFC 1952, 2.3): deflate, no name, no
/// time, the fastest level, some system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];

/// Compressors that nobody is using: 300 KB each, so all writers share them.
static IDLE: Mutex<Vec<Compress>> = Mutex::new(Vec::new());
/// How many of them are kept: as many as are at work at one moment on few cores.
const MOST_IDLE: usize = 4;

/// Has nothing of what was compressed before in it.
fn compressor() -> Compress {
    let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
    idle.unwrap_or_else(|| Compress::new(Compression::new(1), false))
}

fn give_back(mut compressor: Compress) {
    compressor.reset();
    let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
    if idle.len() < MOST_IDLE {
        idle.push(compressor);
    }
}

/// A JSON request body, compressed or not. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Body {
    pub(super) bytes: Bytes,
    pub(super) gzip: bool,
}

impl Body {
    /// Sends the JSON text as it is.
    pub fn plain(json: impl Into<Bytes>) -> Body {
        Body { bytes: json.into(), gzip: false }
    }

    /// Compresses the JSON text (gzip, level 1).
    pub fn gzip(json: &[u8]) -> Body {
        let mut writer = BodyWriter::new(true);
        writer.push(json);
        writer.close()
    }

    /// Bytes on the wire.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What goes on the wire.
    pub fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The JSON text, decompressed if need be.
    pub fn text(&self) -> Cow<'_, [u8]> {
        if !self.gzip {
            return Cow::Borrowed(&self.bytes);
        }
        let mut text = Vec::new();
        let read = GzDecoder::new(&*self.bytes).read_to_end(&mut text);
        read.expect("what was compressed here can be read back: tested");
        Cow::Owned(text)
    }

    /// The memory of a body that nobody needs any more; none while somebody
    /// still reads it.
    pub fn emptied(self) -> Option<Vec<u8>> {
        let mut memory = self.bytes.is_unique().then(|| Vec::from(self.bytes))?;
        memory.clear();
        Some(memory)
    }
}

/// Writes one body after the other.
///
/// Of a compressed body no more than a few KB of text are in memory at any
/// time, and about a sixth of the rest. Nothing is allocated before the first
/// push. There is a compressor from the first 32 KB of text on, until the
/// body is closed or the writer [rests](BodyWriter::rest).
pub struct BodyWriter {
    /// All of the text if it is sent as it is, else what is not compressed yet.
    text: Vec<u8>,
    /// Bytes of text so far.
    len: usize,
    gzip: bool,
    compress: Option<Compress>,
    /// Of the text that is compressed.
    check: Crc,
    compressed: Vec<u8>,
}

impl BodyWriter {
    /// Makes a writer of bodies that are compressed, or not.
    pub fn new(gzip: bool) -> BodyWriter {
        let (text, compressed) = (Vec::new(), Vec::new());
        BodyWriter { text, len: 0, gzip, compress: None, check: Crc::new(), compressed }
    }

    /// Adds text.
    pub fn push(&mut self, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        self.len += text.len();
        if !self.gzip || text.len() < CHUNK {
            self.text.extend_from_slice(text);
            if self.gzip && self.text.len() >= CHUNK {
                self.compress_waiting(FlushCompress::None);
            }
        } else {
            // So much is compressed where it lies.
            if !self.text.is_empty() {
                self.compress_waiting(FlushCompress::None);
            }
            self.compress(text, FlushCompress::None);
        }
    }

    /// Bytes of text so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that it would have on the wire, about; at least what is compressed already.
    pub fn on_wire(&self) -> usize {
        if self.gzip { self.compressed.len() } else { self.text.len() }
    }

    /// Has the body go on in other memory: it is as large as the body will be, or was used before.
    pub fn go_on_in(&mut self, mut memory: Vec<u8>) {
        let body = if self.gzip { &mut self.compressed } else { &mut self.text };
        memory.clear();
        memory.extend_from_slice(body);
        *body = memory;
    }

    /// Lets go of the compressor: who knows when there is more text. The next one
    /// goes on behind a byte's end, with nothing to refer back to (RFC 1951, 3.2.3).
    pub fn rest(&mut self) {
        if self.compress.is_some() {
            self.compress(&[], FlushCompress::Sync);
            self.compress.take().into_iter().for_each(give_back);
        }
    }

    /// The body so far; the next one starts empty.
    pub fn close(&mut self) -> Body {
        self.len = 0;
        if !self.gzip {
            return Body::plain(std::mem::take(&mut self.text));
        }
        self.compress_waiting(FlushCompress::Finish);
        self.compress.take().into_iter().for_each(give_back);
        let check = std::mem::take(&mut self.check);
        self.compressed.extend(check.sum().to_le_bytes());
        self.compressed.extend(check.amount().to_le_bytes());
        Body { bytes: std::mem::take(&mut self.compressed).into(), gzip: true }
    }

    /// Compresses the text that is there.
    fn compress_waiting(&mut self, flush: FlushCompress) {
        let mut text = std::mem::take(&mut self.text);
        self.compress(&text, flush);
        text.clear();
        self.text = text;
    }

    fn compress(&mut self, mut text: &[u8], flush: FlushCompress) {
        if self.compressed.is_empty() {
            self.compressed.extend(HEADER);
        }
        self.check.update(text);
        let compress = self.compress.get_or_insert_with(compressor);
        loop {
            self.compressed.reserve(CHUNK / 2);
            let before = compress.total_in();
            let status = compress
                .compress_vec(text, &mut self.compressed, flush)
                .expect("zlib refuses only a misuse of its states, and there is none here");
            text = &text[(compress.total_in() - before) as usize..];
            let done = match flush {
                FlushCompress::Finish => status == Status::StreamEnd,
                // All of it is out once there was room to spare.
                FlushCompress::Sync => self.compressed.len() < self.compressed.capacity(),
                _ => text.is_empty(),
            };
            if done {
                break;
            }
        }
    }
}

impl fmt::Debug for BodyWriter {
    /// Never the text: it is somebody's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyWriter").field("len", &self.len).field("gzip", &self.gzip).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_holds_what_was_written_however_it_was_cut_into_pieces() {
        let text: String = (0..40_000).map(|n| format!("{{\"_key\":\"k{n}\"}},")).collect();
        assert!(text.len() > 10 * CHUNK);
        let mut writer = BodyWriter::new(true);
        for piece in [1, 7, 1000, CHUNK - 1, CHUNK, CHUNK + 1, text.len()] {
            for part in text.as_bytes().chunks(piece) {
                writer.push(part);
            }
            assert_eq!(writer.len(), text.len());
            let body = writer.close();
            assert!(writer.is_empty() && body.gzip && body.len() < text.len() / 3, "{piece}");
            assert!(body.text() == text.as_bytes(), "{piece}");
        }
        assert_eq!(&*Body::gzip(b"").text(), b"");
        assert_eq!(&*Body::plain("{}").text(), b"{}");
    }

    #[test]
    fn a_body_whose_writer_rested_is_the_same_text_and_hardly_longer() {
        let text: String = (0..40_000).map(|n| format!("{{\"_key\":\"k{}\"}},", n * n)).collect();
        let mut writer = BodyWriter::new(true);
        writer.push(&text);
        let whole = writer.close();
        for piece in [CHUNK - 1, CHUNK, 2 * CHUNK + 1] {
            for part in text.as_bytes().chunks(piece) {
                writer.push(part);
                writer.rest();
                assert!(writer.compress.is_none());
                writer.rest();
            }
            let body = writer.close();
            assert!(body.text() == text.as_bytes(), "{piece}");
            assert!(body.len() < whole.len() / 10 * 12, "{piece}: {} and {}", body.len(), whole.len());
        }
        // Of one member, as gzip itself writes it: who reads only the first reads all.
        let mut read = Vec::new();
        writer.push(&text);
        writer.rest();
        writer.push(&text);
        let body = writer.close();
        flate2::bufread::GzDecoder::new(&*body.bytes).read_to_end(&mut read).unwrap();
        assert_eq!(read.len(), 2 * text.len());
        assert!(IDLE.lock().unwrap().len() <= MOST_IDLE);
    }

    #[test]
    fn no_more_than_a_chunk_of_text_is_held_while_it_is_compressed() {
        let mut writer = BodyWriter::new(true);
        for n in 0..100_000 {
            writer.push(format!("{{\"_key\":\"k{n}\"}},"));
        }
        assert!(writer.len() > 40 * CHUNK && writer.text.capacity() <= 2 * CHUNK);
    }

    #[test]
    fn a_body_in_the_memory_of_another_is_what_it_would_be_in_its_own() {
        for gzip in [false, true] {
            let mut writer = BodyWriter::new(gzip);
            writer.push("the first one");
            let first = writer.close();
            let read = first.clone();
            assert!(first.emptied().is_none(), "somebody still reads it");
            let memory = read.emptied().unwrap();
            let place = memory.as_ptr();
            // In the middle of a body.
            writer.push("tw");
            writer.go_on_in(memory);
            writer.push("o");
            let second = writer.close();
            assert_eq!((second.bytes.as_ptr(), &*second.text()), (place, b"two".as_slice()));
            // And when much of it is compressed.
            let text = "three ".repeat(CHUNK);
            writer.push(&text);
            writer.go_on_in(second.emptied().unwrap());
            writer.push("four");
            assert!(*writer.close().text() == *(text + "four").as_bytes());
        }
    }
}
