//! What only one tenant may have.

use std::{
    collections::HashMap,
    path::{Component, Path, PathBuf},
};

use super::Check;
use crate::config::{
    Plan, Tenant,
    error::At,
    tables::{Given, TenantTable},
};

impl Check<'_, '_> {
    /// Two tenants that write to the same place would delete or overwrite each
    /// other's records. A tenant is known by its file and its number there.
    pub(super) fn no_two_share(&mut self, tenants: &[(usize, usize, &Given<TenantTable>, Option<Tenant>)]) {
        let mut taken = HashMap::new();
        for (file, n, given, tenant) in tenants {
            let Some(tenant) = tenant else { continue };
            let table = &given.value;
            self.problems.look_at(*file);
            let name = table.name.as_ref().map(|name| &name.at);
            let mut claim = |what: Place, at: Option<&At>, key: &str, hint: &str| {
                if let Some((in_file, first)) = taken.get(&what) {
                    let mut whose = format!("tenant[{first}]");
                    if let Some(path) = self.problems.path(*in_file).filter(|_| in_file != file) {
                        whose.push_str(&format!(" of {}", path.display()));
                    }
                    let what = format!("{whose} has this {} too", what.kind());
                    self.problems.add(
                        at.unwrap_or(&given.at),
                        &format!("tenant[{n}].{key}"),
                        what,
                        hint.to_owned(),
                    );
                } else {
                    taken.insert(what, (*file, *n));
                }
            };
            claim(Place::Name(tenant.name.clone()), name, "name", "give each tenant a name of its own");
            if let Some(graph) = &tenant.graph {
                let at = table
                    .graph
                    .as_ref()
                    .map(|graph| graph.value.path.as_ref().map_or(&graph.at, |path| &path.at));
                let hint = "give each tenant a file of its own: `[tenant.graph]` with `path = \"acme.db\"`";
                claim(Place::Graph(tidy(&graph.path)), at, "graph.path", hint);
            }
            if let (Some(jupiterone), Some(given)) = (&tenant.jupiterone, &table.jupiterone) {
                let (name, key, at) = match &jupiterone.plan {
                    Plan::Instance { id, .. } => {
                        (id, "integration_instance_id", &given.value.integration_instance_id)
                    }
                    Plan::Scope { prefix } => (prefix, "scope", &given.value.scope),
                };
                let place = format!("{} {} {key} {name}", jupiterone.base_url, jupiterone.account);
                let at = at.as_ref().map(|at| &at.at);
                let hint = "give each tenant its own: what one uploads replaces what the other did";
                claim(Place::JupiterOne(place), at, &format!("jupiterone.{key}"), hint);
            }
        }
    }
}

/// What only one tenant may have.
#[derive(PartialEq, Eq, Hash)]
enum Place {
    Name(String),
    Graph(PathBuf),
    JupiterOne(String),
}

impl Place {
    fn kind(&self) -> &'static str {
        match self {
            Place::Name(_) => "name",
            Place::Graph(_) => "graph file",
            Place::JupiterOne(_) => "place in JupiterOne",
        }
    }
}

/// The path without `.` and double slashes. Links are not followed: the file
/// may not exist yet.
fn tidy(path: &Path) -> PathBuf {
    path.components().filter(|component| *component != Component::CurDir).collect()
}
