//! Keeps web pages out. A host that asks nobody for credentials is on a loopback address, so a
//! page in a browser on this machine could reach it: with a name that resolves to 127.0.0.1 (DNS
//! rebinding), or with a cross-site post, whose answer it could not read but need not.

use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri};

use super::error::ApiError;

/// Whether a request may come in: its Host, and Origin if there is one, must be this machine's
/// loopback.
pub(super) fn verdict(headers: &HeaderMap, uri: &Uri) -> Result<(), ApiError> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    let target = uri.authority().map(Authority::as_str);
    if hosts.next().is_some() || !host.or(target).is_some_and(is_loopback) || !target.is_none_or(is_loopback)
    {
        return Err(ApiError::Forbidden(
            "this host answers to localhost, 127.0.0.1 and [::1] only: use one of them in the URL",
        ));
    }
    for origin in headers.get_all(ORIGIN) {
        if !origin.to_str().is_ok_and(is_loopback_origin) {
            return Err(ApiError::Forbidden("web pages of other sites may not call this host"));
        }
    }
    Ok(())
}

/// `scheme://host[:port]`; `null`, which sandboxed pages and files send, is none of ours.
fn is_loopback_origin(origin: &str) -> bool {
    let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    rest.is_some_and(is_loopback)
}

/// One of this machine's own names, with a port or without.
fn is_loopback(authority: &str) -> bool {
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|own| {
        let (name, port) = authority.split_at_checked(own.len()).unwrap_or_default();
        name.eq_ignore_ascii_case(own) && is_port(port)
    })
}

fn is_port(rest: &str) -> bool {
    rest.is_empty()
        || rest.strip_prefix(':').is_some_and(|port| port.bytes().all(|digit| digit.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(host: Option<&str>, origin: Option<&str>, uri: &str) -> bool {
        let mut headers = HeaderMap::new();
        if let Some(host) = host {
            headers.insert(HOST, host.parse().unwrap());
        }
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        verdict(&headers, &uri.parse().unwrap()).is_ok()
    }

    #[test]
    fn only_loopback_names_are_answered_to() {
        for good in ["localhost", "LocalHost:8080", "127.0.0.1:1", "[::1]:8080"] {
            assert!(asked(Some(good), None, "/ping"), "{good}");
        }
        for bad in [
            "evil.example",
            "localhost.evil.example:8080",
            "127.0.0.1.nip.io",
            "192.168.0.2:8080",
            "[::2]",
            "",
            "user@localhost",
            "localhost:80:80",
            "localhost:8x",
            "localhost8080",
        ] {
            assert!(!asked(Some(bad), None, "/ping"), "{bad}");
        }
        assert!(!asked(None, None, "/ping"));
        assert!(!asked(Some("localhost"), None, "http://evil.example/ping"));
    }

    #[test]
    fn other_sites_are_refused_and_own_pages_are_not() {
        for good in ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:8080"] {
            assert!(asked(Some("localhost"), Some(good), "/"), "{good}");
        }
        for bad in ["https://evil.example", "null", "http://localhost.evil.example", "file://", ""] {
            assert!(!asked(Some("localhost"), Some(bad), "/"), "{bad}");
        }
    }
}
