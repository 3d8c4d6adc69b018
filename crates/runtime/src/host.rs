//! A host from start to end.

mod serve;
mod state_folder;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use agentcore_protocol::Clock;
use agentcore_sandbox::SandboxKind;
use axum::Router;
use tokio::net::TcpListener;

use crate::agent::InvalidAgent;
use crate::options::HostOptions;
use state_folder::StateFolder;

pub use state_folder::{HOST_RECORD_FILE, HostRecord};

/// A host that has bound its address and taken hold of its state, and is ready to serve.
pub struct Host {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    options: Arc<HostOptions>,
    state: StateFolder,
}

/// Why a host does not start, or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Nothing at this address checks who calls.
    #[error(
        "the host serves this machine only, and {0} can be reached from others: whoever reaches it can run your \
         agents. Listen on a loopback address such as 127.0.0.1:8080"
    )]
    NotLoopback(SocketAddr),
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {address}: {source}. Name another address, or stop what listens there")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The reason.
        source: io::Error,
    },
    /// Another host holds the state folder.
    #[error("another host uses the state in {state}{}: stop it, or name another state folder", at(.url.as_deref()))]
    AlreadyRunning {
        /// The state folder.
        state: PathBuf,
        /// Where the other host serves, as far as it is known.
        url: Option<String>,
    },
    /// The state folder cannot be used.
    #[error("cannot {step} {path}: {source}")]
    State {
        /// What was being done, as in "lock".
        step: &'static str,
        /// To what.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A definition is refused.
    #[error(transparent)]
    Agent(#[from] InvalidAgent),
}

fn at(url: Option<&str>) -> String {
    url.map(|url| format!(" (it serves {url})")).unwrap_or_default()
}

impl Host {
    /// Starts a host: binds the address, takes hold of the state folder and opens the store.
    ///
    /// # Errors
    /// The address is not a loopback one or cannot be bound, another host uses the state folder,
    /// or the state or a definition is unusable.
    pub async fn start(
        options: HostOptions,
        _kind: Arc<dyn SandboxKind>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, HostError> {
        for agent in &options.agents {
            agent.validate()?;
        }
        if !options.listen.ip().is_loopback() {
            return Err(HostError::NotLoopback(options.listen));
        }
        let listen = |source| HostError::Listen { address: options.listen, source };
        let listener = TcpListener::bind(options.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let state = StateFolder::take(&options.state)?;
        state.announce(&HostRecord::new(address, clock.now()))?;
        Ok(Self { listener, address, router: Router::new(), options: Arc::new(options), state })
    }

    /// The address that is served; with port 0 in the options, this tells which one it became.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Everything the host serves, for callers without a socket.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Serves until `shutdown` is ready; then takes no more requests, lets those in flight end
    /// within the drain time, and does with the sessions what the options say.
    ///
    /// # Errors
    /// The store or the state folder fails at the end. What runs by then goes on, and the next
    /// host adopts it.
    pub async fn serve_until(self, shutdown: impl Future<Output = ()>) -> Result<(), HostError> {
        serve::serve(self.listener, self.router, shutdown, self.options.timeouts.drain).await;
        self.state.release();
        Ok(())
    }
}
