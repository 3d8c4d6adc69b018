//! Header names, and which headers an agent's code may see.
//!
//! Names are lower-case, as HTTP libraries keep them; header names have no case.

/// The session that a request belongs to.
pub const SESSION_ID: &str = "x-amzn-bedrock-agentcore-runtime-session-id";
/// The id of a request.
pub const REQUEST_ID: &str = "x-amzn-bedrock-agentcore-runtime-request-id";
/// The caller's word for whose request it is.
pub const USER_ID: &str = "x-amzn-bedrock-agentcore-runtime-user-id";
/// The workload access token.
pub const WORKLOAD_ACCESS_TOKEN: &str = "x-amz-bedrock-agentcore-identity-wat";
/// The older name of [`WORKLOAD_ACCESS_TOKEN`].
pub const WORKLOAD_ACCESS_TOKEN_OLD: &str = "workloadaccesstoken";
/// Where OAuth 2 sends a user back to.
pub const OAUTH2_CALLBACK_URL: &str = "oauth2callbackurl";
/// The caller's credentials.
pub const AUTHORIZATION: &str = "authorization";
/// What the names of an author's own headers begin with.
pub const CUSTOM_PREFIX: &str = "x-amzn-bedrock-agentcore-runtime-custom-";
/// W3C trace context: which trace a request belongs to.
pub const TRACEPARENT: &str = "traceparent";
/// W3C trace context: what vendors add to it.
pub const TRACESTATE: &str = "tracestate";
/// W3C baggage.
pub const BAGGAGE: &str = "baggage";
/// The id of an invocation, in its answer. This project's own.
pub const INVOCATION_ID: &str = "agentcore-invocation-id";
/// `true` in an answer whose session began with this invocation. This project's own.
pub const SESSION_NEW: &str = "agentcore-session-new";

/// Headers that never reach an agent's code, sorted.
const RESTRICTED: &[&str] = &[
    "accept",
    "accept-ch",
    "accept-ch-lifetime",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "access-control-max-age",
    "access-control-request-headers",
    "access-control-request-method",
    "cache-control",
    "cf-connecting-ip",
    "cf-ray",
    "clear-site-data",
    "connection",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-security-policy",
    "content-security-policy-report-only",
    "content-type",
    "cookie",
    "cross-origin-embedder-policy",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "date",
    "downlink",
    "dpr",
    "ect",
    "etag",
    "expect-ct",
    "expires",
    "feature-policy",
    "forwarded",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "last-modified",
    "link",
    "location",
    "origin",
    "permissions-policy",
    "pragma",
    "proxy-authorization",
    "proxy-connection",
    "public-key-pins",
    "public-key-pins-report-only",
    "range",
    "referer",
    "referrer-policy",
    "retry-after",
    "rtt",
    "save-data",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "server",
    "set-cookie",
    "strict-transport-security",
    "te",
    "trailer",
    "transfer-encoding",
    "true-client-ip",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "viewport-width",
    "width",
    "www-authenticate",
    "x-cache",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-content-type-options",
    "x-csrf-token",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-frame-options",
    "x-original-host",
    "x-original-url",
    "x-originating-ip",
    "x-real-ip",
    "x-requested-with",
    "x-rewrite-url",
    "x-served-by",
    "x-source-ip",
    "x-xss-protection",
];

/// Whether an agent's code may see the header of that lower-case name.
///
/// Hidden are what belongs to the connection or to a browser, and AWS's own `x-amz-*` and
/// `x-amzn-*`, but for the workload access token and the author's `...-Custom-*`.
pub fn is_visible_to_agent(name: &str) -> bool {
    if name.starts_with("x-amz-") {
        return name == WORKLOAD_ACCESS_TOKEN;
    }
    if name.starts_with("x-amzn-") {
        return name.starts_with(CUSTOM_PREFIX);
    }
    RESTRICTED.binary_search(&name).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_restricted_names_are_sorted_and_lower_case() {
        assert!(RESTRICTED.is_sorted());
        assert!(RESTRICTED.iter().all(|name| *name == name.to_lowercase()));
    }

    #[test]
    fn an_agent_sees_its_own_headers_and_the_callers_but_not_the_connections() {
        for seen in [
            "authorization",
            "x-amzn-bedrock-agentcore-runtime-custom-tenant",
            "x-team",
            "baggage",
            WORKLOAD_ACCESS_TOKEN,
        ] {
            assert!(is_visible_to_agent(seen), "{seen}");
        }
        for hidden in
            ["host", "cookie", "accept", "content-length", "x-amz-date", "x-amzn-trace-id", SESSION_ID]
        {
            assert!(!is_visible_to_agent(hidden), "{hidden}");
        }
    }
}
