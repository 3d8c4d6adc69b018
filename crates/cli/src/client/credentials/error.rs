//! Why there are no credentials, and what to do about it.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_types::error::ErrorMetadata;

/// Where credentials come from, as far as it matters for what to do when they do not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// By this profile, which may be the source of another.
    SingleSignOn(String),
    /// `aws login`, of which AWS's own tools alone know.
    Login,
    Process,
    /// A role, or whatever else a profile may have.
    Profile,
    /// What the environment points to: a web identity, a container.
    Environment,
    /// Nothing says where; the machine may have some.
    Machine,
}

/// Why there are no credentials. What is in a profile is told with the name of the one in use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoCredentials {
    #[error(
        "there are no credentials to sign with: not in the environment, nor in the profile {profile:?}, nor of a web \
         identity, a container or this machine{}",
        .machine.as_ref().map(|said| format!(" ({said})")).unwrap_or_default()
    )]
    None {
        profile: String,
        /// What came of asking it.
        machine: Option<String>,
    },
    #[error("{0} is set, and {1} is not")]
    Half(&'static str, &'static str),
    #[error(
        "there is no profile {0:?} in ~/.aws, or where AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE say"
    )]
    NoProfile(String),
    #[error("AWS's profiles cannot be read: {0}")]
    Malformed(String),
    #[error("the profile {0:?} has its credentials from `aws login`, which takes AWS's own tools")]
    Login(String),
    #[error("the credentials that the environment points to cannot be fetched: {0}")]
    OfEnvironment(String),
    #[error("the credentials of the profile {profile:?} cannot be fetched: {reason}")]
    OfProfile { profile: String, origin: Origin, reason: String },
    #[error("the credentials have expired that {0:?} has")]
    Expired(String),
}

impl NoCredentials {
    /// What to do next.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::None { .. } | Self::Half(..) | Self::NoProfile(_) => {
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (`agentcore keys create` makes a host's), or AWS_PROFILE, \
                 or bring a token with --bearer-token"
                    .to_owned()
            }
            Self::Malformed(_) => "correct it there, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".to_owned(),
            Self::Login(profile) => {
                format!("take them over: eval \"$(aws configure export-credentials --profile {profile} --format env)\"")
            }
            Self::OfProfile { origin: Origin::SingleSignOn(profile), .. } => {
                format!("sign on again: aws sso login --profile {profile}")
            }
            Self::OfProfile { origin: Origin::Process, .. } | Self::Expired(_) => {
                "run its program by itself: it is to print JSON with AccessKeyId and SecretAccessKey".to_owned()
            }
            Self::OfProfile { profile, .. } => {
                format!("see what AWS's own tools say: aws sts get-caller-identity --profile {profile}")
            }
            Self::OfEnvironment(_) => "see what AWS's own tools say: aws sts get-caller-identity".to_owned(),
        }
    }
}

/// An error with all that is behind it.
pub(super) fn in_full(error: &(dyn Error + 'static)) -> String {
    let layers = std::iter::successors(Some(error), |error| (*error).source());
    // These say that credentials could not be loaded, which is known by then.
    let layers = layers.filter(|layer| !layer.is::<CredentialsError>());
    let mut told: Vec<String> = Vec::new();
    for layer in layers.map(text) {
        // Some repeat what is below them.
        if told.last().is_none_or(|last| !last.contains(&layer)) {
            told.push(layer);
        }
    }
    told.join(": ")
}

fn text(layer: &(dyn Error + 'static)) -> String {
    let message = layer.downcast_ref::<ErrorMetadata>().and_then(ErrorMetadata::message);
    message.map_or_else(|| layer.to_string(), str::to_owned).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_an_error_is_told_once() {
        let service = ErrorMetadata::builder().code("AccessDenied").message("you may not").build();
        let inner = CredentialsError::provider_error(service);
        assert_eq!(in_full(&CredentialsError::provider_error(inner)), "you may not");
        assert_eq!(in_full(&std::io::Error::other("refused")), "refused");
    }

    #[test]
    fn who_has_to_sign_on_again_is_told_how() {
        let (origin, reason) = (Origin::SingleSignOn("dev".to_owned()), "the token has expired".to_owned());
        let failed = NoCredentials::OfProfile { profile: "deploy".to_owned(), origin, reason };
        assert_eq!(failed.hint(), "sign on again: aws sso login --profile dev");
        assert!(failed.to_string().contains("profile \"deploy\""));
    }
}
