//! Everything behind the listener: which call a request is, and the simulator's own calls.

mod connect_calls;
mod events_calls;
mod job_calls;
mod spoil;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use hyper::{HeaderMap, Request, Response, body::Incoming, header::AUTHORIZATION};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    Change, Config, Endpoint, Expected, Report, Script, Stream,
    answer::{Answer, Dropped, Sent},
    bits::Bits,
    body::{self, Unreadable},
    connect::Connect,
    events_api::Ledger,
    faults::Plan,
    generate::World,
    jupiterone::JupiterOne,
    keys::Keys,
    oracle::Expectation,
    route::{self, Route},
    windows::Windows,
};

/// The most bytes of a request to the Events API or to the simulator itself.
const SMALL: usize = 64 * 1024;

/// Who the simulated accounts are.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// What signs the tokens of the Events API; this simulator's alone.
    pub(crate) secret: u64,
    pub(crate) account_uuid: String,
    pub(crate) integration_uuid: String,
    pub(crate) token: String,
    pub(crate) jupiterone_token: String,
    pub(crate) jupiterone_account: String,
    pub(crate) integration_instance_id: String,
}

/// Everything behind the listener.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) names: Names,
    pub(crate) world: Arc<World>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) plan: Plan,
    pub(crate) jupiterone: JupiterOne,
    pub(crate) connect: Arc<Connect>,
    config: Config,
    started: Instant,
    windows: Mutex<Windows>,
    ledgers: Mutex<[Ledger; 3]>,
    revoked: AtomicBool,
    /// Errors answered so far; each one's shape comes from its number.
    errors: AtomicU64,
}

impl Host {
    pub(crate) fn new(config: Config, names: Names, world: World) -> Host {
        let world = Arc::new(world);
        let keys = Arc::new(Keys::new(Arc::clone(&world)));
        Host {
            jupiterone: JupiterOne::new(&config, Arc::clone(&keys), &names.integration_instance_id),
            connect: Arc::new(Connect::new(&config, Arc::clone(&world))),
            plan: Plan::new(config.seed, config.faults.clone()),
            windows: Mutex::new(Windows::new(config.limits)),
            ledgers: Mutex::default(),
            revoked: AtomicBool::new(false),
            errors: AtomicU64::new(0),
            started: Instant::now(),
            names,
            world,
            keys,
            config,
        }
    }

    /// Returns the simulated time, nanoseconds since the epoch.
    pub(crate) fn now(&self) -> i64 {
        self.world.start.saturating_add(self.started.elapsed().as_nanos() as i64)
    }

    fn arrived(&self, stream: Stream) -> u64 {
        self.world.arrived(stream, self.started.elapsed())
    }

    /// Answers a request, or drops its connection.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Result<Response<Sent>, Dropped> {
        let route = route::route(request.method(), request.uri().path());
        let (head, body) = request.into_parts();
        let limit = match &route {
            Route::Job(endpoint, _) => self.most_bytes(*endpoint),
            _ => SMALL,
        };
        let body = match body::read(body, limit).await {
            Err(Unreadable::Gone) => return Err(Dropped::Reset),
            body => body,
        };
        match route {
            Route::Introspect => {
                self.events_call(Endpoint::Introspect, None, &head.headers, Ok(Bytes::new())).await
            }
            Route::Page(stream) => {
                self.events_call(route::page_endpoint(stream), Some(stream), &head.headers, body).await
            }
            Route::Job(endpoint, id) => self.job_call(endpoint, &id, &head.headers, body).await,
            Route::Connect(call) => self.connect_call(&call, head.uri.query(), &head.headers).await,
            Route::Report => Ok(Answer::value(200, &self.report(None)).whole()),
            Route::Expected => {
                let records = self.expected();
                Ok(Answer::lines(records.map(|record| serde_json::to_string(&record).unwrap_or_default())))
            }
            Route::Script => Ok(self.script(&body.unwrap_or_default()).whole()),
            Route::Change => Ok(self.change(&body.unwrap_or_default()).whole()),
            Route::Settle => {
                self.jupiterone.settle();
                Ok(Answer::json(200, "{}").whole())
            }
            Route::WrongMethod => Ok(Answer::text(405, "405 method not allowed").whole()),
            // Seen in production on a wrong path: plain text (the errors that 1Password's Splunk app lists).
            Route::Unknown => Ok(Answer::text(404, "404 page not found").whole()),
        }
    }

    /// Returns the most bytes of a body. The limit is known of uploads only.
    fn most_bytes(&self, endpoint: Endpoint) -> usize {
        match endpoint {
            Endpoint::Upload | Endpoint::Entities | Endpoint::Relationships => self.config.body_limit,
            _ => SMALL,
        }
    }

    fn script(&self, body: &[u8]) -> Answer {
        let one = serde_json::from_slice::<Script>(body).map(|script| vec![script]);
        match one.or_else(|_| serde_json::from_slice::<Vec<Script>>(body)) {
            Ok(scripts) => {
                scripts.into_iter().for_each(|script| self.plan.script(script));
                Answer::json(200, "{}")
            }
            Err(error) => Answer::value(400, &json!({"error": error.to_string()})),
        }
    }

    fn change(&self, body: &[u8]) -> Answer {
        let error = |error: &dyn std::fmt::Display| Answer::value(400, &json!({"error": error.to_string()}));
        let now = self.now();
        match serde_json::from_slice::<Change>(body) {
            Ok(change) => match self.connect.account(now).apply(&change, now) {
                Ok(id) => Answer::value(200, &json!({ "id": id })),
                Err(why) => error(&why),
            },
            Err(why) => error(&why),
        }
    }

    /// Lets the events token work again, or no more.
    pub(crate) fn revoke(&self, revoked: bool) {
        self.revoked.store(revoked, Ordering::Relaxed);
    }

    /// Returns the expectation for what was served so far.
    pub(crate) fn expectation(&self) -> Expectation {
        let served: [Bits; 3] = {
            let ledgers = self.ledgers.lock().unwrap_or_else(PoisonError::into_inner);
            Stream::ALL.map(|stream| ledgers[stream.index()].served.clone())
        };
        Expectation::new(&self.world, served, &self.connect.contents, self.connect.listed())
    }

    pub(crate) fn expected(&self) -> Expected {
        Expected::new(Arc::clone(&self.keys), self.expectation())
    }

    /// Returns the report, with `graph` in place of JupiterOne's where it is given.
    pub(crate) fn report(&self, graph: Option<crate::Comparison>) -> Report {
        // Served first: what is served while the graph is looked at cannot be held yet.
        let streams = {
            let ledgers = self.ledgers.lock().unwrap_or_else(PoisonError::into_inner);
            Stream::ALL
                .into_iter()
                .map(|stream| {
                    let counts = ledgers[stream.index()].counts.clone();
                    (stream, crate::Served { arrived: self.arrived(stream), ..counts })
                })
                .collect()
        };
        let (received, jobs, own) = self.jupiterone.report(&self.expectation());
        let (requests, faults) = self.plan.counts();
        Report {
            streams,
            requests,
            faults,
            limits: self.windows.lock().unwrap_or_else(PoisonError::into_inner).report(),
            received,
            jobs,
            connect: self.connect.report(self.now()),
            graph: graph.unwrap_or(own),
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// Sleeps, unless for no time at all: even that would cost a turn of the timer.
async fn sleep_some(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}
