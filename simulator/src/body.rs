//! Request bodies, read up to a limit and unpacked.

use std::io::Read;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is over the limit, as sent or unpacked.
    TooLarge,
    /// It is not what its `Content-Encoding` says, or that is unknown.
    NotAsEncoded,
    /// The client went away.
    Gone,
}

/// Reads a body of at most `limit` bytes. What is over it is read to its end too, so that the client can
/// finish sending and see the answer.
pub(crate) async fn read(mut body: Incoming, limit: usize) -> Result<Bytes, Unreadable> {
    let mut first = Bytes::new();
    let mut all = Vec::new();
    let mut length = 0;
    let expected = body.size_hint().lower() as usize;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unreadable::Gone)?.into_data() else { continue };
        length += data.len();
        if length > limit {
            all = Vec::new();
        } else if first.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                all.reserve(expected.min(limit));
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&data);
        }
    }
    match length > limit {
        true => Err(Unreadable::TooLarge),
        false if all.is_empty() => Ok(first),
        false => Ok(all.into()),
    }
}

/// Unpacks a body to at most `limit` bytes.
pub(crate) fn unpack(body: Bytes, encoding: Option<&str>, limit: usize) -> Result<Bytes, Unreadable> {
    match encoding {
        None | Some("identity") => Ok(body),
        Some("gzip") => {
            let mut unpacked = Vec::with_capacity((body.len() * 8).min(limit + 1));
            GzDecoder::new(&body[..])
                .take(limit as u64 + 1)
                .read_to_end(&mut unpacked)
                .map_err(|_| Unreadable::NotAsEncoded)?;
            if unpacked.len() > limit { Err(Unreadable::TooLarge) } else { Ok(unpacked.into()) }
        }
        Some(_) => Err(Unreadable::NotAsEncoded),
    }
}
