//! `opgraph demo`: everything at work, against the simulator, judged by its oracle.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use opgraph_simulator::{self as simulator, Report, Simulator};
use serde::Serialize;
use tempfile::TempDir;

use super::{
    args::{Demo, DemoSink},
    failed::{Exit, Failed},
    judge::judge,
    logs::Screen,
    out,
    run::{self, Ended, Orders},
    simulate,
    summary::Summary,
};
use crate::{
    admin::Warnings,
    clock::Clock,
    config::{self, Config},
    http,
    memory::MAX_MEMORY,
    secret::TokenSource,
    sink::jupiterone::JupiterOneSettings,
};

/// Marks a folder as one that a demo may empty.
const MARK: &str = ".opgraph-demo";

/// The tenant's name.
const TENANT: &str = "demo";

/// What the demo found, for machines.
#[derive(Serialize)]
struct Findings<'a> {
    exact: bool,
    summary: &'a [Summary],
    jupiterone: Option<&'a Report>,
    graph: Option<&'a Report>,
}

/// Runs the command.
pub(super) async fn run(demo: Demo, screen: Screen, quiet: bool, warnings: Warnings) -> Result<(), Failed> {
    let say = |text: String| {
        if !quiet && !demo.json {
            out::print(text);
        }
    };
    prepare(&demo.dir, demo.keep)?;
    let simulator = Simulator::start(simulator::Config {
        events: demo.events,
        seed: demo.seed,
        faults: simulate::faults(demo.faults),
        ..simulator::Config::default()
    })
    .await
    .map_err(|error| Failed::new(Exit::Other, "start the simulator").because(error))?;
    say(format!(
        "{} events of a simulated account, {}, through the whole program:\n",
        demo.events,
        if demo.faults == super::args::Faults::None { "no faults" } else { "with faults" }
    ));

    let tokens =
        tokens(&simulator).map_err(|error| Failed::new(Exit::Other, "write the tokens").because(error))?;
    let config = config(&demo, &simulator, tokens.path())?;
    let watched = !quiet && !demo.json;
    let orders =
        Orders { once: true, stay: false, drain: Duration::from_secs(30), watched, reload: None, warnings };
    let Ended { summaries, failed, .. } = run::tenants(config, &orders, &screen, Clock::system()).await?;
    for summary in &summaries {
        say(summary.to_string());
    }
    if let Some(failed) = failed {
        return Err(failed);
    }

    let jupiterone = (demo.sink != DemoSink::Graph).then(|| simulator.report());
    let graph = match demo.sink {
        DemoSink::Jupiterone => None,
        DemoSink::Graph | DemoSink::Both => Some(judge(&simulator, &graph_path(&demo.dir))?),
    };
    let reports = [("JupiterOne", &jupiterone), ("the local graph", &graph)];
    let reports = reports.into_iter().filter_map(|(name, report)| Some((name, report.as_ref()?)));
    let mut exact = true;
    for (name, report) in reports {
        exact &= report.is_exact() && report.is_caught_up();
        say(verdict(name, report));
    }
    if demo.json {
        let findings =
            Findings { exact, summary: &summaries, jupiterone: jupiterone.as_ref(), graph: graph.as_ref() };
        out::json(&findings)?;
    }
    if !exact {
        return Err(Failed::text(Exit::Other, "the graph is not what the oracle expects")
            .hint("run it again with `--json` for the details, and please report them with the seed"));
    }
    if graph.is_some() {
        say(queries(&graph_path(&demo.dir)));
    }
    Ok(())
}

fn graph_path(dir: &Path) -> PathBuf {
    dir.join("graph.db")
}

/// Makes the folder; empties it if an earlier demo made it.
fn prepare(dir: &Path, keep: bool) -> Result<(), Failed> {
    let cannot = |error: io::Error| {
        Failed::new(Exit::Configuration, &format!("use the folder {}", dir.display())).because(error)
    };
    if dir.join(MARK).exists() {
        if keep {
            return Ok(());
        }
        fs::remove_dir_all(dir).map_err(cannot)?;
    } else if dir.exists() && fs::read_dir(dir).map_err(cannot)?.next().is_some() {
        let text = format!("the folder {} is not empty, and no demo made it", dir.display());
        return Err(Failed::text(Exit::Configuration, text).hint("name another with `--dir`"));
    }
    fs::create_dir_all(dir).map_err(cannot)?;
    fs::write(dir.join(MARK), "made by `opgraph demo`, which may empty it\n").map_err(cannot)
}

/// Writes the simulator's tokens where the program reads real ones: into files of its own.
fn tokens(simulator: &Simulator) -> io::Result<TempDir> {
    let dir = tempfile::tempdir()?;
    fs::write(dir.path().join("events"), simulator.events_token())?;
    fs::write(dir.path().join("connect"), simulator.connect_token())?;
    fs::write(dir.path().join("jupiterone"), simulator.jupiterone_token())?;
    Ok(dir)
}

/// The configuration a person would write for the simulator.
fn config(demo: &Demo, simulator: &Simulator, tokens: &Path) -> Result<Config, Failed> {
    let url =
        |text: String| text.parse().map_err(|error| Failed::new(Exit::Other, "read a URL").because(error));
    let jupiterone = config::JupiterOne {
        base_url: url(simulator.jupiterone_url())?,
        account: simulator.jupiterone_account().to_owned(),
        token: TokenSource::File(tokens.join("jupiterone")),
        plan: config::Plan::Instance {
            id: simulator.integration_instance_id().to_owned(),
            source: config::InstanceSource::External,
        },
        gzip: true,
        job_events: true,
        upload: JupiterOneSettings::LIMITS,
    };
    let tenant = config::Tenant {
        name: TENANT.to_owned(),
        description: None,
        tag_account_name: false,
        raw_data: true,
        polling_interval: config::Polling::Disabled,
        start: config::Start::Ago(config::START),
        events: config::Events {
            base_url: Some(url(simulator.events_url())?),
            token: TokenSource::File(tokens.join("events")),
            streams: None,
            readers: None,
            limits: http::Limits::default(),
        },
        connect: Some(config::Connect {
            base_url: url(simulator.connect_url())?,
            token: TokenSource::File(tokens.join("connect")),
            interval: config::CONNECT_INTERVAL,
            item_details: true,
            connections: config::CONNECTIONS,
        }),
        jupiterone: (demo.sink != DemoSink::Graph).then_some(jupiterone),
        graph: (demo.sink != DemoSink::Jupiterone).then(|| config::Graph { path: graph_path(&demo.dir) }),
        files: None,
    };
    let config = Config {
        state_dir: demo.dir.join("state"),
        max_memory: MAX_MEMORY,
        allow_custom_hosts: false,
        admin: None,
        tenants: vec![tenant],
    };
    Ok(config.with_admin(demo.admin, &|name| std::env::var_os(name))?)
}

/// What the oracle says of one graph, in a few lines.
fn verdict(name: &str, report: &Report) -> String {
    let graph = &report.graph;
    let findings = [
        ("missing", &graph.missing),
        ("unexpected", &graph.unexpected),
        ("duplicated", &graph.duplicated),
        ("dangling", &graph.dangling),
        ("wrong", &graph.wrong),
    ];
    let mut text = format!(
        "oracle: {name} holds {} of {} records for {} events served: {}",
        graph.held,
        graph.expected,
        report.served(),
        if report.is_exact() { "exact" } else { "NOT exact" },
    );
    for (what, finding) in findings {
        text.push_str(&format!(", {} {what}", finding.count));
        for example in finding.examples.iter().take(3) {
            text.push_str(&format!(" ({example})"));
        }
    }
    let limits = &report.limits;
    text.push_str(&format!(
        "\n        {} faults injected; the densest minute had {} requests, {} over a limit",
        report.faults.values().sum::<u64>(),
        limits.largest_minute,
        limits.excess,
    ));
    text
}

/// Three questions worth asking.
fn queries(path: &Path) -> String {
    let path = path.display();
    format!(
        r#"
Three queries worth trying:

  # who failed to sign in most often, and from where
  sqlite3 -box {path} "select u.name, e.country, count(*) as failures
    from one_password_signin_attempt_event e
    join one_password_signin_attempt_target_user u on u.id = e.targetUserUUID
    where e.category like '%failed' group by 1, 2 order by 3 desc limit 10"

  # who changed which vault
  sqlite3 -box {path} "select a.name as actor, v.id as vault
    from one_password_audit_event_actor_details_performed_vault r
    join one_password_audit_event_actor_details a on a._key = r._fromEntityKey
    join one_password_vault v on v._key = r._toEntityKey limit 10"

  # which items were taken out by whom, newest first
  sqlite3 -box {path} "select datetime(createdOn / 1000, 'unixepoch') as at, displayName, appName, ipAddress
    from one_password_item_usage_event where action in ('export', 'secure-copy', 'reveal')
    order by createdOn desc limit 10""#
    )
}
