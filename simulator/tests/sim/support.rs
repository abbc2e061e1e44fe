//! A plain client of both APIs, and records to send.

use std::sync::Once;

use jiff::Timestamp;
use opgraph_simulator::{Comparison, Config, ExpectedRecord, Finalize, Held, Simulator};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};

/// Where the simulated clock starts in these tests.
pub(crate) const NOW: &str = "2026-03-01T12:00:00Z";

pub(crate) const STREAMS: [&str; 3] = ["signinattempts", "itemusages", "auditevents"];

/// A simulator and a client of it.
pub(crate) struct Rig {
    pub(crate) sim: Simulator,
    pub(crate) client: Client,
}

pub(crate) fn config() -> Config {
    Config {
        events: 2000,
        now: Some(NOW.parse::<Timestamp>().unwrap()),
        finalize: Finalize::After(std::time::Duration::ZERO),
        ..Config::default()
    }
}

pub(crate) async fn rig(config: Config) -> Rig {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        rustls::crypto::ring::default_provider().install_default().unwrap();
    });
    let client = Client::builder().no_proxy().build().unwrap();
    Rig { sim: Simulator::start(config).await.unwrap(), client }
}

/// A status with its body, `Value::String` where that is no JSON.
pub(crate) type Told = (u16, Value);

pub(crate) async fn told(request: RequestBuilder) -> Told {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

impl Rig {
    pub(crate) fn page_request(&self, stream: &str, token: &str, body: String) -> RequestBuilder {
        self.client
            .post(format!("{}/api/v2/{stream}", self.sim.events_url()))
            .bearer_auth(token)
            .header("content-type", "application/json")
            .body(body)
    }

    pub(crate) async fn page(&self, stream: &str, body: Value) -> Told {
        told(self.page_request(stream, self.sim.events_token(), body.to_string())).await
    }

    /// Reads a stream from the beginning until it is exhausted. Returns the events and the last cursor.
    pub(crate) async fn read(&self, stream: &str) -> (Vec<Value>, String) {
        self.read_from(stream, json!({"limit": 1000, "start_time": "2020-01-01T00:00:00Z"})).await
    }

    pub(crate) async fn read_from(&self, stream: &str, first: Value) -> (Vec<Value>, String) {
        let mut events = Vec::new();
        let mut body = first;
        loop {
            let (status, page) = self.page(stream, body).await;
            assert_eq!(status, StatusCode::OK, "{page}");
            events.extend(page["items"].as_array().unwrap().iter().cloned());
            let cursor = page["cursor"].as_str().unwrap().to_owned();
            if page["has_more"] == false {
                return (events, cursor);
            }
            body = json!({ "cursor": cursor });
        }
    }

    pub(crate) async fn read_all(&self) {
        for stream in STREAMS {
            self.read(stream).await;
        }
    }

    /// A call of JupiterOne: `""` starts a job, `"{id}"` looks at one, `"{id}/finalize"` and so on.
    pub(crate) fn job_request(&self, path: &str, body: Option<&Value>) -> RequestBuilder {
        let slash = if path.is_empty() { "" } else { "/" };
        let url = format!("{}/persister/synchronization/jobs{slash}{path}", self.sim.jupiterone_url());
        let request = match body {
            Some(body) => self.client.post(url).body(body.to_string()),
            None => self.client.get(url),
        };
        request
            .bearer_auth(self.sim.jupiterone_token())
            .header("JupiterOne-Account", self.sim.jupiterone_account())
            .header("content-type", "application/json")
    }

    pub(crate) async fn job(&self, path: &str, body: Value) -> Told {
        told(self.job_request(path, Some(&body))).await
    }

    pub(crate) async fn look(&self, id: &str) -> Value {
        let (status, answer) = told(self.job_request(id, None)).await;
        assert_eq!(status, 200);
        answer["job"].clone()
    }

    /// Starts a job and returns its id.
    pub(crate) async fn start(&self, body: Value) -> String {
        let (status, answer) = self.job("", body).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["job"]["status"], "AWAITING_UPLOADS");
        answer["job"]["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn start_instance(&self) -> String {
        let instance = self.sim.integration_instance_id();
        self.start(json!({"source": "integration-external", "integrationInstanceId": instance})).await
    }

    /// Runs a whole job: upload, finalize with these types as partial datasets, look. Returns the job.
    pub(crate) async fn sync(&self, start: Value, upload: Value, partial: &[&str]) -> Value {
        let id = self.start(start).await;
        let (status, answer) = self.job(&format!("{id}/upload"), upload).await;
        assert_eq!(status, 200, "{answer}");
        let finish = json!({"partialDatasets": {"types": partial}});
        let (status, answer) = self.job(&format!("{id}/finalize"), finish).await;
        assert_eq!((status, &answer["job"]["status"]), (200, &json!("FINALIZE_PENDING")));
        self.look(&id).await
    }

    /// Uploads records as one job of the integration.
    pub(crate) async fn sync_records(&self, records: &[ExpectedRecord]) -> Value {
        let instance = self.sim.integration_instance_id();
        let start = json!({"source": "integration-external", "integrationInstanceId": instance});
        self.sync(start, upload_of(records), &[]).await
    }
}

pub(crate) fn api(scope: &str) -> Value {
    json!({"source": "api", "scope": scope})
}

/// Writes expected records as an upload.
pub(crate) fn upload_of(records: &[ExpectedRecord]) -> Value {
    let (mut entities, mut relationships) = (Vec::new(), Vec::new());
    for record in records {
        match (&record.from, &record.to) {
            (Some(from), Some(to)) => relationships.push(json!({
                "_key": record.key, "_type": record.type_, "_class": record.class,
                "_fromEntityKey": from, "_toEntityKey": to, "displayName": record.class,
            })),
            _ => {
                let mut entity = json!({
                    "_key": record.key, "_type": record.type_, "_class": [record.class],
                    "name": record.names[0], "displayName": record.display_names[0],
                });
                if record.class == "User" {
                    for name in ["firstName", "lastName", "email", "username", "shortLoginId"] {
                        entity[name] = Value::Null;
                    }
                }
                for (name, value) in record.properties.first().into_iter().flatten() {
                    entity[name] = value.clone();
                }
                if let Some(created_on) = record.created_on {
                    entity["createdOn"] = json!(created_on);
                }
                entities.push(entity);
            }
        }
    }
    json!({"entities": entities, "relationships": relationships})
}

pub(crate) fn held(record: &ExpectedRecord) -> Held {
    Held {
        key: record.key.clone(),
        type_: record.type_.clone(),
        class: Some(record.class.clone()),
        from: record.from.clone(),
        to: record.to.clone(),
        name: record.names.first().cloned(),
        display_name: record.display_names.first().cloned(),
        created_on: Some(record.created_on),
    }
}

/// The counts of missing, unexpected, duplicated, dangling and wrong.
pub(crate) fn counts(comparison: &Comparison) -> [u64; 5] {
    [
        comparison.missing.count,
        comparison.unexpected.count,
        comparison.duplicated.count,
        comparison.dangling.count,
        comparison.wrong.count,
    ]
}

/// A small entity that every rule accepts.
pub(crate) fn entity(key: &str) -> Value {
    json!({"_key": key, "_type": "thing", "_class": ["Record"], "name": "n", "displayName": "n"})
}

/// A small relationship that every rule accepts.
pub(crate) fn edge(from: &str, to: &str) -> Value {
    json!({
        "_key": format!("{from}|has|{to}"), "_type": "thing_has_thing", "_class": "HAS",
        "_fromEntityKey": from, "_toEntityKey": to, "displayName": "HAS",
    })
}
