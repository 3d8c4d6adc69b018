//! Serving: a socket, its connections, and a way to stop.

mod prompt;
mod signals;
mod socket;
#[cfg(unix)]
mod standby;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use agentcore_connection::{Patience, polled_in_place};
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::prompt::promptly;
pub(crate) use self::signals::Signals;
use self::socket::Accepted;
pub use self::socket::Listener;
pub(crate) use self::socket::{Place, bind};
use crate::embed::Peer;
use crate::respond::Response;
use crate::service::AppService;

/// How long to wait when no connection can be accepted, as with too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves connections until `stop` resolves; then finishes what is under way, for at most `grace`.
pub(crate) async fn serve(service: AppService, listener: Listener, stop: impl Future, grace: Duration) {
    promptly(accept_until(stop, service, listener, grace)).await;
}

async fn accept_until(stop: impl Future, service: AppService, listener: Listener, grace: Duration) {
    let connections = Connections::new(service);
    // Whoever stops listening to this future has stopped the server too.
    let _stopped = connections.stopping.clone().drop_guard();
    connections.stand_by(&listener);
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(Accepted::Tcp(stream)) => {
                    let peer = stream.peer_addr().ok();
                    connections.serve(stream, peer);
                }
                Ok(Accepted::Unix(stream)) => connections.serve(stream, None),
                Err(error) if left_early(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            _ = &mut stop => break,
        }
    }
    drop(listener);
    connections.drain(grace).await;
}

/// Whether a client has left before its connection was accepted: its affair, not the server's.
fn left_early(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

#[derive(Clone)]
struct Connections {
    service: AppService,
    open: TaskTracker,
    stopping: CancellationToken,
}

impl Connections {
    fn new(service: AppService) -> Self {
        Self { service, open: TaskTracker::new(), stopping: CancellationToken::new() }
    }

    /// Has `/ping` answered even while an author's code blocks the runtime.
    fn stand_by(&self, listener: &Listener) {
        #[cfg(unix)]
        if let Err(error) = standby::start(listener, self.clone()) {
            tracing::warn!(%error, "nobody stands by: /ping waits while handlers block the runtime");
        }
    }

    fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Option<SocketAddr>) {
        let service = self.service.clone();
        tokio::spawn(self.connection(stream, peer, move |request| service.respond(request)));
    }

    /// A connection, to be spawned: served to its end, which comes soon once the server stops.
    fn connection<F, A>(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Option<SocketAddr>,
        respond: F,
    ) -> impl Future<Output = ()> + Send + 'static
    where
        F: Fn(Request<Incoming>) -> A + Send + 'static,
        A: Future<Output = Result<Response, Infallible>> + Send + 'static,
    {
        // Nobody but a front asks for the client's address.
        let peer = peer.filter(|_| self.service.shared().front.is_some()).map(Peer);
        let patience = Patience::new();
        let waiting = patience.clone();
        let respond = service_fn(move |mut request: Request<Incoming>| {
            if let Some(peer) = peer {
                request.extensions_mut().insert(peer);
            }
            let (underway, answer) = (waiting.underway(), respond(request));
            async move { answer.await.map(|answer| answer.map(|body| underway.until_the_end_of(body))) }
        });
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(stream), respond).with_upgrades();
        let stopping = self.stopping.clone();
        let served = async move {
            let mut connection = std::pin::pin!(connection);
            let served = tokio::select! {
                biased;
                served = connection.as_mut() => served,
                interrupted = patience.lost_or(stopping.cancelled()) => match interrupted {
                    Some(stalled) => {
                        tracing::debug!(?stalled, "a client sends no request");
                        return;
                    }
                    None => {
                        connection.as_mut().graceful_shutdown();
                        connection.await
                    }
                }
            };
            if let Err(error) = served {
                tracing::debug!(%error, "a connection ended early");
            }
        };
        self.open.track_future(polled_in_place(promptly(served)))
    }

    /// Tells tasks that the agent is about to stop, and waits for them, for handlers and for
    /// connections.
    async fn drain(self, grace: Duration) {
        let shared = Arc::clone(self.service.shared());
        tracing::info!(tasks.active = shared.tasks.active_count(), "stopping: waiting for what is under way");
        shared.tasks.announce_shutdown();
        self.stopping.cancel();
        self.open.close();
        shared.handlers.close();
        let finished = async {
            // Connections first: what they still bring may start handlers, and those tasks.
            self.open.wait().await;
            shared.handlers.wait().await;
            shared.tasks.wait_idle().await;
        };
        if tokio::time::timeout(grace, finished).await.is_err() {
            tracing::warn!(
                tasks.active = shared.tasks.active_count(),
                handlers.active = shared.handlers.len(),
                "the grace period is over: what is still under way is left behind"
            );
        }
    }
}
