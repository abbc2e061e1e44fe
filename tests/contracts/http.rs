//! What the HTTP client refuses, bounds and follows.

use std::{io::Write, time::Duration};

use flate2::{Compression, write::GzEncoder};
use opgraph::http::{Asked, Client, ClientSettings, Outcome, Remedy, Request};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{header, method, path},
};

fn request(server: &MockServer, at: &str) -> Request {
    Request {
        doing: "ask".to_owned(),
        asked: Asked::NextPage,
        method: reqwest::Method::GET,
        url: format!("{}{at}", server.uri()).parse().unwrap(),
        token: "canary-token".into(),
        headers: Vec::new(),
        body: None,
    }
}

fn client(largest_answer: usize, timeout: Duration) -> Client {
    let settings = ClientSettings { connect_timeout: timeout, timeout, ..ClientSettings::default() };
    Client::new(&ClientSettings { largest_answer, ..settings }).unwrap()
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_redirect_is_never_followed_so_the_token_stays_here() {
    let (server, other) = (MockServer::start().await, MockServer::start().await);
    let redirect = ResponseTemplate::new(302).insert_header("location", format!("{}/stolen", other.uri()));
    Mock::given(path("/page")).respond_with(redirect).mount(&server).await;
    let failure = client(1 << 20, LONG).send(&request(&server, "/page")).await.unwrap_err();
    assert_eq!((failure.status, failure.remedy.name()), (Some(302), "halt"));
    assert!(failure.remedy.hint().unwrap().contains("redirects are never followed"));
    assert!(other.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_answer_over_the_cap_is_refused_however_small_it_was_on_the_wire() {
    let server = MockServer::start().await;
    let plain = vec![b' '; 300_000];
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(9));
    encoder.write_all(&plain).unwrap();
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 1000);
    let bomb = ResponseTemplate::new(200).set_body_bytes(bomb).insert_header("content-encoding", "gzip");
    Mock::given(path("/bomb")).respond_with(bomb).mount(&server).await;
    Mock::given(path("/large"))
        .respond_with(ResponseTemplate::new(200).set_body_bytes(plain))
        .mount(&server)
        .await;
    for at in ["/bomb", "/large"] {
        let failure = client(100_000, LONG).send(&request(&server, at)).await.unwrap_err();
        assert!(failure.cause.to_string().contains("larger than 100000 bytes"), "{failure:?}");
        assert_eq!(failure.remedy, Remedy::RETRY);
        assert_eq!(client(300_000, LONG).send(&request(&server, at)).await.unwrap().body.len(), 300_000);
    }
}

#[tokio::test]
async fn every_request_has_a_time_limit_and_what_was_never_sent_is_known_as_such() {
    let server = MockServer::start().await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_secs(60));
    Mock::given(path("/slow")).respond_with(slow).mount(&server).await;
    let short = client(1 << 20, Duration::from_millis(100));
    let failure = short.send(&request(&server, "/slow")).await.unwrap_err();
    assert_eq!((failure.outcome, failure.remedy), (Outcome::Unknown, Remedy::RETRY));

    let mut nobody = request(&server, "/slow");
    // A port that was just free: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    nobody.url.set_port(Some(port)).unwrap();
    let failure = short.send(&nobody).await.unwrap_err();
    assert_eq!((failure.outcome, failure.remedy), (Outcome::NotDone, Remedy::RETRY));
}

#[tokio::test]
async fn the_token_goes_into_the_header_and_into_no_error() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(header("authorization", "Bearer canary-token"))
        .respond_with(ResponseTemplate::new(500).set_body_string("canary-token is wrong"))
        .mount(&server)
        .await;
    let mut asked = request(&server, "/page");
    asked.headers.push(("x-other", "value".to_owned()));
    let failure = client(1 << 20, LONG).send(&asked).await.unwrap_err();
    assert_eq!(failure.status, Some(500), "the token was sent");
    assert!(!format!("{asked:?}").contains("canary-token"));
    assert!(!format!("{failure} {failure:?} {}", failure.cause).contains("canary-token"));
}
