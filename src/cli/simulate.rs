//! `opgraph simulate`: the simulated 1Password and JupiterOne, and nothing else.

use opgraph_simulator::{Config, Faults, Simulator, serve};

use super::{
    args::{self, Simulate},
    failed::{Exit, Failed},
    out,
};

/// Runs the command: serves until it is interrupted, then prints the last report as JSON.
pub(super) async fn run(simulate: Simulate) -> Result<(), Failed> {
    let Simulate {
        events,
        seed,
        rate,
        vaults,
        items_per_vault,
        connect_changes_per_hour,
        faults,
        latency,
        listen,
    } = simulate;
    let config = Config {
        events,
        seed,
        rate,
        vaults,
        items_per_vault,
        connect_changes_per_hour,
        faults: Faults { events_latency_ms: latency, ..self::faults(faults) },
        listen,
        ..Config::default()
    };
    let until = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    let report = serve(config, announce, until).await.map_err(|error| {
        Failed::new(Exit::Other, "simulate").because(error).hint("choose another `--listen`")
    })?;
    out::json(&report)
}

/// What goes wrong in a simulation.
pub(super) fn faults(faults: args::Faults) -> Faults {
    match faults {
        args::Faults::None => Faults::none(),
        args::Faults::Rough => Faults::rough(),
    }
}

/// Says how to use it. The tokens are the simulator's own and open nothing else.
fn announce(simulator: &Simulator) {
    out::print(format_args!(
        "simulating 1Password and JupiterOne on {url}; report: {url}/report; stop with Ctrl-C\n\n\
         export OP_EVENTS_TOKEN={events}\n\
         export OP_CONNECT_TOKEN={connect}\n\
         export JUPITERONE_API_KEY={key}\n\
         opgraph run --once --events-url {url} --start 120d --connect-url {connect_url} \\\n  \
         --jupiterone-url {j1} --jupiterone-account {account} --jupiterone-instance {instance}\n",
        url = simulator.events_url(),
        j1 = simulator.jupiterone_url(),
        events = simulator.events_token(),
        connect = simulator.connect_token(),
        connect_url = simulator.connect_url(),
        key = simulator.jupiterone_token(),
        account = simulator.jupiterone_account(),
        instance = simulator.integration_instance_id(),
    ));
}
