//! Names of agents: `[a-zA-Z][a-zA-Z0-9_]{0,47}`.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// The name of an agent, valid.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AgentName(String);

/// A text that is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no name for an agent: it must start with a letter, hold only letters, digits and \
     underscores, and have 1 to 48 characters"
)]
pub(crate) struct InvalidName(String);

impl AgentName {
    /// Most characters.
    const MAX_LENGTH: usize = 48;

    /// The name as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The name that a path below the project suggests: `agents/writer/main.py` is
    /// `agents_writer_main`. Where that is no valid name (AWS's toolkit then asks for another),
    /// what is in the way is replaced or left out.
    pub(crate) fn from_path(relative: &Path) -> Result<Self, InvalidName> {
        let without_extension = match relative.extension().and_then(|extension| extension.to_str()) {
            Some("py") => relative.with_extension(""),
            _ => relative.to_owned(),
        };
        let text = without_extension.to_string_lossy();
        let suggested: String =
            text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        suggested.parse().or_else(|_| match suggested.trim_start_matches('_') {
            rest if rest.starts_with(|c: char| c.is_ascii_digit()) => format!("agent_{rest}").parse(),
            rest => rest.trim_end_matches('_').parse(),
        })
    }
}

impl FromStr for AgentName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let valid = text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.len() <= Self::MAX_LENGTH
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidName(text.to_owned())) }
    }
}

impl fmt::Display for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_suggests_the_name_that_awss_toolkit_suggests() {
        for (path, name) in [
            ("my_async_agent.py", "my_async_agent"),
            ("agents/writer/main.py", "agents_writer_main"),
            ("my agent-2.py", "my_agent_2"),
            ("target/debug/echo", "target_debug_echo"),
        ] {
            assert_eq!(AgentName::from_path(Path::new(path)).unwrap().as_str(), name);
        }
    }

    #[test]
    fn a_path_that_suggests_no_name_is_bent_into_one() {
        for (path, name) in
            [("__main__.py", "main"), ("2nd.py", "agent_2nd"), ("../x.y.py", "x_y"), ("_1/a.py", "agent_1_a")]
        {
            assert_eq!(AgentName::from_path(Path::new(path)).unwrap().as_str(), name);
        }
        assert!(AgentName::from_path(Path::new("___.py")).is_err());
        assert!(AgentName::from_path(Path::new(&"a".repeat(49))).is_err());
    }

    proptest! {
        #[test]
        fn exactly_the_contracts_names_are_accepted(text in "[a-zA-Z][a-zA-Z0-9_]{0,47}") {
            let name = AgentName::from_str(&text).unwrap();
            prop_assert_eq!(name.as_str(), text);
        }

        #[test]
        fn a_suggested_name_is_a_valid_name(path in any::<String>()) {
            if let Ok(name) = AgentName::from_path(Path::new(&path)) {
                prop_assert!(name.as_str().parse::<AgentName>().is_ok());
            }
        }
    }
}
