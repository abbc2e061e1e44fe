//! What JupiterOne shows people of a job: its events.
//!
//! Sources: the SDK's captured traffic (body and answer), its source: it posts events of jobs that have an
//! `integrationJobId`, under names such as `step_start`; how long a text may be is ours.

use serde::Deserialize;

use super::{Refusal, jobs::View};
use crate::JobEvent;

/// The most characters of a description.
const LONGEST: usize = 4096;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    events: Vec<JobEvent>,
}

/// Reads a body, or says why it is refused.
pub(super) fn read(body: &[u8], job: &View) -> Result<Vec<JobEvent>, Refusal> {
    let refuse = |why: &str| Refusal::new(400, "INVALID_BODY", why);
    if job.integration_job_id.is_none() {
        return Err(refuse("the job belongs to no integration, so nobody sees its events"));
    }
    let Body { events } = super::read(body)?;
    if events.is_empty() {
        return Err(refuse("there are no events"));
    }
    for JobEvent { name, description } in &events {
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if name.is_empty() || !name.bytes().all(word) {
            return Err(refuse(&format!("an event is called `{name}`")));
        }
        if description.trim().is_empty() || description.chars().count() > LONGEST {
            return Err(refuse("a description is empty or too long"));
        }
    }
    Ok(events)
}
