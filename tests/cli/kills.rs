//! SIGKILL at random moments, against the real binary, real sled, real HTTP.

use std::{process::Stdio, time::Duration};

use opgraph::http::{Asked, Client, ClientSettings, Request};
use opgraph_simulator::{Config, Faults, Limits, Simulator};

use crate::support::program::{Place, ended};

const KILLS: u64 = 10;

/// Whether an open job, in the report's words, was sent no record.
pub(super) async fn is_empty(simulator: &Simulator, open: &str) -> bool {
    let id = open.split(' ').next().unwrap();
    let url = format!("{}/persister/synchronization/jobs/{id}", simulator.jupiterone_url());
    let request = Request {
        doing: "look at a job".to_owned(),
        asked: Asked::SyncJob,
        method: reqwest::Method::GET,
        url: url.parse().unwrap(),
        token: simulator.jupiterone_token().into(),
        headers: vec![("JupiterOne-Account", simulator.jupiterone_account().to_owned())],
        body: None,
    };
    let client = Client::new(&ClientSettings::default()).unwrap();
    // The simulator still makes its faults: ask until it answers with the job.
    loop {
        let Ok(answer) = client.send(&request).await else { continue };
        let Ok(job) = serde_json::from_slice::<serde_json::Value>(&answer.body) else { continue };
        let counted = |name: &str| job["job"][name].as_u64().unwrap();
        return counted("numEntitiesUploaded") + counted("numRelationshipsUploaded") == 0;
    }
}

/// Kills ten runs at random moments, lets the eleventh end, and has the oracle judge.
async fn killed_at_random_moments(plan: Option<[&str; 2]>, seed: u64) {
    let config = Config {
        seed,
        events: 12_000,
        page_cap: 100,
        // Few users: each has five shared records, and plan `scope` has a job for each shard of them.
        users: 12,
        // The rate of a restart is not what is tested here.
        limits: Limits { per_minute: 1_000_000, per_hour: 50_000_000 },
        faults: Faults::rough(),
        ..Config::default()
    };
    let simulator = Simulator::start(config).await.unwrap();
    let mut place = Place::of(&simulator);
    let instance = simulator.integration_instance_id().to_owned();
    if let Some([flag, value]) = plan {
        let value = if flag == "--jupiterone-instance" { instance.as_str() } else { value };
        place = place.with_jupiterone(&simulator, [flag, value]);
    }
    let mut dice = fastrand::Rng::with_seed(seed);
    let file = place.path("opgraph.toml");
    std::fs::write(&file, toml(&place, &simulator, plan, &instance)).unwrap();
    let run = || {
        let mut command = place.program();
        command.args(["run", "--once", "--json", "--config"]).arg(&file);
        command
    };
    for _ in 0..KILLS {
        let mut child = run().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(dice.u64(50..1500))).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let last = ended(run()).await;
    assert_eq!(last.code, Some(0), "seed {seed}: {}", last.stderr);

    let local = place.judged_by(&simulator);
    assert!(local.is_exact() && local.is_caught_up(), "seed {seed}: {:#?}", local.graph);
    if plan.is_some() {
        simulator.settle();
        let report = simulator.report();
        assert!(report.is_exact(), "seed {seed}: {:#?}", report.graph);
        // A kill between the answer to a start and its note leaves a job that
        // nobody can find; it was sent nothing. Any other open job is a fault.
        let found = report.jobs.open.count - report.jobs.open_unknown;
        assert!(found <= KILLS, "seed {seed}: {:?}", report.jobs);
        for open in &report.jobs.open.examples {
            assert!(is_empty(&simulator, open).await, "seed {seed}: {open} was sent something");
        }
        assert!(found > 0 || report.jobs.concurrent_jobs == 0, "seed {seed}: {:?}", report.jobs);
        assert_eq!(report.received.refused.count, 0, "{:?}", report.received.refused);
    }
}

/// A configuration with limits of its own.
fn toml(place: &Place, simulator: &Simulator, plan: Option<[&str; 2]>, instance: &str) -> String {
    let dir = place.dir.path().display();
    let url = simulator.events_url();
    let mut text = format!(
        r#"state_dir = "{dir}/state"
[[tenant]]
name = "acme"
polling_interval = "DISABLED"
[tenant.events]
base_url = "{url}"
token = {{ file = "{dir}/events" }}
limits = {{ per_minute = 600000, per_hour = 30000000 }}
[tenant.graph]
path = "{dir}/graph.db"
"#
    );
    if let Some([flag, value]) = plan {
        let plan = match flag {
            "--jupiterone-instance" => format!("integration_instance_id = \"{instance}\""),
            _ => format!("scope = \"{value}\""),
        };
        text.push_str(&format!(
            "[tenant.jupiterone]\nbase_url = \"{url}\"\naccount = \"{}\"\ntoken = {{ file = \"{dir}/jupiterone\" }}\n{plan}\n\
             upload_age = \"1s\"\nupload_events = 2000\n",
            simulator.jupiterone_account()
        ));
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_the_graph_ends_exact() {
    killed_at_random_moments(None, 11).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_jupiterone_ends_exact_with_an_instance() {
    killed_at_random_moments(Some(["--jupiterone-instance", ""]), 12).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_jupiterone_ends_exact_with_scopes() {
    killed_at_random_moments(Some(["--jupiterone-scope", "1password/acme"]), 13).await;
}
