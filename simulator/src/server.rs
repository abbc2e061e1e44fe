//! The listener: connections, and how they end.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::debug;

use crate::{
    answer::{Dropped, EndsInReset},
    host::Host,
};

/// Accepts connections until `stop`, then waits until all have ended.
pub(crate) async fn listen(listener: TcpListener, host: Arc<Host>, stop: CancellationToken) {
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                connections.spawn(connection(stream, peer, Arc::clone(&host), stop.clone()));
            }
            // Out of descriptors, or the peer has gone already: neither ends the simulator.
            Err(error) => {
                debug!(%error, "connection not accepted");
                tokio::task::yield_now().await;
            }
        }
    }
    connections.close();
    connections.wait().await;
}

async fn connection(stream: TcpStream, peer: SocketAddr, host: Arc<Host>, stop: CancellationToken) {
    // Without it a small answer can wait 40 ms for the peer's acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "no TCP_NODELAY");
    }
    let reset = Arc::new(AtomicBool::new(false));
    let wire = Wire { stream, reset: Arc::clone(&reset) };
    let answer = service_fn(|request| {
        let (host, reset) = (Arc::clone(&host), Arc::clone(&reset));
        async move {
            let answer = host.answer(request).await;
            let resets = match &answer {
                Err(dropped) => *dropped == Dropped::Reset,
                Ok(response) => response.extensions().get::<EndsInReset>().is_some(),
            };
            if resets {
                reset.store(true, Ordering::Relaxed);
            }
            answer
        }
    });
    // No time-out for idle connections: under a paused clock it would fire at once.
    let served = http1::Builder::new().header_read_timeout(None).serve_connection(TokioIo::new(wire), answer);
    let ended = tokio::select! {
        () = stop.cancelled() => return,
        ended = served => ended,
    };
    if let Err(error) = ended {
        debug!(%peer, %error, "connection ended");
    }
}

/// A connection that can end in a reset: what is not yet sent is thrown away and the peer gets RST.
struct Wire {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed)
            && let Err(error) = self.stream.set_zero_linger()
        {
            debug!(%error, "the connection ends without RST");
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, into)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
