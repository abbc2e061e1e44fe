//! The listener under those who mean no good: slow, many, or with the wrong words.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use opgraph::{
    admin::{Door, Listening, Site, Warnings, listen},
    clock::Clock,
    telemetry::Meter,
    tenants::Roster,
};
use opgraph_state::MemoryStore;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};

use super::get;

async fn open(door: Door) -> Listening {
    let tenants = Roster::of(vec![("acme".into(), Arc::new(Meter::default()))]);
    let site = Site::new(tenants, MemoryStore::default(), Warnings::default(), Clock::system());
    listen("127.0.0.1:0".parse().unwrap(), door, site).await.unwrap()
}

/// Whether the other side closes the connection within so long; what it says before does not matter.
async fn closes(connection: &mut TcpStream, within: Duration) -> bool {
    let mut said = Vec::new();
    timeout(within, connection.read_to_end(&mut said)).await.is_ok()
}

#[tokio::test]
async fn a_request_is_answered_only_to_those_who_are_meant() {
    let there = open(Door::Loopback(None)).await;
    let status = async |path, headers| get(there.address, path, headers).await.0;
    assert_eq!(status("/healthz", "").await, 200);
    assert_eq!(status("/", "host: evil.example\r\n").await, 421);
    assert_eq!(status("/nothing", "").await, 404);
    let (_, head, _) = get(there.address, "/", "").await;
    assert!(head.to_lowercase().contains("content-security-policy: default-src 'none'"), "{head}");

    let open = open(Door::Open("a-token-of-this-test".into())).await;
    let (status, head, body) = get(open.address, "/metrics", "").await;
    assert!(status == 401 && head.contains("Basic realm=") && !body.contains("opgraph_"), "{head} {body}");
    let bearer = "authorization: Bearer a-token-of-this-test\r\n";
    assert!(get(open.address, "/metrics", bearer).await.2.contains("opgraph_runs_total{tenant=\"acme\"} 0"));
}

#[tokio::test(start_paused = true)]
async fn whoever_sends_half_a_request_or_none_is_closed() {
    let there = open(Door::Loopback(None)).await;
    for half in ["", "GET / HT", "GET / HTTP/1.1\r\nhost: localhost\r\n"] {
        let mut slow = TcpStream::connect(there.address).await.unwrap();
        slow.write_all(half.as_bytes()).await.unwrap();
        let begun = Instant::now();
        assert!(closes(&mut slow, Duration::from_secs(30)).await, "after `{half}`");
        assert!(begun.elapsed() <= Duration::from_secs(6), "after {:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_holds_a_connection_for_ever() {
    let there = open(Door::Loopback(None)).await;
    let mut busy = TcpStream::connect(there.address).await.unwrap();
    let begun = Instant::now();
    // A whole request now and then keeps the head's time-out away.
    let mut buffer = vec![0; 64 << 10];
    loop {
        let asked = busy.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        if asked.is_err() || !matches!(busy.read(&mut buffer).await, Ok(1..)) {
            break;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(begun.elapsed() < Duration::from_secs(120), "it is never closed");
    }
    assert!(begun.elapsed() >= Duration::from_secs(50), "after {:?}", begun.elapsed());
}

async fn idle(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

#[tokio::test]
async fn connections_do_not_pile_up() {
    let there = open(Door::Loopback(None)).await;
    let mut held = Vec::new();
    for _ in 0..64 {
        held.push(idle(there.address).await);
    }
    // All are taken in before one more comes.
    let mut first = held.swap_remove(0);
    first.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert!(first.read(&mut [0; 1024]).await.unwrap() > 0);
    let mut refused = 0;
    for _ in 0..20 {
        let mut more = idle(there.address).await;
        refused += u32::from(closes(&mut more, Duration::from_secs(2)).await);
    }
    assert_eq!(refused, 20, "one more than there may be is closed at once");
    drop((held, first));
    for _ in 0..100 {
        let mut again = idle(there.address).await;
        again.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        if matches!(again.read(&mut [0; 1024]).await, Ok(1..)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("those who are gone still hold their place");
}

#[tokio::test]
async fn a_head_that_never_ends_is_refused() {
    let there = open(Door::Loopback(None)).await;
    for head in [
        format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(100_000)),
        format!("GET / HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x: y\r\n".repeat(200)),
    ] {
        let mut connection = TcpStream::connect(there.address).await.unwrap();
        // It may be closed before all is written.
        let _ = connection.write_all(head.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = connection.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
}
