//! `customJWTAuthorizer`: what a token has to be, as the API spells it.

use http::Uri;
use http::uri::Scheme;
use serde::{Deserialize, Serialize};

/// `authorizerConfiguration.customJWTAuthorizer`. Members that are not known here are refused: to
/// leave one out that narrows who may call would let more in than was meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JwtConfiguration {
    /// Where the issuer's metadata is.
    pub discovery_url: String,
    /// One of these must be in `aud`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_audience: Vec<String>,
    /// `client_id` must be one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_clients: Vec<String>,
    /// One of these must be in `scope`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_scopes: Vec<String>,
    /// What must hold beside that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub custom_claims: Vec<CustomClaim>,
}

/// A rule for one claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CustomClaim {
    /// The name of the claim.
    pub inbound_token_claim_name: String,
    /// What it holds.
    pub inbound_token_claim_value_type: ClaimValueType,
    /// What it is compared with.
    pub authorizing_claim_match_value: ClaimMatch,
}

/// What a claim holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ClaimValueType {
    /// A text.
    String,
    /// Texts.
    StringArray,
}

/// What a claim is compared with, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimMatch {
    /// With what.
    pub claim_match_value: MatchValue,
    /// How.
    pub claim_match_operator: ClaimOperator,
}

/// What a claim is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MatchValue {
    /// One text.
    MatchValueString(String),
    /// Several.
    MatchValueStringList(Vec<String>),
}

/// How a claim is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ClaimOperator {
    /// The text is this one.
    Equals,
    /// The texts contain this one.
    Contains,
    /// The texts contain one of these.
    ContainsAny,
}

/// Why an authorizer's configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJwtConfiguration {
    /// Not the address of an issuer's metadata.
    #[error(
        "discoveryUrl must end in /.well-known/openid-configuration or /.well-known/oauth-authorization-server, \
         optionally with a path after it"
    )]
    DiscoveryUrl,
    /// Anybody on the way could change it.
    #[error("discoveryUrl must be https; http is for loopback addresses only")]
    Insecure,
    /// Every token of the issuer would do, whomever it was issued for.
    #[error("at least one of allowedAudience, allowedClients, allowedScopes and customClaims is required")]
    NoRule,
    /// An operator that does not go with the types.
    #[error(
        "the rule for claim {0:?} is not one: EQUALS compares a STRING with matchValueString, CONTAINS a STRING_ARRAY \
         with matchValueString, CONTAINS_ANY a STRING_ARRAY with matchValueStringList"
    )]
    Claim(String),
}

const WELL_KNOWN: [&str; 2] =
    ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"];

impl JwtConfiguration {
    /// Says why it cannot be used, if so.
    ///
    /// # Errors
    /// It cannot.
    pub fn validate(&self) -> Result<(), InvalidJwtConfiguration> {
        let url = &self.discovery_url;
        let known = WELL_KNOWN.iter().any(|end| {
            url.split_once(end)
                .is_some_and(|(_, rest)| rest.is_empty() || rest.starts_with('/') && rest.len() > 1)
        });
        if !known || url.contains(['?', '#']) || url.contains(char::is_whitespace) {
            return Err(InvalidJwtConfiguration::DiscoveryUrl);
        }
        let uri: Uri = url.parse().map_err(|_| InvalidJwtConfiguration::DiscoveryUrl)?;
        if !is_safe(&uri) {
            return Err(InvalidJwtConfiguration::Insecure);
        }
        let lists = [&self.allowed_audience, &self.allowed_clients, &self.allowed_scopes];
        if lists.iter().all(|list| list.is_empty()) && self.custom_claims.is_empty() {
            return Err(InvalidJwtConfiguration::NoRule);
        }
        let invalid = self.custom_claims.iter().find(|claim| !claim.is_rule());
        invalid.map_or(Ok(()), |claim| {
            Err(InvalidJwtConfiguration::Claim(claim.inbound_token_claim_name.clone()))
        })
    }
}

impl CustomClaim {
    fn is_rule(&self) -> bool {
        let rule = &self.authorizing_claim_match_value;
        let parts = (self.inbound_token_claim_value_type, rule.claim_match_operator, &rule.claim_match_value);
        !self.inbound_token_claim_name.is_empty()
            && matches!(
                parts,
                (ClaimValueType::String, ClaimOperator::Equals, MatchValue::MatchValueString(_))
                    | (ClaimValueType::StringArray, ClaimOperator::Contains, MatchValue::MatchValueString(_))
                    | (
                        ClaimValueType::StringArray,
                        ClaimOperator::ContainsAny,
                        MatchValue::MatchValueStringList(_)
                    )
            )
    }
}

/// Whether nobody on the way can change what is fetched from there.
pub(super) fn is_safe(uri: &Uri) -> bool {
    let loopback = |host: &str| {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    };
    let plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    let https = uri.scheme() == Some(&Scheme::HTTPS);
    plain && (https || uri.scheme() == Some(&Scheme::HTTP) && uri.host().is_some_and(loopback))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with_url(url: &str) -> JwtConfiguration {
        serde_json::from_value(json!({"discoveryUrl": url, "allowedAudience": ["a"]})).unwrap()
    }

    #[test]
    fn the_apis_spelling_is_read_and_written() {
        let value = json!({
            "discoveryUrl": "https://id.example/.well-known/openid-configuration",
            "allowedScopes": ["s"],
            "customClaims": [{
                "inboundTokenClaimName": "groups",
                "inboundTokenClaimValueType": "STRING_ARRAY",
                "authorizingClaimMatchValue": {
                    "claimMatchValue": {"matchValueStringList": ["a", "b"]},
                    "claimMatchOperator": "CONTAINS_ANY"
                }
            }]
        });
        let read: JwtConfiguration = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(read.validate(), Ok(()));
        assert_eq!(serde_json::to_value(&read).unwrap(), value);
        let unknown = json!({"discoveryUrl": "https://x", "allowedWorkloadConfiguration": {}});
        assert!(serde_json::from_value::<JwtConfiguration>(unknown).is_err());
    }

    #[test]
    fn only_metadata_that_nobody_can_change_on_the_way_is_fetched() {
        for good in [
            "https://id.example/.well-known/openid-configuration",
            "https://id.example/tenant/.well-known/openid-configuration",
            "https://id.example/.well-known/oauth-authorization-server/tenant",
            "http://localhost:8080/.well-known/openid-configuration",
            "http://127.0.0.1:1/.well-known/openid-configuration",
            "http://[::1]:1/.well-known/openid-configuration",
        ] {
            assert_eq!(with_url(good).validate(), Ok(()), "{good}");
        }
        for bad in [
            "http://id.example/.well-known/openid-configuration",
            "http://127.0.0.1.example/.well-known/openid-configuration",
            "http://localhost@id.example/.well-known/openid-configuration",
            "ftp://localhost/.well-known/openid-configuration",
            "file:///.well-known/openid-configuration",
        ] {
            assert!(with_url(bad).validate().is_err(), "{bad}");
        }
        for bad in [
            "https://id.example/",
            "https://id.example/.well-known/openid-configuration?x=1",
            "https://id.example/.well-known/openid-configurations",
            "https://id.example/.well-known/openid-configuration/",
            "/.well-known/openid-configuration ",
        ] {
            assert_eq!(with_url(bad).validate(), Err(InvalidJwtConfiguration::DiscoveryUrl), "{bad}");
        }
    }

    #[test]
    fn a_rule_that_lets_everybody_in_or_cannot_hold_is_refused() {
        let mut configuration = with_url("https://id.example/.well-known/openid-configuration");
        configuration.custom_claims = vec![CustomClaim {
            inbound_token_claim_name: "groups".into(),
            inbound_token_claim_value_type: ClaimValueType::StringArray,
            authorizing_claim_match_value: ClaimMatch {
                claim_match_value: MatchValue::MatchValueString("x".into()),
                claim_match_operator: ClaimOperator::Equals,
            },
        }];
        assert_eq!(configuration.validate(), Err(InvalidJwtConfiguration::Claim("groups".into())));
        configuration.custom_claims.clear();
        configuration.allowed_audience.clear();
        assert_eq!(configuration.validate(), Err(InvalidJwtConfiguration::NoRule));
    }
}
