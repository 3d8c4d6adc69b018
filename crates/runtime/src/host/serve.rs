//! Accepts connections and serves them until told to stop.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use agentcore_connection::{Patience, polled_in_place};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::tls::Tls;
use crate::api::{Connected, Front};
use crate::threads::Lanes;

/// Most connections at once; further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 8_192;
/// Most bytes of a request's head; more than that, or more than 100 headers, is answered with 431.
const MAX_HEAD: usize = 128 * 1024;
/// How long to wait when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `front` on `lanes` until `shutdown` is ready. What it returns is ready when the requests in
/// flight have ended, or after `drain`.
pub(super) async fn serve(
    listener: TcpListener,
    lanes: &Lanes,
    (front, tls): (Front, Option<Tls>),
    shutdown: impl Future<Output = ()>,
    drain: Duration,
) -> impl Future<Output = ()> {
    let tasks = TaskTracker::new();
    let closing = CancellationToken::new();
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        match accepted {
            Ok((stream, peer, permit)) => {
                let (tls, front, closing) = (tls.clone(), front.clone(), closing.clone());
                lanes.spawn(&tasks, async move {
                    // The lane's own event loop is to look after it.
                    match TcpStream::from_std(stream) {
                        Ok(stream) => {
                            polled_in_place(serve_stream((stream, peer), tls, front, closing)).await;
                        }
                        Err(error) => tracing::warn!(error = %error, "cannot serve a connection"),
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(error = %error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    closing.cancel();
    tasks.close();
    async move {
        if tokio::time::timeout(drain, tasks.wait()).await.is_err() {
            tracing::warn!(
                drain.seconds = drain.as_secs_f64(),
                "requests were still in flight after the drain time"
            );
        }
    }
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> io::Result<(std::net::TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = connections.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream.into_std()?, peer, permit))
}

/// Whatever connects, until it ends.
async fn serve_stream(
    (stream, peer): (TcpStream, SocketAddr),
    tls: Option<Tls>,
    front: Front,
    closing: CancellationToken,
) {
    let patience = Patience::new();
    let front = front.to(peer, patience.clone());
    // Answers are small and come one at a time: waiting to fill a segment only delays them.
    let _ = stream.set_nodelay(true);
    match tls {
        None => serve_connection(stream, front, patience, closing).await,
        // What TLS needs is not to make every connection larger.
        Some(tls) => Box::pin(serve_tls(stream, tls, front, patience, closing)).await,
    }
}

/// One connection with TLS. After `closing`, nobody's handshake is waited for.
async fn serve_tls(
    stream: TcpStream,
    tls: Tls,
    front: Connected,
    patience: Patience,
    closing: CancellationToken,
) {
    let shaken = tokio::select! {
        shaken = tls.accept(stream) => shaken,
        () = closing.cancelled() => return,
    };
    match shaken {
        Ok(stream) => serve_connection(stream, front, patience, closing).await,
        // Scanners and clients that do not trust the certificate; they have been told.
        Err(error) => tracing::debug!(error = %error, "a connection was not made"),
    }
}

/// One connection, until it ends; after `closing`, until the request in flight is answered.
async fn serve_connection<S>(stream: S, front: Connected, patience: Patience, closing: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(patience.with_stream(stream)), front)
        .with_upgrades();
    let mut connection = pin!(connection);
    let interrupted = patience.lost_or(closing.cancelled());
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        interrupted = interrupted => match interrupted {
            Some(stalled) => {
                tracing::debug!(?stalled, "a caller stood still");
                return;
            }
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    // A caller that leaves or sends garbage is its own business; hyper has answered it.
    if let Err(error) = ended {
        tracing::debug!(error = %error, "a connection ended with an error");
    }
}
