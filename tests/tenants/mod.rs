//! Many tenants in one process: one's failure is not another's.

mod place;

mod set;

mod isolation;

mod account;

mod reload;

use opgraph_simulator::{Config, Endpoint, Fault, Script, Simulator};

use crate::support::program::{Place, ended, held};

/// A configuration of tenants, each at its own simulator.
fn configured(place: &Place, simulators: &[(&str, &Simulator)]) -> String {
    let dir = place.dir.path().display();
    let mut text = format!("state_dir = \"{dir}/state\"\n");
    for (name, simulator) in simulators {
        place.write_token(&format!("{name}.token"), simulator.events_token());
        text.push_str(&format!(
            "[[tenant]]\nname = \"{name}\"\n[tenant.events]\nbase_url = \"{}\"\n\
             token = {{ file = \"{dir}/{name}.token\" }}\n[tenant.graph]\npath = \"{dir}/{name}.db\"\n",
            simulator.events_url(),
        ));
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_fails_does_not_stop_another() {
    let start = |seed| Simulator::start(Config { seed, events: 2000, page_cap: 200, ..Config::default() });
    let (well, ill, mute) = (start(1).await.unwrap(), start(2).await.unwrap(), start(3).await.unwrap());
    ill.script(Script::nth(Endpoint::Itemusages, 2, Fault::RevokeToken));
    mute.script(Script { times: 100, ..Script::next(Endpoint::Signinattempts, Fault::Malformed) });
    let place = Place::of(&well);
    let file = place.path("opgraph.toml");
    std::fs::write(&file, configured(&place, &[("ill", &ill), ("well", &well), ("mute", &mute)])).unwrap();
    let mut run = place.program();
    run.args(["run", "--once", "--json", "--config"]).arg(&file);
    let answered = ended(run).await;
    assert_eq!(answered.code, Some(3), "the first failure decides: {}", answered.stderr);

    let report = well.report_of(held(&place.path("well.db")));
    assert!(report.is_exact() && report.is_caught_up(), "{:#?}", report.graph);
    let of = |name: &str| {
        let lines =
            answered.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.into_iter().find(|summary| summary["tenant"] == name).unwrap()
    };
    assert_eq!(of("well")["retries"], 0);
    assert_eq!(of("mute")["streams"]["signinattempts"]["state"], "halted");
    assert_eq!(of("mute")["streams"]["auditevents"]["state"], "caught up");
}
