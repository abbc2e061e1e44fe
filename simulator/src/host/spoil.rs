//! What a fault makes of a request and of its answer, whichever API it is of.

use std::time::Duration;

use hyper::{
    HeaderMap, Response, StatusCode,
    header::{AUTHORIZATION, HeaderName, HeaderValue},
};

use super::sleep_some;
use crate::{
    Fault,
    answer::{Answer, Dropped, EndsInReset, Sent},
};

/// Waits as the fault says. Returns what becomes of a request that is not looked at.
pub(super) async fn before(
    fault: Option<&Fault>,
    headers: &HeaderMap,
) -> Option<Result<Response<Sent>, Dropped>> {
    match fault? {
        Fault::Slow { ms } => sleep_some(Duration::from_millis(*ms)).await,
        Fault::Reset => return Some(Err(Dropped::Reset)),
        Fault::Close { done: false } => return Some(Err(Dropped::Closed)),
        Fault::Instead { done: false, code, headers: named, body } => {
            return Some(Ok(instead(*code, named, body, headers)));
        }
        _ => {}
    }
    None
}

/// Returns what becomes of an answer once all that was asked is done.
pub(super) async fn after(
    fault: Option<Fault>,
    answer: Answer,
    headers: &HeaderMap,
) -> Result<Response<Sent>, Dropped> {
    match fault {
        Some(Fault::LostAnswer) => Err(Dropped::Reset),
        Some(Fault::Close { done: true }) => Err(Dropped::Closed),
        Some(Fault::Instead { done: true, code, headers: named, body }) => {
            Ok(instead(code, &named, &body, headers))
        }
        Some(Fault::Late { ms }) => {
            sleep_some(Duration::from_millis(ms)).await;
            Ok(answer.whole())
        }
        Some(Fault::Trickle { ms }) => Ok(answer.trickling(Duration::from_millis(ms))),
        Some(Fault::Truncated) => Ok(answer.cut()),
        Some(Fault::ResetWithin) => {
            let mut response = answer.cut();
            response.extensions_mut().insert(EndsInReset);
            Ok(response)
        }
        Some(Fault::Malformed) => Ok(answer.garbled().whole()),
        _ => Ok(answer.whole()),
    }
}

/// Makes the answer that was ordered.
fn instead(code: u16, named: &[(String, String)], body: &str, asked: &HeaderMap) -> Response<Sent> {
    let authorization = asked.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let body = body.replace("{authorization}", authorization);
    let mut response = Response::new(Sent::Whole(body.into()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in named {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
