//! A proxy that spoils chosen requests and passes all others on.
//!
//! It speaks bytes, not HTTP: what no server library would send, it can. It
//! knows nothing of either API. One answer after the other on a connection, each
//! request upstream on a connection of its own.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// What happens to a request.
#[derive(Clone)]
pub(crate) enum Fault {
    /// These bytes in place of the answer; upstream is not asked.
    Say(Vec<u8>, End),
    /// Upstream's answer, as this makes it.
    Change(fn(Whole) -> Vec<u8>, End),
    /// Upstream's answer in pieces of one byte, with this pause before each.
    Drip(Duration),
    /// The request waits for so long and is passed on, whether or not anybody still waits for the answer.
    Late(Duration),
    /// Nobody listens for so long, and every connection is reset.
    Refuse(Duration),
}

/// What happens to the connection after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The next request may come.
    Keep,
    /// Both directions are closed.
    Close,
    /// Ours is closed; we go on reading for as long as the other side sends.
    Half,
    /// RST.
    Reset,
    /// Nothing, until the other side gives up.
    Silent,
}

/// Which requests a fault is for.
#[derive(Clone)]
pub(crate) struct Rule {
    /// How the path ends.
    pub(crate) at: &'static str,
    /// What the body holds; empty for any body.
    pub(crate) holding: &'static str,
    /// The first request of these that is spoilt; counted from 1.
    pub(crate) nth: u64,
    /// How many are spoilt from there on.
    pub(crate) times: u64,
    /// Whether, from there on, all other requests are spoilt as well.
    pub(crate) everywhere: bool,
    pub(crate) fault: Fault,
}

/// An answer of upstream's.
pub(crate) struct Whole {
    /// Status line and headers, each with its line end.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Whole {
    /// The status line and the headers but those with these names.
    fn head_without(&self, names: &[&str]) -> String {
        let is = |line: &str, name: &str| {
            line.split(':').next().is_some_and(|of| of.trim().eq_ignore_ascii_case(name))
        };
        self.head.split_inclusive("\r\n").filter(|line| !names.iter().any(|name| is(line, name))).collect()
    }

    /// The answer with another body, and these lines after its own headers.
    pub(crate) fn with(&self, headers: &str, body: &[u8]) -> Vec<u8> {
        let head = self.head_without(&["connection", "content-length"]);
        let mut bytes = format!("{head}{headers}content-length: {}\r\n\r\n", body.len()).into_bytes();
        bytes.extend_from_slice(body);
        bytes
    }

    /// The answer with another content type; none if it is empty.
    pub(crate) fn with_type(&self, of: &str) -> Vec<u8> {
        let head = self.head_without(&["content-type"]);
        let header = if of.is_empty() { String::new() } else { format!("content-type: {of}\r\n") };
        Whole { head, body: Vec::new() }.with(&header, &self.body)
    }

    /// The answer as it came, with nothing said of its length.
    pub(crate) fn endless(&self, headers: &str) -> Vec<u8> {
        let head = self.head_without(&["connection", "content-length"]);
        let mut bytes = format!("{head}{headers}\r\n").into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// One request that came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    /// When it had come whole.
    pub(crate) at: Instant,
    /// When a fault's answer was begun; `None` if the request was passed on.
    pub(crate) spoilt: Option<Instant>,
    pub(crate) head: String,
}

/// A proxy on loopback. Dropping it closes every connection.
pub(crate) struct Chaos {
    address: SocketAddr,
    shared: Arc<Shared>,
    _listening: AbortOnDropHandle<()>,
}

struct Shared {
    upstream: SocketAddr,
    rules: Mutex<Vec<(Rule, u64)>>,
    seen: Mutex<Vec<Seen>>,
    /// Cancelled to stop listening; then there is another one.
    open: Mutex<CancellationToken>,
    closed_for: Mutex<Duration>,
}

impl Chaos {
    /// Starts listening in front of `upstream`.
    pub(crate) fn start(upstream: SocketAddr) -> Chaos {
        // Bound for good and never listening: it keeps the port while nobody listens.
        let keeper = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let address = keeper.local_addr().unwrap();
        let shared = Arc::new(Shared {
            upstream,
            rules: Mutex::default(),
            seen: Mutex::default(),
            open: Mutex::default(),
            closed_for: Mutex::default(),
        });
        let listener = bound(address).listen(64).unwrap();
        let listening = tokio::spawn(listen(listener, keeper, shared.clone()));
        Chaos { address, shared, _listening: AbortOnDropHandle::new(listening) }
    }

    /// Its base URL, without a closing slash.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far, in order of arrival.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// The requests so far whose path ends so.
    pub(crate) fn seen_at(&self, at: &str) -> Vec<Seen> {
        let mut seen = self.seen();
        seen.retain(|seen| seen.path.ends_with(at));
        seen
    }

    /// Spoils by these rules from now on, and by no earlier ones. Of two that meet, the first holds.
    pub(crate) fn spoil(&self, rules: Vec<Rule>) {
        *self.shared.rules.lock().unwrap() = rules.into_iter().map(|rule| (rule, 0)).collect();
    }
}

fn bound(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseport(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

async fn listen(mut listener: TcpListener, keeper: TcpSocket, shared: Arc<Shared>) {
    let address = keeper.local_addr().unwrap();
    loop {
        let open = shared.open.lock().unwrap().clone();
        loop {
            tokio::select! {
                () = open.cancelled() => break,
                accepted = listener.accept() => {
                    let Ok((stream, _)) = accepted else { continue };
                    tokio::spawn(connection(stream, shared.clone(), open.clone()));
                }
            }
        }
        drop(listener);
        let closed_for = *shared.closed_for.lock().unwrap();
        sleep(closed_for).await;
        *shared.open.lock().unwrap() = CancellationToken::new();
        listener = bound(address).listen(64).unwrap();
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        self.shared.open.lock().unwrap().cancel();
    }
}

/// Serves one connection until it ends, whichever way.
async fn connection(mut stream: TcpStream, shared: Arc<Shared>, open: CancellationToken) {
    stream.set_nodelay(true).unwrap();
    let end = tokio::select! {
        end = requests(&mut stream, &shared, &open) => end,
        () = open.cancelled() => End::Reset,
    };
    match end {
        End::Reset => stream.set_zero_linger().unwrap(),
        End::Half => {
            let _ = stream.shutdown().await;
            while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {}
        }
        End::Silent => while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {},
        End::Keep | End::Close => (),
    }
}

/// Answers request after request; says how the connection is to end.
async fn requests(stream: &mut TcpStream, shared: &Shared, open: &CancellationToken) -> End {
    while let Some((head, body)) = read(stream).await {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let fault = shared.fault(&path, &body);
        let at = Instant::now();
        let spoilt = fault.is_some().then_some(at);
        shared.seen.lock().unwrap().push(Seen { path, at, spoilt, head: head.clone() });
        if let Some(Fault::Late(time)) = fault {
            sleep(time).await;
        }
        let answer = match &fault {
            Some(Fault::Say(bytes, _)) => Some(bytes.clone()),
            Some(Fault::Refuse(time)) => {
                *shared.closed_for.lock().unwrap() = *time;
                open.cancel();
                return End::Reset;
            }
            Some(Fault::Change(change, _)) => ask(shared.upstream, &head, &body).await.map(change),
            Some(Fault::Drip(_) | Fault::Late(_)) | None => {
                ask(shared.upstream, &head, &body).await.map(|whole| whole.with("", &whole.body))
            }
        };
        // Upstream breaks its connections too.
        let Some(answer) = answer else { return End::Reset };
        if let Some(Fault::Drip(pause)) = fault {
            for byte in answer {
                sleep(pause).await;
                if stream.write_all(&[byte]).await.is_err() {
                    return End::Reset;
                }
            }
            continue;
        }
        if stream.write_all(&answer).await.is_err() {
            return End::Reset;
        }
        if let Some(Fault::Say(_, end) | Fault::Change(_, end)) = fault
            && end != End::Keep
        {
            return end;
        }
    }
    End::Close
}

impl Shared {
    /// Counts a request; answers what is to happen to it.
    fn fault(&self, path: &str, body: &[u8]) -> Option<Fault> {
        let mut due = None;
        for (rule, hits) in self.rules.lock().unwrap().iter_mut() {
            let here = path.ends_with(rule.at) && String::from_utf8_lossy(body).contains(rule.holding);
            *hits += u64::from(here);
            let spoilt = *hits >= rule.nth && *hits - rule.nth < rule.times;
            if spoilt && (here || rule.everywhere) && due.is_none() {
                due = Some(rule.fault.clone());
            }
        }
        due
    }
}

/// Reads one request: its head, with line ends, and its body. `None` when no more comes.
async fn read(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let mut body = bytes.split_off(end + 4);
    let head = String::from_utf8(bytes[..end + 2].to_vec()).ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    while body.len() < length.unwrap_or(0) {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some((head, body))
}

/// Asks upstream; `None` if it does not answer.
async fn ask(upstream: SocketAddr, head: &str, body: &[u8]) -> Option<Whole> {
    let mut stream = TcpStream::connect(upstream).await.ok()?;
    let mut bytes = format!("{head}connection: close\r\n\r\n").into_bytes();
    bytes.extend_from_slice(body);
    stream.write_all(&bytes).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let body = answer.split_off(end + 4);
    let head = String::from_utf8(answer[..end + 2].to_vec()).ok()?;
    Some(Whole { head, body })
}
