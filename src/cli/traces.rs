//! Traces of pages, uploads and commits, to an OpenTelemetry collector (OTLP over HTTP; the feature `otlp`).
//!
//! On only where the standard variables name a collector
//! (`OTEL_EXPORTER_OTLP_ENDPOINT`, or `…_TRACES_ENDPOINT`). What leaves is a
//! span's name, its times, its tenant, its stream and how much there was: no
//! log line and no error's text, so nothing that another side has said.

use std::{future::Future, pin::Pin, time::Duration};

use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tokio::runtime::{Builder, Runtime};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, filter_fn},
    registry::LookupSpan,
};

use super::failed::{Exit, Failed};

/// How long the collector may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Traces on their way. Dropping it sends what is left.
#[derive(Debug)]
pub(crate) struct Traces(SdkTracerProvider);

impl Drop for Traces {
    fn drop(&mut self) {
        // Nobody can be told any more, and nothing depends on it.
        let _ = self.0.shutdown_with_timeout(PATIENCE);
    }
}

/// Whether the environment names a collector.
pub(crate) fn wanted() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    set("OTEL_EXPORTER_OTLP_ENDPOINT") || set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
}

/// The layer that sees spans, and what has to be kept until the end.
pub(crate) fn layer<S>() -> Result<(impl Layer<S> + Send + Sync, Traces), Failed>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    // Its cause may quote the variables, and one of those is for headers with secrets.
    let cannot = || {
        Failed::new(Exit::Configuration, "send traces").hint(
            "check the variables OTEL_EXPORTER_OTLP_…: the endpoint is a URL such as http://localhost:4318",
        )
    };
    let post = Post::new().map_err(|error| cannot().because(&*error))?;
    let exporter =
        SpanExporter::builder().with_http().with_http_client(post).build().map_err(|_| cannot())?;
    let mut of = Resource::builder();
    if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
        of = of.with_service_name("opgraph");
    }
    let provider =
        SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(of.build()).build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("opgraph"))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(filter_fn(leaves).with_max_level_hint(LevelFilter::ERROR));
    Ok((layer, Traces(provider)))
}

/// Spans that stand for a piece of work. The others only say whose something
/// is, and last as long as the process.
fn leaves(metadata: &Metadata<'_>) -> bool {
    let work = matches!(metadata.name(), "page" | "upload" | "commit");
    work && metadata.is_span() && metadata.target().starts_with("opgraph")
}

/// Sends requests from the exporter's own thread, which has no runtime.
#[derive(Debug)]
struct Post {
    http: reqwest::Client,
    runtime: Runtime,
}

impl Post {
    fn new() -> Result<Post, Box<dyn std::error::Error + Send + Sync>> {
        // One crypto provider in the whole program; a second call changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Post { http, runtime: Builder::new_current_thread().enable_all().build()? })
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.http.execute(request.try_into()?).await.map_err(reqwest::Error::without_url)?;
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = answer.status();
        *response.headers_mut() = answer.headers().clone();
        *response.body_mut() = answer.bytes().await.map_err(reqwest::Error::without_url)?;
        Ok(response)
    }
}

impl HttpClient for Post {
    fn send_bytes<'s, 'f>(
        &'s self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        // The exporter's thread does nothing else meanwhile.
        Box::pin(std::future::ready(self.runtime.block_on(self.send(request))))
    }
}
