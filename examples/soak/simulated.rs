//! The other side: a simulated 1Password and JupiterOne in a process of its own,
//! so that what is measured is the program alone.

use std::{
    error::Error,
    io::{BufRead, BufReader, Write, stdin, stdout},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use opgraph_simulator::{Config, Endpoint, Fault, Faults, Limits, Report, Script, Simulator};
use serde::{Deserialize, Serialize};

/// More events than any run reads.
pub(crate) const EVENTS: u64 = 300_000_000;
/// How many of them happened in a day, so that a rewind by two days reads again
/// what a large account has in two days.
const EVENTS_A_DAY: u64 = 50_000;

/// How far back the events reach.
pub(crate) fn history() -> Duration {
    Duration::from_secs(EVENTS / EVENTS_A_DAY * 86_400)
}

/// What the program has to be told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Access {
    pub(crate) url: String,
    pub(crate) events_token: String,
    pub(crate) jupiterone_token: String,
    pub(crate) account: String,
    pub(crate) instance: String,
}

/// Serves until the input ends. Says first how it is reached; a line of input
/// holds the events back from then on; the end of the input asks for the report.
pub(crate) async fn serve(seed: u64) -> Result<(), Box<dyn Error>> {
    let config = Config {
        seed,
        events: EVENTS,
        history: history(),
        // What is measured is the program, not the limits that it keeps.
        limits: Limits { per_minute: 10_000_000, per_hour: 500_000_000 },
        faults: Faults::rough(),
        ..Config::default()
    };
    let simulator = Simulator::start(config).await?;
    say(&Access {
        url: simulator.events_url(),
        events_token: simulator.events_token().to_owned(),
        jupiterone_token: simulator.jupiterone_token().to_owned(),
        account: simulator.jupiterone_account().to_owned(),
        instance: simulator.integration_instance_id().to_owned(),
    })?;
    let simulator = tokio::task::spawn_blocking(move || {
        for line in stdin().lines() {
            line?;
            for endpoint in [Endpoint::Signinattempts, Endpoint::Itemusages, Endpoint::Auditevents] {
                let busy = Fault::Status { code: 503, retry_after: None };
                simulator.script(Script { endpoint, nth: 1, fault: busy, times: u64::MAX });
            }
        }
        Ok::<_, std::io::Error>(simulator)
    })
    .await??;
    simulator.settle();
    say(&simulator.report())?;
    simulator.stop().await;
    Ok(())
}

fn say(what: &impl Serialize) -> Result<(), Box<dyn Error>> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    stdout().write_all(&line)?;
    Ok(stdout().flush()?)
}

/// The process that [`serve`]s.
pub(crate) struct Other {
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Other {
    /// Starts it; answers how it is reached.
    pub(crate) fn start(seed: u64) -> Result<(Other, Access), Box<dyn Error>> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["--serve", "--seed", &seed.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let answers = BufReader::new(process.stdout.take().ok_or("no output of the simulator")?);
        let mut other = Other { orders: process.stdin.take(), process, answers };
        let access = serde_json::from_str(&other.line()?)?;
        Ok((other, access))
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// No page is served any more: what was served can be committed.
    pub(crate) fn hold_events_back(&mut self) -> Result<(), Box<dyn Error>> {
        Ok(self.orders.as_mut().ok_or("the simulator has ended")?.write_all(b"\n")?)
    }

    /// Ends it; answers what it saw.
    pub(crate) fn report(mut self) -> Result<Report, Box<dyn Error>> {
        drop(self.orders.take());
        let report = serde_json::from_str(&self.line()?)?;
        self.process.wait()?;
        Ok(report)
    }

    fn line(&mut self) -> Result<String, Box<dyn Error>> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line)
    }
}

/// Nothing is left running, however the soak ends.
impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
