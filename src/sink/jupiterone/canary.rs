//! The canary: does this destination keep what a job does not mention?

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Semaphore;

use super::{
    JupiterOneSettings, Plan,
    api::{Api, Target},
    ending::Ending,
    every_type,
    job::Job,
    pack::{Kind, LARGEST_BODY, Packer},
    packing::Packing,
    report::Tally,
};
use crate::{clock::Clock, graph::EntityType, http::Client, sink::SinkError, telemetry::Meter};

/// Uploads `a` in one job and `b` in the next, both finalized as uploads of
/// events are, and requires that nothing was deleted.
///
/// Meant for a new, still empty instance: the two entities, which call
/// themselves canaries, stay there. In plan `scope` it has a scope of its own,
/// `<prefix>/canary`, and empties it in the end. Makes no notes; a canary that
/// breaks off may leave a job that never reaches the graph.
///
/// # Errors
///
/// [`SinkError`]; with [`Halt::Guard`](crate::http::Halt::Guard) if something was deleted.
pub async fn canary(client: Client, settings: Arc<JupiterOneSettings>) -> Result<(), SinkError> {
    let target = match &settings.plan {
        Plan::Instance { id, source } => Target::instance(source, id),
        Plan::Scope { prefix } => Target::scope(format!("{prefix}/canary")),
    };
    let api = Arc::new(Api { client, settings, meter: Arc::new(Meter::default()) });
    let slots = Arc::new(Semaphore::new(1));
    let start = || Job::start(Arc::clone(&api), Clock::system(), Arc::clone(&slots), &target);

    for name in ["a", "b"] {
        let mut packer = Packer::new(Kind::Entities, api.settings.gzip, LARGEST_BODY, Packing::default());
        // Far below the limit, so it is neither refused nor does it fill a body.
        let _ = packer.push(&bird(name), "", "canary");
        let mut job = start().await?;
        if let Some(body) = packer.flush() {
            job.send(body).await?;
        }
        job.finish(&Ending::Append(every_type())).await?;
    }
    if target.scope_name().is_some() {
        start().await?.finish(&Ending::Replace(Tally { entities: 2, relationships: 0 })).await?;
    }
    Ok(())
}

/// A valid entity of a type that uploads of events have.
fn bird(name: &str) -> String {
    let of = EntityType::AuditEvent;
    json!({
        "_key": format!("{}:opgraph-canary-{name}", of.name()),
        "_type": of.name(),
        "_class": [of.class()],
        "id": format!("opgraph-canary-{name}"),
        "name": "opgraph canary",
        "displayName": format!("opgraph canary {name}"),
    })
    .to_string()
}
