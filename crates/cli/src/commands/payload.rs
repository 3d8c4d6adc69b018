//! What a caller writes for an invocation, and what is sent.

use std::io::Read;

use agentcore_protocol::headers::CUSTOM_PREFIX;
use anyhow::Context as _;
use http::{HeaderName, HeaderValue};

use crate::failure::Failure;
use crate::output;

/// The body of an invocation: JSON as it was written, any other text as `{"prompt": text}`.
pub(crate) fn body(payload: &str) -> String {
    match serde_json::from_str::<serde::de::IgnoredAny>(payload) {
        Ok(_) => payload.to_owned(),
        Err(error) => {
            if looks_like_json(payload) {
                output::note(format_args!("note: sent as a text, for it is no JSON: {error}"));
            }
            serde_json::json!({ "prompt": payload }).to_string()
        }
    }
}

/// Whether whoever wrote it probably meant JSON: a quote that a shell took away is soon missed.
fn looks_like_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '['])
}

/// The payload that was named, or standard input for `-`.
pub(crate) fn read(payload: &str) -> anyhow::Result<String> {
    if payload != "-" {
        return Ok(body(payload));
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(body(&text))
}

/// Reads `H:v,H2:v2`; every name gets the prefix of an author's own headers.
pub(crate) fn headers(text: &str) -> Result<Vec<(HeaderName, HeaderValue)>, Failure> {
    let hint = "write them like 'Tenant:blue,Team:red'";
    let refused = |pair: &str, why: &str| Failure::new(format!("{pair:?} is no header: {why}")).hint(hint);
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once(':').ok_or_else(|| refused(pair, "it has no colon"))?;
            let name = name.trim().to_lowercase();
            if name.is_empty() {
                return Err(refused(pair, "it has no name"));
            }
            let name = if name.starts_with(CUSTOM_PREFIX) { name } else { format!("{CUSTOM_PREFIX}{name}") };
            let name = HeaderName::try_from(name).map_err(|error| refused(pair, &error.to_string()))?;
            let value =
                HeaderValue::try_from(value.trim()).map_err(|error| refused(pair, &error.to_string()))?;
            Ok((name, value))
        })
        .collect()
}

/// A token as the value of a header, which no log shows.
pub(super) fn bearer(token: &str) -> anyhow::Result<HeaderValue> {
    let value = HeaderValue::from_str(&format!("Bearer {token}"));
    let mut value = value.context("the bearer token is no token")?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_that_is_no_json_becomes_a_prompt() {
        assert_eq!(body(r#"{"prompt":  "hi"}"#), r#"{"prompt":  "hi"}"#);
        assert_eq!(body("42"), "42");
        assert_eq!(body("say \"hi\""), r#"{"prompt":"say \"hi\""}"#);
        assert_eq!(body(""), r#"{"prompt":""}"#);
    }

    #[test]
    fn headers_get_the_prefix_unless_they_have_it() {
        let pairs = headers("Tenant: blue, X-Amzn-Bedrock-AgentCore-Runtime-Custom-Team:red:ish,").unwrap();
        let pairs: Vec<_> =
            pairs.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(
            pairs,
            [
                ("x-amzn-bedrock-agentcore-runtime-custom-tenant", "blue"),
                ("x-amzn-bedrock-agentcore-runtime-custom-team", "red:ish"),
            ]
        );
    }

    #[test]
    fn what_is_no_header_is_named() {
        assert!(headers("a").unwrap_err().to_string().contains("no colon"));
        assert!(headers(" :x").unwrap_err().to_string().contains("no name"));
        assert!(headers("a b:x").is_err());
        assert!(headers("a:\n").unwrap().len() == 1, "blanks around a value are not part of it");
    }

    proptest! {
        #[test]
        fn every_payload_becomes_json(payload in any::<String>()) {
            let sent: serde_json::Value = serde_json::from_str(&body(&payload)).unwrap();
            prop_assert!(serde_json::from_str::<serde_json::Value>(&payload).is_ok() || sent["prompt"] == payload);
        }

        #[test]
        fn headers_never_leave_the_authors_own_space(text in any::<String>()) {
            for (name, _) in headers(&text).into_iter().flatten() {
                prop_assert!(name.as_str().starts_with(CUSTOM_PREFIX));
            }
        }
    }
}
