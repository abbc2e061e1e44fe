//! The other side of all tenants: one simulator an account, all in one process.

use std::{
    io::{BufRead, BufReader, Write, stdin, stdout},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use opgraph_bench::{Failed, account};
use opgraph_simulator::{Config, Endpoint, Fault, Limits, Script, Simulator};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The three streams.
const PAGES: [Endpoint; 3] = [Endpoint::Signinattempts, Endpoint::Itemusages, Endpoint::Auditevents];

/// What is simulated.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Kind {
    pub(crate) accounts: usize,
    /// Events that wait in each.
    pub(crate) events: u64,
    /// Requests that each allows.
    pub(crate) per_minute: u32,
    /// Events that arrive in each every second.
    pub(crate) rate: f64,
}

/// How one account is reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Access {
    pub(crate) url: String,
    pub(crate) events_token: String,
    pub(crate) jupiterone_token: String,
    pub(crate) account: String,
    pub(crate) instance: String,
}

/// What became of one account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) served: u64,
    pub(crate) exact: bool,
    /// Requests that were refused because of the limits.
    pub(crate) excess: u64,
}

/// What the process is asked, a line each. The end of its input ends it.
#[derive(Debug, Serialize, Deserialize)]
enum Order {
    /// How many pages were asked for so far.
    Requests,
    /// No page is served any more.
    HoldBack,
    /// What became of each account.
    Ends,
    /// How far behind some of the accounts are, the first one not among them.
    Lags(usize),
    /// What goes wrong with the first account from now on.
    Ail(Ailment),
    /// Nothing goes wrong any more.
    Heal,
}

/// What may go wrong with an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ailment {
    /// 503 to every page.
    EventsDown,
    /// 429 to every page, with a second to wait.
    Throttled,
    /// Pages take 50 seconds.
    Slow,
    /// Connections are reset.
    Reset,
    /// Every cursor is refused.
    CursorsRefused,
    /// 503 to everything of JupiterOne.
    JobsDown,
    /// JupiterOne closes each job that is written to.
    JobsClosed,
    /// The token is refused.
    Revoked,
}

impl Ailment {
    /// Every one, the one that halts the tenant last.
    pub(crate) const ALL: [Ailment; 8] = [
        Ailment::EventsDown,
        Ailment::Throttled,
        Ailment::Slow,
        Ailment::Reset,
        Ailment::CursorsRefused,
        Ailment::JobsDown,
        Ailment::JobsClosed,
        Ailment::Revoked,
    ];

    fn befall(self, simulator: &Simulator) {
        let all = |calls: &[Endpoint], fault: Fault| {
            for call in calls {
                simulator.script(Script { endpoint: *call, nth: 1, fault: fault.clone(), times: u64::MAX });
            }
        };
        let jobs = [Endpoint::Start, Endpoint::Entities, Endpoint::Finalize, Endpoint::Status];
        let busy = |code, retry_after| Fault::Status { code, retry_after };
        match self {
            Ailment::EventsDown => all(&PAGES, busy(503, None)),
            Ailment::Throttled => all(&PAGES, busy(429, Some(1))),
            Ailment::Slow => all(&PAGES, Fault::Slow { ms: 50_000 }),
            Ailment::Reset => all(&PAGES, Fault::Reset),
            Ailment::CursorsRefused => all(&PAGES, Fault::RefusedCursor),
            Ailment::JobsDown => all(&jobs, busy(503, None)),
            Ailment::JobsClosed => all(&[Endpoint::Entities], Fault::CloseJob),
            Ailment::Revoked => simulator.revoke_tokens(true),
        }
    }
}

/// Serves until the input ends.
pub(crate) async fn serve(kind: Kind) -> Result<(), Failed> {
    let mut simulators = Vec::new();
    for number in 0..kind.accounts {
        let config = Config {
            seed: number as u64 + 1,
            history: Duration::from_secs(100 * 86_400),
            rate: kind.rate,
            limits: Limits { per_minute: kind.per_minute, per_hour: kind.per_minute.saturating_mul(50) },
            ..account(kind.events)
        };
        simulators.push(Simulator::start(config).await?);
    }
    let access = |simulator: &Simulator| Access {
        url: simulator.events_url(),
        events_token: simulator.events_token().to_owned(),
        jupiterone_token: simulator.jupiterone_token().to_owned(),
        account: simulator.jupiterone_account().to_owned(),
        instance: simulator.integration_instance_id().to_owned(),
    };
    say(&simulators.iter().map(access).collect::<Vec<_>>())?;
    tokio::task::block_in_place(|| {
        for line in stdin().lines() {
            match serde_json::from_str(&line?)? {
                Order::Requests => say(&simulators.iter().map(requests).sum::<u64>())?,
                Order::HoldBack => simulators.iter().for_each(hold_back),
                Order::Ends => say(&simulators.iter().map(end).collect::<Vec<_>>())?,
                Order::Lags(some) => say(&lags(&simulators, some, kind.rate))?,
                Order::Ail(ailment) => simulators.iter().take(1).for_each(|ill| ailment.befall(ill)),
                Order::Heal => simulators.iter().take(1).for_each(|ill| {
                    ill.calm();
                    ill.revoke_tokens(false);
                }),
            }
        }
        Ok(())
    })
}

fn requests(simulator: &Simulator) -> u64 {
    let asked = simulator.report().requests;
    PAGES.iter().filter_map(|endpoint| asked.get(endpoint)).sum()
}

/// Seconds of events that have arrived and were not served, of accounts spread over all.
fn lags(simulators: &[Simulator], some: usize, rate: f64) -> Vec<f64> {
    let step = (simulators.len() / some.max(1)).max(1);
    let behind = |simulator: &Simulator| {
        let report = simulator.report();
        let arrived: u64 = report.streams.values().map(|stream| stream.arrived).sum();
        arrived.saturating_sub(report.served()) as f64 / rate
    };
    simulators.iter().skip(1).step_by(step).map(behind).collect()
}

fn hold_back(simulator: &Simulator) {
    for endpoint in PAGES {
        let busy = Fault::Status { code: 503, retry_after: None };
        simulator.script(Script { endpoint, nth: 1, fault: busy, times: u64::MAX });
    }
}

fn end(simulator: &Simulator) -> End {
    simulator.settle();
    let report = simulator.report();
    End { served: report.served(), exact: report.is_exact(), excess: report.limits.excess }
}

fn say(what: &impl Serialize) -> Result<(), Failed> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    stdout().write_all(&line)?;
    Ok(stdout().flush()?)
}

/// The process that [`serve`]s.
pub(crate) struct Others {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// How each account is reached.
    pub(crate) accesses: Vec<Access>,
}

impl Others {
    /// Starts it.
    pub(crate) fn start(kind: &Kind) -> Result<Others, Failed> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["simulate", &serde_json::to_string(kind)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = process.stdin.take().ok_or("no input of the simulators")?;
        let answers = BufReader::new(process.stdout.take().ok_or("no output of the simulators")?);
        let mut others = Others { process, orders, answers, accesses: Vec::new() };
        others.accesses = others.read()?;
        Ok(others)
    }

    /// How many pages were asked for so far, of all accounts.
    pub(crate) fn requests(&mut self) -> Result<u64, Failed> {
        self.order(&Order::Requests)?;
        self.read()
    }

    /// No page is served any more: what was served can be committed.
    pub(crate) fn hold_back(&mut self) -> Result<(), Failed> {
        self.order(&Order::HoldBack)
    }

    /// How far behind some of the accounts are, in seconds, the first one not among them.
    pub(crate) fn lags(&mut self, some: usize) -> Result<Vec<f64>, Failed> {
        self.order(&Order::Lags(some))?;
        self.read()
    }

    /// What goes wrong with the first account from now on, if anything.
    pub(crate) fn ail(&mut self, ailment: Option<Ailment>) -> Result<(), Failed> {
        self.order(&ailment.map_or(Order::Heal, Order::Ail))
    }

    /// What became of each account.
    pub(crate) fn ends(&mut self) -> Result<Vec<End>, Failed> {
        self.order(&Order::Ends)?;
        self.read()
    }

    fn order(&mut self, order: &Order) -> Result<(), Failed> {
        let mut text = serde_json::to_vec(order)?;
        text.push(b'\n');
        Ok(self.orders.write_all(&text)?)
    }

    fn read<T: DeserializeOwned>(&mut self) -> Result<T, Failed> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }
}

/// Nothing is left running, however the measurement ends.
impl Drop for Others {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
