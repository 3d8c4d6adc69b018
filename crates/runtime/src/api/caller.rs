//! Who calls, and what they may do. The one place that says so: every family of paths asks here.

use std::sync::Arc;

use agentcore_auth::{Action, Identity};
use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::http::Extensions;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::aws::AwsError;
use super::{Api, ApiError};
use crate::key::{Principal, SessionKey};
use crate::session::Agent;

/// Who calls, as the gate found out.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    principal: agentcore_auth::Principal,
    /// What a visitor is told who wants more than to invoke.
    proof: Arc<str>,
}

impl Caller {
    /// A caller, who is told of this `proof` should they have shown too little.
    pub(super) fn new(principal: agentcore_auth::Principal, proof: Arc<str>) -> Self {
        Self { principal, proof }
    }

    /// The caller of a request that passed the gate.
    pub(super) fn of(extensions: &Extensions) -> Result<&Self, ApiError> {
        // Nothing is served around the gate; should it be one day, it is served to nobody.
        extensions.get().ok_or(ApiError::Forbidden("it is not known who calls"))
    }

    /// How they showed who they are.
    pub(super) fn identity(&self) -> &Identity {
        self.principal.identity()
    }

    /// Whom the sessions of this caller belong to.
    pub(super) fn principal(&self) -> Principal {
        Principal::from(&self.principal)
    }

    /// Refuses a visitor.
    pub(super) fn must_be_known(&self) -> Result<(), ApiError> {
        match self.identity() {
            Identity::Visitor => Err(ApiError::Unproven(self.proof.clone())),
            _ => Ok(()),
        }
    }

    /// Whether they look after the host.
    pub(super) fn is_operator(&self) -> bool {
        self.principal.is_operator()
    }

    /// Whose sessions they see, and what came of them; `None`: everybody's.
    pub(super) fn sees_only(&self) -> Option<Principal> {
        (!self.is_operator()).then(|| self.principal())
    }

    /// Whether they see what became of what they began, or somebody else did, in this session. Who brings
    /// a token sees what is of the agent that let them in for it: another agent may trust others.
    pub(super) fn sees(&self, key: &SessionKey) -> bool {
        let is_own = key.principal == self.principal();
        self.is_operator() || is_own && (!self.has_token() || self.may(Action::Invoke, &key.agent))
    }

    fn has_token(&self) -> bool {
        matches!(self.principal.identity(), Identity::Token { .. })
    }

    /// Refuses who brings a token and does not name the agent that let them in for it, where results
    /// are listed.
    pub(super) fn must_list(&self, agent: Option<&str>) -> Result<(), ApiError> {
        match self.has_token() {
            true => self.must(Action::Invoke, agent.unwrap_or(agentcore_auth::ALL_AGENTS)),
            false => Ok(()),
        }
    }

    /// Whether they may do this to an agent, which may be named with its endpoint (`writer@staging`).
    pub(super) fn may(&self, action: Action, agent: &str) -> bool {
        let name = agent.split_once('@').map_or(agent, |(name, _)| name);
        self.principal.may(action, name)
    }

    /// Refuses who may not invoke the agent that is served under this name, or did not come in the
    /// way that it asks for: with a token, or without.
    pub(super) fn must_invoke(&self, served: &str, agent: Option<&Agent>) -> Result<(), ApiError> {
        let asks_for_tokens = agent.is_some_and(|agent| agent.definition.authorizer.is_some());
        if asks_for_tokens != self.has_token() {
            return Err(ApiError::Forbidden("this agent asks for another kind of authorization"));
        }
        self.must(Action::Invoke, served)
    }

    /// Refuses what they may not do.
    pub(super) fn must(&self, action: Action, agent: &str) -> Result<(), ApiError> {
        if self.may(action, agent) {
            return Ok(());
        }
        self.must_be_known()?;
        Err(ApiError::Forbidden(match action {
            Action::Invoke | Action::Manage => "your key does not allow you to invoke this agent",
            Action::Administer => "your key does not allow you to administer this agent",
        }))
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = AwsError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AwsError> {
        Ok(Self::of(&parts.extensions)?.clone())
    }
}

/// Lets in those who administer the runtime that the path names.
pub(super) async fn administers(
    State(api): State<Arc<Api>>,
    path: RawPathParams,
    request: Request,
    next: Next,
) -> Response {
    match may_administer(&api, &path, &request) {
        Ok(()) => next.run(request).await,
        Err(error) => AwsError::from(error).into_response(),
    }
}

fn may_administer(api: &Api, path: &RawPathParams, request: &Request) -> Result<(), ApiError> {
    let caller = Caller::of(request.extensions())?;
    caller.must_be_known()?;
    let named = path.iter().find(|(name, _)| matches!(*name, "runtime" | "arn"));
    // What names none asks by itself.
    let Some((_, named)) = named else { return Ok(()) };
    // Who may not administer every agent learns nothing of those there are.
    let catalogue = api.registry.catalogue();
    let name = catalogue.resource(named).map(|(runtime, _)| runtime.name.as_str());
    caller.must(Action::Administer, name.unwrap_or(agentcore_auth::ALL_AGENTS))
}

/// Keeps visitors out.
pub(super) async fn is_known(request: Request, next: Next) -> Response {
    match Caller::of(request.extensions()).and_then(Caller::must_be_known) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// Lets in those who look after the host.
pub(super) async fn operates(request: Request, next: Next) -> Response {
    match Caller::of(request.extensions()) {
        Ok(caller) if caller.is_operator() => next.run(request).await,
        Ok(_) => ApiError::Forbidden("your key does not allow you to operate this host").into_response(),
        Err(error) => error.into_response(),
    }
}
