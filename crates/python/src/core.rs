//! An app's state: tasks, ping status, and the ways into the Rust service.

use std::str::FromStr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bedrock_agentcore::embed::{BoxFuture, Interrupter, Peer, RawAnswer, RawInvocation};
use bedrock_agentcore::{App, AppService, Health, PingStatus, Response, TaskId, Tasks};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use serde_json::value::RawValue;
use tokio::runtime::Runtime;

use crate::courier::Courier;
use crate::exchange::{Exchange, Head, RawHeaders};
use crate::front::AsgiFront;
use crate::lanes::{EventLoop, Job, Lane, Workers};
use crate::relay::{self, Origin, Relay, UnderWay};
use crate::task::Task;

/// What an app consists of, as far as Rust is concerned.
#[pyclass(frozen)]
pub(crate) struct Core {
    /// The app, until its service is made.
    app: Mutex<Option<App>>,
    service: OnceLock<AppService>,
    pub(crate) tasks: Tasks,
    health: Health,
    workers: Arc<Workers>,
    event_loop: Arc<EventLoop>,
    front: Arc<AsgiFront>,
    courier: Arc<Courier>,
    /// Interrupts the code of a task.
    interrupter: OnceLock<Arc<Py<PyAny>>>,
    relays: Arc<AtomicUsize>,
    /// For relays: a server has a runtime of its own.
    runtime: OnceLock<Runtime>,
    /// The process whose threads these are. 0: no threads yet.
    process: AtomicU32,
}

#[pymethods]
impl Core {
    #[new]
    fn new() -> PyResult<Self> {
        let app = App::new();
        let (workers, event_loop) = (Arc::new(Workers::new()), Arc::new(EventLoop::new()?));
        Ok(Self {
            tasks: app.tasks(),
            health: app.health(),
            app: Mutex::new(Some(app)),
            service: OnceLock::new(),
            front: Arc::new(AsgiFront::new(Arc::clone(&workers), Arc::clone(&event_loop))),
            workers,
            event_loop,
            courier: Arc::default(),
            interrupter: OnceLock::new(),
            relays: Arc::default(),
            runtime: OnceLock::new(),
            process: AtomicU32::new(0),
        })
    }

    /// Says how threads are started that call `worker_started` and `next_job`, and `deliver`.
    fn set_starters(&self, worker: Py<PyAny>, courier: Py<PyAny>) {
        self.workers.set_starter(worker);
        self.courier.set_starter(courier);
    }

    /// Says what is to be called with the id of a task that the host wants to end.
    fn set_interrupter(&self, interrupt: Py<PyAny>) {
        // Set once for an app.
        let _ = self.interrupter.set(Arc::new(interrupt));
    }

    /// The first thing that a worker thread calls.
    fn worker_started(&self) {
        self.workers.started();
    }

    /// What a worker thread is to do next: a request to answer, or something to call. None: it is
    /// to end.
    fn next_job(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        self.workers.next(py).transpose()
    }

    /// Ends the threads that have nothing to do. To be called before the interpreter ends.
    fn dismiss(&self, py: Python<'_>) {
        if self.process.load(Ordering::Acquire) == std::process::id() {
            py.detach(|| {
                self.workers.dismiss();
                self.courier.dismiss();
            });
        }
    }

    /// The courier thread's whole life.
    fn deliver(&self, py: Python<'_>) {
        let relays = Arc::clone(&self.relays);
        self.courier.run(py, move || relays.load(Ordering::Acquire) > 0);
    }

    /// The descriptor that is readable while the event loop has work.
    fn descriptor(&self) -> i32 {
        self.event_loop.descriptor()
    }

    /// The event loop's work: requests and sockets to serve, and what is to be called.
    fn drain(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        self.event_loop.drain(py)
    }

    /// Has `callable` called on a worker thread.
    fn call_on_worker(&self, callable: Py<PyAny>) {
        self.workers.push(Job::Call(callable));
    }

    /// Has `callable` called on the event loop's thread.
    fn call_on_loop(&self, callable: Py<PyAny>) {
        self.event_loop.push(Job::Call(callable));
    }

    /// What goes through the ASGI application: 0 nothing, 1 all but invocations, 2 everything.
    fn share_with_asgi(&self, share: u8) {
        self.front.set_share(share);
    }

    /// Makes the service, once. `on_loop`: the entrypoint belongs on the event loop.
    pub(crate) fn open(&self, debug: bool, on_loop: bool) -> PyResult<()> {
        self.claim()?;
        let Some(app) = self.app.lock().unwrap_or_else(PoisonError::into_inner).take() else { return Ok(()) };
        let lanes = (Lane::Workers(Arc::clone(&self.workers)), Lane::Loop(Arc::clone(&self.event_loop)));
        let service = app
            .debug(debug)
            .front(Arc::clone(&self.front) as _)
            .interrupter(self.interrupter_for_host())
            .raw_entrypoint(move |invocation| invoke(invocation, lanes.clone(), on_loop))
            .into_service()
            .map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        self.service.get_or_init(|| service);
        self.tasks.set_process_default();
        Ok(())
    }

    /// Answers a request that another server received: `head(status, headers)` is called, from
    /// another thread, and then what the relay is asked for.
    #[pyo3(signature = (method, target, headers, body, origin, head))]
    #[allow(clippy::too_many_arguments, reason = "a request has that many parts")]
    fn relay(
        &self,
        py: Python<'_>,
        method: &str,
        target: &str,
        headers: RawHeaders,
        body: &[u8],
        origin: Py<PyAny>,
        head: Py<PyAny>,
    ) -> PyResult<Relay> {
        let service = self.service().ok_or_else(|| PyRuntimeError::new_err("the app is not open"))?;
        self.claim()?;
        // Counted first: a courier that is about to leave sees it and stays.
        let under_way = UnderWay::new(&self.relays);
        self.courier.ensure_running(py)?;
        let mut request = request(method, target, headers, body)?;
        request.extensions_mut().insert(Origin::new(origin));
        let courier = Arc::clone(&self.courier);
        Ok(relay::start(self.runtime()?.handle(), service, request, head, courier, under_way))
    }

    /// `(status, time of its last change)`. `ask`: call a ping handler, if there is one.
    fn ping_status(&self, py: Python<'_>) -> PyResult<(&'static str, u64)> {
        let report = match self.health.report_now() {
            Some(report) => report,
            None => {
                let runtime = self.runtime()?;
                py.detach(|| runtime.block_on(self.health.report()))
            }
        };
        Ok((report.status.as_str(), report.time_of_last_update.unwrap_or_default()))
    }

    /// Has `ask()` called for the status; it returns `Healthy` or `HealthyBusy`, or fails.
    fn set_ping_handler(&self, ask: Py<PyAny>) -> bool {
        self.health.set_ping_handler(move || {
            Python::attach(|py| {
                let status = ask.call0(py).and_then(|status| status.extract::<String>(py));
                let status = status.map_err(|error| error.to_string())?;
                PingStatus::from_str(&status).map_err(|error| error.to_string())
            })
        })
    }

    fn force_ping_status(&self, status: &str) -> PyResult<()> {
        let status =
            PingStatus::from_str(status).map_err(|error| PyValueError::new_err(error.to_string()))?;
        self.health.force_ping_status(status);
        Ok(())
    }

    fn clear_forced_ping_status(&self) {
        self.health.clear_forced_ping_status();
    }

    /// Starts a task that ends with the object returned.
    fn start_task(&self, name: String) -> PyResult<Task> {
        self.same_process()?;
        Ok(Task::start(&self.tasks, name))
    }

    /// Starts a task; `metadata` is JSON.
    #[pyo3(signature = (name, metadata))]
    fn add_task(&self, name: String, metadata: Option<String>) -> PyResult<u64> {
        self.same_process()?;
        let metadata = metadata.and_then(|json| RawValue::from_string(json).ok());
        Ok(self.tasks.add_async_task(name, metadata).get())
    }

    fn complete_task(&self, id: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.same_process()?;
        // Asked first, so that the warning about an unknown task comes from Python alone.
        let running =
            |id: &TaskId| self.tasks.get_async_task(*id).is_some_and(|task| task.finished_at.is_none());
        Ok(task_id(id).filter(running).is_some_and(|id| self.tasks.complete_async_task(id)))
    }

    fn cancel_task(&self, id: &Bound<'_, PyAny>) -> bool {
        task_id(id).is_some_and(|id| self.tasks.cancel(id))
    }

    /// Sets a running task's progress; `progress` is JSON.
    fn report_progress(&self, id: &Bound<'_, PyAny>, progress: String) -> bool {
        let Some((id, progress)) = task_id(id).zip(RawValue::from_string(progress).ok()) else {
            return false;
        };
        self.tasks.report_progress(id, progress)
    }

    /// The running tasks, as JSON.
    fn task_info(&self) -> PyResult<String> {
        json(&self.tasks.get_async_task_info())
    }

    /// All that is known of a task, as JSON.
    fn task_record(&self, id: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
        let record = task_id(id).and_then(|id| self.tasks.get_async_task(id));
        record.map(|record| json(&record)).transpose()
    }
}

impl Core {
    /// Has a task interrupted from a worker thread: who answers the host must not wait for the
    /// interpreter lock.
    fn interrupter_for_host(&self) -> Interrupter {
        let (workers, interrupt) = (Arc::clone(&self.workers), self.interrupter.get().cloned());
        Arc::new(move |task| {
            if let Some(interrupt) = &interrupt {
                workers.push(Job::CallFor(Arc::clone(interrupt), task.get()));
            }
        })
    }

    pub(crate) fn service(&self) -> Option<AppService> {
        self.service.get().cloned()
    }

    fn runtime(&self) -> PyResult<&Runtime> {
        if let Some(runtime) = self.runtime.get() {
            return Ok(runtime);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("agentcore-relay")
            .enable_all()
            .build()?;
        Ok(self.runtime.get_or_init(|| runtime))
    }

    /// Remembers that this process has the app's threads.
    fn claim(&self) -> PyResult<()> {
        self.same_process()?;
        self.process.store(std::process::id(), Ordering::Release);
        Ok(())
    }

    /// A fork takes memory along, but not threads: nothing would be served, and the status that the
    /// platform sees is the parent's.
    fn same_process(&self) -> PyResult<()> {
        match self.process.load(Ordering::Acquire) {
            0 => Ok(()),
            process if process == std::process::id() => Ok(()),
            process => Err(PyRuntimeError::new_err(format!(
                "this process was forked from process {process}, which serves the app, and has none of its \
                 threads: its tasks would count for nothing. Use threads, or start processes with \
                 multiprocessing's \"spawn\" or \"forkserver\", and call the app in the parent alone"
            ))),
        }
    }
}

/// Puts an invocation into its lane, and waits for the answer.
fn invoke(invocation: RawInvocation, lanes: (Lane, Lane), on_loop: bool) -> BoxFuture<RawAnswer> {
    let RawInvocation { text, context, head } = invocation;
    let origin = head.extensions.get::<Arc<Origin>>().and_then(|origin| origin.take());
    let peer = head.extensions.get::<Peer>().copied();
    let head = Head { method: head.method, uri: head.uri, headers: head.headers, peer };
    let lane = if on_loop { lanes.1.clone() } else { lanes.0.clone() };
    Box::pin(async move {
        let (exchange, answer) = Exchange::new(text, head, Some(context), origin, lanes);
        lane.push(Job::Exchange(Box::new(exchange)));
        answer.await.unwrap_or_else(|_| {
            let mut response = Response::new(r#"{"error":"the handler gave no answer"}"#.into());
            *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(http::header::CONTENT_TYPE, json);
            RawAnswer::Response(Box::new(response))
        })
    })
}

fn request(method: &str, target: &str, headers: RawHeaders, body: &[u8]) -> PyResult<Request<Bytes>> {
    let invalid = |error: http::Error| PyValueError::new_err(error.to_string());
    let mut request =
        Request::builder().method(method).uri(target).body(Bytes::copy_from_slice(body)).map_err(invalid)?;
    for (name, value) in headers {
        // What HTTP does not allow cannot have come in over it.
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&name), HeaderValue::from_bytes(&value)) {
            request.headers_mut().append(name, value);
        }
    }
    Ok(request)
}

fn task_id(id: &Bound<'_, PyAny>) -> Option<TaskId> {
    TaskId::try_from(id.extract::<u64>().ok()?).ok()
}

fn json(value: &impl serde::Serialize) -> PyResult<String> {
    serde_json::to_string(value).map_err(|error| PyRuntimeError::new_err(error.to_string()))
}
