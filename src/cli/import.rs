//! `opgraph cursors import`: going on from where another machine was.

use std::{collections::BTreeMap, fs};

use opgraph_state::{BadCursors, CursorsFile, Refused, Store, StoreError};

use super::{
    args::ImportCursors,
    failed::{Exit, Failed},
    heal, out, run,
};
use crate::{clock::Clock, config::Config};

/// Runs the command. All tenants of the file are imported, or none.
pub(super) async fn run(import: ImportCursors) -> Result<(), Failed> {
    let ImportCursors { file: path, force, flags } = import;
    let cannot = format!("import `{}`", path.display());
    let text = fs::read_to_string(&path)
        .map_err(|error| Failed::new(Exit::Configuration, &cannot).because(error))?;
    let file = CursorsFile::from_json(&text).map_err(|error| {
        let hint = match error {
            BadCursors::TooNew { .. } => "run an opgraph as new as the one that wrote it",
            BadCursors::WrongChecksum | BadCursors::Nonsense { .. } => {
                "write it again with `opgraph cursors export`, and copy it as it is"
            }
        };
        Failed::new(Exit::Configuration, &cannot).because(error).hint(hint)
    })?;
    if file.tenants.is_empty() {
        return Err(Failed::text(Exit::Configuration, format!("`{}` names no tenant", path.display())));
    }
    let store = run::open(&Config::state_dir(&flags)?).await?;
    let stored = store.checkpoints().await?;
    if let Some(tenant) = file.tenants.keys().find(|tenant| !force && stored.contains_key(*tenant)) {
        return Err(StoreError::from(Refused::HasCheckpoints { tenant: tenant.clone() }).into());
    }
    let now = Clock::system().now();
    for (tenant, streams) in heal::again(file, &BTreeMap::new()).tenants {
        let count = streams.len();
        store.import(&tenant, streams, force, now).await?;
        out::print(format_args!(
            "the next run reads {count} streams of `{tenant}` on from there, with overlap"
        ));
    }
    Ok(())
}
