//! The set of running tenants: what a new configuration touches, and what it leaves alone.

use std::time::Duration;

use opgraph::{config::Polling, telemetry::TenantState, tenants::Changes};
use opgraph_simulator::{Endpoint, Fault, Script, Simulator};

use super::place::{Place, Process, world};

const MINUTE: Duration = Duration::from_secs(60);

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn halted(process: &Process, name: &str) -> Option<String> {
    match process.meter(name).state.get() {
        TenantState::Stopped(why) => Some(why),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_configuration_touches_only_what_differs() {
    let place = Place::new();
    let mut simulators = Vec::new();
    for seed in 1..=4 {
        simulators.push(Simulator::start(world(seed)).await.unwrap());
    }
    let tenant = |n: usize| place.tenant(["kept", "removed", "changed", "added"][n], &simulators[n]);
    let tenants: Vec<_> = (0..4).map(tenant).collect();
    let mut process = place.process().await;
    let added = process.tenants.want(tenants[..3].to_vec());
    assert_eq!(added, Changes { added: names(&["kept", "removed", "changed"]), ..Changes::default() });
    process.lasts(MINUTE).await;

    let mut changed = tenants[2].clone();
    changed.polling_interval = Polling::Every(Duration::from_secs(10));
    let kept = process.meter("kept");
    let changes = process.tenants.want(vec![tenants[3].clone(), tenants[0].clone(), changed]);
    let expect = Changes {
        added: names(&["added"]),
        removed: names(&["removed"]),
        changed: names(&["changed"]),
        kept: names(&["kept"]),
        ..Changes::default()
    };
    assert_eq!(changes, expect);
    process.lasts(MINUTE).await;
    let listed: Vec<_> =
        process.tenants.roster().list().into_iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(listed, ["added", "kept", "changed"]);
    let introspections = |n: usize| simulators[n].report().requests[&Endpoint::Introspect];
    assert_eq!([0, 1, 2, 3].map(introspections), [1, 1, 2, 1]);
    assert_eq!(kept.runs.get(), 1);
    // What was read before is not read again, and the removed one is not read any more.
    let before = simulators[1].report().requests[&Endpoint::Auditevents];
    process.lasts(2 * MINUTE).await;
    assert_eq!(simulators[1].report().requests[&Endpoint::Auditevents], before);
    for (name, _, end) in process.ends().await {
        assert!(end.is_ok(), "{name}: {end:?}");
    }
    for simulator in &simulators {
        simulator.settle();
        let report = simulator.report();
        assert!(report.is_exact(), "{:#?}", report.graph);
        assert_eq!(report.streams.values().map(|stream| stream.repeated).sum::<u64>(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_halted_tenant_starts_again_with_a_reload_or_a_new_token_and_the_others_run_on() {
    let place = Place::new();
    let (well, ill) = (Simulator::start(world(1)).await.unwrap(), Simulator::start(world(2)).await.unwrap());
    let tenants = vec![place.tenant("well", &well), place.tenant("ill", &ill)];
    let mut process = place.process().await;
    ill.revoke_tokens(true);
    process.tenants.want(tenants.clone());
    process.lasts(MINUTE).await;
    let why = halted(&process, "ill").expect("it has halted");
    assert!(why.contains("HTTP 401") && why.contains("token"), "{why}");
    assert_eq!(halted(&process, "well"), None);

    // Nothing has changed: nobody starts again by being looked at.
    process.tenants.look_again();
    process.lasts(MINUTE).await;
    assert_eq!(process.meter("ill").runs.get(), 1);

    // Another token, still a refused one: it is tried once.
    place.token("ill.events", &ill.token_with_features(&["auditevents"]));
    process.tenants.look_again();
    process.lasts(MINUTE).await;
    assert_eq!(process.meter("ill").runs.get(), 2);
    assert!(halted(&process, "ill").is_some());

    ill.revoke_tokens(false);
    let changes = process.tenants.want(tenants.clone());
    assert_eq!((changes.restarted, changes.kept), (names(&["ill"]), names(&["well"])));
    process.lasts(MINUTE).await;
    assert_eq!((halted(&process, "ill"), process.meter("well").runs.get()), (None, 1));

    // A stream that has halted is a reason too; one that the token may not read is none.
    ill.script(Script { times: 5, ..Script::next(Endpoint::Auditevents, Fault::Malformed) });
    process.lasts(2 * MINUTE).await;
    assert!(process.meter("ill").has_halted());
    let changes = process.tenants.want(tenants.clone());
    assert_eq!(changes.restarted, names(&["ill"]));
    process.lasts(MINUTE).await;
    assert!(!process.meter("ill").has_halted());
    assert_eq!(process.tenants.want(tenants).kept, names(&["well", "ill"]));
    for (name, _, end) in process.ends().await {
        assert!(end.is_ok(), "{name}: {end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_passes_from_one_tenant_to_another_only_when_the_first_has_drained() {
    let place = Place::new();
    let simulator = Simulator::start(world(1)).await.unwrap();
    let old = place.tenant("old", &simulator);
    let mut process = place.process().await;
    process.tenants.want(vec![old]);
    process.lasts(Duration::from_secs(2)).await;
    // Its upload takes a while to end.
    simulator.script(Script::next(Endpoint::Finalize, Fault::Slow { ms: 20_000 }));
    process.tenants.want(vec![place.tenant("new", &simulator)]);
    process.lasts(Duration::from_secs(10)).await;
    let listed = |process: &Process| -> Vec<String> {
        process.tenants.roster().list().into_iter().map(|(name, _)| name.to_string()).collect()
    };
    assert_eq!(listed(&process), ["old"], "the instance is still in use");
    process.lasts(Duration::from_secs(30)).await;
    assert_eq!(listed(&process), ["new"]);
    process.lasts(MINUTE).await;
    let ends = process.ends().await;
    assert!(ends.iter().all(|(.., end)| end.is_ok()), "{ends:?}");
    simulator.settle();
    assert_eq!(simulator.report().jobs.concurrent_jobs, 0);
}
