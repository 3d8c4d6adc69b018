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
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use agentcore_protocol::agent::PING_PATH;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::socket::{Accepted, Listener};
use crate::respond::{self, Response};
use crate::service::AppService;

/// How long the runtime has to accept a connection.
const PATIENCE: Duration = Duration::from_millis(100);

/// Starts the thread. It ends with `stop`.
///
/// # Errors
/// No thread, or no further descriptor, is to be had. The server does without.
pub(super) fn start(listener: &Listener, service: AppService, stop: CancellationToken) -> io::Result<()> {
    let waiting = Waiting::of(listener)?;
    let socket = match &waiting {
        Waiting::Tcp(listener) => listener.as_fd().try_clone_to_owned()?,
        Waiting::Unix(listener) => listener.as_fd().try_clone_to_owned()?,
    };
    let main = Handle::current();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let watch = async move {
        if let Some(Err(error)) = stop.run_until_cancelled(watch(waiting, socket, service, main)).await {
            tracing::warn!(%error, "nobody stands by any more: /ping waits while handlers block the runtime");
        }
    };
    std::thread::Builder::new().name("agentcore-standby".into()).spawn(move || runtime.block_on(watch))?;
    Ok(())
}

async fn watch(waiting: Waiting, socket: OwnedFd, service: AppService, main: Handle) -> io::Result<()> {
    // Deprecated for descriptors that somebody else may close; this one is ours alone, and the
    // successor is an unsafe function.
    #[allow(deprecated)]
    let arrivals = AsyncFd::with_interest(socket, Interest::READABLE)?;
    loop {
        arrivals.readable().await?.clear_ready();
        tokio::time::sleep(PATIENCE).await;
        while let Some(accepted) = waiting.accept()? {
            let (service, main) = (service.clone(), main.clone());
            match accepted {
                Accepted::Tcp(stream) => serve(stream, service, main),
                Accepted::Unix(stream) => serve(stream, service, main),
            }
        }
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
                tokio::net::TcpStream::from_std(stream).map(Accepted::Tcp)
            }),
            Self::Unix(listener) => listener.accept().and_then(|(stream, _)| {
                stream.set_nonblocking(true)?;
                tokio::net::UnixStream::from_std(stream).map(Accepted::Unix)
            }),
        };
        match accepted {
            Ok(accepted) => Ok(Some(accepted)),
            // Accepted by the runtime meanwhile, or gone again: all is well.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, service: AppService, main: Handle) {
    let respond = service_fn(move |request| respond(request, service.clone(), main.clone()));
    let mut http = http1::Builder::new();
    let connection =
        http.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), respond).with_upgrades();
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended early");
        }
    });
}

async fn respond(
    request: Request<Incoming>,
    service: AppService,
    main: Handle,
) -> Result<Response, Infallible> {
    if request.uri().path() == PING_PATH {
        return service.respond(request).await;
    }
    let answered = main.spawn(service.respond(request)).await;
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
}
