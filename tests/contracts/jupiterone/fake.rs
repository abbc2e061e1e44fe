//! A JupiterOne on loopback: jobs with counters, scopes with content, and one scripted fault at a time.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io::Read,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use flate2::read::GzDecoder;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate, matchers::any};

/// One kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum On {
    Start,
    Status,
    Entities,
    Relationships,
    Finalize,
    Abort,
    Events,
}

/// What goes wrong with one call.
pub(super) enum Fault {
    /// It is refused like this and nothing is done.
    Refuse(ResponseTemplate),
    /// It is done, and the answer is lost on the way.
    LoseAnswer,
    /// It never arrives, and nobody knows.
    LoseRequest,
    /// It is done, and the answer takes longer than anybody waits.
    Hang,
    /// It is done, and what arrives of the answer is something else.
    Garble,
    /// Of an upload's records only the first half is taken, and the answer is lost.
    TakeHalf,
}

/// A call as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) on: On,
    pub(super) job: String,
    pub(super) headers: BTreeMap<String, String>,
    /// Decompressed.
    pub(super) body: Value,
}

#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) id: String,
    /// The scope, or the instance's id.
    pub(super) scope: String,
    pub(super) state: String,
    pub(super) entities: Vec<Value>,
    pub(super) relationships: Vec<Value>,
    /// The types named as partial, if it was finalized.
    pub(super) partial: Vec<String>,
    pub(super) deleted: (u64, u64),
    /// Status answers until it is finished.
    left: usize,
    /// Status answers that still show the counters as they were.
    stale: usize,
}

/// How the fake behaves. Change it through [`Fake::world`].
#[derive(Default)]
pub(super) struct World {
    pub(super) calls: Vec<Call>,
    pub(super) jobs: Vec<Job>,
    /// By scope and key: what the graph holds.
    pub(super) graph: BTreeMap<String, BTreeMap<String, Value>>,
    faults: BTreeMap<On, VecDeque<Fault>>,
    /// Bodies over this many bytes get a 413.
    pub(super) largest: Option<usize>,
    /// Bodies that hold this text are refused by the name of a record.
    pub(super) dislikes: Option<&'static str>,
    /// Status answers in between finalize and FINISHED.
    pub(super) polls: usize,
    /// The state a job ends in instead of FINISHED.
    pub(super) ends_in: Option<String>,
    /// Entities the counters show too many.
    pub(super) miscounts: u64,
    /// Status answers that lag behind the uploads.
    pub(super) lags: usize,
    /// Forget `partialDatasets`, as a JupiterOne that changed its mind would.
    pub(super) forgets_partial: bool,
    /// Relationships reported as impossible to create.
    pub(super) create_errors: u64,
    /// Jobs belong to an integration, so people see what is told of them.
    pub(super) of_integration: bool,
    /// What people were told: the job, the name and the sentence.
    pub(super) told: Vec<(String, String, String)>,
    /// Scopes and instances that ever had two jobs open at once.
    pub(super) crowded: BTreeSet<String>,
}

pub(super) struct Fake {
    pub(super) server: MockServer,
    world: Arc<Mutex<World>>,
}

impl Fake {
    pub(super) async fn start() -> Fake {
        let server = MockServer::builder().disable_request_recording().start().await;
        let world = Arc::new(Mutex::new(World::default()));
        Mock::given(any()).respond_with(Responder(Arc::clone(&world))).mount(&server).await;
        Fake { server, world }
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Makes the next call of this kind that has no fault yet go wrong.
    pub(super) fn fault(&self, on: On, fault: Fault) {
        self.world().faults.entry(on).or_default().push_back(fault);
    }

    /// The calls of one kind, in order.
    pub(super) fn calls(&self, on: On) -> Vec<Call> {
        self.world().calls.iter().filter(|call| call.on == on).cloned().collect()
    }

    /// The keys in one scope of the graph.
    pub(super) fn keys(&self, scope: &str) -> BTreeSet<String> {
        self.world().graph.get(scope).map(|scope| scope.keys().cloned().collect()).unwrap_or_default()
    }

    /// In how many scopes each key lives that lives in more than one.
    pub(super) fn duplicates(&self) -> BTreeMap<String, usize> {
        let mut count = BTreeMap::new();
        for key in self.world().graph.values().flat_map(BTreeMap::keys) {
            *count.entry(key.clone()).or_insert(0) += 1;
        }
        count.retain(|_, scopes| *scopes > 1);
        count
    }
}

/// An error answer in JupiterOne's shape.
pub(super) fn refusal(status: u16, code: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({ "error": { "code": code, "message": "no" } }))
}

struct Responder(Arc<Mutex<World>>);

impl Respond for Responder {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        self.0.lock().unwrap().respond(request)
    }
}

impl World {
    fn respond(&mut self, request: &Request) -> ResponseTemplate {
        let path = request.url.path().strip_prefix("/persister/synchronization/jobs").expect("the jobs API");
        let mut parts = path.split('/').skip(1);
        let id = parts.next().unwrap_or_default().to_owned();
        let on = match (request.method.as_str(), id.as_str(), parts.next()) {
            ("POST", "", None) => On::Start,
            ("GET", _, None) => On::Status,
            ("POST", _, Some("entities")) => On::Entities,
            ("POST", _, Some("relationships")) => On::Relationships,
            ("POST", _, Some("finalize")) => On::Finalize,
            ("POST", _, Some("abort")) => On::Abort,
            ("POST", _, Some("events")) => On::Events,
            other => panic!("no such call: {other:?}"),
        };
        let headers: BTreeMap<String, String> = request
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap().to_owned()))
            .collect();
        let text = match headers.get("content-encoding").map(String::as_str) {
            Some("gzip") => {
                let mut text = String::new();
                GzDecoder::new(&request.body[..]).read_to_string(&mut text).unwrap();
                text
            }
            None => String::from_utf8(request.body.clone()).unwrap(),
            Some(other) => panic!("encoding {other}"),
        };
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
        self.calls.push(Call { on, job: id.clone(), headers, body: body.clone() });

        let fault = self.faults.get_mut(&on).and_then(VecDeque::pop_front);
        match fault {
            None if matches!(on, On::Entities | On::Relationships)
                && self.largest.is_some_and(|most| text.len() > most) =>
            {
                refusal(413, "RequestEntityTooLargeException")
            }
            None if matches!(on, On::Entities | On::Relationships)
                && self.dislikes.is_some_and(|disliked| text.contains(disliked)) =>
            {
                refusal(400, "VALIDATION_ERROR")
            }
            None => self.answer(on, &id, &body),
            Some(Fault::Refuse(answer)) => answer,
            Some(Fault::LoseRequest) => {
                ResponseTemplate::new(502).set_body_string("<html>bad gateway</html>")
            }
            Some(Fault::LoseAnswer) => {
                self.answer(on, &id, &body);
                ResponseTemplate::new(504).set_body_string("upstream timed out")
            }
            Some(Fault::Hang) => self.answer(on, &id, &body).set_delay(Duration::from_secs(60)),
            Some(Fault::Garble) => {
                self.answer(on, &id, &body);
                ResponseTemplate::new(200).set_body_string("<html>sign in</html>")
            }
            Some(Fault::TakeHalf) => {
                let member = if on == On::Entities { "entities" } else { "relationships" };
                let all = body[member].as_array().unwrap();
                self.answer(on, &id, &json!({ member: all[..all.len() / 2] }));
                ResponseTemplate::new(502)
            }
        }
    }

    fn answer(&mut self, on: On, id: &str, body: &Value) -> ResponseTemplate {
        if on == On::Start {
            return self.begin(body);
        }
        if on == On::Events {
            for event in body["events"].as_array().unwrap() {
                let text = |name: &str| event[name].as_str().unwrap().to_owned();
                self.told.push((id.to_owned(), text("name"), text("description")));
            }
            return ResponseTemplate::new(200).set_body_json(body);
        }
        let (polls, ends_in) = (self.polls, self.ends_in.clone());
        let Some(at) = self.jobs.iter().position(|job| job.id == id) else {
            return refusal(404, "NOT_FOUND");
        };
        let job = &mut self.jobs[at];
        match on {
            On::Status if job.state == "FINALIZING_ENTITIES" => match job.left {
                0 => job.state = ends_in.unwrap_or_else(|| "FINISHED".to_owned()),
                _ => job.left -= 1,
            },
            On::Status => {}
            _ if job.state != "AWAITING_UPLOADS" => return refusal(400, "JOB_NOT_AWAITING_UPLOADS"),
            On::Entities => job.entities.extend(body["entities"].as_array().unwrap().iter().cloned()),
            On::Relationships => {
                job.relationships.extend(body["relationships"].as_array().unwrap().iter().cloned());
            }
            On::Abort => job.state = "ABORTED".to_owned(),
            On::Finalize => {
                job.state = "FINALIZING_ENTITIES".to_owned();
                job.left = polls;
                let partial = body["partialDatasets"]["types"].as_array().cloned().unwrap_or_default();
                job.partial = partial.iter().map(|of| of.as_str().unwrap().to_owned()).collect();
                self.apply(at);
            }
            On::Start | On::Events => unreachable!(),
        }
        self.report(at, on)
    }

    fn begin(&mut self, body: &Value) -> ResponseTemplate {
        let scope = body["scope"].as_str().or(body["integrationInstanceId"].as_str()).unwrap().to_owned();
        let running = |job: &&Job| job.state == "AWAITING_UPLOADS" || job.state.starts_with("FINALIZ");
        if self.jobs.iter().filter(running).any(|job| job.scope == scope) {
            self.crowded.insert(scope.clone());
        }
        self.jobs.push(Job {
            id: format!("job-{}", self.jobs.len()),
            scope,
            state: "AWAITING_UPLOADS".to_owned(),
            entities: Vec::new(),
            relationships: Vec::new(),
            partial: Vec::new(),
            deleted: (0, 0),
            left: 0,
            stale: self.lags,
        });
        self.report(self.jobs.len() - 1, On::Start)
    }

    /// What finalizing a DIFF job does to the graph.
    fn apply(&mut self, at: usize) {
        let job = &mut self.jobs[at];
        let scope = self.graph.entry(job.scope.clone()).or_default();
        let new: BTreeMap<String, Value> = job
            .entities
            .iter()
            .chain(&job.relationships)
            .map(|record| (record["_key"].as_str().unwrap().to_owned(), record.clone()))
            .collect();
        let partial = if self.forgets_partial { &Vec::new() } else { &job.partial };
        let deleted = &mut job.deleted;
        scope.retain(|key, record| {
            let stays = new.contains_key(key) || partial.iter().any(|of| record["_type"] == of.as_str());
            if !stays {
                let of = if record.get("_fromEntityKey").is_some() { &mut deleted.1 } else { &mut deleted.0 };
                *of += 1;
            }
            stays
        });
        scope.extend(new);
    }

    fn report(&mut self, at: usize, on: On) -> ResponseTemplate {
        let job = &mut self.jobs[at];
        let lags = on == On::Status && job.stale > 0;
        if lags {
            job.stale -= 1;
        }
        let integration = self.of_integration.then_some(&job.id);
        let count = |records: &Vec<Value>| if lags { 0 } else { records.len() as u64 };
        ResponseTemplate::new(200).set_body_json(json!({ "job": {
            "id": job.id,
            "integrationJobId": integration,
            "status": job.state,
            "startTimestamp": 1_780_000_000_000_u64,
            "numEntitiesUploaded": count(&job.entities) + self.miscounts,
            "numRelationshipsUploaded": count(&job.relationships),
            "numEntitiesDeleted": job.deleted.0,
            "numRelationshipsDeleted": job.deleted.1,
            "numRelationshipCreateErrors": self.create_errors,
        }}))
    }
}
