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
        // A name that is no text must not hide the others.
        for protocol in String::from_utf8_lossy(value.as_bytes()).split(',').map(str::trim) {
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

    /// The headers that an input writes, a line each.
    fn written(input: &[u8]) -> http::HeaderMap {
        let lines = input.split(|byte| *byte == b'\n').filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = http::HeaderName::from_bytes(&line[..colon]).ok()?;
            Some((name, http::HeaderValue::from_bytes(&line[colon + 1..]).ok()?))
        });
        lines.collect()
    }

    /// A token that is found is the only one there is, as it was written.
    #[test]
    fn fuzz_bearer() {
        bolero::check!(name = "bearer").with_iterations(500).for_each(|input: &[u8]| {
            let (mut parts, ()) = Request::new(()).into_parts();
            parts.headers = written(input);
            let Ok(found) = token(&Head::from(&parts)) else { return };
            let text = |name| {
                let values = parts.headers.get_all(name).iter();
                values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect::<Vec<_>>()
            };
            let (plain, offered) = (text(AUTHORIZATION), text(SEC_WEBSOCKET_PROTOCOL).join(","));
            let prefix = format!("{SUBPROTOCOL}.");
            let offered: Vec<_> =
                offered.split(',').filter_map(|one| one.trim().strip_prefix(&prefix)).collect();
            match found {
                None => assert_eq!((plain.len(), offered.len()), (0, 0)),
                Some(token) if plain.is_empty() => assert_eq!(offered, [URL_SAFE_NO_PAD.encode(&*token)]),
                Some(token) => {
                    assert_eq!((plain.len(), offered.len()), (1, 0));
                    assert!(plain[0][..7].eq_ignore_ascii_case("bearer ") && plain[0].contains(&*token));
                    assert!(!token.starts_with(' ') && !token.ends_with(' '));
                }
            }
        });
    }
}
