//! Calls of Connect: spoilt if a fault is due, answered, remembered. They count in no rate window.

use std::sync::Arc;

use hyper::{HeaderMap, Response, header::HeaderValue};

use super::{Host, bearer, sleep_some, spoil};
use crate::{
    Fault,
    answer::{Answer, Dropped, Sent},
    connect::{Refused, Reply, Shown, VERSION},
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
        self.connect.count(call);
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
            Some(Fault::Locked) => return Ok(versioned(Refused::locked().answer().whole())),
            _ => {}
        }
        let reply = self.connect.answer(call, query, bearer(headers), self.now());
        let version = match &fault {
            Some(Fault::ConnectVersion { version }) => version.clone(),
            _ => Some(VERSION.to_owned()),
        };
        let response = self.connect_answer(reply, fault, headers).await?;
        Ok(with_version(response, version.as_deref()))
    }

    /// Spoils an answer if a fault is due, and remembers what it shows if the client gets it whole.
    async fn connect_answer(
        &self,
        reply: Result<Reply, Refused>,
        fault: Option<Fault>,
        headers: &HeaderMap,
    ) -> Result<Response<Sent>, Dropped> {
        let lost = fault.as_ref().is_some_and(Fault::hides_the_answer);
        let (answer, shown) = match reply {
            Err(refused) => (refused.answer(), None),
            Ok(Reply::Whole(_, Some(Shown::Vaults(_)))) if fault == Some(Fault::EmptyList) => {
                (Answer::json(200, "[]"), Some(Shown::NoVaults))
            }
            Ok(Reply::List(_, shown)) if fault == Some(Fault::EmptyList) => {
                let empty = shown.and_then(|shown| match shown {
                    Shown::Items(vault) => Some(Shown::NoItems(vault.at)),
                    _ => None,
                });
                (Answer::json(200, "[]"), empty)
            }
            Ok(Reply::Whole(answer, shown)) => (answer, shown),
            Ok(Reply::List(list, shown)) => match &fault {
                None | Some(Fault::Slow { .. } | Fault::ConnectVersion { .. }) => {
                    let connect = Arc::clone(&self.connect);
                    let parts = list.pieces(move || shown.into_iter().for_each(|shown| connect.note(shown)));
                    return Ok(Answer::parts(parts));
                }
                // What spoils a body has to have it.
                Some(_) => (Answer::json(200, list.whole()), shown),
            },
        };
        let response = spoil::after(fault, answer, headers).await?;
        if let (Some(shown), false) = (shown, lost) {
            self.connect.note(shown);
        }
        Ok(response)
    }
}

/// Adds the header that every answer of Connect has had since 1.3.0 (Connect's OpenAPI file).
fn versioned(response: Response<Sent>) -> Response<Sent> {
    with_version(response, Some(VERSION))
}

fn with_version(mut response: Response<Sent>, version: Option<&str>) -> Response<Sent> {
    if let Some(version) = version.and_then(|version| HeaderValue::try_from(version).ok()) {
        response.headers_mut().insert("1password-connect-version", version);
    }
    response
}
