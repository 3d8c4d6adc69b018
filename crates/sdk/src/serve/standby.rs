//! A second pair of ears, for when an author's code blocks the runtime.
//!
//! An async handler must not block, but some do, and with every thread of the runtime blocked
//! nobody would answer `/ping`: a busy agent would look dead and be ended. So a thread of our own
//! watches the socket too. A connection that nobody has accepted for a while is accepted here, and
//! `/ping` is answered; other requests are passed on to the runtime and wait for it, as they must.
//!
//! It costs nothing while the runtime keeps up: the thread sleeps until a connection arrives, then
//! looks a moment later and finds it gone.

use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use agentcore_protocol::agent::PING_PATH;
use agentcore_sandbox::UnixIo;
use http::Request;
use hyper::body::Incoming;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::runtime::Handle;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::socket::{Accepted, Listener};
use super::{Connections, left_early};
use crate::respond::{self, Response};
use crate::service::AppService;

/// How long the runtime has to accept a connection.
const PATIENCE: Duration = Duration::from_millis(100);

/// Starts the thread. It ends once the server stops and the connections that it accepted are done.
///
/// # Errors
/// No thread, or no further descriptor, is to be had. The server does without.
pub(super) fn start(listener: &Listener, connections: Connections) -> io::Result<()> {
    let waiting = Waiting::of(listener)?;
    let socket = match &waiting {
        Waiting::Tcp(listener) => listener.as_fd().try_clone_to_owned()?,
        Waiting::Unix(listener) => listener.as_fd().try_clone_to_owned()?,
    };
    let standby = Standby { connections, main: Handle::current(), accepted: TaskTracker::new() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new()
        .name("agentcore-standby".into())
        .spawn(move || runtime.block_on(standby.run(waiting, socket)))?;
    Ok(())
}

struct Standby {
    connections: Connections,
    /// The runtime that the server runs on.
    main: Handle,
    /// The connections that live on this thread.
    accepted: TaskTracker,
}

impl Standby {
    async fn run(self, waiting: Waiting, socket: OwnedFd) {
        let stopping = self.connections.stopping.clone();
        if let Some(Err(error)) = stopping.run_until_cancelled(self.watch(waiting, socket)).await {
            tracing::warn!(%error, "nobody stands by any more: /ping waits while handlers block the runtime");
        }
        self.accepted.close();
        self.accepted.wait().await;
    }

    async fn watch(&self, waiting: Waiting, socket: OwnedFd) -> io::Result<()> {
        // Deprecated for descriptors that somebody else may close; this one is ours alone, and the
        // successor is an unsafe function.
        #[allow(deprecated)]
        let arrivals = AsyncFd::with_interest(socket, Interest::READABLE)?;
        loop {
            arrivals.readable().await?.clear_ready();
            tokio::time::sleep(PATIENCE).await;
            while let Some(accepted) = waiting.accept()? {
                match accepted {
                    Accepted::Tcp(stream) => {
                        let peer = stream.peer_addr().ok();
                        self.serve(stream, peer);
                    }
                    Accepted::Unix(stream) => self.serve(stream, None),
                }
            }
        }
    }

    fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Option<SocketAddr>) {
        let (service, main) = (self.connections.service.clone(), self.main.clone());
        let respond = move |request| respond(request, service.clone(), main.clone());
        self.accepted.spawn(self.connections.connection(stream, peer, respond));
    }
}

/// The listening socket, as one that can be asked without waiting.
enum Waiting {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl Waiting {
    fn of(listener: &Listener) -> io::Result<Self> {
        Ok(match listener {
            Listener::Tcp(listener) => Self::Tcp(listener.as_fd().try_clone_to_owned()?.into()),
            Listener::Unix(listener) => Self::Unix(listener.as_fd().try_clone_to_owned()?.into()),
        })
    }

    /// A connection that nobody has accepted, if there is one.
    fn accept(&self) -> io::Result<Option<Accepted>> {
        let accepted = match self {
            Self::Tcp(listener) => listener.accept().and_then(|(stream, _)| {
                stream.set_nonblocking(true)?;
                let _ = stream.set_nodelay(true);
                tokio::net::TcpStream::from_std(stream).map(Accepted::Tcp)
            }),
            Self::Unix(listener) => listener.accept().and_then(|(stream, _)| {
                stream.set_nonblocking(true)?;
                UnixIo::new(stream).map(Accepted::Unix)
            }),
        };
        match accepted {
            Ok(accepted) => Ok(Some(accepted)),
            // Accepted by the runtime meanwhile, or gone again: all is well.
            Err(error) if error.kind() == ErrorKind::WouldBlock || left_early(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

async fn respond(
    request: Request<Incoming>,
    service: AppService,
    main: Handle,
) -> Result<Response, Infallible> {
    if request.uri().path() == PING_PATH {
        return service.respond(request).await;
    }
    // Aborted when the client leaves, as the runtime's own connections drop their answers.
    let answered = AbortOnDropHandle::new(main.spawn(service.respond(request))).await;
    answered.unwrap_or_else(|_| {
        Ok(respond::error(http::StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping"))
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::sync::{Mutex, mpsc};

    use serde_json::Value;

    use crate::App;

    fn ask(address: SocketAddr, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    fn answer(mut stream: TcpStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn ping_is_answered_while_a_handler_blocks_every_thread_of_the_runtime() {
        const PING: &str = "GET /ping HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        const INVOKE: &str =
            "POST /invocations HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (blocked, is_blocked) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let app = App::new().entrypoint(move |_: Value| {
            blocked.send(()).unwrap();
            released.lock().unwrap().recv().unwrap();
            async { "released" }
        });
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(app.serve_on(listener, std::future::pending::<()>()));

        let invoked = ask(address, INVOKE);
        is_blocked.recv().unwrap();
        let pinged = answer(ask(address, PING));
        assert!(pinged.contains(r#"{"status":"Healthy","#), "{pinged}");

        // A request that came meanwhile waits for the runtime and is answered then.
        let waiting = ask(address, INVOKE);
        release.send(()).unwrap();
        assert!(answer(invoked).ends_with("\"released\""));
        is_blocked.recv().unwrap();
        release.send(()).unwrap();
        assert!(answer(waiting).ends_with("\"released\""));
    }

    #[test]
    fn a_client_that_was_accepted_here_is_seen_to_leave_even_while_the_server_stops() {
        const BLOCK: &str = "POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n0";
        const WAIT: &str = "POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n1";
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (said, heard) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let app = App::new().entrypoint(move |n: u8, token: crate::CancellationToken| {
            said.send("begun").unwrap();
            if n == 0 {
                released.lock().unwrap().recv().unwrap();
            }
            let said = said.clone();
            async move {
                if n == 1 {
                    token.cancelled().await;
                    said.send("told").unwrap();
                }
            }
        });
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let served = runtime.spawn(app.serve_on(listener, stopped));

        let mut blocked = ask(address, BLOCK);
        heard.recv().unwrap();
        let waiting = ask(address, WAIT);
        // Accepted here as well, and after the one that waits.
        let ping = "GET /ping HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        answer(ask(address, ping));
        release.send(()).unwrap();
        let mut status = [0; 15];
        blocked.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 200 OK");
        heard.recv().unwrap();
        stop.send(()).unwrap();
        drop(waiting);
        let patience = std::time::Duration::from_secs(10);
        assert_eq!(heard.recv_timeout(patience), Ok("told"));
        runtime.block_on(served).unwrap().unwrap();
    }
}
