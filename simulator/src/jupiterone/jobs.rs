//! Sync jobs: how they start, what state they are in, what they answer.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    Refusal,
    graph::{ByKey, Entity, Relationship},
    upload::Target,
};
use crate::{
    Finalize, JobEnd, JobEvent, JobSeen,
    keys::{KeyId, TypeId},
};

/// The states of a job (JupiterOne SDK and Node client, enumerations joined; those that occur here).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Status {
    AwaitingUploads,
    FinalizePending,
    FinalizingEntities,
    FinalizingRelationships,
    Finished,
    Aborted,
    AbortedDueToInvalidConfiguration,
    ErrorBadData,
    ErrorUnexpectedFailure,
}

impl Status {
    /// Returns the state as the API writes it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Status::AwaitingUploads => "AWAITING_UPLOADS",
            Status::FinalizePending => "FINALIZE_PENDING",
            Status::FinalizingEntities => "FINALIZING_ENTITIES",
            Status::FinalizingRelationships => "FINALIZING_RELATIONSHIPS",
            Status::Finished => "FINISHED",
            Status::Aborted => "ABORTED",
            Status::AbortedDueToInvalidConfiguration => "ABORTED_DUE_TO_INVALID_CONFIGURATION",
            Status::ErrorBadData => "ERROR_BAD_DATA",
            Status::ErrorUnexpectedFailure => "ERROR_UNEXPECTED_FAILURE",
        }
    }

    /// Whether the job is between `finalize` and its end.
    pub(super) fn is_finalizing(self) -> bool {
        (Status::FinalizePending..=Status::FinalizingRelationships).contains(&self)
    }
}

impl From<JobEnd> for Status {
    fn from(end: JobEnd) -> Status {
        match end {
            JobEnd::Aborted => Status::Aborted,
            JobEnd::AbortedDueToInvalidConfiguration => Status::AbortedDueToInvalidConfiguration,
            JobEnd::ErrorBadData => Status::ErrorBadData,
            JobEnd::ErrorUnexpectedFailure => Status::ErrorUnexpectedFailure,
        }
    }
}

/// What finalizing does with what is in the scope and was not uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Mode {
    /// Deletes it.
    Diff,
    /// Leaves it. No relationships.
    Patch,
    /// Leaves it. No entities; relationships name the scopes of both ends.
    CrossScope,
}

/// The body that starts a job (JupiterOne docs, sync API reference).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Start {
    source: Option<String>,
    scope: Option<String>,
    sync_mode: Option<String>,
    integration_instance_id: Option<String>,
    integration_job_id: Option<String>,
    /// No error on duplicate keys: the latest wins. That it goes here is our guess.
    #[serde(default)]
    ignore_duplicates: bool,
}

/// A start that is in order.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) source: String,
    /// The scope as it was named, `None` of an integration.
    pub(super) scope: Option<String>,
    pub(super) mode: Mode,
    pub(super) instance: Option<String>,
    pub(super) integration_job: Option<String>,
    pub(super) ignore_duplicates: bool,
}

impl Start {
    /// Checks a start. `known` is the instance that exists.
    pub(super) fn check(self, known: &str) -> Result<Accepted, Refusal> {
        let bad = |message| Err(Refusal::new(400, "INVALID_SYNC_JOB", message));
        let Some(source) = self.source else { return bad("source is missing") };
        let mode = match self.sync_mode.as_deref() {
            None | Some("DIFF") => Mode::Diff,
            Some("PATCH") => Mode::Patch,
            Some("CROSS_SCOPE") => Mode::CrossScope,
            Some("CREATE_OR_UPDATE") => return bad("syncMode CREATE_OR_UPDATE no longer functions"),
            Some("OVERRIDE") => return bad("syncMode OVERRIDE is not enabled for this account"),
            Some(_) => return bad("syncMode is unknown"),
        };
        match source.as_str() {
            "api" if self.integration_instance_id.is_some() => {
                return bad("source api has no integrationInstanceId");
            }
            "api" if mode != Mode::Patch && self.scope.as_ref().is_none_or(String::is_empty) => {
                return bad("scope is required");
            }
            "api" => {}
            "integration-external" | "integration-managed" if self.scope.is_some() => {
                return bad("scope can only be used when source is api");
            }
            "integration-external" | "integration-managed" => {
                match self.integration_instance_id.as_deref() {
                    None => return bad("integrationInstanceId is required"),
                    Some(instance) if instance != known => {
                        // Code seen in an issue of the SDK.
                        return Err(Refusal::new(
                            400,
                            "SYNC_JOB_INVALID_INTEGRATION_INSTANCE",
                            "no such integration instance",
                        ));
                    }
                    Some(_) => {}
                }
            }
            _ => return bad("source is unknown"),
        }
        Ok(Accepted {
            source,
            scope: self.scope,
            mode,
            instance: self.integration_instance_id,
            integration_job: self.integration_job_id,
            ignore_duplicates: self.ignore_duplicates,
        })
    }
}

/// The body that finalizes a job: nothing, `{}`, or the types that stay.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Finish {
    #[serde(default)]
    pub(super) partial_datasets: Option<PartialDatasets>,
}

/// The types of which an upload may hold less than all there is.
#[derive(Debug, Default, Deserialize)]
pub(super) struct PartialDatasets {
    #[serde(default)]
    pub(super) types: Vec<String>,
}

/// One sync job.
#[derive(Debug)]
pub(super) struct Job {
    /// Which of all jobs it is, from 1.
    pub(super) number: u64,
    pub(super) view: View,
    pub(super) target: Target,
    pub(super) ignore_duplicates: bool,
    pub(super) entities: ByKey<Entity>,
    pub(super) relationships: ByKey<Relationship>,
    /// The first key that was uploaded twice.
    pub(super) duplicate: Option<KeyId>,
    pub(super) partial: HashSet<TypeId>,
    /// When it was finalized, on tokio's clock.
    pub(super) finalized: Option<Instant>,
    pub(super) polls: u32,
    /// Whether the client never learned of the job, by an injected fault.
    pub(super) unknown: bool,
    /// What people were told of it.
    pub(super) events: Vec<JobEvent>,
}

impl Job {
    /// Returns the state that a finalizing job should be in by now.
    pub(super) fn due(&self, finalize: Finalize, now: Instant) -> Status {
        let steps = match (finalize, self.finalized) {
            (_, None) => return self.view.status,
            (Finalize::Polls(each), _) => self.polls / each.max(1),
            (Finalize::After(time), Some(_)) if time.is_zero() => 3,
            (Finalize::After(time), Some(since)) => {
                (now.duration_since(since).as_nanos() * 3 / time.as_nanos()).min(3) as u32
            }
        };
        match steps {
            0 => Status::FinalizePending,
            1 => Status::FinalizingEntities,
            2 => Status::FinalizingRelationships,
            _ => Status::Finished,
        }
    }

    /// Whether it was sent anything.
    pub(super) fn holds_records(&self) -> bool {
        self.view.num_entities_uploaded + self.view.num_relationships_uploaded > 0
    }

    /// Returns the job as a report shows it.
    pub(super) fn seen(&self) -> JobSeen {
        JobSeen {
            id: self.view.id.clone(),
            owner: self.owner(),
            state: self.view.status.name().to_owned(),
            entities: self.view.num_entities_uploaded,
            relationships: self.view.num_relationships_uploaded,
            events: self.events.clone(),
        }
    }

    /// Returns the owner as people write it.
    pub(super) fn owner(&self) -> String {
        let scope = self.view.scope.as_ref().or(self.view.integration_instance_id.as_ref());
        format!("{}:{}", self.view.source, scope.map(String::as_str).unwrap_or_default())
    }
}

/// A job as every answer shows it (JupiterOne docs, 2023, and the Node client's types).
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct View {
    pub(super) id: String,
    pub(super) source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) integration_instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) integration_job_id: Option<String>,
    pub(super) sync_mode: Mode,
    pub(super) status: Status,
    pub(super) done: bool,
    /// Milliseconds since the epoch.
    pub(super) start_timestamp: i64,
    pub(super) num_entities_uploaded: u64,
    pub(super) num_entities_created: u64,
    pub(super) num_entities_updated: u64,
    pub(super) num_entities_deleted: u64,
    pub(super) num_entity_create_errors: u64,
    pub(super) num_entity_update_errors: u64,
    pub(super) num_entity_delete_errors: u64,
    pub(super) num_relationships_uploaded: u64,
    pub(super) num_relationships_created: u64,
    pub(super) num_relationships_updated: u64,
    pub(super) num_relationships_deleted: u64,
    pub(super) num_relationship_create_errors: u64,
    pub(super) num_relationship_update_errors: u64,
    pub(super) num_relationship_delete_errors: u64,
    pub(super) num_mapped_relationships_created: u64,
    pub(super) num_mapped_relationships_updated: u64,
    pub(super) num_mapped_relationships_deleted: u64,
}

impl View {
    pub(super) fn new(id: String, accepted: &Accepted, start_timestamp: i64) -> View {
        View {
            source: accepted.source.clone(),
            scope: accepted.scope.clone(),
            integration_instance_id: accepted.instance.clone(),
            // A job of an integration always has one; JupiterOne makes it up where the client does not.
            integration_job_id: accepted
                .integration_job
                .clone()
                .or_else(|| accepted.instance.is_some().then(|| id.clone())),
            id,
            sync_mode: accepted.mode,
            status: Status::AwaitingUploads,
            done: false,
            start_timestamp,
            num_entities_uploaded: 0,
            num_entities_created: 0,
            num_entities_updated: 0,
            num_entities_deleted: 0,
            num_entity_create_errors: 0,
            num_entity_update_errors: 0,
            num_entity_delete_errors: 0,
            num_relationships_uploaded: 0,
            num_relationships_created: 0,
            num_relationships_updated: 0,
            num_relationships_deleted: 0,
            num_relationship_create_errors: 0,
            num_relationship_update_errors: 0,
            num_relationship_delete_errors: 0,
            num_mapped_relationships_created: 0,
            num_mapped_relationships_updated: 0,
            num_mapped_relationships_deleted: 0,
        }
    }
}

/// Returns the scope that owns what a job uploads: what was named, or the instance of an integration.
pub(super) fn scope_of(accepted: &Accepted) -> &str {
    accepted.scope.as_deref().or(accepted.instance.as_deref()).unwrap_or_default()
}

/// The body that aborts a job.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Abort {
    /// Why, for people.
    #[serde(default, rename = "reason")]
    _reason: Option<String>,
    /// From SDK 13.1.2 on.
    #[serde(default)]
    terminal_status: Option<Status>,
}

impl Abort {
    /// Returns the state that the job ends in.
    pub(super) fn status(&self) -> Status {
        match self.terminal_status {
            Some(Status::AbortedDueToInvalidConfiguration) => Status::AbortedDueToInvalidConfiguration,
            _ => Status::Aborted,
        }
    }
}
