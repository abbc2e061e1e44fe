//! What a collector of traces is sent: names, times and numbers, and never a token or what somebody said.

use std::sync::{Arc, Mutex};

use opgraph_simulator::{Config, Endpoint, Fault, Script, Simulator};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::leaks::{Canaries, loud};
use crate::support::program::{Place, ended};

/// One request with its body, which has a length.
async fn request(connection: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut read = Vec::new();
    loop {
        let mut piece = vec![0; 64 << 10];
        let length = connection.read(&mut piece).await.ok().filter(|length| *length > 0)?;
        read.extend_from_slice(&piece[..length]);
        let Some(end) = read.windows(4).position(|end| end == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&read[..end]).to_lowercase();
        let length: usize = head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
        if read.len() >= end + 4 + length {
            return Some((head, read.split_off(end + 4)));
        }
    }
}

/// Heads and bodies of requests.
type Kept = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A collector that keeps what it is sent.
async fn collector(kept: Kept) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let kept = kept.clone();
            tokio::spawn(async move {
                while let Some(request) = request(&mut connection).await {
                    kept.lock().unwrap().push(request);
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
                    if connection.write_all(answer).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_tell_of_pages_uploads_and_commits_and_of_nothing_else() {
    let simulator =
        Simulator::start(Config { events: 200, page_cap: 20, ..Config::default() }).await.unwrap();
    simulator.script(Script::next(Endpoint::Auditevents, Fault::Status { code: 503, retry_after: None }));
    let instance = simulator.integration_instance_id().to_owned();
    let place = Place::of(&simulator).with_jupiterone(&simulator, ["--jupiterone-instance", &instance]);
    let secret = "a-secret-of-the-collector";
    let kept = Kept::default();
    let url = collector(Arc::clone(&kept)).await;

    let silent = ended(place.run_once()).await;
    assert_eq!(silent.code, Some(0), "{}", silent.stderr);
    assert!(kept.lock().unwrap().is_empty(), "without a collector nothing is sent");
    std::fs::remove_dir_all(place.path("state")).unwrap();

    let mut run = loud(place.run_once());
    run.env("OTEL_EXPORTER_OTLP_ENDPOINT", &url);
    run.env("OTEL_EXPORTER_OTLP_HEADERS", format!("x-key={secret}"));
    let traced = ended(run).await;
    assert_eq!(traced.code, Some(0), "{}", traced.stderr);
    let kept = kept.lock().unwrap();
    let (head, _) = kept.first().expect("the collector was told");
    assert!(head.starts_with("post /v1/traces ") && head.contains(&format!("x-key: {secret}")), "{head}");
    let sent: Vec<u8> = kept.iter().flat_map(|(_, body)| body.clone()).collect();
    let sent = String::from_utf8_lossy(&sent);
    for word in
        ["opgraph", "page", "upload", "commit", "tenant", "default", "stream", "auditevents", "itemusages"]
    {
        assert!(sent.contains(word), "{word} is not in the traces");
    }
    // Log lines, what the other side said, what is in events.
    for word in ["trying again", "503", "checkpoint moved", "example.com", "bearer", "127.0.0.1"] {
        assert!(!sent.to_lowercase().contains(word), "{word} is in the traces");
    }
    let canaries = Canaries::of(&[simulator.events_token(), simulator.jupiterone_token(), secret]);
    canaries.are_not_in(&sent, "the traces");
    canaries.are_not_in(&traced.stderr, "the log");
    canaries.are_not_in(&traced.stdout, "the summary");
    assert!(traced.stderr.contains("TRACE"), "the loudest level");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_not_there_holds_nothing_up_and_a_wrong_one_is_told() {
    let simulator = Simulator::start(Config { events: 200, ..Config::default() }).await.unwrap();
    let place = Place::of(&simulator);
    let mut run = place.run_once();
    run.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
    let output = ended(run).await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(place.judged_by(&simulator).is_exact());

    let mut run = place.run_once();
    run.env("OTEL_EXPORTER_OTLP_ENDPOINT", "no url at all, with a secret");
    let output = ended(run).await;
    assert_eq!(output.code, Some(2), "{}", output.stderr);
    assert!(
        output.stderr.contains("cannot send traces") && !output.stderr.contains("a secret"),
        "{}",
        output.stderr
    );
}
