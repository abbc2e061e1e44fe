//! `opgraph cursors`: shows and moves the places up to which events have been committed.

use std::collections::BTreeMap;

use opgraph_state::{Checkpoint, Cursor, Store, Window};
use serde::Serialize;

use super::{
    args::{RewindCursor, ShowCursors},
    ask::agreed,
    failed::{Exit, Failed},
    out::{self, time},
    run,
    status::ago,
};
use crate::{clock::Clock, config::Config};

/// `opgraph cursors show`
pub(super) async fn show(show: ShowCursors) -> Result<(), Failed> {
    #[derive(Serialize)]
    struct Shown {
        tenants: BTreeMap<String, BTreeMap<String, Checkpoint>>,
    }
    let store = run::open(&Config::state_dir(&show.flags)?).await?;
    let tenants = store.checkpoints().await?;
    if show.json {
        return out::json(&Shown { tenants });
    }
    let now = Clock::system().now();
    for (tenant, streams) in tenants {
        for (stream, checkpoint) in streams {
            let moved = ago(checkpoint.committed_at, now);
            out::print(format_args!(
                "{tenant}/{stream}: moved {moved}, {} events\n  {}",
                checkpoint.events,
                place(&checkpoint.cursor),
            ));
            for Window { start, end, cursor, .. } in &checkpoint.windows {
                let at = if let Cursor::Token(token) = cursor { token } else { "not begun" };
                out::print(format_args!("  window {} to {}: {at}", time(*start), time(*end)));
            }
        }
    }
    Ok(())
}

/// A cursor as people read it.
fn place(cursor: &Cursor) -> String {
    match cursor {
        Cursor::Since(at) => format!("from {}", time(*at)),
        Cursor::Token(token) => token.clone(),
        Cursor::Between { from, to, .. } => format!("from {} to {}", time(*from), time(*to)),
    }
}

/// `opgraph cursors rewind`
pub(super) async fn rewind(rewind: RewindCursor) -> Result<(), Failed> {
    let RewindCursor { tenant, stream, to, yes, flags } = rewind;
    let store = run::open(&Config::state_dir(&flags)?).await?;
    let tenants = store.checkpoints().await?;
    let Some(checkpoint) = tenants.get(&tenant).and_then(|streams| streams.get(stream.name())) else {
        let known: Vec<&str> = tenants.keys().map(String::as_str).collect();
        let failed = Failed::text(Exit::Other, format!("`{tenant}` has never read `{}`", stream.name()));
        return Err(failed.hint(match known.as_slice() {
            [] => "this state directory is empty: name another with `--state-dir`".to_owned(),
            known => format!("tenants in this state directory: {}", known.join(", ")),
        }));
    };
    let to = match (to.to, to.by, checkpoint.newest_event) {
        (Some(to), _, _) => to,
        (None, Some(by), Some(newest)) => newest.minus(by),
        (None, _, _) => {
            let failed = Failed::text(
                Exit::Other,
                format!("`{}` has no committed event to go back from", stream.name()),
            );
            return Err(failed.hint("name the time with `--to`"));
        }
    };
    if !yes && !agreed(&format!("Read `{}` of `{tenant}` again from {}?", stream.name(), time(to)))? {
        return Err(Failed::text(Exit::Other, "nothing was changed"));
    }
    store.rewind(&tenant, stream.name(), Cursor::Since(to), Clock::system().now()).await?;
    out::print(format_args!("the next run reads `{}` of `{tenant}` from {}", stream.name(), time(to)));
    Ok(())
}
