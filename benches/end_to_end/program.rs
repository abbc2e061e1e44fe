//! The program as people run it: the real binary, a configuration file, fresh state.

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path, process::Command};

use opgraph_bench::{
    Failed,
    process::{self, Used},
    simulated::Access,
};
use serde::Deserialize;

use crate::Sink;

/// The local graph's file.
pub(crate) const GRAPH: &str = "graph.db";

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
    let private = |name: &str, text: &str| {
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).open(dir.join(name))?.write_all(text.as_bytes())
    };
    private("events", &access.events_token)?;
    private("jupiterone", &access.jupiterone_token)?;
    private("opgraph.toml", &config(access, sink))?;
    let mut command = Command::new(program);
    command.args(["run", "--once", "--json", "--config"]).arg(dir.join("opgraph.toml"));
    command.env_remove("OPGRAPH_LOG").stderr(fs::File::create(dir.join("opgraph.log"))?);
    let (used, said) = process::run(&mut command).await.map_err(|error| {
        let log = fs::read_to_string(dir.join("opgraph.log")).unwrap_or_default();
        format!("{error}: {}", log.lines().last().unwrap_or_default())
    })?;
    Ok((used, serde_json::from_str(&said)?))
}

fn config(access: &Access, sink: Sink) -> String {
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
{sink}"#
    )
}
