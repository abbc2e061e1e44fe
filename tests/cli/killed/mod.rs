//! Killed at every step: the real binary dies at each fail point, starts again,
//! and the oracle finds the graph exact.

mod points;

mod snapshots;

use std::{os::unix::process::ExitStatusExt, process::Stdio, time::Duration};

use futures::{StreamExt, stream};
use opgraph_simulator::{Config, Endpoint, Fault, HeldInFull, Limits, Script, Simulator};
use opgraph_state::{OpenOptions, SledStore, Store, UnixMs};

use self::points::{POINTS, Point, TWICE, Times};
use super::kills::is_empty;
use crate::support::{
    files,
    program::{self, Place},
};

/// Cases at the same time. Some of them wait for most of their time.
const AT_ONCE: usize = 4;

/// No child takes as long as this.
const PATIENCE: Duration = Duration::from_secs(60);

const SCOPE: &str = "1password/acme";

/// Where a run's records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sink {
    /// The local graph.
    Graph,
    /// JupiterOne by plan `instance`, with the local graph beside it.
    Instance,
    /// JupiterOne by plan `scope`.
    Scope,
    /// Files of JupiterOne's SDK, with a state of their own.
    Files,
}

/// Runs that die, one after the other, before one may live.
struct Case {
    sink: Sink,
    /// What `FAILPOINTS` is in each run that has to die.
    deaths: Vec<String>,
    /// Pages come so slowly that the local graph has three uploads.
    slow: bool,
    /// The past is read in windows.
    windows: bool,
}

/// Points that only a run with windows comes by. The others have one chain of
/// cursors a stream, so that it is known when a run comes by them.
const IN_WINDOWS: [&str; 2] = ["split.", "window."];

/// Every case of one sink: each point at each of its times, and some twice in a row.
fn cases(sink: Sink) -> Vec<Case> {
    let mut cases = Vec::new();
    for Point { name, times, sinks, after } in POINTS {
        if !sinks.contains(&sink) {
            continue;
        }
        let dies_at: &[u32] = match times {
            Times::Run => &[1],
            // A run has one upload, which is put into its place file by file.
            Times::Upload if sink == Sink::Files => &[1],
            Times::Page if *name == "files.renamed" => &[1, 2, 3, 9, 27],
            Times::Page | Times::Upload => &[1, 3],
            Times::Poison => &[1, 2],
            Times::Write => &[1, 3, 4],
        };
        let slow = |more_than_one: bool| {
            sink == Sink::Graph && matches!(times, Times::Upload | Times::Poison) && more_than_one
        };
        let dies = |time: u32| format!("{name}={}*off->1*return", time - 1);
        for time in dies_at {
            let mut deaths: Vec<String> = after.iter().map(|death| (*death).to_owned()).collect();
            deaths.push(dies(*time));
            let windows = IN_WINDOWS.iter().any(|part| name.starts_with(part));
            cases.push(Case { sink, deaths, slow: slow(*time > 1), windows });
        }
        // A run that finds all of it committed commits nothing.
        if TWICE.contains(name) && (sink, *name) != (Sink::Files, "commit.after") {
            let time = if *times == Times::Write { 3 } else { 1 };
            cases.push(Case { sink, deaths: vec![dies(time); 2], slow: slow(true), windows: false });
            // With windows, and again while they are taken up.
            if *times != Times::Write {
                cases.push(Case { sink, deaths: vec![dies(1); 2], slow: slow(true), windows: true });
            }
        }
    }
    cases
}

/// A few hundred events, some of which cannot be mapped, in small pages; in the
/// smallest there are, so that there are many, if they are to be read in windows. Each
/// stream's cursor is refused once, and that of one of its windows.
async fn simulator(slow: bool, windows: bool) -> Simulator {
    let (events, page_cap) = if windows { (320, 1) } else { (240, 20) };
    let config = Config {
        seed: 21,
        events,
        users: 8,
        vaults: 3,
        poison: 0.08,
        page_cap,
        // The budget of a run that follows a crash starts empty; this one fills fast.
        limits: Limits { per_minute: 6_000, per_hour: 300_000 },
        ..Config::default()
    };
    let simulator = Simulator::start(config).await.unwrap();
    for stream in [Endpoint::Signinattempts, Endpoint::Itemusages, Endpoint::Auditevents] {
        simulator.script(Script::nth(stream, 2, Fault::RefusedCursor));
        if windows {
            // The live cursor has read the past's first pages and the present, and waits.
            simulator.script(Script::nth(stream, 24, Fault::RefusedCursor));
        }
    }
    if slow {
        for nth in [4, 5] {
            simulator.script(Script::nth(Endpoint::Itemusages, nth, Fault::Slow { ms: 1_100 }));
        }
    }
    simulator
}

/// A configuration whose uploads are small enough that there are several.
fn configuration(place: &Place, simulator: &Simulator, sink: Sink, readers: usize) -> String {
    let (dir, url) = (place.dir.path().display(), simulator.events_url());
    let mut text = format!(
        "state_dir = \"{dir}/state\"\n[[tenant]]\nname = \"acme\"\npolling_interval = \"DISABLED\"\n\
         [tenant.events]\nbase_url = \"{url}\"\ntoken = {{ file = \"{dir}/events\" }}\n\
         limits = {{ per_minute = 6000, per_hour = 300000 }}\nreaders = {readers}\n",
    );
    if !matches!(sink, Sink::Scope | Sink::Files) {
        text.push_str(&format!("[tenant.graph]\npath = \"{dir}/graph.db\"\n"));
    }
    let plan = match sink {
        Sink::Graph | Sink::Files => return text,
        Sink::Instance => format!("integration_instance_id = \"{}\"", simulator.integration_instance_id()),
        Sink::Scope => format!("scope = \"{SCOPE}\""),
    };
    text.push_str(&format!(
        "[tenant.jupiterone]\nbase_url = \"{url}\"\naccount = \"{}\"\ntoken = {{ file = \"{dir}/jupiterone\" }}\n\
         {plan}\nupload_events = 50\n",
        simulator.jupiterone_account()
    ));
    text
}

/// One run of the program, and how it ended: with a code, or by a signal.
async fn run(
    place: &Place,
    sink: Sink,
    failpoints: Option<&str>,
) -> Result<(Option<i32>, Option<i32>, String), String> {
    let mut command = place.program();
    command.args(["run", "--once", "--json", "--config"]).arg(place.path("opgraph.toml"));
    if sink == Sink::Files {
        command.args(["--sink", "files", "--out"]).arg(place.path("out"));
    }
    command.stdout(Stdio::null());
    if let Some(failpoints) = failpoints {
        command.env("FAILPOINTS", failpoints);
    }
    let mut command = tokio::process::Command::from(command);
    let running = command.kill_on_drop(true).output();
    let Ok(ended) = tokio::time::timeout(PATIENCE, running).await else {
        return Err(format!("a run with {failpoints:?} does not end"));
    };
    let ended = ended.unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    Ok((ended.status.code(), ended.status.signal(), said))
}

/// What lies in this place when all is over: in files, or in the local graph.
fn held(place: &Place, sink: Sink) -> Vec<HeldInFull> {
    match sink {
        Sink::Files => files::held(&place.path("out")),
        _ => program::held(&place.path("graph.db")),
    }
}

/// Lets the runs of a case die and the next one live, and judges what came of it.
async fn judge(case: &Case) -> Result<(), String> {
    let Case { sink, deaths, slow, windows } = case;
    let readers = if *windows { 2 } else { 1 };
    let simulator = simulator(*slow, *windows).await;
    let place = Place::of(&simulator);
    std::fs::write(place.path("opgraph.toml"), configuration(&place, &simulator, *sink, readers)).unwrap();
    let mut logs = Vec::new();
    for death in deaths {
        let (code, signal, said) = run(&place, *sink, Some(death)).await?;
        if signal != Some(9) {
            return Err(format!("lived to code {code:?}, signal {signal:?}: {said}"));
        }
        logs.push(said);
    }
    let (code, signal, said) = run(&place, *sink, None).await?;
    if code != Some(0) {
        return Err(format!("the next run ended with code {code:?}, signal {signal:?}: {said}"));
    }
    logs.push(said);

    let mut faults = Vec::new();
    let mut holds = |so: bool, what: &dyn Fn() -> String| {
        if !so {
            faults.push(what());
        }
    };
    simulator.settle();
    let report = simulator.report();
    if *sink != Sink::Scope {
        let local = simulator.report_of(held(&place, *sink));
        holds(local.is_exact(), &|| format!("the local graph: {:?}", local.graph));
    }
    if matches!(sink, Sink::Instance | Sink::Scope) {
        let (jobs, received) = (&report.jobs, &report.received);
        holds(report.graph.is_exact(), &|| format!("JupiterOne: {:?}", report.graph));
        holds(received.refused.count == 0, &|| format!("refused: {:?}", received.refused));
        holds(jobs.bad.count == 0, &|| format!("bad jobs: {:?}", jobs.bad));
        holds(*sink == Sink::Scope || jobs.deleted.count == 0, &|| format!("deleted: {:?}", jobs.deleted));
        // A death between the answer to a start and its note leaves a job that
        // nobody can find; it was sent nothing. Any other open job is a fault.
        for open in &jobs.open.examples {
            holds(is_empty(&simulator, open).await, &|| format!("left open: {open}"));
        }
        let orphans = jobs.open.count > 0;
        holds(*sink == Sink::Scope || jobs.open.count <= deaths.len() as u64, &|| format!("{:?}", jobs.open));
        holds(orphans || jobs.concurrent_jobs == 0, &|| format!("{} at once", jobs.concurrent_jobs));
    }
    holds(report.is_caught_up(), &|| format!("not caught up: {:?}", report.streams));
    holds(report.limits.excess == 0, &|| format!("the limits: {:?}", report.limits));

    // Each event was committed once, or set aside once; no upload is unsettled.
    let state = match sink {
        Sink::Files => opgraph::sink::files::state_dir(&place.path("out")),
        _ => place.path("state"),
    };
    let store = SledStore::open(&state, OpenOptions::default()).unwrap();
    holds(store.rolled_back().is_none(), &|| format!("{:?}", store.rolled_back()));
    let poison: u64 = report.streams.values().map(|stream| stream.poison).sum();
    let set_aside = store.quarantine_len("acme").await.unwrap();
    holds(poison > 2 && set_aside == poison, &|| format!("{set_aside} set aside of {poison}"));
    let checkpoints = store.checkpoints().await.unwrap();
    let committed: u64 = checkpoints["acme"].values().map(|checkpoint| checkpoint.events).sum();
    let good = report.served() - poison;
    holds(committed == good, &|| format!("{committed} committed of {good}"));
    // A record that is wrong at JupiterOne: what does the state make of it,
    // and which job of which run came last?
    let wrong = report.graph.wrong.examples.iter().filter_map(|text| text.split(": ").next());
    let wrong: Vec<String> = wrong.map(str::to_owned).collect();
    if matches!(sink, Sink::Instance | Sink::Scope) && !wrong.is_empty() {
        let known = store.directory("acme", wrong).await.unwrap();
        holds(false, &|| format!("the state knows {known:?}"));
        holds(false, &|| format!("the jobs as they were started: {:#?}", simulator.jobs()));
        holds(false, &|| format!("the runs said:\n{}", logs.join("\n--- killed ---\n")));
    }
    let claim = store.claim("acme", &[], UnixMs(0)).await.unwrap();
    let notes: Vec<_> = claim.unsettled.iter().filter(|note| note.name != "jupiterone/directory").collect();
    holds(notes.is_empty(), &|| format!("unsettled: {notes:?}"));
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

/// Tries every case, `at_once` of them at the same time; says which ones failed, and in what way.
/// `OPGRAPH_KILLED_AT=commit.after` leaves only the cases with that in their deaths.
async fn try_all<C>(
    cases: Vec<C>,
    at_once: usize,
    deaths: fn(&C) -> &[String],
    judge: impl AsyncFn(&C) -> Result<(), String>,
) {
    let only = std::env::var("OPGRAPH_KILLED_AT").unwrap_or_default();
    let cases: Vec<C> = cases.into_iter().filter(|case| deaths(case).join(" ").contains(&only)).collect();
    let mut failed = Vec::new();
    let mut judged =
        stream::iter(&cases).map(async |case| (judge(case).await, deaths(case))).buffer_unordered(at_once);
    while let Some((result, deaths)) = judged.next().await {
        if let Err(fault) = result {
            failed.push(format!("{} → {fault}", deaths.join(", then ")));
        }
    }
    let tried = cases.len();
    assert!(tried > 0, "no case has `{only}` in it");
    assert!(failed.is_empty(), "{} of {tried} cases:\n{}", failed.len(), failed.join("\n"));
}

async fn killed_at_every_step(sink: Sink) {
    try_all(cases(sink), AT_ONCE, |case| &case.deaths, judge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_step_the_graph_ends_exact() {
    killed_at_every_step(Sink::Graph).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_step_jupiterone_ends_exact_with_an_instance() {
    killed_at_every_step(Sink::Instance).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_step_jupiterone_ends_exact_with_scopes() {
    killed_at_every_step(Sink::Scope).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_step_the_files_hold_each_record_once_and_whole() {
    killed_at_every_step(Sink::Files).await;
}
