//! `opgraph schema`: the data model, for people or programs.

use super::{args::Schema, failed::Failed, out};
use crate::graph::schema;

/// Runs the command. Needs no configuration, no token and no state.
pub(super) fn run(args: Schema) -> Result<(), Failed> {
    let schema = schema();
    if args.json {
        return out::json(&schema);
    }
    out::print(schema.markdown().trim_end());
    Ok(())
}
