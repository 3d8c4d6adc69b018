//! The server behind `app.run()`.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bedrock_agentcore::embed;
use bedrock_agentcore::{App, Listener, ServeError, logs};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use tokio::runtime::{Builder, Runtime};

use crate::core::Core;

/// Threads that do I/O, at most: Python keeps the other cores busy.
const MOST_IO_THREADS: usize = 4;

/// A bound socket, and the threads to serve it.
#[pyclass(frozen)]
pub(crate) struct Server {
    bound: Mutex<Option<(Runtime, Listener)>>,
    #[pyo3(get)]
    address: String,
}

#[pymethods]
impl Server {
    /// Takes the socket that was handed over, else binds.
    #[new]
    #[pyo3(signature = (host, port, debug))]
    fn new(py: Python<'_>, host: Option<String>, port: Option<u16>, debug: bool) -> PyResult<Self> {
        logs::init(debug);
        let mut place = App::new();
        if let Some(host) = host {
            place = place.host(py.detach(|| resolve(&host))?);
        }
        if let Some(port) = port {
            place = place.port(port);
        }
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(MOST_IO_THREADS));
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("agentcore-io")
            .enable_all()
            .build()?;
        let listener = py.detach(|| runtime.block_on(embed::bind(&place))).map_err(to_python)?;
        let address = listener.to_string();
        Ok(Self { bound: Mutex::new(Some((runtime, listener))), address })
    }

    /// Serves until SIGTERM or Ctrl-C (if `signals`), and then drains. The interpreter lock is
    /// free meanwhile.
    fn serve(&self, py: Python<'_>, core: &Core, signals: bool, grace: f64) -> PyResult<()> {
        let bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (runtime, listener) = bound.ok_or_else(|| PyRuntimeError::new_err("the server has ended"))?;
        let service = core.service().ok_or_else(|| PyRuntimeError::new_err("the app is not open"))?;
        let grace =
            Duration::try_from_secs_f64(grace).map_err(|error| PyValueError::new_err(error.to_string()))?;
        let served = py.detach(|| {
            let served = runtime.block_on(async {
                if signals {
                    let stop = embed::signalled()?;
                    embed::serve(service, listener, stop, grace).await;
                } else {
                    embed::serve(service, listener, std::future::pending::<()>(), grace).await;
                }
                Ok::<_, ServeError>(())
            });
            // Work that outlasted the grace period is not waited for.
            runtime.shutdown_background();
            served
        });
        served.map_err(to_python)?;
        // Ctrl-C has stopped the server; what Python makes of it (KeyboardInterrupt) comes now.
        py.check_signals()
    }
}

fn resolve(host: &str) -> PyResult<IpAddr> {
    let found = (host, 0)
        .to_socket_addrs()
        .map_err(|error| PyOSError::new_err(format!("the host {host:?} is not known here: {error}")))?;
    let mut found = found.map(|address| address.ip());
    found.next().ok_or_else(|| PyOSError::new_err(format!("the host {host:?} has no address")))
}

fn to_python(error: ServeError) -> PyErr {
    match error {
        ServeError::InvalidPort(_) => PyValueError::new_err(error.to_string()),
        ServeError::Bind { .. } | ServeError::Journal { .. } | ServeError::HandedOverSocket(_) => {
            PyOSError::new_err(error.to_string())
        }
        ServeError::Setup(_) => PyRuntimeError::new_err(error.to_string()),
    }
}
