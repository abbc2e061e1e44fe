//! The five kinds of user, each from its own place in an event.

use opgraph::{
    graph::records::{FULL, NAMELESS},
    stream::Stream,
};
use serde_json::{Value, json};

use super::{Mapped, UUID, map_one};

const ACTOR: &str = "one_password_audit_event_actor_details";
const AUX: &str = "one_password_audit_event_aux_details";
const OBJECT: &str = "one_password_audit_event_object_details";
const USAGE_USER: &str = "one_password_item_usage_user";
const TARGET: &str = "one_password_signin_attempt_target_user";

/// Where a user object stands, and the users it becomes.
const PLACES: &[(Stream, &str, &[&str])] = &[
    (Stream::AuditEvents, "actor_details", &[ACTOR]),
    (Stream::AuditEvents, "aux_details", &[AUX]),
    (Stream::AuditEvents, "object_details", &[OBJECT]),
    (Stream::ItemUsages, "user", &[USAGE_USER, TARGET]),
    (Stream::SignInAttempts, "target_user", &[TARGET]),
];

/// Maps an event that has `user` in this place and nothing else.
fn placed(stream: Stream, place: &str, user: &Value) -> Mapped {
    map_one(stream, &json!({"uuid": UUID, place: user}))
}

/// Checks the user that comes of `user`, in every place.
fn check(user: Value, expect: Value) {
    for (stream, place, kinds) in PLACES {
        let mapped = placed(*stream, place, &user);
        for kind in *kinds {
            let mut entity = mapped.the(kind);
            for name in ["_key", "_type", "_class"] {
                entity.as_object_mut().expect("an object").remove(name);
            }
            assert_eq!(entity, expect, "{kind} of {user}");
        }
        assert_eq!(mapped.counts().users_without_uuid, 0);
    }
}

#[test]
fn a_user_is_called_by_name_else_email_else_uuid() {
    let user = |called: &str, email: Value, first: Value, last: Value| {
        json!({
            "id": "U1", "name": called, "displayName": called, "email": email, "username": email,
            "shortLoginId": null, "firstName": first, "lastName": last,
        })
    };
    let address = || json!(["maja@x.example"]);
    check(
        json!({"uuid": "U1", "name": "Maja Lind", "email": "maja@x.example"}),
        user("Maja Lind", address(), json!("Maja"), json!("Lind")),
    );
    check(
        json!({"uuid": "U1", "name": "Maja", "email": null}),
        user("Maja", json!(null), json!("Maja"), json!(null)),
    );
    for missing in [json!({}), json!({"name": null}), json!({"name": ""})] {
        let mut source = missing;
        source["uuid"] = "U1".into();
        source["email"] = "maja@x.example".into();
        check(source, user("maja@x.example", address(), json!(null), json!(null)));
    }
    for missing in [json!({}), json!({"name": null, "email": null}), json!({"name": "", "email": ""})] {
        let mut source = missing;
        source["uuid"] = "U1".into();
        check(source, user("U1", json!(null), json!(null), json!(null)));
    }
}

#[test]
fn a_name_is_split_at_its_last_space() {
    let rows = [
        ("Cher", json!("Cher"), json!(null)),
        ("Jack O'Neill", json!("Jack"), json!("O'Neill")),
        ("Ana María de la Cruz", json!("Ana María de la"), json!("Cruz")),
        ("毛 泽东", json!("毛"), json!("泽东")),
        ("Zoë\u{a0}Kravitz", json!("Zoë\u{a0}Kravitz"), json!(null)),
    ];
    for (name, first, last) in rows {
        for (stream, place, kinds) in PLACES {
            let mapped = placed(*stream, place, &json!({"uuid": "U1", "name": name}));
            for kind in *kinds {
                let user = mapped.the(kind);
                assert_eq!((&user["firstName"], &user["lastName"]), (&first, &last), "{kind} of {name:?}");
                assert_eq!(user["name"], name);
            }
        }
    }
}

#[test]
fn an_address_that_is_none_gives_null_and_is_counted() {
    for bad in ["nobody", "@x.example", "maja@", "maja@@x.example", "ma ja@x.example", "maja@x example", "-"]
    {
        for (stream, place, kinds) in PLACES {
            let mapped = placed(*stream, place, &json!({"uuid": "U1", "name": "Maja", "email": bad}));
            for kind in *kinds {
                let user = mapped.the(kind);
                assert_eq!(
                    (&user["email"], &user["username"]),
                    (&Value::Null, &Value::Null),
                    "{kind}, {bad}"
                );
            }
            // The one address of a usage goes to two users; how often that counts is left open.
            assert!((1..=kinds.len() as u64).contains(&mapped.counts().bad_emails), "{bad}");
        }
    }
    for good in ["maja@x.example", "m.l+ops@mail.x-y.example", "O'Neill@x.example", "A_b@X.EXAMPLE"] {
        for (stream, place, kinds) in PLACES {
            let mapped = placed(*stream, place, &json!({"uuid": "U1", "email": good}));
            for kind in *kinds {
                let user = mapped.the(kind);
                assert_eq!((&user["email"], &user["username"]), (&json!([good]), &json!([good])));
            }
            assert_eq!(mapped.counts().bad_emails, 0, "{good}");
        }
    }
}

#[test]
fn a_user_without_uuid_is_counted_and_gives_no_record() {
    for (stream, place, _) in PLACES {
        for user in [
            json!({}),
            json!({"uuid": null, "name": "Maja Lind", "email": "maja@x.example"}),
            json!({"uuid": "", "email": "maja@x.example"}),
        ] {
            let mapped = placed(*stream, place, &user);
            assert_eq!(mapped.records.len(), 1, "{place}: the event alone");
            assert_eq!(mapped.counts().users_without_uuid, 1, "{place} {user}");
            assert!(mapped.rejected.is_empty());
        }
        for none in [map_one(*stream, &json!({"uuid": UUID})), placed(*stream, place, &json!(null))] {
            assert_eq!(none.records.len(), 1);
            assert_eq!(none.counts().users_without_uuid, 0, "{place}: no user object at all");
        }
    }
}

#[test]
fn a_uuid_beside_the_user_object_stands_in_for_a_missing_one() {
    let rows = [
        // uuid of the object, uuid beside it; actor, others
        (Some("IN"), Some("BESIDE"), Some("BESIDE"), Some("IN")),
        (Some("IN"), Some(""), Some("IN"), Some("IN")),
        (Some("IN"), None, Some("IN"), Some("IN")),
        (Some(""), Some("BESIDE"), Some("BESIDE"), Some("BESIDE")),
        (None, Some("BESIDE"), Some("BESIDE"), Some("BESIDE")),
        (None, None, None, None),
        (Some(""), Some(""), None, None),
    ];
    for (inside, beside, actor, other) in rows {
        for (place, field, kind, expect) in [
            ("actor_details", "actor_uuid", ACTOR, actor),
            ("aux_details", "aux_uuid", AUX, other),
            ("object_details", "object_uuid", OBJECT, other),
        ] {
            let event = json!({"uuid": UUID, place: {"uuid": inside}, field: beside});
            let mapped = map_one(Stream::AuditEvents, &event);
            let found = mapped.of(kind);
            let ids: Vec<&str> = found.iter().filter_map(|user| user["id"].as_str()).collect();
            assert_eq!(ids, Vec::from_iter(expect), "{kind} of {event}");
        }
    }
}

#[test]
fn only_an_actor_needs_no_user_object() {
    let event = json!({"uuid": UUID, "actor_uuid": "U1", "aux_uuid": "U2", "object_uuid": "U3"});
    let mapped = map_one(Stream::AuditEvents, &event);
    assert_eq!(mapped.the(ACTOR)["id"], "U1");
    assert!(mapped.of(AUX).is_empty());
    assert!(mapped.of(OBJECT).is_empty());
}

#[test]
fn the_account_and_type_of_an_actor_fall_back_to_the_events() {
    let rows = [
        (Some("IN"), Some("OUT"), json!("IN")),
        (Some("IN"), None, json!("IN")),
        (Some(""), Some("OUT"), json!("OUT")),
        (None, Some("OUT"), json!("OUT")),
        (None, None, json!(null)),
        (Some(""), Some(""), json!(null)),
    ];
    for (inside, outside, expect) in rows {
        let event = json!({
            "uuid": UUID, "actor_uuid": "U1", "actor_type": outside, "actor_account_uuid": outside,
            "actor_details": {"user_type": inside, "user_account_uuid": inside},
        });
        let actor = map_one(Stream::AuditEvents, &event).the(ACTOR);
        for name in ["mspUserType", "mspUserAccountId"] {
            assert_eq!(actor.get(name), Some(&expect).filter(|value| !value.is_null()), "{name} of {event}");
        }
    }
}

#[test]
fn no_user_but_the_actor_has_an_account_and_type() {
    let user = json!({"uuid": "U1", "user_type": "user", "user_account_uuid": "A1"});
    for (stream, place, kinds) in PLACES {
        let mapped = placed(*stream, place, &user);
        for kind in *kinds {
            let entity = mapped.the(kind);
            let msp = ["mspUserType", "mspUserAccountId"].map(|name| entity.get(name).is_some());
            assert_eq!(msp, [*kind == ACTOR; 2], "{kind}");
        }
    }
}

#[test]
fn a_version_with_a_name_or_email_knows_more_than_one_without() {
    let rows = [
        (json!({"uuid": "U1", "name": "Maja"}), FULL),
        (json!({"uuid": "U1", "email": "maja@x.example"}), FULL),
        (json!({"uuid": "U1", "name": "", "email": null}), NAMELESS),
    ];
    for (user, rank) in rows {
        for (stream, place, kinds) in PLACES {
            let event = json!({"uuid": UUID, "timestamp": "2025-03-14T09:26:53.589Z", (*place): user});
            let mapped = map_one(*stream, &event);
            for record in mapped.records.iter().filter(|record| kinds.contains(&record.of.name())) {
                assert_eq!(record.version.rank, rank, "{place} {user}");
                assert_eq!(record.version.at.0, 1_741_944_413_589, "a version is from its event's time");
            }
        }
    }
}
