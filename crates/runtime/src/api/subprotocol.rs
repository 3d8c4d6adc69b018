//! Browsers can set no headers on a WebSocket, so a token may come as a subprotocol:
//! `base64UrlBearerAuthorization.<token>, base64UrlBearerAuthorization`. It is for the gate, and not
//! for the agent; the browser expects one of the subprotocols it offered in the answer.

use axum::http::header::SEC_WEBSOCKET_PROTOCOL;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;

const SUBPROTOCOL: &str = "base64UrlBearerAuthorization";

/// Takes the token's subprotocols out. Whether the caller offered them.
pub(super) fn take(headers: &mut HeaderMap) -> bool {
    let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let offered: Vec<&str> = offered.flat_map(|value| value.split(',')).map(str::trim).collect();
    let is_ours = |name: &&str| {
        name.strip_prefix(SUBPROTOCOL).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    if !offered.iter().any(is_ours) {
        return false;
    }
    let others: Vec<&str> = offered.into_iter().filter(|name| !is_ours(name)).collect();
    let others = HeaderValue::try_from(others.join(", ")).ok().filter(|value| !value.is_empty());
    match others {
        Some(others) => {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, others);
        }
        None => {
            headers.remove(SEC_WEBSOCKET_PROTOCOL);
        }
    }
    true
}

/// Answers with the subprotocol that was taken out, unless the agent chose another.
pub(super) fn answer(response: &mut Response) {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let ours = HeaderValue::from_static(SUBPROTOCOL);
        response.headers_mut().entry(SEC_WEBSOCKET_PROTOCOL).or_insert(ours);
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn taken(offered: &'static str) -> (bool, Option<String>) {
        let mut headers = HeaderMap::new();
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(offered));
        let taken = take(&mut headers);
        (taken, headers.get(SEC_WEBSOCKET_PROTOCOL).map(|value| value.to_str().unwrap().to_owned()))
    }

    #[test]
    fn a_token_among_the_subprotocols_stays_with_the_host() {
        let token = "base64UrlBearerAuthorization.YQ, base64UrlBearerAuthorization";
        assert_eq!(taken(token), (true, None));
        assert_eq!(
            taken("chat, base64UrlBearerAuthorization.YQ,v2, base64UrlBearerAuthorization"),
            (true, Some("chat, v2".into()))
        );
        assert_eq!(taken("chat,v2"), (false, Some("chat,v2".into())));
    }

    #[test]
    fn an_open_socket_is_answered_with_what_was_offered() {
        let answered = |status| {
            let mut response = Response::builder().status(status).body(Body::empty()).unwrap();
            answer(&mut response);
            response.headers().contains_key(SEC_WEBSOCKET_PROTOCOL)
        };
        assert!(answered(101) && !answered(403));
    }
}
