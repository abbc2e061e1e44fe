//! The kinds of records the graph holds: their types, classes and ends.
//!
//! Source: the data model's tables (JupiterOne's data model page for 1Password, and relationship 8, which is ours).

use crate::Stream;

/// One `_type` of the graph, as an index into [`KINDS`].
pub(crate) type Kind = u8;

pub(crate) const AUDIT_EVENT: Kind = 0;
pub(crate) const ACTOR: Kind = 1;
pub(crate) const AUX: Kind = 2;
pub(crate) const OBJECT: Kind = 3;
pub(crate) const USAGE_EVENT: Kind = 4;
pub(crate) const USAGE_USER: Kind = 5;
pub(crate) const SIGNIN_EVENT: Kind = 6;
pub(crate) const TARGET_USER: Kind = 7;
pub(crate) const VAULT: Kind = 8;
pub(crate) const SECRET: Kind = 9;
pub(crate) const EVENT_UPDATED_AUX: Kind = 10;
pub(crate) const EVENT_UPDATED_OBJECT: Kind = 11;
pub(crate) const ACTOR_PERFORMED_EVENT: Kind = 12;
pub(crate) const ACTOR_PERFORMED_VAULT: Kind = 13;
pub(crate) const USER_PERFORMED_USAGE: Kind = 14;
pub(crate) const TARGET_PERFORMED_USAGE: Kind = 15;
pub(crate) const VAULT_HAS_SECRET: Kind = 16;
pub(crate) const TARGET_PERFORMED_SIGNIN: Kind = 17;

/// How many kinds there are.
pub(crate) const COUNT: usize = 18;

/// What the data model says of one kind.
pub(crate) struct Model {
    /// `_type`
    pub(crate) type_: &'static str,
    /// `_class`: of an entity the only member of its array, of a relationship the verb.
    pub(crate) class: &'static str,
    /// The verb as keys hold it, with its separators, and the kinds of both ends. Entities have none.
    pub(crate) ends: Option<(Kind, &'static str, Kind)>,
}

const fn entity(type_: &'static str, class: &'static str) -> Model {
    Model { type_, class, ends: None }
}

const fn edge(from: Kind, verb: &'static str, to: Kind, type_: &'static str) -> Model {
    let (class, verb) = match verb.as_bytes()[0] {
        b'U' => ("UPDATED", "|updated|"),
        b'P' => ("PERFORMED", "|performed|"),
        _ => ("HAS", "|has|"),
    };
    Model { type_, class, ends: Some((from, verb, to)) }
}

/// The ten entity types, then the eight relationship types.
pub(crate) static KINDS: [Model; COUNT] = [
    entity("one_password_audit_event", "Record"),
    entity("one_password_audit_event_actor_details", "User"),
    entity("one_password_audit_event_aux_details", "User"),
    entity("one_password_audit_event_object_details", "User"),
    entity("one_password_item_usage_event", "Record"),
    entity("one_password_item_usage_user", "User"),
    entity("one_password_signin_attempt_event", "Record"),
    entity("one_password_signin_attempt_target_user", "User"),
    entity("one_password_vault", "Vault"),
    entity("one_password_secret", "Secret"),
    edge(AUDIT_EVENT, "UPDATED", AUX, "one_password_audit_event_updated_aux_details"),
    edge(AUDIT_EVENT, "UPDATED", OBJECT, "one_password_audit_event_updated_object_details"),
    edge(ACTOR, "PERFORMED", AUDIT_EVENT, "one_password_audit_event_actor_details_performed_event"),
    edge(ACTOR, "PERFORMED", VAULT, "one_password_audit_event_actor_details_performed_vault"),
    edge(USAGE_USER, "PERFORMED", USAGE_EVENT, "one_password_item_usage_user_performed_event"),
    edge(
        TARGET_USER,
        "PERFORMED",
        USAGE_EVENT,
        "one_password_signin_attempt_target_user_performed_item_usage_event",
    ),
    edge(VAULT, "HAS", SECRET, "one_password_vault_has_secret"),
    edge(TARGET_USER, "PERFORMED", SIGNIN_EVENT, "one_password_signin_attempt_target_user_performed_event"),
];

/// Returns the kind with this `_type`.
pub(crate) fn kind_of(type_: &str) -> Option<Kind> {
    let rest = type_.strip_prefix("one_password_")?;
    KINDS.iter().position(|model| model.type_.get(13..) == Some(rest)).map(|at| at as Kind)
}

/// Returns the entity kind of a stream's events.
pub(crate) fn event_kind(stream: Stream) -> Kind {
    match stream {
        Stream::SigninAttempts => SIGNIN_EVENT,
        Stream::ItemUsages => USAGE_EVENT,
        Stream::AuditEvents => AUDIT_EVENT,
    }
}

/// Returns the stream that an event kind belongs to.
pub(crate) fn stream_of(kind: Kind) -> Option<Stream> {
    Stream::ALL.into_iter().find(|stream| event_kind(*stream) == kind)
}

/// Returns the relationship between an event and a user seen in it in the role of `user`.
pub(crate) fn bond(stream: Stream, user: Kind) -> Kind {
    match (stream, user) {
        (Stream::SigninAttempts, _) => TARGET_PERFORMED_SIGNIN,
        (Stream::ItemUsages, TARGET_USER) => TARGET_PERFORMED_USAGE,
        (Stream::ItemUsages, _) => USER_PERFORMED_USAGE,
        (Stream::AuditEvents, AUX) => EVENT_UPDATED_AUX,
        (Stream::AuditEvents, OBJECT) => EVENT_UPDATED_OBJECT,
        (Stream::AuditEvents, _) => ACTOR_PERFORMED_EVENT,
    }
}

/// Whether a kind is one of the five user types.
pub(crate) fn is_user(kind: Kind) -> bool {
    matches!(kind, ACTOR | AUX | OBJECT | USAGE_USER | TARGET_USER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_found_by_its_name_and_ends_are_entities() {
        for (at, model) in KINDS.iter().enumerate() {
            assert_eq!(kind_of(model.type_), Some(at as Kind));
            assert_eq!(model.ends.is_some(), at >= 10);
            if let Some((from, verb, to)) = model.ends {
                assert!(from < 10 && to < 10);
                assert_eq!(verb, format!("|{}|", model.class.to_lowercase()));
            }
        }
        assert_eq!(kind_of("one_password_person"), None);
    }
}
