//! What the query of a request says. The gate and the handlers read it here, so that they mean the
//! same agent and the same session.

use std::borrow::Cow;

use agentcore_protocol::headers;
use axum::extract::Query;
use axum::http::{HeaderMap, Uri};

use super::call::SESSION_ID;

/// The query cannot be read.
#[derive(Debug)]
pub(super) struct Unreadable;

/// Names and values, in their order.
pub(super) fn pairs(uri: &Uri) -> Result<Vec<(String, String)>, Unreadable> {
    if uri.query().is_none_or(str::is_empty) {
        return Ok(Vec::new());
    }
    Query::try_from_uri(uri).map(|Query(pairs)| pairs).map_err(|_| Unreadable)
}

/// Which agent and which session a query names. Of a name that is there twice, the last one counts.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    pub(super) agent: Option<String>,
    pub(super) qualifier: Option<String>,
    session: Option<String>,
}

impl Parameters {
    pub(super) fn of(uri: &Uri) -> Result<Self, Unreadable> {
        let mut parameters = Self::default();
        for (name, value) in pairs(uri)? {
            if name == "agent" {
                parameters.agent = Some(value);
            } else if name == "qualifier" {
                parameters.qualifier = Some(value);
            } else if name.eq_ignore_ascii_case(headers::SESSION_ID) {
                parameters.session = Some(value);
            }
        }
        Ok(parameters)
    }

    /// The session that is named in its header, or else here: browsers cannot set headers on a
    /// WebSocket.
    pub(super) fn session(self, headers: &HeaderMap) -> Option<Cow<'_, str>> {
        let header = headers.get(SESSION_ID).map(|value| String::from_utf8_lossy(value.as_bytes()));
        header.or(self.session.map(Cow::Owned))
    }
}
