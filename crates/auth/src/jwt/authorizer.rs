//! Judging tokens, with the issuer's keys at hand.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use agentcore_protocol::Timestamp;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::claims::Claims;
use super::configuration::{InvalidJwtConfiguration, JwtConfiguration};
use super::error::JwtError;
use super::fetch::{FetchError, Fetcher};
use super::provider::Provider;
use super::token::Token;
use crate::principal::{Identity, Principal, Rights};

/// After this time keys are fetched again: for so long a key that the issuer withdrew is accepted.
const FRESH_FOR: Duration = Duration::from_secs(600);
/// The issuer is asked no more often than this, whatever tokens come in.
const ASK_EVERY: Duration = Duration::from_secs(30);
/// While the issuer cannot be reached, its old keys hold; not for ever.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);

/// Judges the tokens of one issuer by one configuration.
#[derive(Debug)]
pub struct JwtAuthorizer {
    configuration: JwtConfiguration,
    fetcher: Fetcher,
    known: Arc<RwLock<Option<Known>>>,
    /// Held while the issuer is asked; when that was last.
    asking: Arc<Mutex<Option<Timestamp>>>,
}

/// What the issuer said, and when.
#[derive(Debug, Clone)]
struct Known {
    provider: Arc<Provider>,
    since: Timestamp,
}

impl JwtAuthorizer {
    /// An authorizer; the issuer is asked when the first token comes.
    ///
    /// # Errors
    /// The configuration is unusable.
    pub fn new(configuration: JwtConfiguration, fetcher: Fetcher) -> Result<Self, InvalidJwtConfiguration> {
        configuration.validate()?;
        Ok(Self { configuration, fetcher, known: Arc::default(), asking: Arc::default() })
    }

    /// What it was made with.
    pub fn configuration(&self) -> &JwtConfiguration {
        &self.configuration
    }

    /// The issuer's name, once it is known.
    pub fn issuer(&self) -> Option<String> {
        self.known().map(|known| known.provider.issuer.clone())
    }

    /// Who bears the token: whoever it was issued to, with the right to invoke `agent`.
    ///
    /// # Errors
    /// The token is not accepted, or the issuer cannot be asked for its keys.
    pub async fn verify(&self, token: &str, agent: &str, now: Timestamp) -> Result<Principal, JwtError> {
        let token = Token::read(token)?;
        let known = self.fresh(now).await?;
        let (provider, signed) = match known.provider.signed(&token) {
            // The issuer may have a new key.
            Err(JwtError::UnknownKey) => {
                let provider = self.newer_than(&known, now).await?.provider;
                let signed = provider.signed(&token)?;
                (provider, signed)
            }
            signed => (known.provider.clone(), signed?),
        };
        if !signed {
            return Err(JwtError::Signature);
        }
        let claims = Claims(token.claims()?);
        claims.check(&self.configuration, &provider.issuer, now)?;
        let identity = Identity::Token { issuer: provider.authority.clone(), subject: claims.subject()? };
        Ok(Principal::new(identity, Rights::invoke([agent])))
    }

    fn known(&self) -> Option<Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the issuer said, not too long ago if it can be helped.
    async fn fresh(&self, now: Timestamp) -> Result<Known, JwtError> {
        let Some(known) = self.known() else {
            let asking = self.asking.clone().lock_owned().await;
            return match self.known() {
                Some(known) => Ok(known),
                None => self.ask(asking, now).await.map_err(JwtError::Issuer),
            };
        };
        let age = now.since(known.since);
        if age <= FRESH_FOR {
            return Ok(known);
        }
        if age > KEPT_FOR {
            let asking = self.asking.clone().lock_owned().await;
            return self.ask(asking, now).await.map_err(JwtError::Issuer);
        }
        // One request waits for the answer; the others go on with the keys there are.
        let Ok(asking) = self.asking.clone().try_lock_owned() else { return Ok(known) };
        match self.ask(asking, now).await {
            Ok(known) => Ok(known),
            Err(FetchError::TriedBefore) => Ok(known),
            Err(error) => {
                tracing::warn!(error = %error, "an issuer's keys are not up to date");
                Ok(known)
            }
        }
    }

    /// What the issuer says now, unless somebody asked it since `known`, or it was asked just before.
    async fn newer_than(&self, known: &Known, now: Timestamp) -> Result<Known, JwtError> {
        let asking = self.asking.clone().lock_owned().await;
        if let Some(newer) = self.known().filter(|newer| !Arc::ptr_eq(&newer.provider, &known.provider)) {
            return Ok(newer);
        }
        self.ask(asking, now).await.map_err(|error| {
            if !matches!(error, FetchError::TriedBefore) {
                tracing::warn!(error = %error, "an issuer's keys are not up to date");
            }
            JwtError::UnknownKey
        })
    }

    /// Asks the issuer, in a task of its own: should whoever brought the token leave, the others would
    /// be told that it was asked just before, and of no answer.
    async fn ask(
        &self,
        mut asked: OwnedMutexGuard<Option<Timestamp>>,
        now: Timestamp,
    ) -> Result<Known, FetchError> {
        if asked.is_some_and(|asked| now.since(asked) < ASK_EVERY) {
            return Err(FetchError::TriedBefore);
        }
        *asked = Some(now);
        let (fetcher, url) = (self.fetcher.clone(), self.configuration.discovery_url.clone());
        let place = self.known.clone();
        let answer = tokio::spawn(async move {
            let provider = Arc::new(Provider::fetch(&fetcher, &url).await?);
            let known = Known { provider, since: now };
            *place.write().unwrap_or_else(PoisonError::into_inner) = Some(known.clone());
            drop(asked);
            Ok(known)
        });
        answer.await.unwrap_or(Err(FetchError::TriedBefore))
    }
}
