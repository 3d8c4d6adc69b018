//! One process that serves the sockets of many idle agents.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

const HEALTHY: &[u8] = br#"{"status":"Healthy","time_of_last_update":1700000000}"#;

/// The socket with this number.
pub(super) fn socket(folder: &Path, n: u32) -> PathBuf {
    folder.join(format!("{n}.sock"))
}

/// The body of the hidden command. On `port` it tells how many pings it has answered.
pub(crate) fn serve(folder: &Path, sockets: u32, port: u16) -> anyhow::Result<()> {
    super::take_all_descriptors()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let pings = Arc::new(AtomicU64::new(0));
        for n in 0..sockets {
            let listener = UnixListener::bind(socket(folder, n))?;
            let pings = Arc::clone(&pings);
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    converse(stream, &pings);
                }
            });
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        loop {
            converse(listener.accept().await?.0, &pings);
        }
    })
}

fn converse(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, pings: &Arc<AtomicU64>) {
    let pings = Arc::clone(pings);
    let respond = service_fn(move |request| respond(request, Arc::clone(&pings)));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), respond);
    // A client that leaves is no news.
    tokio::spawn(async move { drop(connection.await) });
}

async fn respond(
    request: Request<Incoming>,
    pings: Arc<AtomicU64>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = match request.uri().path() {
        "/count" => pings.load(Ordering::Relaxed).to_string().into(),
        "/ping" => {
            pings.fetch_add(1, Ordering::Relaxed);
            Bytes::from_static(HEALTHY)
        }
        _ => {
            // Read to its end, as the next request follows it.
            let _ = request.into_body().collect().await;
            Bytes::from_static(b"{}")
        }
    };
    Ok(Response::new(Full::new(body)))
}
