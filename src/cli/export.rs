//! `opgraph cursors export`: where the streams stand, for another machine.

use std::{fs::OpenOptions, io::Write, os::unix::fs::OpenOptionsExt};

use opgraph_state::{CursorsFile, Store};

use super::{
    args::ExportCursors,
    failed::{Exit, Failed},
    out, run,
};
use crate::config::Config;

/// Runs the command.
pub(super) async fn run(export: ExportCursors) -> Result<(), Failed> {
    let store = run::open(&Config::state_dir(&export.flags)?).await?;
    let mut file = CursorsFile { tenants: store.checkpoints().await? };
    if let Some(only) = &export.tenant {
        let known = file.tenants.keys().cloned().collect::<Vec<_>>().join(", ");
        file.tenants.retain(|tenant, _| tenant == only);
        if file.tenants.is_empty() {
            let failed = Failed::text(Exit::Other, format!("`{only}` has never been read"));
            return Err(failed.hint(format!("tenants in this state directory: {known}")));
        }
    }
    let text = file.to_json();
    let Some(path) = &export.out else {
        out::print(text);
        return Ok(());
    };
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = written.and_then(|mut file| {
        writeln!(file, "{text}")?;
        file.sync_all()
    });
    written.map_err(|error| {
        let failed = Failed::new(Exit::Other, &format!("write `{}`", path.display()));
        failed.because(error).hint("name a new file in a folder that you may write to")
    })?;
    let streams: usize = file.tenants.values().map(|streams| streams.len()).sum();
    out::print(format_args!(
        "wrote the cursors of {streams} streams of {} tenants to {}; stop this opgraph before another one imports them",
        file.tenants.len(),
        path.display()
    ));
    Ok(())
}
