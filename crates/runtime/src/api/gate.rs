//! The gate in front of everything: who calls is known before anything else is done for them.

use std::sync::Arc;

use agentcore_auth::Principal;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;

use super::caller::Caller;
use super::witness::{Peer, Witness};
use super::{Api, HOST_TOKEN_HEADER, access, aws, subprotocol, tokens, witness};

/// Lets a request through, with its caller.
pub(super) async fn check(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    if tokens::is_document(&request) {
        return next.run(request).await;
    }
    let peer = request.extensions().get().copied();
    let (mut parts, mut body) = request.into_parts();
    let (caller, witness) = match pass(&api, &mut parts, &mut body, peer).await {
        Ok(passed) => passed,
        Err(answer) => return answer,
    };
    parts.extensions.insert(caller);
    let mut request = Request::from_parts(parts, body);
    let had_token = subprotocol::take(request.headers_mut());
    let mut response = next.run(request).await;
    if had_token {
        subprotocol::answer(&mut response);
    }
    Witness::tell(witness, response)
}

/// Whose request it is and who testifies to it, or the answer to somebody who may not call.
pub(super) async fn pass(
    api: &Api,
    parts: &mut Parts,
    body: &mut Body,
    peer: Option<Peer>,
) -> Result<(Caller, Option<Witness>), Response> {
    let passed = let_in(api, parts, body, peer).await;
    if passed.is_err() {
        aws::read_rest(std::mem::take(body)).await;
    }
    passed
}

/// Who calls, and who testifies to it; or the answer.
async fn let_in(
    api: &Api,
    parts: &mut Parts,
    body: &mut Body,
    peer: Option<Peer>,
) -> Result<(Caller, Option<Witness>), Response> {
    let principal = match admit(api, parts, body, peer).await {
        Ok(principal) => principal,
        Err(answer) => return Err(Witness::of_stranger(api, parts, peer).told(answer)),
    };
    // Neither is on record: it reached nothing, and would push out what did.
    api.quotas.take(&principal, &api.clock).map_err(|error| aws::told(parts.uri.path(), error))?;
    let witness = Witness::of(api, parts, &principal, peer);
    // Whatever an agent has passed on to it, this is not for it.
    parts.headers.remove(HOST_TOKEN_HEADER);
    Ok((Caller::new(principal, api.token.proof()), witness))
}

/// Who calls. A body that had to be read for that is put back.
///
/// Where nobody has to show who they are, web pages are kept out; otherwise a page knows no secret
/// that would let it in, and the host may be called by any name.
async fn admit(api: &Api, parts: &Parts, body: &mut Body, peer: Option<Peer>) -> Result<Principal, Response> {
    let told = |error| aws::told(parts.uri.path(), error);
    if !api.gate.is_required() {
        access::verdict(&parts.headers, &parts.uri).map_err(told)?;
    }
    let rule = tokens::rule(api, parts).map_err(told)?;
    let from = witness::address(api, &parts.headers, peer);
    let admitted = api.gate.admit(parts, body, rule.as_ref(), from).await;
    let (principal, held) = admitted.map_err(|refusal| aws::named(refusal.into_response()))?;
    if let Some(held) = held {
        *body = Body::new(held);
    }
    Ok(api.token.judge(principal, &parts.headers, &api.manager))
}
