//! The calls that faults and reports name.

use serde::{Deserialize, Serialize};

/// One call of one of the three APIs, as scripts and reports name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `GET /api/v2/auth/introspect`
    Introspect,
    /// `POST /api/v2/signinattempts`
    Signinattempts,
    /// `POST /api/v2/itemusages`
    Itemusages,
    /// `POST /api/v2/auditevents`
    Auditevents,
    /// `POST /persister/synchronization/jobs`
    Start,
    /// `GET …/jobs/{id}`
    Status,
    /// `POST …/jobs/{id}/upload`, entities and relationships in one body
    Upload,
    /// `POST …/jobs/{id}/entities`
    Entities,
    /// `POST …/jobs/{id}/relationships`
    Relationships,
    /// `POST …/jobs/{id}/finalize`
    Finalize,
    /// `POST …/jobs/{id}/abort`
    Abort,
    /// `POST …/jobs/{id}/events`
    JobEvents,
    /// `GET /v1/vaults` and `GET /v1/vaults/{vault}`
    ConnectVaults,
    /// `GET /v1/vaults/{vault}/items`
    ConnectItems,
    /// `GET /v1/vaults/{vault}/items/{item}`
    ConnectItem,
}

impl Endpoint {
    /// Whether the endpoint is of 1Password's Events API.
    pub fn is_events_api(self) -> bool {
        self <= Endpoint::Auditevents
    }

    /// Whether the endpoint is of 1Password Connect. What is of neither is JupiterOne's.
    pub fn is_connect(self) -> bool {
        self >= Endpoint::ConnectVaults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_of_one_api() {
        use Endpoint::*;
        let events = [Introspect, Signinattempts, Itemusages, Auditevents];
        let jupiterone = [Start, Status, Upload, Entities, Relationships, Finalize, Abort, JobEvents];
        let connect = [ConnectVaults, ConnectItems, ConnectItem];
        assert!(events.iter().all(|endpoint| endpoint.is_events_api() && !endpoint.is_connect()));
        assert!(jupiterone.iter().all(|endpoint| !endpoint.is_events_api() && !endpoint.is_connect()));
        assert!(connect.iter().all(|endpoint| !endpoint.is_events_api() && endpoint.is_connect()));
    }
}
