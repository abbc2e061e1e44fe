//! Runs that are cut off and followed at once by the next, while what they
//! asked of JupiterOne is still on its way: whatever arrives late, the graph
//! ends with the newest version of each shared record.
//!
//! A history is a number of runs over one state, from one seed. All but the
//! last are dropped, at a moment of the clock or just before or behind a
//! commit. Some of their requests wait on the way and are delivered all the
//! same, in the midst of the next run. Names change, pages are small, and
//! refused cursors cut the pages anew, so that an upload often holds a version
//! older than one that an abandoned job has brought before.
//!
//! ```text
//! OPGRAPH_CUT_SEEDS=2000 cargo test --test main contracts::jupiterone::wire::cut_off
//! OPGRAPH_CUT_SEED=4711 cargo test --test main contracts::jupiterone::wire::cut_off
//! ```

use std::{env, io::Write, time::Duration};

use futures::{StreamExt, stream};
use opgraph::sink::UploadLimits;
use opgraph_simulator::{Config, Endpoint, Fault as Refused, Finalize, Limits, Script};
use opgraph_state::Store;
use tokio::time::sleep;

use super::{
    bench::{Bench, TENANT, Which, world},
    watched::Cut,
};
use crate::support::chaos::{Chaos, Fault, Rule};

/// Histories of the ordinary test, in each plan.
const SEEDS: u64 = 16;

/// Histories at the same time: they get in each other's way as on a busy machine.
const AT_ONCE: usize = 8;

/// What the calls that change a job end in. A late start is left out: it makes
/// a job that nobody sends anything.
const CALLS: [&str; 4] = ["/entities", "/relationships", "/finalize", "/abort"];

/// What became of a history.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    cut: u64,
    late: u64,
    aborted: u64,
    /// Jobs that JupiterOne finished beyond one for each commit: they came again.
    repeated: u64,
}

async fn history(which: Which, seed: u64) -> Result<Told, String> {
    let mut dice = fastrand::Rng::with_seed(seed);
    let config = Config {
        seed: dice.u64(..),
        events: 160,
        page_cap: dice.u16(3..12),
        limits: Limits { per_minute: 1_000_000, per_hour: 50_000_000 },
        finalize: *dice
            .choice([Finalize::Polls(1), Finalize::After(Duration::from_millis(9))].iter())
            .unwrap(),
        ..world()
    };
    let mut bench = Bench::new(which, config).await;
    let chaos = Chaos::start(bench.simulator.address());
    bench.settings.base_url = chaos.url().parse().unwrap();
    bench.settings.limits = UploadLimits { events: dice.u64(5..40), ..bench.settings.limits };
    // Whoever is cut off between a start and its note leaves a job that nobody can find.
    bench.orphans = u64::MAX;
    bench.store.seen(|seen| seen.one_upload = false);
    for on in [Endpoint::Signinattempts, Endpoint::Itemusages, Endpoint::Auditevents] {
        for _ in 0..dice.u8(0..3) {
            bench.simulator.script(Script::nth(on, dice.u64(1..12), Refused::RefusedCursor));
        }
    }

    let mut told = Told::default();
    for _ in 0..dice.u8(1..5) {
        let late = |dice: &mut fastrand::Rng| Rule {
            at: dice.choice(CALLS).unwrap(),
            holding: "",
            nth: dice.u64(1..6),
            times: 1,
            everywhere: false,
            fault: Fault::Late(Duration::from_millis(dice.u64(1..60))),
        };
        chaos.spoil((0..dice.u8(0..4)).map(|_| late(&mut dice)).collect());
        let cut = dice.bool().then(|| Cut { commits: dice.u32(0..4), behind: dice.bool() });
        bench.store.seen(|seen| seen.cut = cut);
        let moment = Duration::from_millis(if cut.is_some() { 2_000 } else { dice.u64(0..120) });
        let ended = tokio::select! {
            ended = bench.run() => Some(ended),
            () = bench.store.is_cut() => None,
            () = sleep(moment) => None,
        };
        told.cut += u64::from(ended.is_none());
        if let Some(Err(ended)) = ended {
            // A late answer is none of a run's business.
            return Err(format!("a run failed by itself: {}", ended.text));
        }
        if dice.bool() {
            sleep(Duration::from_millis(dice.u64(0..20))).await;
        }
    }
    bench.store.seen(|seen| seen.cut = None);
    bench.run().await.map_err(|ended| format!("the last run: {}", ended.text))?;
    told.late = chaos.seen().iter().filter(|seen| seen.spoilt.is_some()).count() as u64;
    // Whatever is still on its way arrives.
    sleep(Duration::from_millis(60)).await;
    bench.simulator.settle();

    if let Err(wrong) = bench.is_exact().await {
        let graph = bench.simulator.report().graph;
        let keys = graph.wrong.examples.iter().filter_map(|text| text.split(": ").next());
        let keys: Vec<String> = keys.map(str::to_owned).collect();
        let known = bench.store.directory(TENANT, keys).await.unwrap();
        return Err(format!("{wrong}; the state knows {known:?}"));
    }
    let jobs = bench.simulator.report().jobs;
    told.aborted = jobs.aborted;
    told.repeated = jobs.finished.saturating_sub(bench.store.seen(|seen| seen.commits));
    Ok(told)
}

fn asked(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().expect("a number"))
}

async fn whatever_arrives_late(which: Which) {
    let seeds = match asked("OPGRAPH_CUT_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..asked("OPGRAPH_CUT_SEEDS").unwrap_or(SEEDS),
    };
    let alone = seeds.end - seeds.start == 1;
    let (mut sum, mut wrong, mut tried) = (Told::default(), Vec::new(), 0);
    let mut told = stream::iter(seeds)
        .map(|seed| async move { (seed, history(which, seed).await) })
        .buffer_unordered(AT_ONCE);
    while let Some((seed, told)) = told.next().await {
        match told {
            Ok(told) => {
                sum.cut += told.cut;
                sum.late += told.late;
                sum.aborted += told.aborted;
                sum.repeated += told.repeated;
            }
            Err(fault) => wrong.push(format!("OPGRAPH_CUT_SEED={seed}: {fault}")),
        }
        tried += 1;
    }
    if asked("OPGRAPH_CUT_SEEDS").is_some() {
        let _ = writeln!(std::io::stderr(), "{tried} histories: {sum:?}");
    }
    assert!(wrong.is_empty(), "{} histories:\n{}", wrong.len(), wrong.join("\n"));
    // Troubled enough to mean something.
    assert!(alone || sum.cut > 5 && sum.late > 3 && sum.aborted > 0 && sum.repeated > 0, "{sum:?}");
}

#[tokio::test]
async fn cut_off_and_arriving_late_nothing_ends_older_than_it_was_in_an_instance() {
    whatever_arrives_late(Which::Instance).await;
}

#[tokio::test]
async fn cut_off_and_arriving_late_nothing_ends_older_than_it_was_in_scopes() {
    whatever_arrives_late(Which::Scope).await;
}
