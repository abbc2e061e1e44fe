//! From an upload body to records that a job can take, or to the reason why not.

use std::sync::Arc;

use super::{
    Refusal,
    graph::{ByKey, Entity, Relationship, ScopeId},
    jobs::Mode,
    wire::{self, Body, End},
};
use crate::{
    Endpoint,
    keys::{KeyId, Keys},
    oracle::{class_of, fingerprint},
};

/// The job an upload is for, as far as reading the body needs it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) source: String,
    pub(super) scope: ScopeId,
    pub(super) mode: Mode,
}

/// A read and accepted body.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) entities: Vec<(KeyId, Entity)>,
    pub(super) relationships: Vec<(KeyId, Relationship)>,
    /// Relationships with `_mapping`, which the graph does not hold.
    pub(super) mapped: u64,
}

/// Reads a body, or returns the answer that refuses it and the broken rules, each as `key: rule`.
pub(super) fn read(
    keys: &Keys,
    target: &Target,
    endpoint: Endpoint,
    body: &[u8],
) -> Result<Batch, (Refusal, Vec<String>)> {
    let bare = |refusal| (refusal, Vec::new());
    let text = std::str::from_utf8(body)
        .map_err(|_| bare(Refusal::new(400, "INVALID_JSON", "the body is not UTF-8")))?;
    if !text.trim_start().starts_with('{') {
        return Err(bare(Refusal::new(400, "INVALID_BODY", "the body is not an object")));
    }
    let body: Body<'_> = serde_json::from_str(text).map_err(|error| bare(unreadable(text, &error)))?;
    let (has_entities, has_relationships) = (body.entities.is_some(), body.relationships.is_some());
    let fits = match endpoint {
        Endpoint::Entities => has_entities && !has_relationships,
        Endpoint::Relationships => has_relationships && !has_entities,
        _ => has_entities || has_relationships,
    };
    if !fits {
        return Err(bare(Refusal::new(400, "INVALID_BODY", "the body does not fit the endpoint")));
    }
    let mut broken = Vec::new();
    let mut batch = Batch::default();
    for entity in body.entities.unwrap_or_default() {
        let mode =
            (target.mode == Mode::CrossScope).then(|| "a CROSS_SCOPE job takes no entities".to_owned());
        match entity.broken.as_ref().or(mode.as_ref()) {
            Some(rule) => broken.push(format!("{}: {rule}", entity.key)),
            None => batch.entities.push(stage_entity(keys, entity)),
        }
    }
    for edge in body.relationships.unwrap_or_default() {
        let mode = mode_rule(target.mode, &edge).map(str::to_owned);
        match edge.broken.as_ref().or(mode.as_ref()) {
            Some(rule) => broken.push(format!("{}: {rule}", edge.key)),
            None if edge.mapped => batch.mapped += 1,
            None => batch.relationships.push(stage_relationship(keys, target, &edge)),
        }
    }
    match broken.first() {
        None => Ok(batch),
        Some(first) => {
            let refusal = Refusal::new(400, "VALIDATION_ERROR", first);
            Err((refusal, broken))
        }
    }
}

fn mode_rule(mode: Mode, edge: &wire::Relationship<'_>) -> Option<&'static str> {
    let lone = |end: &End<'_>| end.source.is_some() && end.scope.is_none();
    match mode {
        Mode::Patch => Some("a PATCH job takes no relationships"),
        Mode::CrossScope if edge.from.scope.is_none() || edge.to.scope.is_none() => {
            Some("a CROSS_SCOPE relationship names the scopes of both ends")
        }
        _ if lone(&edge.from) || lone(&edge.to) => Some("an end has a source and no scope"),
        _ => None,
    }
}

fn stage_entity(keys: &Keys, entity: wire::Entity<'_>) -> (KeyId, Entity) {
    let staged = Entity {
        name: entity.name.as_deref().map(fingerprint),
        display: entity.display_name.as_deref().map(fingerprint),
        created_on: entity.created_on,
        type_: keys.type_id(&entity.type_),
        class: class_of(&entity.class),
        marks: entity.marks.map(Arc::from),
    };
    (keys.entity(&entity.key), staged)
}

fn stage_relationship(keys: &Keys, target: &Target, edge: &wire::Relationship<'_>) -> (KeyId, Relationship) {
    let (from_key, to_key) = (edge.from.key.as_deref(), edge.to.key.as_deref());
    let end = |key: Option<&str>| key.map_or(KeyId::NONE, |key| keys.entity(key));
    let (from, to) = (end(from_key), end(to_key));
    let owner = |end: &End<'_>| match &end.scope {
        Some(scope) => keys.owner(end.source.as_deref().unwrap_or(&target.source), scope),
        None => target.scope,
    };
    let staged = Relationship {
        from,
        to,
        display: edge.display_name.as_deref().map(fingerprint),
        from_scope: owner(&edge.from),
        to_scope: owner(&edge.to),
        type_: keys.type_id(&edge.type_),
        class: class_of(&edge.class),
    };
    let ends = ((from_key.unwrap_or_default(), from), (to_key.unwrap_or_default(), to));
    (keys.relationship(&edge.key, ends.0, ends.1), staged)
}

/// Returns the answer to a body that could not be read.
fn unreadable(text: &str, error: &serde_json::Error) -> Refusal {
    let value: Option<serde_json::Value> = serde_json::from_str(text).ok();
    let is_array = |name| value.as_ref().is_some_and(|value| value.get(name).is_none_or(|it| it.is_array()));
    match &value {
        None => Refusal::new(400, "INVALID_JSON", &error.to_string()),
        // Code seen in the SDK's source.
        Some(_) if !is_array("entities") => {
            Refusal::new(400, "ENTITY_IS_NOT_ARRAY", "entities is not an array")
        }
        Some(_) if !is_array("relationships") => {
            Refusal::new(400, "RELATIONSHIP_IS_NOT_ARRAY", "relationships is not an array")
        }
        Some(_) => Refusal::new(400, "INVALID_BODY", &error.to_string()),
    }
}

/// Moves a batch into a job's records. Returns the first key that the job has already.
pub(super) fn merge<T>(into: &mut ByKey<T>, records: Vec<(KeyId, T)>) -> Option<KeyId> {
    into.reserve(records.len());
    let mut duplicate = None;
    for (id, record) in records {
        if into.insert(id, record).is_some() {
            duplicate.get_or_insert(id);
        }
    }
    duplicate
}
