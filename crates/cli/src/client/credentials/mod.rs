//! AWS's credential chain, by AWS's own crate: the environment, then the profile (keys, a program, single sign-on, a
//! role), a web identity, a container, the machine. What is here is how it reaches them, and what people are told
//! when it finds nothing.

mod error;
mod http;
mod profile;

use std::time::{Duration, UNIX_EPOCH};

use agentcore_auth::Trust;
use agentcore_protocol::{Clock, SystemClock};
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::imds;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_types::os_shim_internal::{Env, Fs};
use aws_types::region::Region;

pub(crate) use error::NoCredentials;
use profile::Selected;

/// The region where nothing names another.
pub(crate) const DEFAULT_REGION: &str = "us-east-1";
/// How often and how long a machine is asked for credentials that need not have any, as by AWS's command line: a
/// person on a laptop waits for it.
const MACHINE_ATTEMPTS: u32 = 1;
const MACHINE_PATIENCE: Duration = Duration::from_secs(1);

/// What there is to sign with.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) credentials: Credentials,
    /// The one that the environment or the profile names.
    pub(crate) region: Option<String>,
}

/// The credentials of whoever runs this. `trust` is whom to believe who hands them out, instead of whom the system
/// does; `region` is where to ask for them if neither the environment nor the profile says so.
pub(crate) async fn find(trust: Option<Trust>, region: Option<&str>) -> Result<Found, NoCredentials> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let in_environment = has_keys(set)?;
    let profile = match Selected::read(&Env::real(), &Fs::real()).await {
        // Nothing of it is needed.
        Err(_) if in_environment => Selected::nothing(),
        read => read?,
    };
    if !in_environment {
        profile.check()?;
    }
    let named = set("AWS_REGION").or_else(|| set("AWS_DEFAULT_REGION")).or_else(|| profile.region.clone());
    let there = named.as_deref().or(region).unwrap_or(DEFAULT_REGION).to_owned();
    let configuration = ProviderConfig::without_region().with_http_client(http::client(trust));
    let chain = DefaultCredentialsChain::builder()
        .imds_client(machine(&configuration, set))
        .configure(configuration)
        .region(Region::new(there))
        .profile_name(&profile.name)
        .build()
        .await;
    let credentials = chain.provide_credentials().await.map_err(|error| profile.explain(&error))?;
    if has_expired(&credentials) {
        return Err(NoCredentials::Expired(profile.name));
    }
    Ok(Found { credentials, region: named })
}

/// Whether the environment has keys. Half of them is a mistake, and no reason to look for others.
fn has_keys(set: impl Fn(&str) -> Option<String>) -> Result<bool, NoCredentials> {
    let names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    match names.map(|name| set(name).is_some()) {
        [true, false] => Err(NoCredentials::Half(names[0], names[1])),
        [false, true] => Err(NoCredentials::Half(names[1], names[0])),
        [both, _] => Ok(both),
    }
}

/// The client that asks the machine. The variables are those of AWS's command line.
fn machine(configuration: &ProviderConfig, set: impl Fn(&str) -> Option<String>) -> imds::Client {
    let number = |name: &str| set(name).and_then(|text| text.parse().ok()).filter(|number| *number > 0);
    let attempts = number("AWS_METADATA_SERVICE_NUM_ATTEMPTS").unwrap_or(MACHINE_ATTEMPTS);
    let patience = number("AWS_METADATA_SERVICE_TIMEOUT")
        .map_or(MACHINE_PATIENCE, |seconds| Duration::from_secs(seconds.into()));
    imds::Client::builder()
        .configure(configuration)
        .max_attempts(attempts)
        .connect_timeout(patience)
        .read_timeout(patience)
        .build()
}

/// A program may print any, and nothing else looks at their time.
fn has_expired(credentials: &Credentials) -> bool {
    let now = UNIX_EPOCH + Duration::from_millis(SystemClock.now().unix_millis());
    credentials.expiry().is_some_and(|end| end <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_key_is_told_and_an_empty_one_is_none() {
        let has = |variables: &[(&str, &str)]| {
            let found = |name: &str| variables.iter().find(|(key, _)| *key == name);
            has_keys(|name| found(name).map(|(_, value)| (*value).to_owned()))
                .map_err(|error| error.to_string())
        };
        assert_eq!(has(&[]), Ok(false));
        assert_eq!(has(&[("AWS_ACCESS_KEY_ID", "A"), ("AWS_SECRET_ACCESS_KEY", "s")]), Ok(true));
        for half in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            assert!(has(&[(half, "A")]).unwrap_err().starts_with(half));
        }
    }
}
