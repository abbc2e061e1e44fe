//! Relationship 4 and the vault stub it needs.

use opgraph::{
    graph::records::STUB,
    stream::{Stream, auditevents},
};
use serde_json::{Value, json};

use super::{UUID, map_one};

const VAULT: &str = "one_password_vault";
const PERFORMED: &str = "one_password_audit_event_actor_details_performed_vault";

/// How many vaults and relationships 4 come of the event; always as many of one as of the other.
fn vaults(event: &Value) -> usize {
    let mapped = map_one(Stream::AuditEvents, event);
    let (vaults, performed) = (mapped.of(VAULT), mapped.of(PERFORMED));
    assert_eq!(vaults.len(), performed.len(), "{event}");
    vaults.len()
}

#[test]
fn a_vault_and_access_to_it_name_the_vault_and_nothing_else_does() {
    for object_type in auditevents::OBJECT_TYPES.iter().chain(&["", "VAULT", "new-type"]) {
        let event = json!({
            "uuid": UUID, "object_type": object_type, "object_uuid": "vlt", "actor_uuid": "U1",
        });
        let expect = usize::from(["vault", "uva", "gva"].contains(object_type));
        assert_eq!(vaults(&event), expect, "{object_type:?}");
    }
}

#[test]
fn a_vault_needs_an_actor_and_a_uuid() {
    let rows = [
        (json!({"actor_uuid": "U1", "object_uuid": "vlt"}), 1),
        (json!({"actor_details": {"uuid": "U1"}, "object_uuid": "vlt"}), 1),
        (json!({"actor_details": {"name": "Maja"}, "object_uuid": "vlt"}), 0),
        (json!({"actor_uuid": "", "object_uuid": "vlt"}), 0),
        (json!({"object_uuid": "vlt"}), 0),
        (json!({"actor_uuid": "U1", "object_uuid": ""}), 0),
        (json!({"actor_uuid": "U1", "object_uuid": null}), 0),
        (json!({"actor_uuid": "U1"}), 0),
    ];
    for (mut event, expect) in rows {
        event["uuid"] = UUID.into();
        event["object_type"] = "vault".into();
        assert_eq!(vaults(&event), expect, "{event}");
    }
}

#[test]
fn a_stub_says_nothing_but_the_vaults_id_and_never_beats_another_version() {
    let event = json!({
        "uuid": UUID, "timestamp": "2025-01-02T03:04:05Z", "object_type": "gva", "object_uuid": "vlt",
        "actor_uuid": "U1",
    });
    let mapped = map_one(Stream::AuditEvents, &event);
    let stub = mapped.records.iter().find(|record| record.of.name() == VAULT).expect("the vault");
    assert_eq!(stub.version.rank, STUB);
    let expect = json!({
        "_key": "one_password_vault:vlt", "_type": VAULT, "_class": ["Vault"],
        "id": "vlt", "name": "vlt", "displayName": "vlt",
    });
    assert_eq!(mapped.the(VAULT), expect);
}

#[test]
fn the_vault_of_an_item_usage_is_no_record() {
    let event = json!({"uuid": UUID, "vault_uuid": "vlt", "user": {"uuid": "U1"}});
    assert!(map_one(Stream::ItemUsages, &event).of(VAULT).is_empty());
}
