//! What a run does about a damaged state: the directory goes aside, reading goes on.

use std::collections::BTreeMap;

use opgraph_state::{Cursor, CursorsFile, Healed, OpenOptions, SledStore, UnixMs};
use tracing::{error, info};

use super::{
    failed::{Exit, Failed},
    out::time,
    run,
};
use crate::{clock::Clock, config::Config, memory::Memory, source::REWIND_OVERLAP};

/// Opens the state directory of a run. A damaged one is moved aside as a whole,
/// and each stream is read again from 48 hours before its newest event that is
/// known to have been committed.
pub(super) async fn open(config: &Config, memory: &Memory, clock: &Clock) -> Result<SledStore, Failed> {
    let (dir, now) = (config.state_dir.clone(), clock.now());
    let starts = config.tenants.iter().map(|tenant| (tenant.name.clone(), tenant.start.from(now)));
    let starts: BTreeMap<String, UnixMs> = starts.collect();
    let plan = move |known: CursorsFile| again(known, &starts);
    let options = OpenOptions::default();
    let options = OpenOptions { cache_bytes: options.cache_bytes.min(memory.cache()), ..options };
    let opened =
        tokio::task::spawn_blocking(move || SledStore::open_or_heal(&dir, options, now, &stamp(now), plan));
    let (store, healed) =
        opened.await.map_err(|error| Failed::new(Exit::State, "open the state").because(error))??;
    if let Some(healed) = healed {
        tell(&healed);
    }
    run::told_if_older(&store);
    Ok(store)
}

/// Where streams go on whose ids are lost. `starts` are the tenants' first reads.
pub(super) fn again(known: CursorsFile, starts: &BTreeMap<String, UnixMs>) -> CursorsFile {
    let tenants = known.tenants.into_iter().map(|(tenant, streams)| {
        let start = starts.get(&tenant).copied();
        let streams =
            streams.into_iter().map(|(name, stands)| (name, stands.read_again(start, REWIND_OVERLAP)));
        (tenant, streams.collect())
    });
    CursorsFile { tenants: tenants.collect() }
}

fn tell(healed: &Healed) {
    let Healed { damage, moved_to, cursors, unknown } = healed;
    error!(
        damage,
        moved_to = %moved_to.display(),
        unknown,
        "the state was damaged: moved aside, reading again with overlap; what was in quarantine is in the old one"
    );
    for (tenant, streams) in &cursors.tenants {
        for (stream, checkpoint) in streams {
            let from = match checkpoint.cursor {
                Cursor::Since(at) => time(at),
                Cursor::Token(_) | Cursor::Between { .. } => "its last known cursor".to_owned(),
            };
            info!(%tenant, stream, from, windows = checkpoint.windows.len(), "reading again");
        }
    }
}

/// A time as part of a file's name: `20260131T235959Z`.
fn stamp(at: UnixMs) -> String {
    jiff::Timestamp::from_millisecond(at.0)
        .map_or_else(|_| at.0.to_string(), |at| at.strftime("%Y%m%dT%H%M%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use opgraph_state::Checkpoint;

    use super::*;

    #[test]
    fn each_tenant_is_read_again_from_its_own_start_at_the_earliest() {
        let hour = |hour: i64| UnixMs(hour * 3_600_000);
        let stands = || Checkpoint {
            newest_event: Some(hour(1000)),
            ..Checkpoint::starting_at(Cursor::Token("t".to_owned()))
        };
        let streams = || BTreeMap::from([("auditevents".to_owned(), stands())]);
        let known =
            CursorsFile { tenants: [("acme".to_owned(), streams()), ("gone".to_owned(), streams())].into() };
        let again = again(known, &[("acme".to_owned(), hour(990))].into());
        let cursor = |tenant: &str| again.tenants[tenant]["auditevents"].cursor.clone();
        assert_eq!(cursor("acme"), Cursor::Since(hour(990)));
        assert_eq!(cursor("gone"), Cursor::Since(hour(952)));
        assert!(again.tenants.values().all(|streams| streams["auditevents"].rewinding));
    }

    #[test]
    fn a_stamp_sorts_by_time_and_is_a_name_anywhere() {
        assert_eq!(stamp(UnixMs(1_769_903_999_000)), "20260131T235959Z");
    }
}
