//! `summary.json`: how each part of the reading ended, in the SDK's words.
//!
//! `j1-integration sync` finalizes its job with the `partialDatasets` found
//! here: of these types everything stays in JupiterOne that is not in the files.

use std::{fs, path::Path};

use serde::Serialize;

use super::{
    folder::{Folder, section},
    publish::write,
    trouble::cannot,
};
use crate::{
    graph::{EntityType, RecordType, RelationshipType},
    sink::SinkError,
    stream::Stream,
};

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Each stream.
    pub streams: Vec<(Stream, Ended)>,
    /// The listing of vaults and items.
    pub vaults: Ended,
}

/// How one part of the reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// All there was has been read.
    Success,
    /// Something is missing.
    Failure,
    /// It was not asked for, or the token may not.
    Disabled,
}

/// The SDK's `IntegrationStepResult`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StepResult {
    id: &'static str,
    name: &'static str,
    declared_types: Vec<&'static str>,
    partial_types: Vec<&'static str>,
    encountered_types: Vec<&'static str>,
    status: Ended,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    integration_step_results: Vec<StepResult>,
    metadata: Metadata,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    partial_datasets: PartialDatasets,
}

#[derive(Serialize)]
struct PartialDatasets {
    types: Vec<&'static str>,
}

/// Writes the summary of a run that has come to its end, and let go of the folder.
///
/// # Errors
///
/// As for [`super::prepare`].
pub fn complete(dir: &Path, tenant: &str, outcome: &Outcome) -> Result<(), SinkError> {
    let (folder, mark) = Folder::marked(dir, tenant)?;
    let sections = [
        ("signinattempts", "Sign-in attempts"),
        ("itemusages", "Item usages"),
        ("auditevents", "Audit events"),
        ("vaults", "Vaults and items"),
    ];
    let partial = partial(outcome.vaults, mark.vault_removed);
    let results = sections.map(|(id, name)| {
        let declared: Vec<RecordType> = RecordType::all().filter(|of| section(*of) == id).collect();
        let names = |keep: &dyn Fn(RecordType) -> bool| -> Vec<&'static str> {
            declared.iter().filter(|of| keep(**of)).map(|of| of.name()).collect()
        };
        let stream =
            Stream::named(id).and_then(|stream| outcome.streams.iter().find(|(of, _)| *of == stream));
        StepResult {
            id,
            name,
            declared_types: names(&|_| true),
            partial_types: names(&|of| partial.contains(&of)),
            encountered_types: names(&|of| is_there(&folder, of)),
            status: if id == "vaults" {
                outcome.vaults
            } else {
                stream.map_or(Ended::Disabled, |(_, ended)| *ended)
            },
        }
    });
    let types = partial.iter().map(|of| of.name()).collect();
    let summary = Summary {
        integration_step_results: results.into(),
        metadata: Metadata { partial_datasets: PartialDatasets { types } },
    };
    // Structures of strings always have a JSON form.
    let text = serde_json::to_string_pretty(&summary).unwrap_or_default();
    write(&folder.summary(), &text).map_err(|error| cannot("write the summary of", dir, error))
}

/// The types of which a sync may delete nothing: what happened stays, however
/// little of it the files hold. Whatever is listed as a whole is the exception.
///
/// | listed whole | a vault was taken out of the files | types that are not partial        |
/// |--------------|------------------------------------|-----------------------------------|
/// | no           | any                                | none                              |
/// | yes          | no                                 | secrets, and which vault has them |
/// | yes          | yes                                | vaults as well                    |
///
/// Vaults are different because events name some that no list shows: files that
/// were begun anew do not hold those that only older events have named.
fn partial(vaults: Ended, vault_removed: bool) -> Vec<RecordType> {
    use RecordType::{Entity, Relationship};
    let whole = vaults == Ended::Success;
    RecordType::all()
        .filter(|of| match of {
            Entity(EntityType::Secret) | Relationship(RelationshipType::VaultHasSecret) => !whole,
            Entity(EntityType::Vault) => !(whole && vault_removed),
            _ => true,
        })
        .collect()
}

/// Whether the graph holds anything of a type.
fn is_there(folder: &Folder, of: RecordType) -> bool {
    let named = |name: &str| name.strip_prefix(of.name()).is_some_and(|rest| rest.starts_with('-'));
    let entries = fs::read_dir(folder.graph(of)).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_str().is_some_and(named))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_may_delete_only_what_was_listed_whole() {
        let check = |vaults, removed, expect: &[&str]| {
            let partial = partial(vaults, removed);
            let replaced: Vec<_> =
                RecordType::all().filter(|of| !partial.contains(of)).map(RecordType::name).collect();
            assert_eq!(replaced, expect);
        };
        let items = ["one_password_secret", "one_password_vault_has_secret"];
        for ended in [Ended::Failure, Ended::Disabled] {
            check(ended, false, &[]);
            check(ended, true, &[]);
        }
        check(Ended::Success, false, &items);
        check(Ended::Success, true, &["one_password_vault", items[0], items[1]]);
    }
}
