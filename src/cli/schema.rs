//! `opgraph schema`: the data model or the metrics, for people or programs.

use super::{
    args::{Described, Schema},
    failed::Failed,
    out,
};
use crate::{admin::metrics, graph::schema};

/// Runs the command. Needs no configuration, no token and no state.
pub(super) fn run(args: Schema) -> Result<(), Failed> {
    match (args.of, args.json) {
        (Described::Graph, true) => return out::json(&schema()),
        (Described::Graph, false) => out::print(schema().markdown().trim_end()),
        (Described::Metrics, true) => return out::json(&metrics::METRICS),
        (Described::Metrics, false) => out::print(metrics::markdown().trim_end()),
    }
    Ok(())
}
