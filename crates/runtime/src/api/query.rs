//! What the query of a request says. The gate and the handlers read it here, so that they mean the
//! same agent and the same session.

use std::borrow::Cow;

use agentcore_protocol::headers;
use axum::http::{HeaderMap, Uri};

use super::ApiError;
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

    /// The session that is named in its header or here: browsers cannot set headers on a WebSocket. Of
    /// two that differ neither counts: the one may be signed, and the other added by somebody else.
    ///
    /// # Errors
    /// They differ.
    pub(super) fn session(self, headers: &'a HeaderMap) -> Result<Option<Cow<'a, str>>, ApiError> {
        let header = headers.get(SESSION_ID).map(|value| String::from_utf8_lossy(value.as_bytes()));
        match (header, self.session) {
            (Some(header), Some(query)) if header != query => Err(ApiError::BadRequest(
                "the header and the query name different sessions: send one of them, or the same in both",
            )),
            (header, query) => Ok(header.or(query)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(query: &str, header: Option<&str>) -> Result<Option<String>, ()> {
        let uri = format!("/ws?{}={query}", headers::SESSION_ID).parse().unwrap();
        let headers = header.map(|value| (SESSION_ID, value.parse().unwrap())).into_iter().collect();
        Parameters::of(&uri).session(&headers).map(|found| found.map(Cow::into_owned)).map_err(drop)
    }

    #[test]
    fn no_header_overrides_the_session_of_a_query() {
        assert_eq!(session("one", None), Ok(Some("one".to_owned())));
        assert_eq!(session("one", Some("one")), Ok(Some("one".to_owned())));
        assert_eq!(session("one", Some("another")), Err(()));
    }
}
