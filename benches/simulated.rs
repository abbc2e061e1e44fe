//! The other side in a process of its own, so that what is measured is the program alone.

use std::{
    convert::Infallible,
    io::{BufRead, BufReader, Write, stdin, stdout},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use opgraph::cli::judge::judge;
use opgraph_simulator::{Report, Simulator};
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, task::block_in_place};
use tokio_util::task::AbortOnDropHandle;

use crate::{Failed, account};

/// How the other side is reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Access {
    /// Both APIs.
    pub url: String,
    /// Takes any body and does nothing with it.
    pub drain: String,
    /// The token of the Events API.
    pub events_token: String,
    /// The API key of JupiterOne.
    pub jupiterone_token: String,
    /// JupiterOne's account.
    pub account: String,
    /// The integration instance.
    pub instance: String,
}

/// What the process is asked, a line each. The end of its input ends it.
#[derive(Debug, Serialize, Deserialize)]
enum Order {
    /// What JupiterOne holds against what was served.
    Report,
    /// What a local graph holds against what was served.
    Graph(std::path::PathBuf),
}

/// Serves so many events, and answers orders, until the input ends.
///
/// # Errors
///
/// If nothing can be served, or nobody listens.
pub async fn serve(events: u64) -> Result<(), Failed> {
    let simulator = Simulator::start(account(events)).await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let access = Access {
        url: simulator.events_url(),
        drain: format!("http://{}/", listener.local_addr()?),
        events_token: simulator.events_token().to_owned(),
        jupiterone_token: simulator.jupiterone_token().to_owned(),
        account: simulator.jupiterone_account().to_owned(),
        instance: simulator.integration_instance_id().to_owned(),
    };
    let _draining = AbortOnDropHandle::new(tokio::spawn(drain(listener)));
    say(&access)?;
    block_in_place(|| {
        for line in stdin().lines() {
            simulator.settle();
            match serde_json::from_str(&line?)? {
                Order::Report => say(&simulator.report())?,
                Order::Graph(path) => say(&judge(&simulator, &path)?)?,
            }
        }
        Ok::<_, Failed>(())
    })?;
    simulator.stop().await;
    Ok(())
}

/// Takes bodies and forgets them.
async fn drain(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        tokio::spawn(async move {
            let take = service_fn(|request: Request<Incoming>| async {
                let mut body = request.into_body();
                while let Some(Ok(_)) = body.frame().await {}
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), take).await;
        });
    }
}

fn say(what: &impl Serialize) -> Result<(), Failed> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    stdout().write_all(&line)?;
    Ok(stdout().flush()?)
}

/// The process that [`serve`]s.
#[derive(Debug)]
pub struct Other {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// How it is reached.
    pub access: Access,
}

impl Other {
    /// Starts it: `program simulate EVENTS`.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn start(program: &Path, events: u64) -> Result<Other, Failed> {
        let mut process = Command::new(program)
            .args(["simulate", &events.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = process.stdin.take().ok_or("no input of the simulator")?;
        let mut answers = BufReader::new(process.stdout.take().ok_or("no output of the simulator")?);
        let access = serde_json::from_str(&line(&mut answers)?)?;
        Ok(Other { process, orders, answers, access })
    }

    /// What JupiterOne holds, against what was served.
    ///
    /// # Errors
    ///
    /// If the process has ended.
    pub fn report(&mut self) -> Result<Report, Failed> {
        self.ask(&Order::Report)
    }

    /// What the local graph holds, against what was served.
    ///
    /// # Errors
    ///
    /// If there is none, or the process has ended.
    pub fn report_of(&mut self, graph: &Path) -> Result<Report, Failed> {
        self.ask(&Order::Graph(graph.to_owned()))
    }

    fn ask(&mut self, order: &Order) -> Result<Report, Failed> {
        let mut text = serde_json::to_vec(order)?;
        text.push(b'\n');
        self.orders.write_all(&text)?;
        Ok(serde_json::from_str(&line(&mut self.answers)?)?)
    }
}

/// Nothing is left running, however the measurement ends.
impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn line(answers: &mut impl BufRead) -> Result<String, Failed> {
    let mut line = String::new();
    answers.read_line(&mut line)?;
    Ok(line)
}
