//! Opens items, on a thread of its own whose freed memory is wiped.
//!
//! An item's detail holds secret values, and there is no way to ask for less.
//! Everything that touches them (the HTTP connection, the answer, the parser)
//! lives and dies on this thread; what leaves it are [`Labels`].

use std::{io, thread, time::Duration};

use tokio::{
    runtime,
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};

use super::Labels;
use crate::{
    http::{Client, ClientSettings, Failure, Outcome, Remedy, Request, senseless},
    secret::wipe,
};

/// After this long without a question the connections are closed: their buffers
/// are freed, and so wiped.
const IDLE: Duration = Duration::from_secs(1);

/// The way to the thread. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Opener {
    asks: mpsc::Sender<Ask>,
}

struct Ask {
    request: Request,
    answer: oneshot::Sender<Result<Labels, Failure>>,
}

impl Opener {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Opener> {
        let (asks, asked) = mpsc::channel(1);
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name("opgraph-open".to_owned()).spawn(move || {
            wipe::everything_freed_here();
            runtime.block_on(serve(asked));
        })?;
        Ok(Opener { asks })
    }

    /// Makes one attempt at opening an item.
    pub(super) async fn open(&self, request: Request) -> Result<Labels, Failure> {
        let gone = failure(&request, "the thread that opens items has ended".into());
        let (answer, answered) = oneshot::channel();
        if self.asks.send(Ask { request, answer }).await.is_err() {
            return Err(gone);
        }
        answered.await.unwrap_or(Err(gone))
    }
}

async fn serve(mut asked: mpsc::Receiver<Ask>) {
    while let Some(first) = asked.recv().await {
        let client = match client() {
            Ok(client) => client,
            Err(error) => {
                // Whoever asked may have given up.
                let _ = first.answer.send(Err(failure(&first.request, error.into())));
                continue;
            }
        };
        let mut opening = JoinSet::new();
        let mut next = Some(first);
        while let Some(Ask { request, answer }) = next.take() {
            let client = client.clone();
            opening.spawn(async move {
                let _ = answer.send(open(&client, &request).await);
            });
            while opening.try_join_next().is_some() {}
            next = timeout(IDLE, asked.recv()).await.ok().flatten();
        }
        while opening.join_next().await.is_some() {}
    }
}

fn client() -> Result<Client, reqwest::Error> {
    Client::new(&ClientSettings {
        timeout: Duration::from_secs(30),
        // An item with long notes and many fields is some 100 KB.
        largest_answer: 16 << 20,
        // A decompressor may have memory that is not ours to wipe.
        compressed: false,
        ..ClientSettings::default()
    })
}

async fn open(client: &Client, request: &Request) -> Result<Labels, Failure> {
    let answer = client.send(request).await.map_err(unsaid)?;
    Labels::read(&answer.body).map_err(|error| {
        // What class of error, not its text.
        let cause = format!("the answer is no item ({:?} error)", error.classify());
        senseless(request, answer.status, cause.into())
    })
}

/// Leaves out what an error's body says: a gateway that gave up within an item
/// may repeat a part of it. A success that breaks off has no such body.
fn unsaid(failure: Failure) -> Failure {
    match failure.status {
        Some(status @ (..200 | 300..)) => {
            Failure { code: None, cause: format!("HTTP {status}").into(), ..failure }
        }
        _ => failure,
    }
}

fn failure(request: &Request, cause: Box<dyn std::error::Error + Send + Sync>) -> Failure {
    Failure {
        doing: request.doing.clone(),
        status: None,
        code: None,
        outcome: Outcome::NotDone,
        remedy: Remedy::RETRY,
        cause,
    }
}
