//! Browsers can set no headers on a WebSocket, so a token may come as a subprotocol:
//! `base64UrlBearerAuthorization.<token>, base64UrlBearerAuthorization`. It is for the gate, and not
//! for the agent; the browser expects one of the subprotocols it offered in the answer.

use axum::http::header::SEC_WEBSOCKET_PROTOCOL;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;

const SUBPROTOCOL: &str = "base64UrlBearerAuthorization";

/// Takes the token's subprotocols out. Whether the caller offered them.
pub(super) fn take(headers: &mut HeaderMap) -> bool {
    // As the gate reads them: a name that is no text must not hide the others.
    let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let offered: Vec<_> =
        offered.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
    let offered: Vec<&str> = offered.iter().flat_map(|value| value.split(',')).map(str::trim).collect();
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
    use agentcore_protocol::{InvocationId, SessionId, headers};
    use axum::body::Body;
    use axum::http::HeaderName;
    use uuid::Uuid;

    use super::*;
    use crate::api::proxy::agent_headers;

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

    /// The headers that an input writes, a line each.
    fn written(input: &[u8]) -> HeaderMap {
        let lines = input.split(|byte| *byte == b'\n').filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = HeaderName::from_bytes(&line[..colon]).ok()?;
            Some((name, HeaderValue::from_bytes(&line[colon + 1..]).ok()?))
        });
        lines.collect()
    }

    fn names(headers: &HeaderMap) -> Vec<String> {
        let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
        let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        values
            .flat_map(|value| value.split(',').map(|one| one.trim().to_owned()).collect::<Vec<_>>())
            .collect()
    }

    /// Of what a caller writes, an agent gets the strict list as it was written, and never what
    /// lets the caller in.
    #[test]
    fn fuzz_headers() {
        bolero::check!(name = "headers").with_iterations(500).for_each(|input: &[u8]| {
            let sent = written(input);
            let mut left = sent.clone();
            take(&mut left);
            let ours = |name: &String| name.starts_with("base64UrlBearerAuthorization.");
            assert!(!names(&left).iter().any(ours), "a token is left: {left:?}");
            assert!(!take(&mut left.clone()), "not all was taken");
            let others = |headers| {
                names(headers).into_iter().filter(|name| !name.is_empty() && !name.starts_with(SUBPROTOCOL))
            };
            assert!(others(&left).eq(others(&sent)), "{sent:?} became {left:?}");

            let session = SessionId::from(Uuid::nil());
            let invocation: InvocationId = "0190163d-8694-739b-aea5-966c26f8ad91".parse().unwrap();
            let to_agent = agent_headers(&left, &session, invocation);
            for (name, value) in &to_agent {
                let known = [
                    "authorization",
                    "cookie",
                    "connection",
                    "content-length",
                    "transfer-encoding",
                    "upgrade",
                ];
                assert!(!known.contains(&name.as_str()) && !name.as_str().starts_with("x-amz-"), "{name}");
                let own = ["host", headers::SESSION_ID].contains(&name.as_str())
                    || (name == headers::REQUEST_ID && !sent.contains_key(name));
                assert!(own || sent.get_all(name).iter().any(|one| one == value), "{name}: {value:?}");
            }
            assert_eq!(to_agent["host"], "localhost");
            assert_eq!(to_agent.get_all(headers::SESSION_ID).iter().count(), 1);
        });
    }
}
