//! `opgraph state verify`: every row, read once.

use opgraph_state::{OpenOptions, verify};

use super::{
    args::VerifyState,
    failed::{Exit, Failed},
    out,
};
use crate::config::Config;

/// Runs the command.
pub(super) async fn run(command: VerifyState) -> Result<(), Failed> {
    let dir = Config::state_dir(&command.flags)?;
    let shown = dir.display().to_string();
    let found = tokio::task::spawn_blocking(move || verify(&dir, &OpenOptions::default()));
    let found =
        found.await.map_err(|error| Failed::new(Exit::State, "verify the state").because(error))??;
    if command.json {
        out::json(&found)?;
    } else {
        out::print(format_args!("{:<12} {:>10} {:>14} {:>8}", "tree", "rows", "bytes", "damaged"));
        for tree in &found.trees {
            out::print(format_args!(
                "{:<12} {:>10} {:>14} {:>8}",
                tree.name, tree.rows, tree.bytes, tree.damaged
            ));
            for named in &tree.named {
                out::print(format_args!("  {named}"));
            }
        }
    }
    if let Some(damage) = found.damage() {
        let failed = Failed::text(Exit::State, format!("the state `{shown}` is damaged: {damage}"));
        return Err(failed.hint(
            "start `opgraph run`: it moves the directory aside and reads again with overlap; nothing is deleted",
        ));
    }
    if let Some(how) = found.rolled_back {
        let failed = Failed::text(Exit::State, format!("the state `{shown}` went backwards: {how}"));
        return Err(failed.hint("start `opgraph run`: it reads again from where the state is now"));
    }
    if !command.json {
        out::print(format_args!("whole, as commit {} left it", found.commits));
    }
    Ok(())
}
