//! What the query of a request says. The gate and the handlers read it here, so that they mean the
//! same agent and the same session.

use std::borrow::Cow;

use agentcore_protocol::headers;
use axum::http::{HeaderMap, Uri};

use super::call::SESSION_ID;

/// Names and values, in their order. Any text can be read so: what is no UTF-8 is replaced.
pub(super) fn pairs(uri: &Uri) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
}

/// Which agent and which session a query names. Of a name that is there twice, the last one counts.
#[derive(Debug, Default)]
pub(super) struct Parameters<'a> {
    pub(super) agent: Option<Cow<'a, str>>,
    pub(super) qualifier: Option<Cow<'a, str>>,
    session: Option<Cow<'a, str>>,
}

impl<'a> Parameters<'a> {
    pub(super) fn of(uri: &'a Uri) -> Self {
        let mut parameters = Self::default();
        for (name, value) in pairs(uri) {
            if name == "agent" {
                parameters.agent = Some(value);
            } else if name == "qualifier" {
                parameters.qualifier = Some(value);
            } else if name.eq_ignore_ascii_case(headers::SESSION_ID) {
                parameters.session = Some(value);
            }
        }
        parameters
    }

    /// The session that is named in its header, or else here: browsers cannot set headers on a
    /// WebSocket.
    pub(super) fn session(self, headers: &'a HeaderMap) -> Option<Cow<'a, str>> {
        let header = headers.get(SESSION_ID).map(|value| String::from_utf8_lossy(value.as_bytes()));
        header.or(self.session)
    }
}
