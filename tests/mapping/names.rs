//! What an event is called, with every combination of missing parts.

use opgraph::stream::Stream;
use serde_json::json;

use super::{UUID, event_type, map_one};

/// How a missing part may look on the wire. The rules are the same for each.
const MISSING: [Option<&str>; 2] = [None, Some("")];

/// Checks `name` and `displayName` of the event with these fields.
fn check(stream: Stream, fields: serde_json::Value, name: &str, display_name: &str) {
    let mut event = fields;
    event["uuid"] = UUID.into();
    let entity = map_one(stream, &event).the(event_type(stream));
    assert_eq!(entity["name"], name, "name of {event}");
    assert_eq!(entity["displayName"], display_name, "displayName of {event}");
}

#[test]
fn an_audit_event_is_called_by_its_actor_action_and_object() {
    const FULL: &str = "Maja Lind: join gm";
    let rows = [
        // actor, action, object type; name, displayName
        (Some("Maja Lind"), Some("join"), Some("gm"), "join gm", FULL),
        (Some("Maja Lind"), Some("join"), None, "join", "Maja Lind: join"),
        (Some("Maja Lind"), None, Some("gm"), "gm", "Maja Lind gm"),
        (Some("Maja Lind"), None, None, UUID, "Maja Lind"),
        (None, Some("join"), Some("gm"), "join gm", "join gm"),
        (None, Some("join"), None, "join", "join"),
        (None, None, Some("gm"), "gm", "gm"),
        (None, None, None, UUID, UUID),
    ];
    for (actor, action, object_type, name, display_name) in rows {
        for missing in MISSING {
            let fields = json!({
                "actor_details": {"name": actor.or(missing)},
                "action": action.or(missing),
                "object_type": object_type.or(missing),
            });
            check(Stream::AuditEvents, fields, name, display_name);
        }
    }
}

#[test]
fn an_actor_is_called_by_name_else_email_else_uuid() {
    let rows = [
        (json!({"actor_details": {"name": "Maja", "email": "m@x.example", "uuid": "U1"}}), "Maja: join"),
        (json!({"actor_details": {"email": "m@x.example", "uuid": "U1"}}), "m@x.example: join"),
        (json!({"actor_details": {"name": "", "email": "m@x.example"}}), "m@x.example: join"),
        (json!({"actor_details": {"name": null, "email": "", "uuid": "U1"}}), "U1: join"),
        (json!({"actor_uuid": "U0", "actor_details": {"uuid": "U1"}}), "U0: join"),
        (json!({"actor_uuid": "U0", "actor_details": {}}), "U0: join"),
        (json!({"actor_uuid": "U0", "actor_details": null}), "U0: join"),
        (json!({"actor_uuid": "U0"}), "U0: join"),
        (json!({"actor_uuid": "", "actor_details": {}}), "join"),
        (json!({"actor_type": "user", "actor_account_uuid": "A0"}), "join"),
    ];
    for (mut fields, display_name) in rows {
        fields["action"] = "join".into();
        check(Stream::AuditEvents, fields, "join", display_name);
    }
}

#[test]
fn an_item_usage_is_called_by_its_user_action_and_item() {
    let rows = [
        (Some("Maja"), Some("fill"), Some("itm"), "fill", "Maja: fill itm"),
        (Some("Maja"), Some("fill"), None, "fill", "Maja: fill"),
        (Some("Maja"), None, Some("itm"), UUID, "Maja itm"),
        (Some("Maja"), None, None, UUID, "Maja"),
        (None, Some("fill"), Some("itm"), "fill", "fill itm"),
        (None, Some("fill"), None, "fill", "fill"),
        (None, None, Some("itm"), UUID, "itm"),
        (None, None, None, UUID, UUID),
    ];
    for (user, action, item, name, display_name) in rows {
        for missing in MISSING {
            let fields = json!({
                "user": {"name": user.or(missing)},
                "action": action.or(missing),
                "item_uuid": item.or(missing),
            });
            check(Stream::ItemUsages, fields, name, display_name);
        }
    }
}

#[test]
fn a_sign_in_is_called_by_its_user_category_and_type() {
    let rows = [
        (Some("Maja"), Some("success"), Some("mfa_ok"), "success mfa_ok", "Maja: success"),
        (Some("Maja"), Some("success"), None, "success", "Maja: success"),
        (Some("Maja"), None, Some("mfa_ok"), "mfa_ok", "Maja"),
        (Some("Maja"), None, None, UUID, "Maja"),
        (None, Some("success"), Some("mfa_ok"), "success mfa_ok", "success"),
        (None, Some("success"), None, "success", "success"),
        (None, None, Some("mfa_ok"), "mfa_ok", UUID),
        (None, None, None, UUID, UUID),
    ];
    for (user, category, kind, name, display_name) in rows {
        for missing in MISSING {
            let fields = json!({
                "target_user": {"name": user.or(missing)},
                "category": category.or(missing),
                "type": kind.or(missing),
            });
            check(Stream::SignInAttempts, fields, name, display_name);
        }
    }
}

#[test]
fn the_user_of_a_usage_or_sign_in_is_called_by_name_else_email_else_uuid() {
    let rows = [
        (json!({"name": "Maja", "email": "m@x.example", "uuid": "U1"}), "Maja: fill"),
        (json!({"name": "", "email": "m@x.example", "uuid": "U1"}), "m@x.example: fill"),
        (json!({"email": "", "uuid": "U1"}), "U1: fill"),
        (json!({"uuid": ""}), "fill"),
        (json!(null), "fill"),
    ];
    for (user, display_name) in rows {
        check(Stream::ItemUsages, json!({"user": user, "action": "fill"}), "fill", display_name);
        check(Stream::SignInAttempts, json!({"target_user": user, "category": "fill"}), "fill", display_name);
    }
}
