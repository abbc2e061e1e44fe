//! Calls of JupiterOne: checked, spoilt if a fault is due, answered.

use bytes::Bytes;
use hyper::{
    HeaderMap, Response,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};

use super::{Host, bearer, sleep_some, spoil};
use crate::{
    Endpoint, Fault,
    answer::{Answer, Dropped, Sent},
    body::{self, Unreadable},
    jupiterone::Refusal,
};

impl Host {
    pub(super) async fn job_call(
        &self,
        endpoint: Endpoint,
        id: &str,
        headers: &HeaderMap,
        body: Result<Bytes, Unreadable>,
    ) -> Result<Response<Sent>, Dropped> {
        let fault = self.plan.next(endpoint, false);
        sleep_some(self.plan.latency(endpoint)).await;
        if let Some(spoilt) = spoil::before(fault.as_ref(), headers).await {
            return spoilt;
        }
        match &fault {
            Some(Fault::Status { code, retry_after }) => {
                let answer = match code {
                    // What a proxy in front says.
                    502 | 503 => Answer::html(*code, "<html><body><h1>Bad gateway</h1></body></html>"),
                    _ => Refusal::new(*code, "INTERNAL_ERROR", "something went wrong").answer(),
                };
                return Ok(answer.retry_after(*retry_after).whole());
            }
            Some(Fault::CloseJob) => self.jupiterone.close(id),
            Some(Fault::EndJob { state }) => self.jupiterone.end(id, *state),
            Some(Fault::ForgetJob) => self.jupiterone.forget(id),
            _ => {}
        }
        let answer = self
            .allowed(endpoint, headers)
            .and_then(|()| self.job_answer(endpoint, id, headers, body, &fault));
        let answer = answer.unwrap_or_else(|refusal| refusal.answer());
        spoil::after(fault, answer, headers).await
    }

    fn job_answer(
        &self,
        endpoint: Endpoint,
        id: &str,
        headers: &HeaderMap,
        body: Result<Bytes, Unreadable>,
        fault: &Option<Fault>,
    ) -> Result<Answer, Refusal> {
        let unreadable = |why| match why {
            Unreadable::TooLarge => self.jupiterone.too_large(),
            _ => Refusal::new(415, "UNSUPPORTED_CONTENT_ENCODING", "the body is not as its encoding says"),
        };
        let body = body.map_err(unreadable)?;
        let wire_bytes = body.len();
        let encoding = headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
        let body = body::unpack(body, encoding, self.most_bytes(endpoint)).map_err(unreadable)?;
        let now = self.now().div_euclid(1_000_000);
        match endpoint {
            Endpoint::Start => {
                let lost = fault.as_ref().is_some_and(Fault::hides_the_start);
                self.jupiterone.start(&body, now, lost)
            }
            Endpoint::Status => self.jupiterone.status(id),
            Endpoint::Finalize => self.jupiterone.finalize(id, &body),
            Endpoint::Abort => self.jupiterone.abort(id, &body),
            Endpoint::JobEvents => self.jupiterone.events(id, &body, now),
            _ => {
                let swallow = *fault == Some(Fault::Swallow);
                self.jupiterone.upload(endpoint, id, &body, wire_bytes, swallow)
            }
        }
    }

    /// Checks the headers that every call needs (JupiterOne docs, sync API reference).
    fn allowed(&self, endpoint: Endpoint, headers: &HeaderMap) -> Result<(), Refusal> {
        if bearer(headers) != Some(&self.names.jupiterone_token) {
            return Err(Refusal::new(401, "UNAUTHORIZED", "the API key is missing or unknown"));
        }
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if text("jupiterone-account") != Some(&self.names.jupiterone_account) {
            return Err(Refusal::new(
                403,
                "FORBIDDEN",
                "the JupiterOne-Account header is missing or of another account",
            ));
        }
        let is_json = text(CONTENT_TYPE.as_str())
            .and_then(|value| value.split(';').next())
            .is_some_and(|value| value.trim().eq_ignore_ascii_case("application/json"));
        if !is_json && endpoint != Endpoint::Status {
            return Err(Refusal::new(415, "UNSUPPORTED_MEDIA_TYPE", "Content-Type is not application/json"));
        }
        Ok(())
    }
}
