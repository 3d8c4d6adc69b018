//! A request on its way through Python, and the way back for its answer.

use std::sync::Mutex;
use std::sync::PoisonError;

use axum::body::Body;
use bedrock_agentcore::RequestContext;
use bedrock_agentcore::embed::{self, Peer, RawAnswer};
use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};
use tokio::sync::oneshot;

use crate::channel::{Sink, channel};
use crate::lanes::Lane;

/// Headers as ASGI has them.
pub(crate) type RawHeaders = Vec<(Vec<u8>, Vec<u8>)>;

/// A request that Python answers.
#[pyclass(frozen)]
pub(crate) struct Exchange {
    /// The body; an invocation's is decoded to UTF-8.
    body: Bytes,
    head: Head,
    /// An invocation's context. None for requests to the ASGI application.
    context: Option<RequestContext>,
    /// What the ASGI application gave along: see `Core.relay`.
    origin: Option<Py<PyAny>>,
    reply: Mutex<Option<oneshot::Sender<RawAnswer>>>,
    /// The workers' and the event loop's.
    lanes: Option<(Lane, Lane)>,
}

/// Of a request's head what Python may ask for.
pub(crate) struct Head {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) peer: Option<Peer>,
}

impl Exchange {
    /// `lanes`: the workers' and the event loop's.
    pub(crate) fn new(
        body: Bytes,
        head: Head,
        context: Option<RequestContext>,
        origin: Option<Py<PyAny>>,
        lanes: (Lane, Lane),
    ) -> (Self, oneshot::Receiver<RawAnswer>) {
        let (sender, receiver) = oneshot::channel();
        (Self { body, head, context, origin, reply: Mutex::new(Some(sender)), lanes: Some(lanes) }, receiver)
    }

    fn headers(&self) -> &HeaderMap {
        self.context.as_ref().map_or(&self.head.headers, RequestContext::all_headers)
    }

    fn answer(&self, answer: RawAnswer) -> PyResult<()> {
        let reply = self.reply.lock().unwrap_or_else(PoisonError::into_inner).take();
        let reply = reply.ok_or_else(|| PyRuntimeError::new_err("the request is answered already"))?;
        // The caller may be gone; there is nobody else to tell.
        let _ = reply.send(answer);
        Ok(())
    }
}

#[pymethods]
impl Exchange {
    /// What can be known from a request's headers. It cannot be answered.
    #[staticmethod]
    fn of_headers(headers: RawHeaders) -> PyResult<Self> {
        let mut request = http::Request::new(());
        *request.headers_mut() = header_map(headers)?;
        let (mut parts, ()) = request.into_parts();
        let context = embed::context(&mut parts);
        let head = Head { method: parts.method, uri: parts.uri, headers: parts.headers, peer: None };
        Ok(Self {
            body: Bytes::new(),
            head,
            context: Some(context),
            origin: None,
            reply: Mutex::new(None),
            lanes: None,
        })
    }

    /// The body as text. Only for invocations, which are decoded.
    #[getter]
    fn text<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        Ok(PyString::new(
            py,
            str::from_utf8(&self.body).map_err(|error| PyValueError::new_err(error.to_string()))?,
        ))
    }

    /// The body.
    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.body)
    }

    /// Whether this is an invocation, and not a request to the ASGI application.
    #[getter]
    fn is_invocation(&self) -> bool {
        self.context.is_some()
    }

    #[getter]
    fn origin(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.origin.as_ref().map(|origin| origin.clone_ref(py))
    }

    #[getter]
    fn session_id(&self) -> Option<&str> {
        self.context.as_ref()?.session_id()
    }

    #[getter]
    fn request_id(&self) -> Option<&str> {
        Some(self.context.as_ref()?.request_id())
    }

    #[getter]
    fn workload_access_token(&self) -> Option<&str> {
        self.context.as_ref()?.workload_access_token()
    }

    #[getter]
    fn oauth2_callback_url(&self) -> Option<&str> {
        self.context.as_ref()?.oauth2_callback_url()
    }

    /// The headers that are meant for an agent's code.
    fn visible_headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let visible = PyDict::new(py);
        for (name, value) in self.context.iter().flat_map(|context| context.headers()) {
            let name = if name == "authorization" { "Authorization" } else { name.as_str() };
            visible.set_item(name, latin1(value))?;
        }
        Ok(visible)
    }

    /// The request as an ASGI scope.
    fn scope<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.head.scope(py, "http", self.headers())
    }

    /// Answers with a whole response.
    fn reply(&self, status: u16, headers: RawHeaders, body: &[u8]) -> PyResult<()> {
        let response = response(status, headers, Body::from(Bytes::copy_from_slice(body)))?;
        self.answer(RawAnswer::Response(Box::new(response)))
    }

    /// Answers with JSON.
    fn reply_json(&self, status: u16, body: &[u8]) -> PyResult<()> {
        let mut response = Response::new(Body::from(Bytes::copy_from_slice(body)));
        *response.status_mut() = code(status)?;
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(http::header::CONTENT_TYPE, json);
        self.answer(RawAnswer::Response(Box::new(response)))
    }

    /// Answers with server-sent events: each piece is the JSON of one.
    fn reply_events(&self, on_loop: bool) -> PyResult<Sink> {
        let (sender, items) = channel(self.lane(on_loop)?);
        self.answer(RawAnswer::Events(Box::pin(items)))?;
        Ok(Sink::new(sender))
    }

    /// Answers with a response whose body comes in pieces.
    fn reply_stream(&self, status: u16, headers: RawHeaders) -> PyResult<Sink> {
        let (sender, items) = channel::<Bytes>(self.lane(true)?);
        let body = Body::from_stream(items.map(Ok::<_, std::convert::Infallible>));
        self.answer(RawAnswer::Response(Box::new(response(status, headers, body)?)))?;
        Ok(Sink::new(sender))
    }
}

impl Exchange {
    fn lane(&self, on_loop: bool) -> PyResult<Lane> {
        let lanes =
            self.lanes.as_ref().ok_or_else(|| PyRuntimeError::new_err("there is nobody to answer"))?;
        Ok(if on_loop { lanes.1.clone() } else { lanes.0.clone() })
    }
}

impl Head {
    /// An ASGI scope of that type.
    pub(crate) fn scope<'py>(
        &self,
        py: Python<'py>,
        kind: &str,
        headers: &HeaderMap,
    ) -> PyResult<Bound<'py, PyDict>> {
        let scope = PyDict::new(py);
        let asgi = PyDict::new(py);
        asgi.set_item("version", "3.0")?;
        asgi.set_item("spec_version", "2.3")?;
        scope.set_item("type", kind)?;
        scope.set_item("asgi", asgi)?;
        scope.set_item("http_version", "1.1")?;
        scope.set_item("method", self.method.as_str())?;
        scope.set_item("scheme", if kind == "http" { "http" } else { "ws" })?;
        scope.set_item("path", percent_decoded(self.uri.path()))?;
        scope.set_item("raw_path", PyBytes::new(py, self.uri.path().as_bytes()))?;
        scope.set_item("query_string", PyBytes::new(py, self.uri.query().unwrap_or("").as_bytes()))?;
        scope.set_item("root_path", "")?;
        let pairs = PyList::empty(py);
        for (name, value) in headers {
            pairs.append((PyBytes::new(py, name.as_str().as_bytes()), PyBytes::new(py, value.as_bytes())))?;
        }
        scope.set_item("headers", pairs)?;
        scope.set_item("client", self.peer.map(|Peer(peer)| (peer.ip().to_string(), peer.port())))?;
        scope.set_item("server", py.None())?;
        Ok(scope)
    }
}

/// A header's value as ASGI frameworks read it.
fn latin1(value: &HeaderValue) -> String {
    value.as_bytes().iter().map(|&byte| char::from(byte)).collect()
}

fn percent_decoded(path: &str) -> String {
    percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned()
}

fn code(status: u16) -> PyResult<StatusCode> {
    StatusCode::from_u16(status).map_err(|_| PyValueError::new_err(format!("{status} is no HTTP status")))
}

/// A response from what ASGI has of it.
pub(crate) fn response(status: u16, headers: RawHeaders, body: Body) -> PyResult<Response<Body>> {
    let mut response = Response::new(body);
    *response.status_mut() = code(status)?;
    *response.headers_mut() = header_map(headers)?;
    // How the body is framed is the server's to say.
    response.headers_mut().remove(http::header::TRANSFER_ENCODING);
    Ok(response)
}

fn header_map(headers: RawHeaders) -> PyResult<HeaderMap> {
    let invalid = |error: &dyn std::fmt::Display| PyValueError::new_err(error.to_string());
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let name = HeaderName::from_bytes(&name).map_err(|error| invalid(&error))?;
        map.append(name, HeaderValue::from_bytes(&value).map_err(|error| invalid(&error))?);
    }
    Ok(map)
}
