//! `--sink files --out DIR`: another destination for one tenant, with a state of its own.

use std::path::{Path, PathBuf};

use super::{
    args::Destination,
    failed::{Exit, Failed},
};
use crate::{
    config::{Config, FileFlags},
    sink::files,
};

/// The configuration of these tenants (of the one, if one is named) with their destination.
///
/// # Errors
///
/// Nobody is called so; or as [`files()`] says.
pub(super) async fn of(
    config: Config,
    destination: Destination,
    tenant: Option<&str>,
    flags: &FileFlags,
) -> Result<Config, Failed> {
    let config = match tenant {
        Some(name) => only(config, name)?,
        None => config,
    };
    match destination.out {
        Some(dir) => files(config, dir, flags).await,
        None => match files::dir_of(&config.state_dir) {
            Some(dir) => Err(of_files(dir)),
            None => Ok(config),
        },
    }
}

/// The configuration of one tenant.
fn only(config: Config, name: &str) -> Result<Config, Failed> {
    let names: Vec<_> = config.tenants.iter().map(|tenant| tenant.name.clone()).collect();
    let tenants: Vec<_> = config.tenants.into_iter().filter(|tenant| tenant.name == name).collect();
    if tenants.is_empty() {
        let text = format!("there is no tenant `{name}`");
        let hint = format!("tenants of the configuration: {}", names.join(", "));
        return Err(Failed::text(Exit::Configuration, text).hint(hint));
    }
    Ok(Config { tenants, ..config })
}

/// What is read into the state of files goes into the files.
fn of_files(dir: &Path) -> Failed {
    let dir = dir.display();
    let text = format!(
        "this state belongs to the files in {dir}: with another destination they would lack what is read now"
    );
    let hint = format!("say `--sink files --out {dir}`, or name another state directory");
    Failed::text(Exit::Configuration, text).hint(hint)
}

/// Sends the one tenant's records to the files in `dir`, and nowhere else.
///
/// The state lies in `dir` too: it says how far the files go, whatever other
/// destinations have of the same account. `state_dir` of a file and the variable
/// say where those keep theirs, and are passed over; the flag can only be a mistake.
///
/// # Errors
///
/// There are several tenants, the flag `--state-dir`, or a folder that is not for these files.
async fn files(mut config: Config, dir: PathBuf, flags: &FileFlags) -> Result<Config, Failed> {
    if flags.state_dir.is_some() {
        let text = "files have their state beside them: `--state-dir` does not go with `--sink files`";
        let hint = "leave `--state-dir` out; to read everything again, name a new folder";
        return Err(Failed::text(Exit::Configuration, text).hint(hint));
    }
    let [tenant] = config.tenants.as_mut_slice() else {
        let names: Vec<_> = config.tenants.iter().map(|tenant| tenant.name.as_str()).collect();
        let text = format!("one folder holds the files of one tenant, and there are {}", names.len());
        let hint = format!("say which, as in `--tenant {}`; all: {}", names[0], names.join(", "));
        return Err(Failed::text(Exit::Configuration, text).hint(hint));
    };
    (tenant.jupiterone, tenant.graph, tenant.files) = (None, None, Some(dir.clone()));
    config.state_dir = files::state_dir(&dir);
    let name = tenant.name.clone();
    let prepared = tokio::task::spawn_blocking(move || files::prepare(&dir, &name)).await;
    prepared.map_err(|error| Failed::new(Exit::Other, "look at the folder").because(error))??;
    Ok(config)
}
