//! The folder that a measured run has to itself: tokens, a configuration, fresh state.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use serde::Serialize;

use crate::{Failed, simulated::Access};

/// The local graph's file.
pub const GRAPH: &str = "graph.db";

/// Where records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sink {
    /// JupiterOne, with compressed bodies
    Gzip,
    /// JupiterOne, with bodies as they are
    Plain,
    /// The local graph
    Graph,
}

/// Writes what a run of one tenant needs into an empty folder; answers its configuration file.
///
/// # Errors
///
/// If it cannot be written.
pub fn furnish(dir: &Path, access: &Access, sink: Sink) -> Result<PathBuf, Failed> {
    let private = |name: &str, text: &str| {
        let path = dir.join(name);
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).open(&path)?.write_all(text.as_bytes())?;
        Ok(path)
    };
    private("events", &access.events_token)?;
    private("jupiterone", &access.jupiterone_token)?;
    private("opgraph.toml", &configuration(access, sink))
}

/// With one reader: answers come at once here, and what windows save is waiting for them.
fn configuration(access: &Access, sink: Sink) -> String {
    let Access { url, account, instance, .. } = access;
    let sink = match sink {
        Sink::Graph => format!("[tenant.graph]\npath = \"{GRAPH}\"\n"),
        Sink::Gzip | Sink::Plain => format!(
            "[tenant.jupiterone]\nbase_url = \"{url}\"\naccount = \"{account}\"\n\
             token = {{ file = \"jupiterone\" }}\nintegration_instance_id = \"{instance}\"\ngzip = {}\n",
            sink == Sink::Gzip
        ),
    };
    format!(
        r#"state_dir = "state"
[[tenant]]
name = "bench"
polling_interval = "DISABLED"
[tenant.events]
base_url = "{url}"
token = {{ file = "events" }}
limits = {{ per_minute = 1000000, per_hour = 50000000 }}
readers = 1
{sink}"#
    )
}
