//! Which session of which agent a request of the data plane is for.

use agentcore_auth::ALL_AGENTS;
use agentcore_protocol::SessionId;
use axum::http::{HeaderMap, Uri};
use uuid::Uuid;

use super::error::AwsError;
use crate::api::call::Call;
use crate::api::caller::Caller;
use crate::api::query::Parameters;
use crate::api::{Api, ApiError};
use crate::key::SessionKey;

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
        let said = Parameters::of(uri);
        let found = api.registry.find(runtime, said.qualifier.as_deref());
        // Who may not invoke every agent learns nothing of those there are.
        let served = found.as_deref().ok().and_then(|name| api.manager.agent(name));
        caller.must_invoke(found.as_deref().unwrap_or(ALL_AGENTS), served.as_deref())?;
        let agent = found?;
        let session = said.session(headers)?;
        let named = session.is_some();
        let session = match session {
            Some(text) => text.parse().map_err(ApiError::BadSessionId)?,
            None => SessionId::from(Uuid::new_v4()),
        };
        Ok(Self { key: SessionKey { principal: caller.principal(), agent, session }, named })
    }

    /// Lets a request into its session, which begins with it if need be.
    pub(super) fn begin(&self, api: &Api) -> Result<Call, AwsError> {
        Ok(Call::begin(api, &self.key, api.manager.agent(&self.key.agent))?)
    }
}
