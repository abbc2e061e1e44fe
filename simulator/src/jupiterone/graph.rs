//! The graph that JupiterOne holds: entities and relationships, each owned by a source and a scope.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use crate::{
    Finding,
    keys::{KeyId, Keys, TypeId},
    oracle::{Comparer, Fact, Marks},
};

/// A fast map by key.
pub(super) type ByKey<T> = HashMap<KeyId, T, foldhash::fast::FixedState>;

/// One pair of source and scope, by number: the owner of what a job uploads.
pub(super) type ScopeId = u32;

/// What the graph keeps of an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entity {
    pub(super) name: Option<u64>,
    pub(super) display: Option<u64>,
    pub(super) created_on: Option<i64>,
    pub(super) type_: TypeId,
    pub(super) class: u8,
    /// The properties of a vault or secret.
    pub(super) marks: Option<Arc<Marks>>,
}

/// What the graph keeps of a relationship.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Relationship {
    pub(super) from: KeyId,
    pub(super) to: KeyId,
    pub(super) display: Option<u64>,
    /// Whose entities the ends are; the scope of the job where the relationship does not say.
    pub(super) from_scope: ScopeId,
    pub(super) to_scope: ScopeId,
    pub(super) type_: TypeId,
    pub(super) class: u8,
}

/// What belongs to one source and scope.
#[derive(Debug, Default)]
struct Owned {
    entities: ByKey<Entity>,
    relationships: ByKey<Relationship>,
    /// How many things there are of each type, so that a job that spares all types looks at nothing.
    types: BTreeMap<TypeId, u64>,
}

/// What finalizing one half of a job did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    pub(super) created: u64,
    pub(super) updated: u64,
    pub(super) deleted: u64,
    /// Relationships that could not be created, because an end is not there.
    pub(super) errors: u64,
}

/// Which things of a scope that were not uploaded stay.
#[derive(Clone, Copy, Debug)]
pub(super) enum Keep<'a> {
    /// All of them (PATCH, CROSS_SCOPE).
    All,
    /// Those of the types in `partialDatasets` (DIFF).
    Types(&'a HashSet<TypeId>),
}

impl Keep<'_> {
    fn keeps(self, type_: TypeId) -> bool {
        match self {
            Keep::All => true,
            Keep::Types(types) => types.contains(&type_),
        }
    }
}

/// All scopes.
#[derive(Debug, Default)]
pub(super) struct Graph {
    owned: BTreeMap<ScopeId, Owned>,
    /// Relationships that could not be created and have not been since.
    refused: HashSet<(ScopeId, KeyId)>,
    pub(super) deleted: Finding,
}

impl Graph {
    /// Makes `uploaded` part of a scope; of what was there before, deletes what `keep` does not spare.
    ///
    /// A deleted entity takes its relationships with it, in every scope (JupiterOne docs, 2023).
    pub(super) fn apply_entities(
        &mut self,
        scope: ScopeId,
        uploaded: &ByKey<Entity>,
        keep: Keep<'_>,
        keys: &Keys,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let owned = self.owned.entry(scope).or_default();
        owned.entities.reserve(uploaded.len());
        for (id, entity) in uploaded {
            *owned.types.entry(entity.type_).or_default() += 1;
            match owned.entities.insert(*id, entity.clone()) {
                None => outcome.created += 1,
                Some(before) => {
                    forget(&mut owned.types, before.type_);
                    outcome.updated += 1;
                }
            }
        }
        let mut gone = HashSet::new();
        if owned.types.keys().any(|type_| !keep.keeps(*type_)) {
            let types = &mut owned.types;
            owned.entities.retain(|id, entity| {
                let stays = keep.keeps(entity.type_) || uploaded.contains_key(id);
                if !stays {
                    forget(types, entity.type_);
                    gone.insert(*id);
                }
                stays
            });
        }
        outcome.deleted = gone.len() as u64;
        for id in &gone {
            self.deleted.add(|| keys.text(*id));
        }
        if !gone.is_empty() {
            let lost = |end: KeyId, of: ScopeId| of == scope && gone.contains(&end);
            for owned in self.owned.values_mut() {
                let types = &mut owned.types;
                let deleted = &mut self.deleted;
                owned.relationships.retain(|id, edge| {
                    let stays = !lost(edge.from, edge.from_scope) && !lost(edge.to, edge.to_scope);
                    if !stays {
                        forget(types, edge.type_);
                        deleted.add(|| keys.text(*id));
                    }
                    stays
                });
            }
        }
        outcome
    }

    /// As [`apply_entities`](Self::apply_entities). Both ends of a relationship must be there by now.
    pub(super) fn apply_relationships(
        &mut self,
        scope: ScopeId,
        uploaded: &ByKey<Relationship>,
        keep: Keep<'_>,
        keys: &Keys,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let mut owned = self.owned.remove(&scope).unwrap_or_default();
        owned.relationships.reserve(uploaded.len());
        for (id, edge) in uploaded {
            let is_there = |end: &KeyId, of: ScopeId| {
                let entities = match of == scope {
                    true => Some(&owned.entities),
                    false => self.owned.get(&of).map(|owned| &owned.entities),
                };
                entities.is_some_and(|entities| entities.contains_key(end))
            };
            if !is_there(&edge.from, edge.from_scope) || !is_there(&edge.to, edge.to_scope) {
                outcome.errors += 1;
                self.refused.insert((scope, *id));
                continue;
            }
            if !self.refused.is_empty() {
                self.refused.remove(&(scope, *id));
            }
            *owned.types.entry(edge.type_).or_default() += 1;
            match owned.relationships.insert(*id, *edge) {
                None => outcome.created += 1,
                Some(before) => {
                    forget(&mut owned.types, before.type_);
                    outcome.updated += 1;
                }
            }
        }
        if owned.types.keys().any(|type_| !keep.keeps(*type_)) {
            let (types, deleted) = (&mut owned.types, &mut self.deleted);
            owned.relationships.retain(|id, edge| {
                let stays = keep.keeps(edge.type_) || uploaded.contains_key(id);
                if !stays {
                    forget(types, edge.type_);
                    deleted.add(|| keys.text(*id));
                    outcome.deleted += 1;
                }
                stays
            });
        }
        self.owned.insert(scope, owned);
        outcome
    }

    /// Shows everything held to the oracle, and what could not be created.
    pub(super) fn show(&self, mut comparer: Comparer<'_>) -> crate::Comparison {
        for owned in self.owned.values() {
            for (id, entity) in &owned.entities {
                comparer.check(Fact {
                    id: *id,
                    type_: entity.type_,
                    class: Some(entity.class),
                    from: KeyId::NONE,
                    to: KeyId::NONE,
                    name: Some(entity.name.unwrap_or(0)),
                    display: Some(entity.display.unwrap_or(0)),
                    created_on: Some(entity.created_on),
                    marks: entity.marks.as_deref(),
                });
            }
            for (id, edge) in &owned.relationships {
                comparer.check(Fact {
                    id: *id,
                    type_: edge.type_,
                    class: Some(edge.class),
                    from: edge.from,
                    to: edge.to,
                    name: None,
                    display: Some(edge.display.unwrap_or(0)),
                    created_on: None,
                    marks: None,
                });
            }
        }
        comparer.finish(self.refused.iter().map(|(_, id)| *id))
    }
}

/// Counts one thing less of a type.
fn forget(types: &mut BTreeMap<TypeId, u64>, type_: TypeId) {
    if let Some(count) = types.get_mut(&type_) {
        *count -= 1;
        if *count == 0 {
            types.remove(&type_);
        }
    }
}
