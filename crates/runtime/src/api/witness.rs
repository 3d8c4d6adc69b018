//! Testifies to the audit log what a request asked for and how it was answered.

use std::net::{IpAddr, SocketAddr};

use agentcore_auth::sigv4::{Head, Verifier};
use agentcore_auth::{Identity, Principal};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use axum::response::Response;

use super::Api;
use super::asked::{Asked, cut};
use super::aws::{ERROR_TYPE, REQUEST_ID};
use super::call::{INVOCATION_ID, SESSION_ID};
use crate::audit::{AuditLog, AuditRecord};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who is at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// What a handler knows of a request and its head does not say; handlers put it into their answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Testimony {
    pub(super) agent: Option<String>,
    pub(super) command_bytes: Option<usize>,
}

/// A request that may go on record, and what is known of it before it is answered. It is on record
/// too if nobody waits for the answer.
pub(super) struct Witness {
    /// Boxed: most requests have no witness, and need no room for one.
    record: Box<AuditRecord>,
    /// Reads are on record only if they are refused.
    is_read: bool,
    log: AuditLog,
    told: bool,
}

impl Witness {
    /// The witness of a caller who was let in. There is none where it would say nothing: that
    /// somebody on this machine, where nobody is asked, reads or invokes.
    pub(super) fn of(api: &Api, parts: &Parts, principal: &Principal, peer: Option<Peer>) -> Option<Self> {
        let asked = Asked::of(&parts.method, parts.uri.path());
        let is_unknown = matches!(principal.identity(), Identity::Local | Identity::Visitor);
        if is_unknown && asked.operation.is_none_or(is_invocation) {
            return None;
        }
        let mut witness = Self::new(api, parts, &asked, peer);
        let record = &mut witness.record;
        record.principal = Some(principal.to_string());
        if let Identity::Key { id, .. } = principal.identity() {
            record.key = Some(id.clone());
        }
        (record.agent, record.endpoint) = asked.agent(api, &parts.uri);
        record.session = asked.session;
        Some(witness)
    }

    /// The witness of somebody who was not let in.
    pub(super) fn of_stranger(api: &Api, parts: &Parts, peer: Option<Peer>) -> Self {
        let mut witness = Self::new(api, parts, &Asked::of(&parts.method, parts.uri.path()), peer);
        witness.record.claimed_key = Verifier::claimed_key(&Head::from(parts)).map(|id| cut(&id));
        witness
    }

    fn new(api: &Api, parts: &Parts, asked: &Asked, peer: Option<Peer>) -> Self {
        let record = AuditRecord {
            source: source(api, &parts.headers, peer),
            action: asked.operation.unwrap_or("Request").into(),
            request: Some(format!("{} {}", parts.method, cut(parts.uri.path()))),
            ..AuditRecord::default()
        };
        Self {
            record: Box::new(record),
            is_read: asked.operation.is_none(),
            log: api.audit.clone(),
            told: false,
        }
    }

    /// Tells how a request was answered, if it has a witness.
    pub(super) fn tell(witness: Option<Self>, answer: Response) -> Response {
        match witness {
            Some(witness) => witness.told(answer),
            None => answer,
        }
    }

    /// Tells how the request was answered.
    pub(super) fn told(mut self, mut answer: Response) -> Response {
        self.told = true;
        let status = answer.status().as_u16();
        let testimony = answer.extensions_mut().remove::<Testimony>().unwrap_or_default();
        if self.is_read && !matches!(status, 401 | 403) {
            return answer;
        }
        let said = |name| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let record = &mut self.record;
        record.status = Some(status);
        record.error = said(ERROR_TYPE);
        record.request_id = said(REQUEST_ID).or_else(|| said(INVOCATION_ID));
        record.session = said(SESSION_ID).or(record.session.take());
        record.agent = testimony.agent.or(record.agent.take());
        record.command_bytes = testimony.command_bytes;
        self.record();
        answer
    }

    fn record(&mut self) {
        let record = std::mem::take(&mut *self.record);
        self.log.record(record);
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        if !self.told && !self.is_read {
            self.record.error = Some("CallerLeft".to_owned());
            self.record();
        }
    }
}

fn is_invocation(operation: &str) -> bool {
    matches!(operation, "InvokeAgentRuntime" | "InvokeAgentRuntimeWithWebSocketStream" | "GetAgentCard")
}

/// Where a request comes from.
fn source(api: &Api, headers: &HeaderMap, peer: Option<Peer>) -> Option<String> {
    let forwarded = forwarded_for(api, headers).map(|address| address.to_string());
    forwarded.or_else(|| peer.map(|Peer(address)| address.to_string()))
}

/// The address that a request comes from.
pub(super) fn address(api: &Api, headers: &HeaderMap, peer: Option<Peer>) -> Option<IpAddr> {
    forwarded_for(api, headers).or_else(|| peer.map(|Peer(address)| address.ip()))
}

/// Behind a proxy, what it says of where a request comes from: it is the last to add to the header.
fn forwarded_for(api: &Api, headers: &HeaderMap) -> Option<IpAddr> {
    if !api.behind_proxy {
        return None;
    }
    let last = headers.get_all(FORWARDED_FOR).iter().next_back().and_then(|value| value.to_str().ok());
    last.and_then(|list| list.rsplit(',').next())?.trim().parse().ok()
}
