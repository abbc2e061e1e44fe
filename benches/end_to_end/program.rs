//! The program as people run it: the real binary, a configuration file, fresh state.

use std::{fs, path::Path, process::Command};

use opgraph_bench::{
    Failed,
    place::{self, Sink},
    process::{self, Used},
    simulated::Access,
};
use serde::Deserialize;

/// What the program says at its end.
#[derive(Debug, Deserialize)]
pub(crate) struct Summary {
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

/// Runs it until it has caught up.
pub(crate) async fn run(
    program: &Path,
    dir: &Path,
    access: &Access,
    sink: Sink,
) -> Result<(Used, Summary), Failed> {
    let mut command = Command::new(program);
    command.args(["run", "--once", "--json", "--config"]).arg(place::furnish(dir, access, sink)?);
    command.env_remove("OPGRAPH_LOG").stderr(fs::File::create(dir.join("opgraph.log"))?);
    let (used, said) = process::run(&mut command).await.map_err(|error| {
        let log = fs::read_to_string(dir.join("opgraph.log")).unwrap_or_default();
        format!("{error}: {}", log.lines().last().unwrap_or_default())
    })?;
    Ok((used, serde_json::from_str(&said)?))
}
