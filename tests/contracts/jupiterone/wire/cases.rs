//! Plays the table: each fault at each of its places, in both plans, once or more in a row.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt, stream};
use opgraph::{http::Remedy, stream::Stream};
use opgraph_simulator::{Config, Endpoint, Fault, Finalize, Script};
use tokio::{net::TcpListener, sync::OnceCell};
use tracing::Level;

use super::{
    bench::{Bench, Cost, Ended, Which, exit, world},
    leaks::listen,
    table::{Before, Line, Place, Then, table},
};

/// Cases at the same time: most of each is waiting.
const AT_ONCE: usize = 8;

/// Requests more that a run may cost which finds something left: it depends on how far the jobs had come.
const CHANCE: u64 = 4;

/// What a run costs in which nothing goes wrong, by plan, by what happened before, and by whether finalizing
/// takes its time.
type Costs = BTreeMap<(Which, Before, bool), Cost>;

/// One cell of the table.
#[derive(Clone, Copy)]
struct Case<'a> {
    line: &'a Line,
    place: Place,
    times: u64,
    which: Which,
}

impl Case<'_> {
    fn name(&self) -> String {
        format!("{} ×{} at {:?}, plan {:?}", self.line.what, self.times, self.place, self.which)
    }

    /// Where the place exists.
    fn makes_sense(&self) -> bool {
        let there = self.place.before() != Before::Uncommitted || self.which == Which::Scope;
        there && self.line.only.is_none_or(|only| only == self.which)
    }
}

/// A bench on which that happened before.
async fn prepare(which: Which, before: Before, slow: bool) -> Bench {
    // Slow: it takes a few questions until a job is FINISHED.
    let finalize = if slow { Finalize::Polls(1) } else { world().finalize };
    let mut bench = Bench::new(which, Config { finalize, ..world() }).await;
    match before {
        Before::Nothing => {}
        Before::LeftOpen => {
            let refused = Fault::Status { code: 401, retry_after: None };
            bench.simulator.script(Script::next(Endpoint::Finalize, refused));
            assert!(bench.run().await.is_err());
        }
        Before::Uncommitted => {
            // Two uploads, hence two scopes; in the next run all comes in one.
            let one = bench.settings.limits;
            bench.settings.limits.events = 1;
            bench.store.seen(|seen| seen.fail_commits = 1);
            assert!(bench.run_of(&[Stream::ItemUsages]).await.is_err());
            bench.settings.limits = one;
            // What the run had sent when it ended may still be on its way.
            bench.store.quiet().await;
        }
    }
    bench
}

/// What the plain run costs, measured once.
async fn costs() -> &'static Costs {
    static COSTS: OnceCell<Costs> = OnceCell::const_new();
    COSTS
        .get_or_init(async || {
            let mut costs = Costs::new();
            let kinds = [(Before::Nothing, false), (Before::Nothing, true), (Before::Uncommitted, false)];
            for (which, (before, slow)) in
                [Which::Instance, Which::Scope].into_iter().flat_map(|which| kinds.map(|kind| (which, kind)))
            {
                if before == Before::Uncommitted && which == Which::Instance {
                    continue;
                }
                let bench = prepare(which, before, slow).await;
                let start = bench.cost();
                bench.run().await.ok().expect("nothing goes wrong");
                bench.is_exact().await.unwrap();
                costs.insert((which, before, slow), bench.cost().since(start));
            }
            costs
        })
        .await
}

/// Plays one case; Err says what is not as it must be.
async fn play(case: Case<'_>, elsewhere: &str) -> Result<(), String> {
    let Case { line, place, times, which } = case;
    let slow = place == Place::Poll;
    let mut bench = prepare(which, place.before(), slow).await;
    let left = bench.store.seen(|seen| seen.noted());
    let costs = costs().await;
    let plain = match place.before() {
        // How many jobs there were when the run before stopped is chance. Each is asked for and aborted.
        Before::LeftOpen => {
            let plain = costs[&(which, Before::Nothing, slow)];
            Cost { requests: plain.requests + 2 * left + CHANCE, ..plain }
        }
        Before::Uncommitted => {
            let plain = costs[&(which, Before::Uncommitted, slow)];
            Cost { requests: plain.requests + CHANCE, ..plain }
        }
        Before::Nothing => costs[&(which, Before::Nothing, slow)],
    };
    let hangs = matches!(line.fault, Fault::Late { .. } | Fault::Trickle { .. })
        || matches!(line.fault, Fault::Slow { ms } if ms > 1000);
    if hangs {
        bench.timeout = Duration::from_millis(500);
        // On a busy machine others may take as long, so what it costs is not judged, nor whether a start was
        // in time; that no two jobs write side by side still is.
        bench.orphans = u64::MAX;
    }
    let (endpoint, nth) = place.call(left, plain.questions);
    let fault = directed(&line.fault, elsewhere);
    let struck = || bench.simulator.report().faults;
    let before = (bench.cost(), struck());
    bench.simulator.script(Script::nth(endpoint, nth, fault).times(times));

    let mut runs = Vec::new();
    loop {
        let run = bench.run().await;
        bench.is_sound()?;
        match run {
            Ok(()) => break,
            Err(ended) => {
                if bench.committed() > 0 {
                    return Err(format!("committed although the run failed: {}", ended.text));
                }
                runs.push(ended);
            }
        }
        if runs.len() > 30 {
            return Err(format!("does not end: {:?}", texts(&runs)));
        }
    }
    bench.is_exact().await?;
    if struck() == before.1 {
        return Err("the fault never struck".to_owned());
    }
    let cost = if hangs { Cost::default() } else { bench.cost().since(before.0) };
    as_it_must(line.then, times, &runs, cost, plain)
}

fn as_it_must(then: Then, times: u64, failed: &[Ended], cost: Cost, plain: Cost) -> Result<(), String> {
    match then {
        Then::Exact { .. } if !failed.is_empty() => Err(format!("costs the run: {:?}", texts(failed))),
        Then::Exact { requests: more, jobs: more_jobs } => {
            if cost.requests > plain.requests + times * more || cost.jobs > plain.jobs + times * more_jobs {
                return Err(format!("{cost:?}, plainly it is {plain:?}"));
            }
            Ok(())
        }
        Then::NextRun => {
            if failed.is_empty() || failed.len() as u64 > times {
                return Err(format!("{} runs failed: {:?}", failed.len(), texts(failed)));
            }
            match failed.iter().find(|ended| !matches!(ended.remedy, Remedy::Retry { .. })) {
                Some(ended) => Err(format!("needs a person: {}", ended.text)),
                None => Ok(()),
            }
        }
        Then::Halts { code, hint } => {
            if failed.is_empty() || failed.len() as u64 > times {
                return Err(format!("{} runs failed: {:?}", failed.len(), texts(failed)));
            }
            let wrong = failed.iter().find(|ended| {
                let told = ended.remedy.hint().unwrap_or_default();
                exit(&ended.remedy) != code || !told.contains(hint)
            });
            match wrong {
                Some(ended) => {
                    Err(format!("other than code {code}, `{hint}`: {:?}, {}", ended.remedy, ended.text))
                }
                None => Ok(()),
            }
        }
    }
}

fn texts(failed: &[Ended]) -> Vec<&str> {
    failed.iter().map(|ended| ended.text.as_str()).collect()
}

/// The fault with the listener's address where it names one.
fn directed(fault: &Fault, elsewhere: &str) -> Fault {
    let mut fault = fault.clone();
    if let Fault::Instead { headers, .. } = &mut fault {
        headers.iter_mut().for_each(|(_, value)| *value = value.replace("{elsewhere}", elsewhere));
    }
    fault
}

/// Plays every case of one plan that is chosen.
async fn play_all(which: Which, level: Level, chosen: impl Fn(&Line, Place, u64) -> bool) {
    let listening = listen(level);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = format!("http://{}/persister", listener.local_addr().unwrap());
    costs().await;
    let lines = table();
    let cases: Vec<Case<'_>> = lines
        .iter()
        .flat_map(|line| line.at.iter().map(move |place| (line, *place)))
        .flat_map(|(line, place)| {
            // A scope's run is three times as long; twice in a row is not another story there.
            line.times
                .iter()
                .take(if which == Which::Scope { 1 } else { usize::MAX })
                .map(move |times| Case { line, place, times: *times, which })
        })
        .filter(|case| case.makes_sense() && chosen(case.line, case.place, case.times))
        .collect();
    let played = stream::iter(&cases).map(async |case| {
        let result = play(*case, &elsewhere).await;
        result.err().map(|wrong| format!("{}: {wrong}", case.name()))
    });
    let wrong: Vec<String> = played.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await;
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(cases.len() > 10, "only {} cases", cases.len());

    let heard = tokio::time::timeout(Duration::from_millis(1), listener.accept()).await;
    assert!(heard.is_err(), "a redirect was followed");
    listening.heard_no_key();
}

fn heals(line: &Line) -> bool {
    matches!(line.then, Then::Exact { .. })
}

#[tokio::test]
async fn a_passing_fault_costs_an_instance_no_run_and_the_graph_ends_exact() {
    play_all(Which::Instance, Level::DEBUG, |line, _, _| heals(line)).await;
}

#[tokio::test]
async fn a_passing_fault_costs_a_scope_no_run_and_the_graph_ends_exact() {
    play_all(Which::Scope, Level::DEBUG, |line, _, _| heals(line)).await;
}

#[tokio::test]
async fn a_lasting_fault_commits_nothing_of_an_instance_and_the_next_run_ends_exact() {
    play_all(Which::Instance, Level::DEBUG, |line, _, _| !heals(line)).await;
}

#[tokio::test]
async fn a_lasting_fault_commits_nothing_of_a_scope_and_the_next_run_ends_exact() {
    play_all(Which::Scope, Level::DEBUG, |line, _, _| !heals(line)).await;
}

#[tokio::test]
async fn the_api_key_is_in_no_log_at_the_most_talkative_level() {
    play_all(Which::Instance, Level::TRACE, |_, place, times| place == Place::Entities && times == 1).await;
}
