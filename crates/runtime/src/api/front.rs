//! What a socket serves: the router, with a short way for invocations.
//!
//! Nearly all requests are invocations. A router clones, boxes and re-boxes its way to a handler,
//! which for them is a seventh of all that the host computes.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use agentcore_connection::{Answered, Patience, WakeFlag};
use agentcore_protocol::agent::INVOCATIONS_PATH;
use axum::Router;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Method, Request};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::Service;

use super::at_hand::at_hand;
use super::witness::{Peer, Witness};
use super::{Api, gate, root};

/// Serves the connections of a socket. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Front {
    pub(crate) api: Arc<Api>,
    pub(super) router: Router,
}

impl Front {
    /// Everything that is served, for callers without a socket.
    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }

    /// What it serves somebody who has connected.
    pub(crate) fn to(self, peer: SocketAddr, patience: Patience) -> Connected {
        Connected { front: self, peer: Peer(peer), patience, woken: WakeFlag::new() }
    }
}

/// One connection to it.
pub(crate) struct Connected {
    front: Front,
    peer: Peer,
    patience: Patience,
    /// Whether its request has been woken: requests come one after the other.
    woken: WakeFlag,
}

impl Service<Request<Incoming>> for Connected {
    type Response = http::Response<Answered<Body>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (peer, underway) = (self.peer, self.patience.underway());
        let is_invocation = request.method() == Method::POST && request.uri().path() == INVOCATIONS_PATH;
        let way = match is_invocation {
            true => Way::Short(self.front.api.clone()),
            false => Way::Routed(self.front.router()),
        };
        let (parts, body) = request.into_parts();
        let body = self.patience.with_body(body);
        // What the connection itself is woken for is most often no news for a request.
        Box::pin(self.woken.guard(async move {
            let body = at_hand(&parts.headers, body).await;
            let answer = way.answer(parts, body, peer).await;
            Ok(answer.map(|body| underway.until_the_end_of(body)))
        }))
    }
}

/// How a request is answered.
enum Way {
    Routed(Router),
    Short(Arc<Api>),
}

impl Way {
    async fn answer(self, mut parts: Parts, mut body: Body, peer: Peer) -> Response {
        let api = match self {
            Self::Short(api) => api,
            Self::Routed(mut router) => {
                parts.extensions.insert(peer);
                let request = Request::from_parts(parts, body);
                let Ok(answer) = tower_service::Service::call(&mut router, request).await;
                return answer;
            }
        };
        match gate::pass(&api, &mut parts, &mut body, Some(peer)).await {
            Ok((caller, witness)) => Witness::tell(witness, root::invoke(api, &caller, parts, body).await),
            Err(answer) => answer,
        }
    }
}
