//! How long a session may be idle, and how long it may live.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Idle timeout when none is configured: 15 minutes.
pub const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(900);
/// Maximum life when none is configured: 8 hours.
pub const DEFAULT_MAX_LIFETIME: Duration = Duration::from_secs(28_800);

/// The two limits of a session, resolved and valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "LifecycleConfiguration", into = "LifecycleConfiguration")]
pub struct LifecycleLimits {
    idle_timeout: Duration,
    max_lifetime: Duration,
}

/// The limits as people write them: whole seconds, each optional.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LifecycleConfiguration {
    /// Seconds of idleness after which a session ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_runtime_session_timeout: Option<u64>,
    /// Seconds after which a session ends in any case, counted from the start of its compute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_lifetime: Option<u64>,
}

/// Which numbers of seconds are acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LifecycleBounds {
    /// Fewest seconds.
    pub min: u64,
    /// Most seconds.
    pub max: u64,
}

impl LifecycleBounds {
    /// What AWS's API accepts.
    pub const API: Self = Self { min: 60, max: 1_209_600 };
    /// What the host's own configuration accepts: short lives are of use in tests and on a laptop.
    pub const LOCAL: Self = Self { min: 1, max: 1_209_600 };
}

/// Why limits are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLifecycle {
    /// The idle timeout is longer than the life. The wording is AWS's.
    #[error("idleRuntimeSessionTimeout must be less than or equal to maxLifetime")]
    IdleAboveLifetime,
    /// A number out of bounds.
    #[error("{name} must be from {} to {} seconds, not {value}", bounds.min, bounds.max)]
    OutOfBounds {
        /// Which of the two.
        name: &'static str,
        /// What it was.
        value: u64,
        /// What it may be.
        bounds: LifecycleBounds,
    },
}

impl LifecycleConfiguration {
    /// Fills in the defaults and checks the result.
    ///
    /// A lone `max_lifetime` of at most 900 s serves as the idle timeout too.
    ///
    /// # Errors
    /// A number outside `bounds`, or an idle timeout above the maximum life.
    pub fn resolve(self, bounds: LifecycleBounds) -> Result<LifecycleLimits, InvalidLifecycle> {
        let check = |name, value: Option<u64>| match value {
            Some(value) if !(bounds.min..=bounds.max).contains(&value) => {
                Err(InvalidLifecycle::OutOfBounds { name, value, bounds })
            }
            value => Ok(value.map(Duration::from_secs)),
        };
        let idle_timeout = check("idleRuntimeSessionTimeout", self.idle_runtime_session_timeout)?;
        let max_lifetime = check("maxLifetime", self.max_lifetime)?.unwrap_or(DEFAULT_MAX_LIFETIME);
        let idle_timeout = idle_timeout.unwrap_or(DEFAULT_IDLE_TIMEOUT.min(max_lifetime));
        if idle_timeout > max_lifetime {
            return Err(InvalidLifecycle::IdleAboveLifetime);
        }
        Ok(LifecycleLimits { idle_timeout, max_lifetime })
    }
}

impl LifecycleLimits {
    /// How long a session may be idle.
    pub const fn idle_timeout(self) -> Duration {
        self.idle_timeout
    }

    /// How long a session may live, from the start of its compute.
    pub const fn max_lifetime(self) -> Duration {
        self.max_lifetime
    }
}

impl Default for LifecycleLimits {
    fn default() -> Self {
        Self { idle_timeout: DEFAULT_IDLE_TIMEOUT, max_lifetime: DEFAULT_MAX_LIFETIME }
    }
}

impl TryFrom<LifecycleConfiguration> for LifecycleLimits {
    type Error = InvalidLifecycle;

    fn try_from(configuration: LifecycleConfiguration) -> Result<Self, Self::Error> {
        configuration.resolve(LifecycleBounds::LOCAL)
    }
}

impl From<LifecycleLimits> for LifecycleConfiguration {
    fn from(limits: LifecycleLimits) -> Self {
        Self {
            idle_runtime_session_timeout: Some(limits.idle_timeout.as_secs()),
            max_lifetime: Some(limits.max_lifetime.as_secs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(idle: Option<u64>, life: Option<u64>) -> Result<(u64, u64), String> {
        LifecycleConfiguration { idle_runtime_session_timeout: idle, max_lifetime: life }
            .resolve(LifecycleBounds::API)
            .map(|limits| (limits.idle_timeout().as_secs(), limits.max_lifetime().as_secs()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_configured_means_fifteen_minutes_and_eight_hours() {
        assert_eq!(resolve(None, None), Ok((900, 28_800)));
        assert_eq!(LifecycleLimits::default(), LifecycleConfiguration::default().try_into().unwrap());
    }

    #[test]
    fn a_short_life_alone_serves_as_both() {
        assert_eq!(resolve(None, Some(300)), Ok((300, 300)));
        assert_eq!(resolve(None, Some(900)), Ok((900, 900)));
        assert_eq!(resolve(None, Some(901)), Ok((900, 901)));
    }

    #[test]
    fn idle_above_life_is_refused_in_awss_words() {
        let refused = Err("idleRuntimeSessionTimeout must be less than or equal to maxLifetime".to_owned());
        assert_eq!(resolve(Some(600), Some(300)), refused);
        assert_eq!(resolve(Some(28_801), None), refused);
    }

    #[test]
    fn the_api_refuses_what_only_the_hosts_own_configuration_may_say() {
        assert_eq!(
            resolve(Some(5), None),
            Err("idleRuntimeSessionTimeout must be from 60 to 1209600 seconds, not 5".into())
        );
        let short = LifecycleConfiguration { idle_runtime_session_timeout: Some(5), max_lifetime: None };
        assert_eq!(short.resolve(LifecycleBounds::LOCAL).unwrap().idle_timeout(), Duration::from_secs(5));
    }
}
