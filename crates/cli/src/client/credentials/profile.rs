//! What the profile in use says of its credentials, for what to tell people when the chain does not find them.

use std::borrow::Cow;

use aws_config::profile::{ProfileSet, load};
use aws_credential_types::provider::error::CredentialsError;
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_types::os_shim_internal::{Env, Fs};

use super::error::{NoCredentials, Origin, in_full};

/// The profile in use where none is named.
const USUAL: &str = "default";
/// How many profiles may refer to each other.
const MOST_REFERENCES: usize = 10;

/// The profile in use.
#[derive(Debug)]
pub(super) struct Selected {
    pub(super) name: String,
    pub(super) region: Option<String>,
    pub(super) origin: Origin,
    /// Somebody has asked for it by name, and it is not there.
    is_missing: bool,
}

/// What in the environment says where credentials are.
const POINTERS: [&str; 3] = [
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

impl Selected {
    /// No profile at all.
    pub(super) fn nothing() -> Self {
        Self { name: USUAL.to_owned(), region: None, origin: Origin::Machine, is_missing: false }
    }

    /// Reads what there is of it.
    pub(super) async fn read(environment: &Env, files: &Fs) -> Result<Self, NoCredentials> {
        // Tools that set a variable to nothing mean that it is not set.
        let set = |name: &str| environment.get(name).ok().filter(|value| !value.trim().is_empty());
        let named = set("AWS_PROFILE");
        let is_named = named.is_some();
        let name = named.unwrap_or_else(|| USUAL.to_owned());
        let read = load(files, environment, &EnvConfigFiles::default(), Some(Cow::Owned(name.clone()))).await;
        let profiles = read.map_err(|error| NoCredentials::Malformed(in_full(&error)))?;
        let elsewhere = || match POINTERS.into_iter().any(|name| set(name).is_some()) {
            true => Origin::Environment,
            false => Origin::Machine,
        };
        Ok(Self {
            region: profiles.get("region").map(str::to_owned),
            origin: origin(&profiles, &name).unwrap_or_else(elsewhere),
            is_missing: is_named && profiles.get_profile(&name).is_none(),
            name,
        })
    }

    /// Refuses what the chain would pass over.
    pub(super) fn check(&self) -> Result<(), NoCredentials> {
        match &self.origin {
            _ if self.is_missing => Err(NoCredentials::NoProfile(self.name.clone())),
            Origin::Login => Err(NoCredentials::Login(self.name.clone())),
            _ => Ok(()),
        }
    }

    /// What the failure of the chain comes to.
    pub(super) fn explain(&self, error: &CredentialsError) -> NoCredentials {
        let (profile, reason) = (self.name.clone(), in_full(error));
        match &self.origin {
            _ if matches!(error, CredentialsError::CredentialsNotLoaded(_)) => {
                NoCredentials::None { profile, machine: None }
            }
            // What is at this address elsewhere than on AWS may say anything.
            Origin::Machine => NoCredentials::None { profile, machine: Some(reason) },
            Origin::Environment => NoCredentials::OfEnvironment(reason),
            origin => NoCredentials::OfProfile { profile, origin: origin.clone(), reason },
        }
    }
}

/// Where a profile has its credentials from, in the end: one may be the source of another.
fn origin(profiles: &ProfileSet, name: &str) -> Option<Origin> {
    let mut name = name;
    for _ in 0..MOST_REFERENCES {
        let profile = profiles.get_profile(name)?;
        let has = |keys: &[&str]| keys.iter().any(|key| profile.get(key).is_some());
        match profile.get("source_profile") {
            Some(source) if source != name => name = source,
            _ if has(&["sso_session", "sso_start_url"]) => {
                return Some(Origin::SingleSignOn(name.to_owned()));
            }
            _ if has(&["login_session"]) => return Some(Origin::Login),
            _ if has(&["role_arn", "aws_access_key_id"]) => return Some(Origin::Profile),
            _ if has(&["credential_process"]) => return Some(Origin::Process),
            _ => return None,
        }
    }
    Some(Origin::Profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "
[default]
region = eu-west-1
[profile dev]
sso_session = work
sso_account_id = 1
sso_role_name = r
[profile deploy]
role_arn = arn:aws:iam::1:role/deploy
source_profile = dev
[profile round]
source_profile = trip
[profile trip]
source_profile = round
[profile own]
role_arn = arn:aws:iam::1:role/own
source_profile = own
[profile console]
login_session = arn:aws:iam::1:user/me
[profile tool]
credential_process = tool
[sso-session work]
sso_start_url = https://example.com/start
sso_region = us-east-1
";

    async fn read(profile: Option<&str>, config: &str) -> Result<Selected, NoCredentials> {
        let variables = profile.map(|name| ("AWS_PROFILE", name));
        let home = ("HOME", "/home");
        let environment = Env::from_slice(&variables.into_iter().chain([home]).collect::<Vec<_>>());
        let files = [("/home/.aws/config".to_owned(), config.as_bytes().to_vec())];
        let files = Fs::from_map(files.into());
        Selected::read(&environment, &files).await
    }

    #[tokio::test]
    async fn it_is_known_where_a_profile_has_its_credentials_from() {
        for (profile, origin) in [
            ("dev", Origin::SingleSignOn("dev".into())),
            ("deploy", Origin::SingleSignOn("dev".into())),
            ("own", Origin::Profile),
            ("console", Origin::Login),
            ("tool", Origin::Process),
            ("default", Origin::Machine),
        ] {
            assert_eq!(read(Some(profile), CONFIG).await.unwrap().origin, origin, "{profile}");
        }
        assert!(matches!(read(Some("round"), CONFIG).await.unwrap().origin, Origin::Profile));
    }

    #[tokio::test]
    async fn a_profile_is_missed_only_by_who_has_named_it() {
        let missing = read(Some("none"), CONFIG).await.unwrap();
        assert!(matches!(missing.check(), Err(NoCredentials::NoProfile(name)) if name == "none"));
        for nothing in [None, Some(""), Some("default")] {
            let selected = read(nothing, CONFIG).await.unwrap();
            assert!(selected.check().is_ok());
            assert_eq!((&*selected.name, selected.region.as_deref()), ("default", Some("eu-west-1")));
        }
        assert!(read(None, "").await.unwrap().check().is_ok());
        assert!(matches!(read(None, "[default").await, Err(NoCredentials::Malformed(_))));
        let console = read(Some("console"), CONFIG).await.unwrap();
        assert!(console.check().unwrap_err().hint().contains("export-credentials --profile console"));
    }
}
