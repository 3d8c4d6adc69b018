//! Where a token is: in the Authorization header, or among the subprotocols of a WebSocket, since a
//! browser can set no headers there.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};

use crate::jwt::JwtError;
use crate::sigv4::Head;

const SUBPROTOCOL: &str = "base64UrlBearerAuthorization";

/// The token of a request; `None` when there is none.
pub(super) fn token<'a>(head: &Head<'a>) -> Result<Option<Cow<'a, str>>, JwtError> {
    let mut values = head.headers.get_all(AUTHORIZATION).iter();
    let in_protocols = among_subprotocols(head)?;
    match (values.next(), values.next(), in_protocols) {
        (None, _, found) => Ok(found.map(Cow::Owned)),
        (Some(value), None, None) => {
            let value = value.to_str().map_err(|_| JwtError::Malformed)?;
            let (scheme, token) = value.split_once(' ').ok_or(JwtError::Malformed)?;
            let bearer = scheme.eq_ignore_ascii_case("bearer");
            bearer.then(|| Some(Cow::Borrowed(token.trim_matches(' ')))).ok_or(JwtError::Malformed)
        }
        // Two tokens: somebody behind us might believe the other one.
        _ => Err(JwtError::Malformed),
    }
}

fn among_subprotocols(head: &Head<'_>) -> Result<Option<String>, JwtError> {
    let mut found = None;
    for value in head.headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
        for protocol in value.to_str().unwrap_or_default().split(',').map(str::trim) {
            let token = protocol.strip_prefix(SUBPROTOCOL).and_then(|rest| rest.strip_prefix('.'));
            let Some(token) = token else { continue };
            let token = URL_SAFE_NO_PAD.decode(token).ok().and_then(|token| String::from_utf8(token).ok());
            if found.replace(token.ok_or(JwtError::Malformed)?).is_some() {
                return Err(JwtError::Malformed);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn found(headers: &[(&str, &str)]) -> Result<Option<String>, ()> {
        let mut request = Request::get("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        token(&Head::from(&parts)).map(|token| token.map(Cow::into_owned)).map_err(drop)
    }

    #[test]
    fn a_token_is_found_where_the_contract_has_it() {
        let some = |token: &str| Ok(Some(token.to_owned()));
        assert_eq!(found(&[]), Ok(None));
        assert_eq!(found(&[("authorization", "Bearer a.b.c")]), some("a.b.c"));
        assert_eq!(found(&[("authorization", "bearer  a.b.c ")]), some("a.b.c"));
        let protocols = "base64UrlBearerAuthorization.YS5iLmM, base64UrlBearerAuthorization";
        assert_eq!(found(&[("sec-websocket-protocol", protocols)]), some("a.b.c"));
        assert_eq!(found(&[("sec-websocket-protocol", "chat, base64UrlBearerAuthorization")]), Ok(None));
    }

    #[test]
    fn two_tokens_or_another_scheme_are_refused() {
        let protocol = ("sec-websocket-protocol", "base64UrlBearerAuthorization.YS5iLmM");
        for bad in [
            &[("authorization", "Bearer a"), ("authorization", "Bearer b")][..],
            &[("authorization", "Bearer a"), protocol],
            &[protocol, protocol],
            &[("authorization", "Basic YTpi")],
            &[("authorization", "Bearer")],
            &[("authorization", "")],
            &[("sec-websocket-protocol", "base64UrlBearerAuthorization.!!")],
            &[("sec-websocket-protocol", "base64UrlBearerAuthorization._w")],
        ] {
            assert_eq!(found(bad), Err(()), "{bad:?}");
        }
    }
}
