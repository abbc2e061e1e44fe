//! HTTP answers, whole ones and broken ones.

use std::{
    convert::Infallible,
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use hyper::{
    Response, StatusCode,
    body::{Body, Frame, SizeHint},
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER},
};
use tokio::time::{Sleep, sleep};

/// Bytes of one piece of an answer that is made while it is sent.
const PIECE: usize = 64 * 1024;

/// The body of an answer.
pub(crate) enum Sent {
    /// All of it.
    Whole(Bytes),
    /// Less than `content-length` says; then the connection breaks.
    Cut {
        /// What is sent.
        bytes: Bytes,
        /// Whether hyper had its turn to send it.
        flushed: bool,
    },
    /// All of it, one byte after the other.
    Trickle {
        /// What is still to be sent.
        bytes: Bytes,
        /// The time between two bytes.
        pause: Duration,
        /// Runs out before the next byte.
        next: Pin<Box<Sleep>>,
    },
    /// Parts made one after another.
    Made(Box<dyn Iterator<Item = Vec<u8>> + Send>),
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sent")
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        let frame = match this {
            Sent::Whole(bytes) if bytes.is_empty() => None,
            Sent::Whole(bytes) => Some(Ok(Frame::data(std::mem::take(bytes)))),
            Sent::Cut { bytes, .. } if !bytes.is_empty() => Some(Ok(Frame::data(std::mem::take(bytes)))),
            Sent::Cut { flushed: true, .. } => Some(Err(io::ErrorKind::ConnectionAborted.into())),
            Sent::Cut { flushed, .. } => {
                // An error right away would keep even the status from being sent.
                *flushed = true;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Sent::Trickle { bytes, .. } if bytes.is_empty() => None,
            Sent::Trickle { bytes, pause, next } => {
                if next.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                *next = Box::pin(sleep(*pause));
                Some(Ok(Frame::data(bytes.split_to(1))))
            }
            Sent::Made(parts) => {
                let mut piece = BytesMut::with_capacity(PIECE);
                while piece.len() < PIECE
                    && let Some(part) = parts.next()
                {
                    piece.put_slice(&part);
                }
                (!piece.is_empty()).then(|| Ok(Frame::data(piece.freeze())))
            }
        };
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Sent::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Sent::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Sent::Trickle { bytes, .. } => SizeHint::with_exact(bytes.len() as u64),
            Sent::Cut { .. } | Sent::Made(_) => SizeHint::new(),
        }
    }
}

/// An answer before it is sent.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) retry_after: Option<u64>,
    pub(crate) body: Bytes,
}

impl Answer {
    /// Returns a JSON answer.
    pub(crate) fn json(status: u16, body: impl Into<Bytes>) -> Answer {
        Answer { status, content_type: "application/json", retry_after: None, body: body.into() }
    }

    /// Returns a value as a JSON answer.
    pub(crate) fn value(status: u16, value: &impl serde::Serialize) -> Answer {
        Answer::json(status, serde_json::to_vec(value).unwrap_or_default())
    }

    /// Returns a plain text answer.
    pub(crate) fn text(status: u16, body: impl Into<String>) -> Answer {
        Answer { content_type: "text/plain; charset=utf-8", ..Answer::json(status, body.into()) }
    }

    /// Returns an HTML answer.
    pub(crate) fn html(status: u16, body: &'static str) -> Answer {
        Answer { content_type: "text/html", ..Answer::json(status, body) }
    }

    /// Returns the answer with a `Retry-After` header, in seconds.
    pub(crate) fn retry_after(self, seconds: Option<u64>) -> Answer {
        Answer { retry_after: seconds, ..self }
    }

    /// Returns the answer with its body spoilt: 200, and no JSON.
    pub(crate) fn garbled(self) -> Answer {
        let mut body = self.body[..self.body.len() / 2].to_vec();
        body.extend_from_slice(b"\"}]<<");
        Answer { status: 200, body: body.into(), ..self }
    }

    /// Returns what hyper sends.
    pub(crate) fn whole(self) -> Response<Sent> {
        let body = Sent::Whole(self.body.clone());
        self.with(body)
    }

    /// Returns what hyper sends when the connection is to break in the middle of the body.
    pub(crate) fn cut(self) -> Response<Sent> {
        let length = self.body.len();
        let body = Sent::Cut { bytes: self.body.slice(..length / 2), flushed: false };
        let mut response = self.with(body);
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length.max(1)));
        response
    }

    /// Returns what hyper sends byte by byte, with a pause before each.
    pub(crate) fn trickling(self, pause: Duration) -> Response<Sent> {
        let body = Sent::Trickle { bytes: self.body.clone(), pause, next: Box::pin(sleep(pause)) };
        self.with(body)
    }

    /// Returns lines as an answer that is made while it is sent.
    pub(crate) fn lines(lines: impl Iterator<Item = String> + Send + 'static) -> Response<Sent> {
        let answer = Answer { content_type: "application/x-ndjson", ..Answer::json(200, Bytes::new()) };
        answer.with(Sent::Made(Box::new(lines.map(|line| (line + "\n").into_bytes()))))
    }

    /// Returns parts of one JSON text as an answer that is made while it is sent.
    pub(crate) fn parts(parts: impl Iterator<Item = Vec<u8>> + Send + 'static) -> Response<Sent> {
        Answer::json(200, Bytes::new()).with(Sent::Made(Box::new(parts)))
    }

    fn with(self, body: Sent) -> Response<Sent> {
        let mut response = Response::new(body);
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Marks an answer whose connection ends in RST where its body breaks off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndsInReset;

/// Instead of an answer: the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dropped {
    /// By RST.
    Reset,
    /// In good order, by FIN.
    Closed,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection was dropped on purpose")
    }
}

impl std::error::Error for Dropped {}

impl From<Infallible> for Dropped {
    fn from(never: Infallible) -> Dropped {
        match never {}
    }
}
