//! What a socket serves: the router, with a short way for invocations.
//!
//! Nearly all requests are invocations. A router clones, boxes and re-boxes its way to a handler,
//! which for them is a seventh of all that the host computes.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use agentcore_protocol::agent::INVOCATIONS_PATH;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, Request};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::Service;

use super::witness::{Peer, Witness};
use super::{Api, gate, root};

/// Serves the connections of a socket. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Front {
    pub(crate) api: Arc<Api>,
    pub(super) router: Router,
    /// Who is at the other end of the connection.
    pub(super) peer: Option<Peer>,
}

impl Front {
    /// What it serves somebody who has connected.
    pub(crate) fn to(&self, peer: SocketAddr) -> Self {
        Self { peer: Some(Peer(peer)), ..self.clone() }
    }

    /// Everything that is served, for callers without a socket.
    pub(crate) fn router(&self) -> Router {
        self.router.clone()
    }
}

impl Service<Request<Incoming>> for Front {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut request = request.map(Body::new);
        if request.method() != Method::POST || request.uri().path() != INVOCATIONS_PATH {
            if let Some(peer) = self.peer {
                request.extensions_mut().insert(peer);
            }
            return Box::pin(tower_service::Service::call(&mut self.router(), request));
        }
        let (api, peer) = (self.api.clone(), self.peer);
        Box::pin(async move {
            Ok(match gate::pass(&api, request, peer).await {
                Ok((request, witness)) => {
                    Witness::tell(witness, root::invocations(State(api), request).await)
                }
                Err(answer) => answer,
            })
        })
    }
}
