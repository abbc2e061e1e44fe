//! What a running opgraph shows of itself, and to whom.

mod doors;

mod running;

mod browser;

mod webdriver;

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A run that shows itself; killed when dropped.
pub(crate) struct Shown {
    pub(crate) child: Child,
    pub(crate) log: PathBuf,
    pub(crate) address: SocketAddr,
}

impl Shown {
    /// Starts a run with `--admin` at a free port, its log in a file.
    pub(crate) async fn start(mut run: Command, log: PathBuf) -> Shown {
        run.args(["--admin", "127.0.0.1:0"]).stderr(fs::File::create(&log).unwrap());
        let mut child = run.spawn().unwrap();
        for _ in 0..1_000 {
            if let Some(address) = address(&fs::read_to_string(&log).unwrap()) {
                return Shown { child, log, address };
            }
            assert!(child.try_wait().unwrap().is_none(), "{}", fs::read_to_string(&log).unwrap());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let _ = child.kill();
        panic!("it never listened: {}", fs::read_to_string(&log).unwrap());
    }

    /// What is answered to a GET: status, head and body.
    pub(crate) async fn get(&self, path: &str, headers: &str) -> (u16, String, String) {
        get(self.address, path, headers).await
    }

    /// Asks until the answer is as it should be, for half a minute at most.
    pub(crate) async fn until(&self, path: &str, so: impl Fn(u16, &str) -> bool) -> String {
        let mut last = String::new();
        for _ in 0..600 {
            let (status, _, body) = self.get(path, "").await;
            if so(status, &body) {
                return body;
            }
            last = body;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{path} never answered as it should: {last}\n{}", fs::read_to_string(&self.log).unwrap());
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a run said that it listens.
fn address(log: &str) -> Option<SocketAddr> {
    let rest = log.split("\"address\":\"http://").nth(1)?;
    rest.split('"').next()?.parse().ok()
}

/// What is answered to a GET with these header lines; `Host` is the address unless they say another.
pub(crate) async fn get(address: SocketAddr, path: &str, headers: &str) -> (u16, String, String) {
    let host = if headers.contains("host:") { String::new() } else { format!("host: {address}\r\n") };
    let request = format!("GET {path} HTTP/1.1\r\n{host}{headers}connection: close\r\n\r\n");
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_owned(), body.to_owned())
}
