//! Which session of which agent a request of the data plane is for.

use agentcore_auth::ALL_AGENTS;
use agentcore_protocol::{SessionId, headers};
use axum::extract::Query;
use axum::http::{HeaderMap, Uri};
use uuid::Uuid;

use super::error::AwsError;
use crate::api::call::{Call, SESSION_ID};
use crate::api::caller::Caller;
use crate::api::{Api, ApiError};
use crate::key::SessionKey;

/// What the query of a request may say.
#[derive(Debug, Default)]
struct Parameters {
    qualifier: Option<String>,
    session: Option<String>,
}

impl Parameters {
    fn of(uri: &Uri) -> Result<Self, AwsError> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| AwsError::unreadable("the query cannot be read"))?;
        let mut parameters = Self::default();
        for (name, value) in pairs {
            if name == "qualifier" {
                parameters.qualifier = Some(value);
            } else if name.eq_ignore_ascii_case(headers::SESSION_ID) {
                // Browsers cannot set headers on a WebSocket.
                parameters.session = Some(value);
            }
        }
        Ok(parameters)
    }
}

/// A runtime's endpoint, and the session that was named, if any.
pub(super) struct Target {
    pub(super) key: SessionKey,
    /// The caller has named the session.
    pub(super) named: bool,
}

impl Target {
    /// Reads the target out of the path's `runtime`, the query and the headers. A session that is
    /// not named is a new one.
    ///
    /// # Errors
    /// There is no such runtime or endpoint, the caller may not invoke it, or the session's id is none.
    pub(super) fn of(
        api: &Api,
        runtime: &str,
        caller: &Caller,
        headers: &HeaderMap,
        uri: &Uri,
    ) -> Result<Self, AwsError> {
        let parameters = Parameters::of(uri)?;
        let found = api.registry.find(runtime, parameters.qualifier.as_deref());
        // Who may not invoke every agent learns nothing of those there are.
        caller.must_invoke(api, found.as_deref().unwrap_or(ALL_AGENTS))?;
        let agent = found?;
        let header = headers.get(SESSION_ID).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let session = header.map(|value| value.into_owned()).or(parameters.session);
        let named = session.is_some();
        let session = match session {
            Some(text) => text.parse().map_err(ApiError::BadSessionId)?,
            None => SessionId::from(Uuid::new_v4()),
        };
        Ok(Self { key: SessionKey { principal: caller.principal(), agent, session }, named })
    }

    /// Lets a request into its session, which begins with it if need be.
    pub(super) fn begin(&self, api: &Api) -> Result<Call, AwsError> {
        let call = Call::begin(api, &self.key)?;
        Ok(call.with_headers_of(api.manager.agent(&self.key.agent)))
    }
}
