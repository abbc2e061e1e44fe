//! What JupiterOne says of a sync job.

use serde::{Deserialize, Serialize, de::IgnoredAny};

use super::pack::Kind;

/// What JupiterOne says of a job. Absent counters are read as zero, so a gate
/// that compares them fails closed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) id: String,
    #[serde(rename = "status", default)]
    pub(super) state: State,
    /// There if the job belongs to an integration: people see its events then.
    pub(super) integration_job_id: Option<IgnoredAny>,
    num_entities_uploaded: Option<u64>,
    num_relationships_uploaded: Option<u64>,
    num_entities_deleted: Option<u64>,
    num_relationships_deleted: Option<u64>,
    num_entity_create_errors: Option<u64>,
    num_entity_update_errors: Option<u64>,
    num_relationship_create_errors: Option<u64>,
    num_relationship_update_errors: Option<u64>,
}

impl Report {
    /// What the job has counted as uploaded.
    pub(super) fn uploaded(&self) -> Tally {
        Tally {
            entities: self.num_entities_uploaded.unwrap_or(0),
            relationships: self.num_relationships_uploaded.unwrap_or(0),
        }
    }

    /// What the job has removed from the graph.
    pub(super) fn deleted(&self) -> Tally {
        Tally {
            entities: self.num_entities_deleted.unwrap_or(0),
            relationships: self.num_relationships_deleted.unwrap_or(0),
        }
    }

    /// What was uploaded and still did not make it into the graph.
    pub(super) fn not_stored(&self) -> Tally {
        let both = |a: Option<u64>, b: Option<u64>| a.unwrap_or(0).saturating_add(b.unwrap_or(0));
        Tally {
            entities: both(self.num_entity_create_errors, self.num_entity_update_errors),
            relationships: both(self.num_relationship_create_errors, self.num_relationship_update_errors),
        }
    }
}

/// Numbers of records by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tally {
    pub(super) entities: u64,
    pub(super) relationships: u64,
}

impl Tally {
    /// No number of records is more.
    pub(super) const ANY: Tally = Tally { entities: u64::MAX, relationships: u64::MAX };

    /// So many records of one kind.
    pub(super) fn of(kind: Kind, records: u64) -> Tally {
        match kind {
            Kind::Entities => Tally { entities: records, relationships: 0 },
            Kind::Relationships => Tally { entities: 0, relationships: records },
        }
    }

    /// Both together.
    pub(super) fn plus(self, other: Tally) -> Tally {
        Tally {
            entities: self.entities.saturating_add(other.entities),
            relationships: self.relationships.saturating_add(other.relationships),
        }
    }

    /// Whether there is more of either kind than in `most`.
    pub(super) fn exceeds(self, most: Tally) -> bool {
        self.entities > most.entities || self.relationships > most.relationships
    }
}

/// The states of a job. New ones may appear: they are waited out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub(super) enum State {
    /// It takes uploads.
    AwaitingUploads,
    /// It is complete.
    Finished,
    /// It failed, or was closed: the name of the state.
    Ended(String),
    /// It is being finalized, or nobody knows: the name of the state.
    Working(String),
}

impl Default for State {
    fn default() -> State {
        State::Working("UNKNOWN".to_owned())
    }
}

impl From<String> for State {
    fn from(name: String) -> State {
        match name.as_str() {
            "AWAITING_UPLOADS" => State::AwaitingUploads,
            "FINISHED" => State::Finished,
            ended if ended.starts_with("ERROR") || ended.starts_with("ABORTED") => State::Ended(name),
            _ => State::Working(name),
        }
    }
}

impl State {
    /// The name as JupiterOne writes it.
    pub(super) fn name(&self) -> &str {
        match self {
            State::AwaitingUploads => "AWAITING_UPLOADS",
            State::Finished => "FINISHED",
            State::Ended(name) | State::Working(name) => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_read_and_a_new_one_is_waited_out() {
        let check = |name: &str, expect: State| assert_eq!(State::from(name.to_owned()), expect);
        check("AWAITING_UPLOADS", State::AwaitingUploads);
        check("FINISHED", State::Finished);
        for name in
            ["ABORTED", "ABORTED_DUE_TO_INVALID_CONFIGURATION", "ERROR_BAD_DATA", "ERROR_UNEXPECTED_FAILURE"]
        {
            check(name, State::Ended(name.to_owned()));
        }
        for name in ["FINALIZE_PENDING", "FINALIZING_ENTITIES", "FINALIZING_RELATIONSHIPS", "UNKNOWN", "NEW"]
        {
            check(name, State::Working(name.to_owned()));
        }
    }
}
