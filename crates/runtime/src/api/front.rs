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
use crate::host::Patience;

/// Serves the connections of a socket. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Front {
    pub(crate) api: Arc<Api>,
    pub(super) router: Router,
    pub(super) connection: Option<Connection>,
}

/// One connection to it.
#[derive(Clone)]
pub(super) struct Connection {
    peer: Peer,
    patience: Patience,
}

impl Front {
    /// What it serves somebody who has connected.
    pub(crate) fn to(&self, peer: SocketAddr, patience: Patience) -> Self {
        Self { connection: Some(Connection { peer: Peer(peer), patience }), ..self.clone() }
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
        let (mut request, peer) = match &self.connection {
            Some(Connection { peer, patience }) => {
                (request.map(|body| Body::new(patience.with_body(body))), Some(*peer))
            }
            None => (request.map(Body::new), None),
        };
        if request.method() != Method::POST || request.uri().path() != INVOCATIONS_PATH {
            if let Some(peer) = peer {
                request.extensions_mut().insert(peer);
            }
            return Box::pin(tower_service::Service::call(&mut self.router(), request));
        }
        let api = self.api.clone();
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
