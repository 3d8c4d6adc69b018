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
        let (mut parts, body) = request.into_parts();
        let body = self.patience.with_body(body);
        // What the connection itself is woken for is most often no news for a request. Each way is in a box of
        // its own, which is only as large as that way needs.
        if is_invocation {
            let api = self.front.api.clone();
            return Box::pin(self.woken.guard(async move {
                let body = at_hand(&parts.headers, body).await;
                let answer = invoke(&api, &mut parts, body, peer).await;
                Ok(answer.map(|body| underway.until_the_end_of(body)))
            }));
        }
        let mut router = self.front.router();
        parts.extensions.insert(peer);
        Box::pin(self.woken.guard(async move {
            let body = at_hand(&parts.headers, body).await;
            let Ok(answer) =
                tower_service::Service::call(&mut router, Request::from_parts(parts, body)).await;
            Ok(answer.map(|body| underway.until_the_end_of(body)))
        }))
    }
}

/// An invocation at the root, past the router.
async fn invoke(api: &Arc<Api>, parts: &mut Parts, mut body: Body, peer: Peer) -> Response {
    match gate::pass(api, parts, &mut body, Some(peer)).await {
        Ok((caller, witness)) => Witness::tell(witness, root::invoke(api, &caller, parts, body).await),
        Err(answer) => answer,
    }
}
