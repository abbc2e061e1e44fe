//! Calls of the Events API: counted, spoilt if a fault is due, answered.

use std::sync::{PoisonError, atomic::Ordering};

use bytes::Bytes;
use hyper::{HeaderMap, Response};
use serde_json::json;
use tokio::time::Instant;

use super::{Host, bearer, sleep_some, spoil};
use crate::{
    Endpoint, Fault, Stream,
    answer::{Answer, Dropped, Sent},
    body::Unreadable,
    cursor::Cursor,
    events_api::{self, Ask},
    generate::TimeForm,
    mix::mix,
    token::Claims,
};

impl Host {
    pub(super) async fn events_call(
        &self,
        endpoint: Endpoint,
        stream: Option<Stream>,
        headers: &HeaderMap,
        body: Result<Bytes, Unreadable>,
    ) -> Result<Response<Sent>, Dropped> {
        let ask = match (stream, body) {
            (None, _) => None,
            (Some(_), Ok(body)) => Some(Ask::read(&body)),
            (Some(_), Err(_)) => Some(Err("the body is too large")),
        };
        let has_cursor = matches!(ask, Some(Ok(Ask::Continue(_))));
        let admitted = self.windows.lock().unwrap_or_else(PoisonError::into_inner).admit(Instant::now());
        let fault = self.plan.next(endpoint, has_cursor);
        sleep_some(self.plan.latency(endpoint)).await;
        if let Err(wait) = admitted {
            let wait = wait.as_secs() + 1;
            let with = self.errors.load(Ordering::Relaxed).is_multiple_of(2);
            return Ok(self.refuse(429, "Too Many Requests").retry_after(with.then_some(wait)).whole());
        }
        if let Some(spoilt) = spoil::before(fault.as_ref(), headers).await {
            return spoilt;
        }
        match &fault {
            Some(Fault::Status { code, retry_after }) => {
                return Ok(self.refuse(*code, "Something went wrong").retry_after(*retry_after).whole());
            }
            Some(Fault::RevokeToken) => self.revoked.store(true, Ordering::Relaxed),
            Some(Fault::RestoreToken) => self.revoked.store(false, Ordering::Relaxed),
            _ => {}
        }
        let (answer, served) = match self.claims(headers) {
            Err(answer) => (answer, None),
            Ok(_) if fault == Some(Fault::RefusedCursor) => (self.refuse(400, "Bad Request"), None),
            Ok(claims) => match (stream, ask) {
                (Some(stream), Some(ask)) => self.page(stream, ask, &claims),
                _ => (self.introspection(&claims), None),
            },
        };
        // What the client does not get to see was not served.
        let lost = fault.as_ref().is_some_and(Fault::hides_the_answer);
        if let (Some(stream), Some(events), false) = (stream, served, lost) {
            let mut ledgers = self.ledgers.lock().unwrap_or_else(PoisonError::into_inner);
            ledgers[stream.index()].note(&self.world, stream, &events);
        }
        spoil::after(fault, answer, headers).await
    }

    /// Returns what the request's token says, or the answer that refuses it.
    ///
    /// There is no 403: a missing feature is 401 too (1Password docs, status codes).
    fn claims(&self, headers: &HeaderMap) -> Result<Claims, Answer> {
        let token = bearer(headers).unwrap_or_default();
        let now = self.now().div_euclid(1_000_000_000);
        let claims = Claims::verify(token, self.names.secret, now);
        match claims.filter(|_| !self.revoked.load(Ordering::Relaxed)) {
            Some(claims) => Ok(claims),
            // A token that was cut off when it was pasted (the errors that 1Password's Splunk app lists).
            None if token.len() > 20
                && token.len() < self.names.token.len()
                && self.names.token.starts_with(token) =>
            {
                Err(Answer::text(404, "404 page not found"))
            }
            None => Err(self.refuse(401, "Unauthorized")),
        }
    }

    fn introspection(&self, claims: &Claims) -> Answer {
        let issued = TimeForm { digits: 9, east: None }.text(claims.iat.saturating_mul(1_000_000_000));
        Answer::value(
            200,
            &json!({
                "uuid": self.names.integration_uuid,
                "issued_at": issued,
                "features": claims.features,
                "account_uuid": claims.account_uuid,
            }),
        )
    }

    fn page(
        &self,
        stream: Stream,
        ask: Result<Ask, &'static str>,
        claims: &Claims,
    ) -> (Answer, Option<Vec<u64>>) {
        if !claims.features.iter().any(|feature| feature == stream.name()) {
            return (self.refuse(401, "Unauthorized"), None);
        }
        let arrived = self.arrived(stream);
        let cursor = ask.and_then(|ask| match ask {
            Ask::Reset { limit, start, end } => {
                Ok(events_api::first_cursor(&self.world, stream, (limit, start, end), arrived, self.now()))
            }
            Ask::Continue(text) => {
                Cursor::decode(&text, stream, self.config.seed).ok_or("the cursor is not one of this stream")
            }
        });
        match cursor {
            Ok(cursor) => {
                let page =
                    events_api::page(&self.world, self.config.seed, cursor, arrived, self.config.page_cap);
                (Answer::json(200, page.body), Some(page.events))
            }
            Err(why) => {
                tracing::debug!(stream = stream.name(), why, "request refused");
                let mut ledgers = self.ledgers.lock().unwrap_or_else(PoisonError::into_inner);
                ledgers[stream.index()].counts.refused += 1;
                drop(ledgers);
                // What production says, and no more (an issue of 1Password's Splunk app).
                (self.refuse(400, "Bad Request"), None)
            }
        }
    }

    /// Returns an error of the Events API, in a shape that its number chooses.
    fn refuse(&self, status: u16, words: &str) -> Answer {
        let number = self.errors.fetch_add(1, Ordering::Relaxed);
        events_api::error(status, words, mix(self.config.seed ^ number))
    }
}
