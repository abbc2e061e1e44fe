//! The sync-job calls, typed. Knows the wire, decides nothing.

use std::{sync::Arc, time::Duration};

use reqwest::Method;
use serde::{Deserialize, Serialize};
use tracing::warn;
use url::Url;

use super::{JupiterOneSettings, notices::Notice, pack::Kind, report::Report};
use crate::{
    http::{Answer, Asked, Body, Client, Failure, Outcome, Patience, Remedy, Request, until_done},
    telemetry::Meter,
};

/// How long one request is repeated before the upload fails. The run then
/// starts again from the checkpoints, under the supervisor's backoff: a job
/// that is kept open through a long outage is closed by JupiterOne anyway.
pub(super) const GIVE_UP_AFTER: Duration = Duration::from_secs(5 * 60);

/// Talks to one JupiterOne account.
pub(super) struct Api {
    pub(super) client: Client,
    pub(super) settings: Arc<JupiterOneSettings>,
    pub(super) meter: Arc<Meter>,
}

/// Where a job's records belong. The body of its start: JupiterOne's SDK sends
/// no `syncMode` either, which means DIFF.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Target {
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    integration_instance_id: Option<String>,
}

/// The `source` of records that belong to a scope of our own.
pub(super) const API: &str = "api";

impl Target {
    /// An integration instance.
    pub(super) fn instance(source: &str, id: &str) -> Target {
        Target { source: source.to_owned(), scope: None, integration_instance_id: Some(id.to_owned()) }
    }

    /// A scope of our own.
    pub(super) fn scope(scope: String) -> Target {
        Target { source: API.to_owned(), scope: Some(scope), integration_instance_id: None }
    }

    /// The scope, unless it is an instance.
    pub(super) fn scope_name(&self) -> Option<&str> {
        self.scope.as_deref()
    }
}

/// One call, before it becomes a request.
struct Call<'a> {
    doing: String,
    method: Method,
    /// What follows `/persister/synchronization/jobs`.
    path: &'a [&'a str],
    body: Option<Body>,
    correlation: Option<&'a str>,
    /// Whether doing it twice does no harm.
    repeat_unknown: bool,
}

impl Api {
    /// Starts a job and answers how it is.
    ///
    /// A lost answer is repeated: nobody can find the job whose id was lost.
    /// Such an orphan takes nothing and never reaches the graph.
    pub(super) async fn start(&self, target: &Target) -> Result<Report, Failure> {
        let call = Call {
            doing: "start a sync job".to_owned(),
            method: Method::POST,
            path: &[],
            body: Some(json(target)),
            correlation: None,
            repeat_unknown: true,
        };
        let job = self.call(call).await?;
        self.meter.jobs.add(1);
        Ok(job)
    }

    /// Asks how a job is.
    pub(super) async fn status(&self, job: &str) -> Result<Report, Failure> {
        let call = Call {
            doing: format!("ask for the status of sync job {job}"),
            method: Method::GET,
            path: &[job],
            body: None,
            correlation: None,
            repeat_unknown: true,
        };
        self.call(call).await
    }

    /// Uploads one body. Ok means that the job says it has taken all of it.
    pub(super) async fn upload(
        &self,
        job: &str,
        kind: Kind,
        body: Body,
        correlation: &str,
    ) -> Result<(), Failure> {
        let call = Call {
            doing: format!("upload {} to sync job {job}", kind.name()),
            method: Method::POST,
            path: &[job, kind.name()],
            body: Some(body),
            correlation: Some(correlation),
            repeat_unknown: false,
        };
        self.call(call).await.map(drop)
    }

    /// Asks for a job to be finalized; what is of a type in `partial` is kept
    /// even where the job does not mention it.
    pub(super) async fn finalize(&self, job: &str, partial: &[&'static str]) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Types<'a> {
            types: &'a [&'static str],
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Finalize<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            partial_datasets: Option<Types<'a>>,
        }
        let partial_datasets = (!partial.is_empty()).then_some(Types { types: partial });
        let call = Call {
            doing: format!("finalize sync job {job}"),
            method: Method::POST,
            path: &[job, "finalize"],
            body: Some(json(&Finalize { partial_datasets })),
            correlation: None,
            repeat_unknown: false,
        };
        self.call(call).await.map(drop)
    }

    /// Aborts a job that still takes uploads. Doing it twice does no harm.
    pub(super) async fn abort(&self, job: &str, reason: &str) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Abort<'a> {
            reason: &'a str,
        }
        let call = Call {
            doing: format!("abort sync job {job}"),
            method: Method::POST,
            path: &[job, "abort"],
            body: Some(json(&Abort { reason })),
            correlation: None,
            repeat_unknown: true,
        };
        self.call(call).await.map(drop)
    }

    /// Tells people of a job. One attempt: nothing depends on it.
    pub(super) async fn tell(&self, job: &str, notices: &[Notice]) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Events<'a> {
            events: &'a [Notice],
        }
        let call = Call {
            doing: format!("tell of sync job {job}"),
            method: Method::POST,
            path: &[job, "events"],
            body: Some(json(&Events { events: notices })),
            correlation: None,
            repeat_unknown: false,
        };
        self.meter.requests.add(1);
        self.client.send(&self.request(call)).await.map(drop)
    }

    /// Makes a call until it is answered. Every answer shows the job; one that
    /// does not was garbled on its way, or is of somebody in between who may
    /// not even have passed the request on: it counts as lost.
    async fn call(&self, call: Call<'_>) -> Result<Report, Failure> {
        let patience = Patience {
            first: self.settings.retry.first,
            longest: self.settings.retry.longest,
            give_up_after: Some(GIVE_UP_AFTER),
            repeat_unknown: call.repeat_unknown,
        };
        let request = self.request(call);
        let repeated = |failure: &Failure| {
            self.meter.retries.add(1);
            warn!(doing = request.doing, status = failure.status, "request failed, to be repeated");
        };
        let bytes = request.body.as_ref().map_or(0, Body::len) as u64;
        until_done(None, &patience, repeated, || async {
            self.meter.requests.add(1);
            self.meter.bytes_out.add(bytes);
            let answer = self.client.send(&request).await?;
            read(&request.doing, &answer)
        })
        .await
    }

    fn request(&self, call: Call<'_>) -> Request {
        let settings = &self.settings;
        let mut headers = vec![("JupiterOne-Account", settings.account.clone())];
        if let Some(correlation) = call.correlation {
            headers.push(("JupiterOne-Correlation-Id", correlation.to_owned()));
        }
        Request {
            doing: call.doing,
            asked: Asked::SyncJob,
            method: call.method,
            url: url(&settings.base_url, call.path),
            token: settings.token.clone(),
            headers,
            body: call.body,
        }
    }
}

/// The address of a call. Segments are escaped: an id cannot reach outside its job.
fn url(base: &Url, path: &[&str]) -> Url {
    let mut url = base.clone();
    // Fails only for URLs without a host, which the configuration refuses.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(["persister", "synchronization", "jobs"]).extend(path);
    }
    url
}

fn json(body: &impl Serialize) -> Body {
    // Structs of strings always have a JSON form.
    Body::plain(serde_json::to_vec(body).unwrap_or_default())
}

/// Reads the job out of an answer.
pub(super) fn read(doing: &str, answer: &Answer) -> Result<Report, Failure> {
    #[derive(Deserialize)]
    struct Envelope {
        job: Report,
    }
    let no_job = |why: String| Failure {
        doing: doing.to_owned(),
        status: Some(answer.status),
        code: None,
        outcome: Outcome::Unknown,
        remedy: Remedy::RETRY,
        cause: format!("the answer is no sync job ({why})").into(),
    };
    // Names the place, never what was found in a string.
    let envelope: Envelope = serde_json::from_slice(&answer.body)
        .map_err(|error| no_job(format!("line {}, column {}", error.line(), error.column())))?;
    // Nothing can be sent to a job without a name, and nobody could find it again.
    if envelope.job.id.is_empty() {
        return Err(no_job("it has no id".to_owned()));
    }
    Ok(envelope.job)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::jupiterone::report::Tally;

    #[test]
    fn a_job_id_stays_inside_its_path() {
        let check = |base: &str, path: &[&str], expect: &str| {
            assert_eq!(url(&base.parse().unwrap(), path).as_str(), expect);
        };
        let jobs = "https://api.us.jupiterone.io/persister/synchronization/jobs";
        check("https://api.us.jupiterone.io", &[], jobs);
        check("https://api.us.jupiterone.io/", &["a-1", "finalize"], &format!("{jobs}/a-1/finalize"));
        check("https://api.us.jupiterone.io", &["../x?y#z"], &format!("{jobs}/..%2Fx%3Fy%23z"));
        check(
            "http://127.0.0.1:9/proxy",
            &["a"],
            "http://127.0.0.1:9/proxy/persister/synchronization/jobs/a",
        );
    }

    #[test]
    fn a_job_with_few_counters_or_null_ones_can_be_read() {
        let check = |body: &str| {
            let answer = Answer { status: 200, body: body.as_bytes().to_vec() };
            read("read", &answer).map(|job| (job.id.clone(), job.uploaded(), job.deleted()))
        };
        let one = Tally { entities: 1, relationships: 0 };
        let full = r#"{"job":{"id":"j","status":"X","numEntitiesUploaded":1,"numRelationshipsDeleted":2,"more":{}}}"#;
        assert_eq!(check(full).unwrap(), ("j".to_owned(), one, Tally { entities: 0, relationships: 2 }));
        let nulls = r#"{"job":{"id":"j","numEntitiesUploaded":null}}"#;
        assert_eq!(check(nulls).unwrap(), ("j".to_owned(), Tally::default(), Tally::default()));
        for none in ["<html>", r#"{"job":{"id":""}}"#, r#"{"job":{}}"#] {
            let failure = check(none).unwrap_err();
            assert_eq!((failure.outcome, failure.remedy), (Outcome::Unknown, Remedy::RETRY));
        }
    }
}
