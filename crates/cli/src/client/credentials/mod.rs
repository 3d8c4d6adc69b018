//! AWS's credential chain, as far as it needs no network: the environment, then the profile in
//! `~/.aws`, its keys or its `credential_process`. All of the chain would take some fifty crates, clients
//! of three more of AWS's services among them; who has the rest of it has AWS's own tools, which export it.

mod process;

use std::path::PathBuf;

use aws_credential_types::Credentials;
use ini::Ini;

/// What in a profile says that its credentials are fetched from somewhere.
const FETCHED_FOR_PROFILE: [&str; 4] =
    ["sso_session", "sso_start_url", "role_arn", "web_identity_token_file"];
/// What in the environment says so.
const FETCHED: [&str; 3] = [
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoCredentials {
    #[error("there are no credentials to sign with")]
    None,
    #[error("{0} is set, and {1} is not")]
    Half(&'static str, &'static str),
    #[error("there is no profile {profile:?} with credentials in {}", .path.display())]
    NoProfile { profile: String, path: PathBuf },
    #[error("the profile {profile:?} takes its credentials from {source_key}, which needs AWS's own tools")]
    Indirect { profile: String, source_key: &'static str },
    #[error("{0} says where credentials are fetched from, which needs AWS's own tools")]
    Fetched(&'static str),
    #[error("the credential_process of the profile {profile:?} is of no use: {reason}")]
    Process { profile: String, reason: String },
    #[error("cannot read {}: {reason}", .path.display())]
    Unreadable { path: PathBuf, reason: String },
}

impl NoCredentials {
    /// What to do next.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Indirect { .. } | Self::Fetched(_) => {
                "take them over first: eval \"$(aws configure export-credentials --format env)\""
            }
            Self::Process { .. } => {
                "run it by itself: it is to print JSON with AccessKeyId and SecretAccessKey"
            }
            _ => {
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (`agentcore keys create` makes a host's), or AWS_PROFILE, \
                 or bring a token with --bearer-token; credentials of a role, of single sign-on or of the machine are taken \
                 over with: eval \"$(aws configure export-credentials --format env)\""
            }
        }
    }
}

/// The credentials of whoever runs this.
pub(crate) fn find(variable: impl Fn(&str) -> Option<String>) -> Result<Credentials, NoCredentials> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    match (set("AWS_ACCESS_KEY_ID"), set("AWS_SECRET_ACCESS_KEY")) {
        (Some(id), Some(secret)) => {
            return Ok(Credentials::new(id, secret, set("AWS_SESSION_TOKEN"), None, "environment"));
        }
        (Some(_), None) => return Err(NoCredentials::Half("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")),
        (None, Some(_)) => return Err(NoCredentials::Half("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID")),
        (None, None) => {}
    }
    let named = set("AWS_PROFILE");
    let Files { profile, credentials, config, in_config } = Files::of(&set);
    for (path, section) in [(&credentials, &profile), (&config, &in_config)] {
        if let Some(found) = in_file(path, section, &profile)? {
            return Ok(found);
        }
    }
    match (FETCHED.into_iter().find(|name| set(name).is_some()), named) {
        (Some(fetched), _) => Err(NoCredentials::Fetched(fetched)),
        (None, Some(profile)) => Err(NoCredentials::NoProfile { profile, path: credentials }),
        (None, None) => Err(NoCredentials::None),
    }
}

/// The region that the profile names.
pub(crate) fn region(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let Files { profile, credentials, config, in_config } = Files::of(&set);
    let in_file = |path: &PathBuf, section: &String| {
        Some(Ini::load_from_file_noescape(path).ok()?.section(Some(section))?.get("region")?.to_owned())
    };
    // Should it be in both files, AWS's own tools take the one of the credentials.
    in_file(&credentials, &profile).or_else(|| in_file(&config, &in_config))
}

/// The profile, and the files that tell of it.
struct Files {
    profile: String,
    credentials: PathBuf,
    config: PathBuf,
    /// What its section is called in the second one.
    in_config: String,
}

impl Files {
    fn of(set: &impl Fn(&str) -> Option<String>) -> Self {
        let home = set("HOME").map(PathBuf::from).unwrap_or_default();
        let file =
            |name: &str, usual: &str| set(name).map_or_else(|| home.join(".aws").join(usual), PathBuf::from);
        let profile = set("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
        let in_config = if profile == "default" { profile.clone() } else { format!("profile {profile}") };
        let (credentials, config) =
            (file("AWS_SHARED_CREDENTIALS_FILE", "credentials"), file("AWS_CONFIG_FILE", "config"));
        Self { profile, credentials, config, in_config }
    }
}

fn in_file(path: &PathBuf, section: &str, profile: &str) -> Result<Option<Credentials>, NoCredentials> {
    if !path.is_file() {
        return Ok(None);
    }
    let unreadable = |reason: String| NoCredentials::Unreadable { path: path.clone(), reason };
    // A secret may have a backslash in it.
    let ini = Ini::load_from_file_noescape(path).map_err(|error| unreadable(error.to_string()))?;
    let Some(found) = ini.section(Some(section)) else { return Ok(None) };
    if let (Some(id), Some(secret)) = (found.get("aws_access_key_id"), found.get("aws_secret_access_key")) {
        let token = found.get("aws_session_token").map(str::to_owned);
        return Ok(Some(Credentials::new(id, secret, token, None, "profile")));
    }
    let profile = || profile.to_owned();
    if let Some(source_key) = FETCHED_FOR_PROFILE.into_iter().find(|key| found.contains_key(key)) {
        return Err(NoCredentials::Indirect { profile: profile(), source_key });
    }
    let Some(command) = found.get("credential_process") else { return Ok(None) };
    process::run(command).map(Some).map_err(|reason| NoCredentials::Process { profile: profile(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)], credentials: &str, config: &str) -> Result<String, String> {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        std::fs::write(home.path().join(".aws/credentials"), credentials).unwrap();
        std::fs::write(home.path().join(".aws/config"), config).unwrap();
        let variable = |name: &str| match name {
            "HOME" => home.path().to_str().map(str::to_owned),
            _ => variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()),
        };
        let found = find(variable).map_err(|error| error.to_string())?;
        Ok(format!("{} {} {:?}", found.access_key_id(), found.secret_access_key(), found.session_token()))
    }

    const KEYS: &str = "[default]\naws_access_key_id = A\naws_secret_access_key = s\\n\n\
                        [ci]\naws_access_key_id=B\naws_secret_access_key=t\naws_session_token=u\n";

    #[test]
    fn the_environment_goes_before_the_profile() {
        let variables = [("AWS_ACCESS_KEY_ID", "E"), ("AWS_SECRET_ACCESS_KEY", "x")];
        assert_eq!(found(&variables, KEYS, "").unwrap(), "E x None");
        assert_eq!(found(&[], KEYS, "").unwrap(), "A s\\n None");
        assert_eq!(found(&[("AWS_PROFILE", "ci")], KEYS, "").unwrap(), "B t Some(\"u\")");
        let config = "[profile dev]\naws_access_key_id=C\naws_secret_access_key=v\n";
        assert_eq!(found(&[("AWS_PROFILE", "dev")], KEYS, config).unwrap(), "C v None");
    }

    #[test]
    fn a_profile_says_for_which_region_is_signed() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        std::fs::write(
            home.path().join(".aws/config"),
            "[default]\nregion=eu-west-1\n[profile ci]\nregion = us-west-2\n",
        )
        .unwrap();
        let named = |profile: Option<&str>| {
            region(|name| match name {
                "HOME" => home.path().to_str().map(str::to_owned),
                "AWS_PROFILE" => profile.map(str::to_owned),
                _ => None,
            })
        };
        assert_eq!(named(None).as_deref(), Some("eu-west-1"));
        assert_eq!(named(Some("ci")).as_deref(), Some("us-west-2"));
        assert_eq!(named(Some("none")), None);
    }

    #[test]
    fn who_has_none_is_told_why() {
        assert!(found(&[], "", "").unwrap_err().contains("no credentials"));
        assert!(found(&[("AWS_ACCESS_KEY_ID", "E")], KEYS, "").unwrap_err().contains("is not"));
        assert!(found(&[("AWS_PROFILE", "none")], KEYS, "").unwrap_err().contains("no profile \"none\""));
        let sso = "[default]\nsso_session = x\n";
        assert!(found(&[], "", sso).unwrap_err().contains("sso_session"));
        let web = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"), ("AWS_ROLE_ARN", "r")];
        assert!(found(&web, "", "").unwrap_err().contains("AWS_WEB_IDENTITY_TOKEN_FILE"));
        assert_eq!(found(&web, KEYS, "").unwrap(), "A s\\n None", "what is nearer goes first");
        let failing = "[default]\ncredential_process = exit 7\n";
        assert!(found(&[], "", failing).unwrap_err().contains("exit status: 7"));
    }

    #[test]
    fn a_profile_may_have_a_program_print_its_credentials() {
        let config = r#"[profile dev]
credential_process = printf '%s' '{"Version": 1, "AccessKeyId": "P", "SecretAccessKey": "x\\y"}'
"#;
        assert_eq!(found(&[("AWS_PROFILE", "dev")], "", config).unwrap(), "P x\\y None");
    }
}
