//! A WebSocket for the ASGI application.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::extract::WebSocketUpgrade;
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use axum::response::IntoResponse;
use bedrock_agentcore::{Response, StatusCode};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, header};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use tokio::sync::{Notify, oneshot};

use crate::channel::{Channel, Items, Weigh, channel};
use crate::exchange::{Head, RawHeaders, response};
use crate::lanes::{EventLoop, Job, Lane};

/// Above this many messages that Python has not taken, no more are read from the client.
const MOST_WAITING: usize = 32;
/// The connection broke without a word.
const ABNORMAL: u16 = 1006;
/// The client closed without saying why.
const NO_STATUS: u16 = 1005;

impl Weigh for Message {
    fn weight(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) | Self::Ping(bytes) | Self::Pong(bytes) => bytes.len(),
            Self::Close(_) => 0,
        }
    }
}

/// A WebSocket that a client asks for, and then has.
#[pyclass(frozen)]
pub(crate) struct Socket {
    head: Head,
    decision: Mutex<Option<oneshot::Sender<Decision>>>,
    incoming: Arc<Incoming>,
    outgoing: Arc<Channel<Message>>,
}

enum Decision {
    Accept { subprotocol: Option<String>, headers: RawHeaders },
    Refuse(Box<Response>),
}

struct Incoming {
    lane: Lane,
    state: Mutex<(VecDeque<Message>, Option<Py<PyAny>>)>,
    room: Notify,
}

impl Incoming {
    fn lock(&self) -> MutexGuard<'_, (VecDeque<Message>, Option<Py<PyAny>>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes a message on, and waits while too many have not been taken.
    async fn push(&self, message: Message) {
        let waiting = {
            let mut state = self.lock();
            state.0.push_back(message);
            state.1.take()
        };
        waiting.into_iter().for_each(|resume| self.lane.call(resume));
        while self.lock().0.len() >= MOST_WAITING {
            self.room.notified().await;
        }
    }
}

/// Asks Python, and answers the client with what it decides.
pub(crate) async fn open(upgrade: WebSocketUpgrade, head: Head, event_loop: Arc<EventLoop>) -> Response {
    let lane = Lane::Loop(event_loop);
    let (decision, decided) = oneshot::channel();
    let (outgoing, to_send) = channel(lane.clone());
    let incoming = Arc::new(Incoming { lane: lane.clone(), state: Mutex::default(), room: Notify::new() });
    let received = Arc::clone(&incoming);
    let socket = Socket { head, decision: Mutex::new(Some(decision)), incoming, outgoing };
    lane.push(Job::Socket(Box::new(socket)));
    match decided.await {
        Ok(Decision::Accept { subprotocol, headers }) => {
            let mut response = upgrade.on_upgrade(move |socket| carry(socket, received, to_send));
            append(&mut response, subprotocol, headers);
            response
        }
        Ok(Decision::Refuse(response)) => *response,
        Err(_) => StatusCode::FORBIDDEN.into_response(),
    }
}

fn append(response: &mut Response, subprotocol: Option<String>, headers: RawHeaders) {
    if let Some(Ok(subprotocol)) = subprotocol.map(HeaderValue::try_from) {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) =
            (header::HeaderName::from_bytes(&name), HeaderValue::from_bytes(&value))
        {
            response.headers_mut().append(name, value);
        }
    }
}

/// Carries messages both ways until one side closes.
async fn carry(socket: WebSocket, incoming: Arc<Incoming>, mut outgoing: Items<Message>) {
    let (mut sender, mut receiver) = socket.split();
    let receive = async {
        while let Some(Ok(message)) = receiver.next().await {
            match message {
                Message::Ping(_) | Message::Pong(_) => {}
                Message::Close(frame) => {
                    let frame = frame.unwrap_or(CloseFrame { code: NO_STATUS, reason: "".into() });
                    return incoming.push(Message::Close(Some(frame))).await;
                }
                message => incoming.push(message).await,
            }
        }
        incoming.push(Message::Close(Some(CloseFrame { code: ABNORMAL, reason: "".into() }))).await;
    };
    let send = async {
        while let Some(message) = outgoing.next().await {
            if sender.send(message).await.is_err() {
                // Python learns of it from the receiving side.
                return std::future::pending().await;
            }
        }
        let _ = sender.close().await;
    };
    let receive = std::pin::pin!(receive);
    let send = std::pin::pin!(send);
    futures_util::future::select(receive, send).await;
}

#[pymethods]
impl Socket {
    /// The request as an ASGI scope.
    fn scope<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let scope = self.head.scope(py, "websocket", &self.head.headers)?;
        let offered = self.head.headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
        let offered = offered.iter().filter_map(|value| value.to_str().ok());
        let names: Vec<&str> = offered.flat_map(|names| names.split(',')).map(str::trim).collect();
        scope.set_item("subprotocols", names)?;
        let extensions = PyDict::new(py);
        extensions.set_item("websocket.http.response", PyDict::new(py))?;
        scope.set_item("extensions", extensions)?;
        scope.del_item("method")?;
        Ok(scope)
    }

    /// Takes the connection.
    #[pyo3(signature = (subprotocol, headers))]
    fn accept(&self, subprotocol: Option<String>, headers: RawHeaders) -> PyResult<()> {
        self.decide(Decision::Accept { subprotocol, headers })
    }

    /// Refuses the connection with a response.
    fn refuse(&self, status: u16, headers: RawHeaders, body: Vec<u8>) -> PyResult<()> {
        self.decide(Decision::Refuse(Box::new(response(status, headers, Body::from(body))?)))
    }

    /// Sends a text. False: wait (`park`) before the next message.
    fn send_text(&self, text: String) -> bool {
        self.outgoing.push(Message::Text(text.into()))
    }

    /// Sends bytes. False: wait (`park`) before the next message.
    fn send_bytes(&self, bytes: Vec<u8>) -> bool {
        self.outgoing.push(Message::Binary(bytes.into()))
    }

    /// Has `resume` called on the loop once there is room. False: there is, or the client has left.
    fn park(&self, resume: Py<PyAny>) -> bool {
        self.outgoing.park(resume)
    }

    /// Whether the connection is over.
    #[getter]
    fn abandoned(&self) -> bool {
        self.outgoing.is_abandoned()
    }

    /// Closes the connection.
    fn close(&self, code: u16, reason: String) {
        self.outgoing.push(Message::Close(Some(CloseFrame { code, reason: reason.into() })));
        self.outgoing.end();
    }

    /// The next message: a text, bytes, or (code, reason) when the client is gone. None: none yet,
    /// and `resume` is called on the loop when there is one.
    fn receive<'py>(&self, py: Python<'py>, resume: Py<PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let mut state = self.incoming.lock();
        let Some(message) = state.0.pop_front() else {
            state.1 = Some(resume);
            return Ok(None);
        };
        drop(state);
        self.incoming.room.notify_one();
        Ok(Some(match message {
            Message::Text(text) => text.as_str().into_pyobject(py)?.into_any(),
            Message::Binary(bytes) => PyBytes::new(py, &bytes).into_any(),
            Message::Close(Some(frame)) => (frame.code, frame.reason.as_str()).into_pyobject(py)?.into_any(),
            Message::Close(None) | Message::Ping(_) | Message::Pong(_) => {
                (NO_STATUS, "").into_pyobject(py)?.into_any()
            }
        }))
    }
}

impl Socket {
    fn decide(&self, decision: Decision) -> PyResult<()> {
        let sender = self.decision.lock().unwrap_or_else(PoisonError::into_inner).take();
        let sender =
            sender.ok_or_else(|| PyRuntimeError::new_err("the WebSocket is accepted or refused already"))?;
        // The client may be gone; it is told from the receiving side.
        let _ = sender.send(decision);
        Ok(())
    }
}
