//! An app that is served on a real socket.

use std::net::SocketAddr;

use bedrock_agentcore::{App, ServeError};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Client, soon};

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), ServeError>>,
}

impl Server {
    pub(crate) async fn start(app: App) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let served = tokio::spawn(app.serve_on(listener, stopped));
        Self { address, stop, served }
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Tells the server to stop.
    pub(crate) fn tell_to_stop(self) -> JoinHandle<Result<(), ServeError>> {
        let _ = self.stop.send(());
        self.served
    }

    /// Stops the server, and waits until nothing is left under way.
    pub(crate) async fn stop(self) {
        soon(self.tell_to_stop()).await.expect("no panic").expect("served");
    }
}
