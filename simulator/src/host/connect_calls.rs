//! Calls of Connect: spoilt if a fault is due, answered. They count in no rate window.

use hyper::{HeaderMap, Response, header::HeaderValue};

use super::{Host, bearer, sleep_some, spoil};
use crate::{
    Fault,
    answer::{Answer, Dropped, Sent},
    connect::{Refused, VERSION},
    route::ConnectCall,
};

impl Host {
    pub(super) async fn connect_call(
        &self,
        call: &ConnectCall,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Result<Response<Sent>, Dropped> {
        let mut fault = None;
        if let Some(endpoint) = call.endpoint() {
            fault = self.plan.next(endpoint, false);
            sleep_some(self.plan.latency(endpoint)).await;
        }
        if let Some(spoilt) = spoil::before(fault.as_ref(), headers).await {
            return spoilt;
        }
        match &fault {
            Some(Fault::Status { code: code @ (502 | 503), retry_after }) => {
                // What a proxy in front says, of which Connect knows nothing.
                let answer = Answer::html(*code, "<html></html>");
                return Ok(answer.retry_after(*retry_after).whole());
            }
            Some(Fault::Status { code, retry_after }) => {
                let answer = Refused::on_order(*code).answer().retry_after(*retry_after);
                return Ok(versioned(answer.whole()));
            }
            _ => {}
        }
        let answer = self.connect.answer(call, query, bearer(headers));
        let answer = answer.unwrap_or_else(|refused| refused.answer());
        Ok(versioned(spoil::after(fault, answer, headers).await?))
    }
}

/// Adds the header that every answer of Connect has had since 1.3.0 (Connect's OpenAPI file).
fn versioned(mut response: Response<Sent>) -> Response<Sent> {
    response.headers_mut().insert("1password-connect-version", HeaderValue::from_static(VERSION));
    response
}
