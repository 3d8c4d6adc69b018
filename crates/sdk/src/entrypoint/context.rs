//! What an agent's code may know of a request.

use std::sync::{Arc, OnceLock};

use agentcore_protocol::headers;
use agentcore_protocol::trace::TraceParent;
use http::header::AsHeaderName;
use http::{HeaderMap, HeaderName, header, request};
use uuid::fmt::Hyphenated;

/// Names made at compile time: to look a header up by its text is to parse the name each time.
static REQUEST_ID: HeaderName = HeaderName::from_static(headers::REQUEST_ID);
static SESSION_ID: HeaderName = HeaderName::from_static(headers::SESSION_ID);
static TRACEPARENT: HeaderName = HeaderName::from_static(headers::TRACEPARENT);
static TRACESTATE: HeaderName = HeaderName::from_static(headers::TRACESTATE);

/// The request that a handler answers. Cheap to clone.
#[derive(Clone)]
pub struct RequestContext {
    inner: Arc<Inner>,
}

struct Inner {
    request_id: RequestId,
    headers: HeaderMap,
    present: Present,
    visible: OnceLock<HeaderMap>,
}

enum RequestId {
    Given(String),
    /// A new one's text, which is ASCII.
    New([u8; Hyphenated::LENGTH]),
}

impl RequestId {
    /// An id to tell log lines apart: it need not be unpredictable.
    fn new() -> Self {
        let mut text = [0; Hyphenated::LENGTH];
        let id = uuid::Builder::from_random_bytes(fastrand::u128(..).to_ne_bytes()).into_uuid();
        id.hyphenated().encode_lower(&mut text);
        Self::New(text)
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Given(id) => id,
            Self::New(text) => std::str::from_utf8(text).unwrap_or_default(),
        }
    }
}

/// Which of the headers that every request is asked for are there: most are not, and one look at
/// all names costs less than to look each of these up.
#[derive(Default)]
struct Present {
    request_id: bool,
    session_id: bool,
    trace_parent: bool,
    trace_state: bool,
    expect: bool,
}

impl Present {
    fn among(headers: &HeaderMap) -> Self {
        let mut present = Self::default();
        for name in headers.keys() {
            match name {
                name if *name == REQUEST_ID => present.request_id = true,
                name if *name == SESSION_ID => present.session_id = true,
                name if *name == TRACEPARENT => present.trace_parent = true,
                name if *name == TRACESTATE => present.trace_state = true,
                name if *name == header::EXPECT => present.expect = true,
                _ => {}
            }
        }
        present
    }
}

impl RequestContext {
    /// Takes the headers out of a request's head.
    pub(crate) fn take(parts: &mut request::Parts) -> Self {
        let headers = std::mem::take(&mut parts.headers);
        let present = Present::among(&headers);
        let request_id = match present.request_id.then(|| text(&headers, &REQUEST_ID)).flatten() {
            Some(id) if !id.is_empty() => RequestId::Given(id.to_owned()),
            _ => RequestId::new(),
        };
        Self { inner: Arc::new(Inner { request_id, headers, present, visible: OnceLock::new() }) }
    }

    /// The session that the request belongs to, if it names one
    /// (`X-Amzn-Bedrock-AgentCore-Runtime-Session-Id`).
    pub fn session_id(&self) -> Option<&str> {
        self.known(self.inner.present.session_id, &SESSION_ID)
    }

    /// The request's id: the caller's (`X-Amzn-Bedrock-AgentCore-Runtime-Request-Id`), or else a new
    /// UUID.
    pub fn request_id(&self) -> &str {
        self.inner.request_id.as_str()
    }

    /// The caller's word for whose request it is (`X-Amzn-Bedrock-AgentCore-Runtime-User-Id`).
    /// Nobody has checked it.
    pub fn user_id(&self) -> Option<&str> {
        self.header(headers::USER_ID)
    }

    /// The workload access token (`X-Amz-Bedrock-AgentCore-Identity-WAT`, else `WorkloadAccessToken`).
    pub fn workload_access_token(&self) -> Option<&str> {
        self.header(headers::WORKLOAD_ACCESS_TOKEN)
            .or_else(|| self.header(headers::WORKLOAD_ACCESS_TOKEN_OLD))
    }

    /// Where OAuth 2 sends a user back to (`OAuth2CallbackUrl`).
    pub fn oauth2_callback_url(&self) -> Option<&str> {
        self.header(headers::OAUTH2_CALLBACK_URL)
    }

    /// The trace that the request belongs to (W3C trace context). `None` if there is none, or one
    /// that is malformed.
    pub fn trace_parent(&self) -> Option<TraceParent> {
        TraceParent::parse(self.known(self.inner.present.trace_parent, &TRACEPARENT)?)
    }

    /// The vendors' part of the trace context, as sent.
    pub fn trace_state(&self) -> Option<&str> {
        self.known(self.inner.present.trace_state, &TRACESTATE)
    }

    /// The headers that are meant for an agent's code: all but those of the connection and of its
    /// content, `Host`, `Cookie`, `Accept*` and AWS's own (`x-amz-*`, `x-amzn-*`). Of those, the
    /// workload access token and `X-Amzn-Bedrock-AgentCore-Runtime-Custom-*` are there.
    pub fn headers(&self) -> &HeaderMap {
        self.inner.visible.get_or_init(|| {
            let visible = |name: &http::HeaderName| headers::is_visible_to_agent(name.as_str());
            let headers = self.inner.headers.iter().filter(|(name, _)| visible(name));
            headers.map(|(name, value)| (name.clone(), value.clone())).collect()
        })
    }

    pub(crate) fn raw_headers(&self) -> &HeaderMap {
        &self.inner.headers
    }

    /// Whether the client waits for a word before it sends its body (`Expect: 100-continue`).
    pub(crate) fn asks_first(&self) -> bool {
        let expected = self.known(self.inner.present.expect, &header::EXPECT);
        expected.is_some_and(|expected| expected.eq_ignore_ascii_case("100-continue"))
    }

    fn known(&self, present: bool, name: &HeaderName) -> Option<&str> {
        if present { self.header(name) } else { None }
    }

    fn header(&self, name: impl AsHeaderName) -> Option<&str> {
        text(&self.inner.headers, name)
    }
}

fn text(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

impl std::fmt::Debug for RequestContext {
    /// Headers hold credentials, so they are left out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestContext")
            .field("request_id", &self.request_id())
            .field("session_id", &self.session_id())
            .finish_non_exhaustive()
    }
}
