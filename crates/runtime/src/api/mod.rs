//! What the host serves over HTTP: one router per family of paths.
//!
//! | paths | module |
//! |---|---|
//! | `/invocations`, `/ping`, `/ws` | [`root`]: the default agent, its answers as they are |
//! | `/runtimes/`, `/tags/` | [`aws`]: AWS's own API |
//! | `/_agentcore/v1/` | [`v1`]: this project's own |

mod access;
mod asked;
mod at_hand;
mod aws;
mod call;
mod caller;
mod durable;
mod error;
mod front;
mod gate;
mod host_token;
mod proxy;
mod query;
mod quota;
mod root;
mod subprotocol;
mod tokens;
mod v1;
mod witness;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use agentcore_auth::gate::Gate;
use agentcore_protocol::Timestamp;
use axum::Router;
use axum::http::Uri;
use axum::middleware::from_fn_with_state;

use crate::audit::AuditLog;
use crate::invocations::Invocations;
use crate::journal::Journals;
use crate::options::Timeouts;
use crate::registry::Registry;
use crate::session::Manager;
use crate::store::Store;
use crate::time::HostClock;

use error::ApiError;

pub(crate) use aws::Replays;
pub(crate) use durable::{keep_within_bounds, recover};

pub(crate) use front::{Connected, Front};
pub(crate) use host_token::HostToken;
pub use host_token::{HOST_TOKEN_FILE, HOST_TOKEN_HEADER};
pub(crate) use quota::Quotas;
pub(crate) use tokens::Authorizers;

/// What the handlers need.
pub(crate) struct Api {
    pub(crate) gate: Gate,
    pub(crate) token: HostToken,
    pub(crate) quotas: Quotas,
    pub(crate) audit: AuditLog,
    pub(crate) authorizers: Authorizers,
    pub(crate) manager: Arc<Manager>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) store: Store,
    pub(crate) journals: Arc<Journals>,
    pub(crate) clock: HostClock,
    pub(crate) timeouts: Timeouts,
    pub(crate) replays: Replays,
    pub(crate) invocations: Arc<Invocations>,
    pub(crate) default_agent: Option<String>,
    pub(crate) state: PathBuf,
    pub(crate) address: SocketAddr,
    /// How callers reach it.
    pub(crate) scheme: &'static str,
    /// A proxy stands in front of it, which says where requests come from.
    pub(crate) behind_proxy: bool,
    pub(crate) started_at: Timestamp,
}

/// Everything the host serves.
pub(crate) fn front(api: Api) -> Front {
    let api = Arc::new(api);
    let router = Router::new()
        .merge(root::router())
        .merge(aws::router(&api))
        .nest("/_agentcore/v1", v1::router())
        .fallback(|uri: Uri| async move { aws::told(uri.path(), ApiError::NoSuchPath) })
        .method_not_allowed_fallback(
            |uri: Uri| async move { aws::told(uri.path(), ApiError::MethodNotAllowed) },
        )
        .layer(from_fn_with_state(api.clone(), gate::check))
        .with_state(api.clone());
    Front { api, router }
}

impl Api {
    /// The agent of that name, or the default one: the one that the options name, else the only
    /// one there is.
    pub(crate) fn agent(&self, name: Option<&str>) -> Result<Arc<crate::session::Agent>, ApiError> {
        if let Some(name) = name.or(self.default_agent.as_deref()) {
            return self.manager.agent(name).ok_or_else(|| ApiError::UnknownAgent(name.to_owned()));
        }
        self.manager.only_agent().ok_or_else(|| {
            let agents = self.manager.agents();
            let names = agents.iter().filter(|agent| !agent.is_named_by_endpoint());
            ApiError::NoDefaultAgent(names.map(|agent| agent.name.to_string()).collect())
        })
    }
}
