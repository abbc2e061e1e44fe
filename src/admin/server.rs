//! The listeners: few connections, short ones, whoever is on the other side.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use super::{Door, Site, answer::answer};

/// Connections at once, over one listener. One more is closed as it comes.
const MOST_CONNECTIONS: usize = 64;
/// How long a request's head may take to arrive.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// How long a connection may live: nobody holds one for ever, however slowly
/// they read or write. A browser opens the next one by itself.
const LIFE: Duration = Duration::from_secs(60);
/// The largest head of a request.
const LARGEST_HEAD: usize = 16 << 10;
/// Header fields of a request.
const MOST_FIELDS: usize = 64;

/// A listener at work, until it is dropped.
#[derive(Debug)]
#[must_use = "it listens for as long as it is kept"]
pub struct Listening {
    /// Where it listens.
    pub address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

/// Listens on an address.
///
/// # Errors
///
/// The address cannot be listened on.
pub async fn listen(address: SocketAddr, door: Door, site: Arc<Site>) -> io::Result<Listening> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let task = tokio::spawn(accept(listener, door, site));
    Ok(Listening { address, _task: AbortOnDropHandle::new(task) })
}

/// What connections come from.
pub(super) trait Listener: Send + 'static {
    type Connection: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn next(&self) -> impl Future<Output = io::Result<Self::Connection>> + Send;
}

impl Listener for TcpListener {
    type Connection = tokio::net::TcpStream;

    async fn next(&self) -> io::Result<Self::Connection> {
        self.accept().await.map(|(connection, _)| connection)
    }
}

impl Listener for UnixListener {
    type Connection = tokio::net::UnixStream;

    async fn next(&self) -> io::Result<Self::Connection> {
        self.accept().await.map(|(connection, _)| connection)
    }
}

/// Accepts connections for ever. Each is a task of its own and ends with it.
pub(super) async fn accept(listener: impl Listener, door: Door, site: Arc<Site>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => (),
            accepted = listener.next() => match accepted {
                Ok(connection) if connections.len() < MOST_CONNECTIONS => {
                    connections.spawn(serve(connection, door.clone(), site.clone()));
                }
                Ok(_) => debug!("too many connections: one more is closed"),
                // Out of descriptors, or the other side has gone already.
                Err(error) => {
                    debug!(error = %error, "connection not accepted");
                    sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
}

async fn serve<C>(connection: C, door: Door, site: Arc<Site>)
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let (site, door) = (site.clone(), door.clone());
        async move { Ok::<_, Infallible>(answer(&site, &door, &request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(LARGEST_HEAD)
        .max_headers(MOST_FIELDS)
        .serve_connection(TokioIo::new(connection), service);
    // Both a broken connection and one that lived too long are nobody's concern.
    if let Ok(Err(error)) = timeout(LIFE, served).await {
        debug!(error = %error, "connection ended");
    }
}
