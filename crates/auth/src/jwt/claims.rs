//! What the claims of a token must be.

use agentcore_protocol::Timestamp;
use serde_json::{Map, Value};

use super::configuration::{ClaimOperator, CustomClaim, JwtConfiguration, MatchValue};
use super::error::JwtError;
use crate::principal::Subject;

/// How far the issuer's clock may be off.
const LEEWAY_SECONDS: f64 = 60.0;
const SUBJECT_MAX: usize = 1024;

/// The claims of a token whose signature is right.
pub(super) struct Claims(pub(super) Map<String, Value>);

impl Claims {
    /// Refuses what is not for us, not from the issuer, or out of time.
    pub(super) fn check(
        &self,
        configuration: &JwtConfiguration,
        issuer: &str,
        now: Timestamp,
    ) -> Result<(), JwtError> {
        if self.text("iss") != Some(issuer) {
            return Err(mismatch("iss"));
        }
        self.check_time(now)?;
        let allowed = &configuration.allowed_audience;
        if !allowed.is_empty()
            && !texts(self.0.get("aud")).any(|one| allowed.iter().any(|other| one == other))
        {
            return Err(mismatch("aud"));
        }
        let allowed = &configuration.allowed_clients;
        let client = self.text("client_id");
        if !allowed.is_empty() && !client.is_some_and(|client| allowed.iter().any(|other| client == other)) {
            return Err(mismatch("client_id"));
        }
        let allowed = &configuration.allowed_scopes;
        let mut scopes = self.text("scope").unwrap_or_default().split(' ');
        if !allowed.is_empty() && !scopes.any(|one| allowed.iter().any(|other| one == other)) {
            return Err(mismatch("scope"));
        }
        match configuration.custom_claims.iter().find(|rule| !self.satisfy(rule)) {
            Some(rule) => Err(mismatch(&rule.inbound_token_claim_name)),
            None => Ok(()),
        }
    }

    /// Whom the token was issued to. A `sub` that is there names them, whatever it is.
    pub(super) fn subject(&self) -> Result<Subject, JwtError> {
        let (claim, kind): (_, fn(String) -> Subject) = match self.0.get("sub") {
            Some(subject) => (Some(subject), Subject::Named),
            None => (self.0.get("client_id"), Subject::Client),
        };
        let name = claim.and_then(Value::as_str).filter(|name| (1..=SUBJECT_MAX).contains(&name.len()));
        name.map(|name| kind(name.to_owned())).ok_or(JwtError::MissingClaim("sub"))
    }

    fn check_time(&self, now: Timestamp) -> Result<(), JwtError> {
        let now = now.unix_seconds() as f64;
        let expires = self.0.get("exp").and_then(Value::as_f64).ok_or(JwtError::MissingClaim("exp"))?;
        if now >= expires + LEEWAY_SECONDS {
            return Err(JwtError::Expired);
        }
        match self.0.get("nbf").map(|begins| begins.as_f64().ok_or(JwtError::MissingClaim("nbf"))) {
            Some(Ok(begins)) if begins > now + LEEWAY_SECONDS => Err(JwtError::NotYetValid),
            Some(Err(malformed)) => Err(malformed),
            _ => Ok(()),
        }
    }

    fn satisfy(&self, rule: &CustomClaim) -> bool {
        let claim = self.0.get(&rule.inbound_token_claim_name);
        let compared = &rule.authorizing_claim_match_value;
        match (compared.claim_match_operator, &compared.claim_match_value) {
            (ClaimOperator::Equals, MatchValue::MatchValueString(text)) => {
                claim.and_then(Value::as_str) == Some(text)
            }
            (ClaimOperator::Contains, MatchValue::MatchValueString(text)) => {
                is_array(claim) && texts(claim).any(|one| one == text)
            }
            (ClaimOperator::ContainsAny, MatchValue::MatchValueStringList(list)) => {
                is_array(claim) && texts(claim).any(|one| list.iter().any(|other| one == other))
            }
            _ => false,
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }
}

fn mismatch(claim: &str) -> JwtError {
    JwtError::Claim(claim.to_owned())
}

fn is_array(claim: Option<&Value>) -> bool {
    claim.is_some_and(Value::is_array)
}

/// The texts of a claim that is one text or several.
fn texts(claim: Option<&Value>) -> impl Iterator<Item = &str> {
    let several = claim.and_then(Value::as_array).into_iter().flatten();
    several.filter_map(Value::as_str).chain(claim.and_then(Value::as_str))
}
