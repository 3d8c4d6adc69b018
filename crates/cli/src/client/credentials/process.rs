//! `credential_process`: credentials that a program of the user's prints.

use std::process::{Command, Stdio};

use agentcore_protocol::{Clock, SystemClock};
use aws_credential_types::Credentials;
use serde::Deserialize;

/// The only form that there is.
const VERSION: u32 = 1;

/// What the program prints.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Printed {
    version: u32,
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    expiration: Option<String>,
}

/// Runs it, as AWS's own SDKs do: by a shell, and with the terminal for whatever it has to say or to ask.
///
/// # Errors
/// It fails, or what it prints are no credentials, told without a word of it.
pub(super) fn run(command: &str) -> Result<Credentials, String> {
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", command]).stdin(Stdio::null()).stderr(Stdio::inherit());
    let ended = shell.output().map_err(|error| format!("it cannot be started: {error}"))?;
    if !ended.status.success() {
        return Err(format!("it failed: {}", ended.status));
    }
    let printed: Printed = serde_json::from_slice(&ended.stdout).map_err(|error| {
        format!("it does not print credentials as JSON: line {}, column {}", error.line(), error.column())
    })?;
    if printed.version != VERSION {
        return Err(format!("it prints credentials of version {}, and {VERSION} is known", printed.version));
    }
    if printed.expiration.as_deref().is_some_and(is_past) {
        return Err("what it prints has expired".to_owned());
    }
    let Printed { access_key_id, secret_access_key, session_token, .. } = printed;
    Ok(Credentials::new(access_key_id, secret_access_key, session_token, None, "process"))
}

/// A time that cannot be read is left to whoever judges the credentials.
fn is_past(time: &str) -> bool {
    let end = time.parse().ok().map(|end: jiff::Timestamp| end.as_millisecond());
    end.and_then(|end| u64::try_from(end).ok()).is_some_and(|end| end <= SystemClock.now().unix_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printing(more: &str) -> Result<String, String> {
        let json = format!(r#"{{"Version": 1, "AccessKeyId": "P", "SecretAccessKey": "hidden"{more}}}"#);
        let found = run(&format!("printf '%s' '{json}'"))?;
        Ok(format!("{} {:?}", found.access_key_id(), found.session_token()))
    }

    #[test]
    fn what_a_program_prints_are_credentials() {
        assert_eq!(printing("").unwrap(), "P None");
        let session = r#", "SessionToken": "t", "Expiration": "2999-01-01T00:00:00Z", "AccountId": "1""#;
        assert_eq!(printing(session).unwrap(), "P Some(\"t\")");
    }

    #[test]
    fn what_is_wrong_with_it_is_told_without_what_it_prints() {
        let expired = printing(r#", "Expiration": "2020-01-01T00:00:00+00:00""#).unwrap_err();
        assert!(expired.contains("expired"), "{expired}");
        assert!(run("exit 3").unwrap_err().contains("exit status: 3"));
        for output in [
            "hidden",
            "{\"hidden\": 1}",
            "{\"Version\": 2, \"AccessKeyId\": \"\", \"SecretAccessKey\": \"hidden\"}",
        ] {
            let error = run(&format!("printf '%s' '{output}'")).unwrap_err();
            assert!(!error.contains("hidden"), "{error}");
        }
    }
}
