//! The gate in front of everything: who calls is known before anything else is done for them.

use std::sync::Arc;

use agentcore_auth::gate::GateBody;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::caller::Caller;
use super::{Api, access, aws, subprotocol, tokens};

/// Lets a request through, with its caller.
pub(super) async fn check(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let mut request = match pass(&api, request).await {
        Ok(request) => request,
        Err(answer) => return answer,
    };
    let had_token = subprotocol::take(request.headers_mut());
    let mut response = next.run(request).await;
    if had_token {
        subprotocol::answer(&mut response);
    }
    response
}

/// The request with its caller, or the answer to somebody who may not call.
///
/// Where nobody has to show who they are, web pages are kept out; otherwise a page knows no secret
/// that would let it in, and the host may be called by any name.
pub(super) async fn pass(api: &Api, request: Request) -> Result<Request, Response> {
    if !api.gate.is_required()
        && let Err(error) = access::verdict(request.headers(), request.uri())
    {
        return Err(aws::told(request.uri().path(), error));
    }
    let (mut parts, body) = request.into_parts();
    if tokens::is_document(&parts) {
        return Ok(Request::from_parts(parts, body));
    }
    let rule = tokens::rule(api, &parts).map_err(|error| aws::told(parts.uri.path(), error))?;
    let admitted = api.gate.admit(&parts, body, rule.as_ref()).await;
    let (principal, body) = admitted.map_err(|refusal| aws::named(refusal.into_response()))?;
    parts.extensions.insert(Caller::new(principal));
    let body = match body {
        GateBody::Passed(body) => body,
        GateBody::Held(body) => Body::new(body),
    };
    Ok(Request::from_parts(parts, body))
}
