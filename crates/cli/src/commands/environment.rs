//! The environment that agents get.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;

/// Variables that describe this process, not the agent.
const OWN_VARIABLES: [&str; 8] =
    ["HOME", "TMPDIR", "PWD", "OLDPWD", "PORT", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];
/// What every program may need, and what gives nothing away.
const PLAIN_VARIABLES: [&str; 6] = ["PATH", "LANG", "TZ", "USER", "SSL_CERT_FILE", "SSL_CERT_DIR"];

/// The environment of an agent that is launched from a shell: the shell's own, as if the agent had
/// been started there, and `extra`.
pub(super) fn shell_environment(extra: &[(String, String)]) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> = utf8_environment()
        .filter(|(name, _)| !OWN_VARIABLES.contains(&name.as_str()) && !name.starts_with("AGENTCORE_"))
        .collect();
    // A session has a home of its own, but its credentials are its owner's.
    if let Some(home) = env::var_os("HOME").map(PathBuf::from) {
        for (name, file) in [("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")] {
            let path = home.join(".aws").join(file);
            if let (true, Some(path)) = (path.is_file(), path.to_str()) {
                environment.entry(name.to_owned()).or_insert_with(|| path.to_owned());
            }
        }
    }
    environment.extend(extra.iter().cloned());
    environment
}

/// The environment of an agent of a server: what every program may need, and `extra`.
pub(super) fn plain_environment(extra: &[(String, String)]) -> BTreeMap<String, String> {
    let plain = |name: &str| PLAIN_VARIABLES.contains(&name) || name.starts_with("LC_");
    utf8_environment().filter(|(name, _)| plain(name)).chain(extra.iter().cloned()).collect()
}

fn utf8_environment() -> impl Iterator<Item = (String, String)> {
    env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Reads `KEY=VALUE`, or `KEY` for the value that this program has.
pub(super) fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, value.to_owned()),
        None => {
            (text, env::var(text).map_err(|_| format!("{text} is not set here: write it as {text}=VALUE"))?)
        }
    };
    if name.is_empty() || name.contains('\0') || value.contains('\0') {
        return Err("write it as KEY=VALUE".to_owned());
    }
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_has_a_name_and_a_value_of_its_own_or_the_shells() {
        assert_eq!(variable("A=b=c"), Ok(("A".into(), "b=c".into())));
        assert_eq!(variable("A="), Ok(("A".into(), String::new())));
        assert_eq!(variable("PATH").unwrap().1, env::var("PATH").unwrap());
        assert!(variable("=x").is_err() && variable("SURELY_NOT_SET_ANYWHERE").is_err());
    }

    #[test]
    fn a_servers_agents_do_not_see_the_servers_environment() {
        let extra = [("TOKEN".to_owned(), "x".to_owned())];
        let plain = plain_environment(&extra);
        assert_eq!(plain["TOKEN"], "x");
        assert!(plain.contains_key("PATH") && !plain.contains_key("CARGO_MANIFEST_DIR"));
        let shell = shell_environment(&extra);
        assert!(shell.contains_key("CARGO_MANIFEST_DIR") && !shell.contains_key("HOME"));
    }
}
