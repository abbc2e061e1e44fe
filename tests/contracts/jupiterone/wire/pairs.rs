//! Two faults in one history, drawn from a seed, over several uploads: it always ends exact.

use std::time::Duration;

use futures::{StreamExt, stream};
use opgraph_simulator::{Config, Endpoint, Fault, Finalize, Script};

use super::{
    bench::{Bench, Which, world},
    leaks::listen,
    table::{HALVED, Line, Place, table},
};

/// Histories a plan.
const SEEDS: u64 = 100;

/// Histories at the same time.
const AT_ONCE: usize = 8;

/// A fault that passes quickly, and a place of it.
fn draw<'a>(lines: &'a [Line], dice: &mut fastrand::Rng) -> (&'a Line, Place) {
    let line = &lines[dice.usize(..lines.len())];
    (line, line.at[dice.usize(..line.at.len())])
}

/// Whether the fault keeps nobody waiting, names no listener and may strike at any call of its kind.
fn is_cheap(line: &Line) -> bool {
    match &line.fault {
        Fault::Slow { .. } | Fault::Late { .. } | Fault::Trickle { .. } => false,
        // A record that is refused twice, or alone in its body, is set aside: right, and not exact.
        _ if line.then == HALVED => false,
        // Whoever is told that an open job is FINISHED can only believe it.
        Fault::Instead { body, .. } if body.contains("FINISHED\"") => false,
        Fault::Instead { headers, .. } => headers.iter().all(|(_, value)| !value.contains("{elsewhere}")),
        _ => true,
    }
}

async fn play(which: Which, seed: u64, lines: &[Line]) -> Result<u64, String> {
    let mut dice = fastrand::Rng::with_seed(seed);
    let finalize = if dice.bool() { Finalize::Polls(1) } else { Finalize::After(Duration::ZERO) };
    let mut bench = Bench::new(which, Config { seed, finalize, ..world() }).await;
    bench.settings.limits.events = dice.u64(4..16);
    bench.store.seen(|seen| seen.one_upload = false);
    let mut drawn = Vec::new();
    for _ in 0..2 {
        let (line, place) = draw(lines, &mut dice);
        let (endpoint, _) = place.call(0, 1);
        let times = line.times[dice.usize(..line.times.len())].min(3);
        let nth = if endpoint == Endpoint::Abort { 1 } else { dice.u64(1..9) };
        bench.simulator.script(Script::nth(endpoint, nth, line.fault.clone()).times(times));
        drawn.push(format!("{} ×{times} at {endpoint:?} {nth}", line.what));
    }
    let mut runs = 1;
    let told = |wrong: String| format!("seed {seed}, plan {which:?}, {}: {wrong}", drawn.join(" and "));
    while let Err(ended) = bench.run().await {
        bench.is_sound().map_err(told)?;
        runs += 1;
        if runs > 10 {
            return Err(told(ended.text));
        }
    }
    // A fault that waits for a later call than there is has its chance, too.
    bench.is_exact().await.map_err(told)?;
    Ok(runs)
}

async fn play_all(which: Which) {
    let listening = listen(tracing::Level::DEBUG);
    let lines: Vec<Line> = table().into_iter().filter(is_cheap).collect();
    let lines = &lines;
    let played = stream::iter(0..SEEDS).map(async |seed| play(which, seed, lines).await);
    let ended: Vec<Result<u64, String>> = played.buffer_unordered(AT_ONCE).collect().await;
    let wrong: Vec<&String> = ended.iter().filter_map(|ended| ended.as_ref().err()).collect();
    assert!(wrong.is_empty(), "{} of {SEEDS}: {wrong:#?}", wrong.len());
    let runs: u64 = ended.iter().flatten().sum();
    assert!(runs > SEEDS + SEEDS / 8, "the histories are troubled enough: {runs} runs");
    listening.heard_no_key();
}

#[tokio::test]
async fn any_two_faults_of_an_instance_end_exact() {
    play_all(Which::Instance).await;
}

#[tokio::test]
async fn any_two_faults_of_scopes_end_exact() {
    play_all(Which::Scope).await;
}
