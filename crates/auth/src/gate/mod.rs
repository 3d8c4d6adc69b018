//! The gate that every request passes: who calls, and with which right to be here at all.

mod bearer;
mod body;
mod room;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use agentcore_protocol::Clock;
use bytes::Bytes;
use http::request::Parts;
use http_body::Body;
use sha2::{Digest, Sha256};

pub use body::HeldBody;

use crate::jwt::JwtAuthorizer;
use crate::keys::{AccessKey, KeyStore};
use crate::principal::Principal;
use crate::refusal::Refusal;
use crate::sigv4::{Head, Payload, PayloadRule, SigV4Error, Signed, Verifier};
use body::Budget;

/// How the gate judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateOptions {
    /// Whether a request that shows nothing is refused. Otherwise it is the machine's own.
    pub required: bool,
    /// The largest body that is read to check its signature.
    pub max_body: usize,
    /// How much of all such bodies is held at once.
    pub max_held: usize,
    /// How long a caller may take to send one.
    pub body_timeout: Duration,
}

impl Default for GateOptions {
    fn default() -> Self {
        let (max_body, max_held) = (100_000_000, 512 * 1024 * 1024);
        Self { required: false, max_body, max_held, body_timeout: Duration::from_secs(120) }
    }
}

/// The rule of an agent whose callers bring tokens.
#[derive(Debug, Clone)]
pub struct TokenRule {
    /// Who judges the tokens.
    pub authorizer: Arc<JwtAuthorizer>,
    /// The agent that they give the right to invoke.
    pub agent: String,
    /// Where clients learn who issues tokens: the URL of the protected-resource document.
    pub metadata: String,
}

/// Judges every request before anything else looks at it.
pub struct Gate {
    options: GateOptions,
    verifier: Verifier,
    keys: KeyStore,
    clock: Arc<dyn Clock>,
    budget: Budget,
}

impl Gate {
    /// A gate that knows these keys.
    pub fn new(options: GateOptions, verifier: Verifier, keys: KeyStore, clock: Arc<dyn Clock>) -> Self {
        Self { options, verifier, keys, clock, budget: Budget::new(options) }
    }

    /// Whether a request that shows nothing is refused.
    pub fn is_required(&self) -> bool {
        self.options.required
    }

    /// The access keys.
    pub fn keys(&self) -> &KeyStore {
        &self.keys
    }

    /// Who calls. A body whose hash is signed has been read and checked by then, and is returned; others
    /// are untouched. Of a request that is not let in, the rest of the body can be read.
    ///
    /// `rule` is that of the agent which the request is about, if its callers bring tokens: then
    /// nothing but a token will do. Otherwise a signature is asked for where one is required, and
    /// checked wherever there are keys: a key that was revoked must not turn its bearer into
    /// somebody who was never asked. `from` is the address that it comes from, if it is known: one
    /// address has its share of what is held before signatures are known.
    ///
    /// # Errors
    /// The request is not let in.
    pub async fn admit<B>(
        &self,
        parts: &Parts,
        body: &mut B,
        rule: Option<&TokenRule>,
        from: Option<IpAddr>,
    ) -> Result<(Principal, Option<HeldBody>), Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let head = Head::from(parts);
        let signed = Verifier::is_signed(&head);
        // Whoever shows nothing pays for neither: boxed, they do not make every request larger.
        if let Some(rule) = rule {
            return Ok((Box::pin(self.admit_token(&head, signed, rule)).await?, None));
        }
        if signed && (self.options.required || !self.keys.is_empty()?) {
            return Box::pin(self.admit_signed(&head, body, from)).await;
        }
        if self.options.required {
            let told = match bearer::token(&head) {
                Ok(None) => SigV4Error::Missing.to_string(),
                _ => METHOD_MISMATCH.to_owned(),
            };
            return Err(Refusal::denied(told));
        }
        Ok((Principal::local(), None))
    }

    async fn admit_token(
        &self,
        head: &Head<'_>,
        signed: bool,
        rule: &TokenRule,
    ) -> Result<Principal, Refusal> {
        if signed {
            return Err(Refusal::denied(METHOD_MISMATCH));
        }
        let token = bearer::token(head).map_err(|error| Refusal::of_token(&error, &rule.metadata))?;
        let token = token.ok_or_else(|| Refusal::challenge("Missing Bearer token", &rule.metadata))?;
        let verified = rule.authorizer.verify(&token, &rule.agent, self.clock.now()).await;
        verified.map_err(|error| Refusal::of_token(&error, &rule.metadata))
    }

    async fn admit_signed<B>(
        &self,
        head: &Head<'_>,
        body: &mut B,
        from: Option<IpAddr>,
    ) -> Result<(Principal, Option<HeldBody>), Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let signed = self.verifier.read(head, self.clock.now())?;
        let key = self.keys.find(signed.access_key_id())?.ok_or_else(|| unknown_key(head))?;
        let held = self.checked_body(&signed, &key, body, from).await?;
        Ok((key.principal().clone(), held))
    }

    /// Compares the signature as early as it can be: before the body is read, if that says what its
    /// hash is.
    async fn checked_body<B>(
        &self,
        signed: &Signed,
        key: &AccessKey,
        body: &mut B,
        from: Option<IpAddr>,
    ) -> Result<Option<HeldBody>, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        match signed.payload() {
            PayloadRule::Unsigned => {
                signed.verify(key.secret(), Payload::Unread)?;
                return Ok(None);
            }
            PayloadRule::Declared(hash) => signed.verify(key.secret(), Payload::Sha256(hash))?,
            PayloadRule::Hashed => {}
        }
        if body.is_end_stream() {
            signed.verify(key.secret(), Payload::Sha256(Sha256::digest([]).into()))?;
            return Ok(None);
        }
        let (mut held, hash) = self.budget.read(body, from).await?;
        signed.verify(key.secret(), Payload::Sha256(hash))?;
        held.verified();
        Ok(Some(held))
    }
}

/// What AWS says to a signature where a token is expected, and the other way round.
const METHOD_MISMATCH: &str = "Authorization method mismatch. The agent is configured for a different authorization \
     method than what was used in your request. Check the agent's authorization configuration and ensure your request \
     uses the matching method (OAuth or SigV4)";

/// What is said of a key that is none of this host's.
fn unknown_key(head: &Head<'_>) -> SigV4Error {
    if Verifier::has_session_token(head) { SigV4Error::SecurityToken } else { SigV4Error::UnknownKey }
}
