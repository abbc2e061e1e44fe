//! The probe: is the key accepted, and may it synchronize?

use std::sync::Arc;

use super::{
    JupiterOneSettings, Plan,
    api::{Api, Target},
    failed,
};
use crate::{http::Client, sink::SinkError, telemetry::Meter};

/// Opens a sync job and aborts it. Nothing reaches the graph: an aborted job
/// never does, and this one was sent no record.
///
/// In plan `scope` it is a job of the scope `<prefix>/probe`. In plan `instance`
/// it stands beside the job of a run in progress for a moment.
///
/// # Errors
///
/// [`SinkError`], with what a person can do in its remedy.
pub async fn probe(client: Client, settings: Arc<JupiterOneSettings>) -> Result<(), SinkError> {
    let target = match &settings.plan {
        Plan::Instance { id, source } => Target::instance(source, id),
        Plan::Scope { prefix } => Target::scope(format!("{prefix}/probe")),
    };
    let api = Api { client, settings, meter: Arc::new(Meter::default()) };
    let job = api.start(&target).await.map_err(failed)?;
    api.abort(&job.id, "opgraph check: nothing was sent").await.map_err(failed)
}
