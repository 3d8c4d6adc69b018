//! A host whose agents are in memory and trivial.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agentcore_protocol::SystemClock;
use agentcore_runtime::{AgentDefinition, Host, HostOptions, host_runtime};
use agentcore_sandbox::InMemoryKind;
use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

/// Between two items of a stream.
const BEAT: Duration = Duration::from_millis(1);

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The body of the hidden command.
pub(crate) fn serve_host(folder: PathBuf, port: u16) -> anyhow::Result<()> {
    let runtime = host_runtime()?;
    runtime.block_on(async {
        let kind = InMemoryKind::new(Arc::new(SystemClock), |_, io| async move {
            // A connection that breaks is its caller's business.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(io), service_fn(answer)).await;
        });
        let mut options = HostOptions::new(folder);
        options.listen = ([127, 0, 0, 1], port).into();
        options.limits.new_sessions_per_second = 10_000;
        options.retention.invocations_per_agent = u32::MAX;
        options.agents.push(AgentDefinition::new("trivial", "/bin/true", "/"));
        let host = Host::start(options, Arc::new(kind), Arc::new(SystemClock)).await?;
        host.serve_until(std::future::pending()).await?;
        Ok(())
    })
}

/// With what it was given, or with as many items as it is asked for.
async fn answer(request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    let is_ping = request.uri().path() == "/ping";
    let payload = request.into_body().collect().await?.to_bytes();
    if is_ping {
        return Ok(json(Bytes::from_static(b"{\"status\":\"Healthy\"}")));
    }
    let wanted = serde_json::from_slice::<Value>(&payload).ok();
    match wanted.as_ref().and_then(|wanted| wanted["items"].as_u64()) {
        Some(items) => Ok(events(items)),
        None => Ok(json(payload)),
    }
}

fn json(body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body).boxed_unsync());
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}

/// Each when it is due. The last one tells how late they were.
fn events(items: u64) -> Response<Body> {
    let begin = Instant::now();
    let late = Vec::<f64>::new();
    let stream = stream::unfold((0, late), move |(item, mut late)| async move {
        if item == items {
            return None;
        }
        let due = begin + BEAT * u32::try_from(item).unwrap_or(u32::MAX);
        sleep_until(due).await;
        late.push(due.elapsed().as_secs_f64() * 1e3);
        let mut text = format!("data: {{\"token\":\"and then it says\",\"index\":{item}}}\n\n");
        if item + 1 == items {
            late.sort_by(f64::total_cmp);
            let (p50, p99) = (late[late.len() / 2], late[late.len() * 99 / 100]);
            text = format!("data: {{\"late_p50_ms\":{p50},\"late_p99_ms\":{p99}}}\n\n");
        }
        Some((Ok(Frame::data(Bytes::from(text))), (item + 1, late)))
    });
    let mut response = Response::new(BodyExt::boxed_unsync(StreamBody::new(stream)));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/event-stream"));
    response
}
