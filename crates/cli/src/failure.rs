//! How failures are told: what went wrong, and what to do next.

use std::fmt::{self, Display};
use std::io;

use crate::client::ClientError;
use crate::client::credentials::NoCredentials;
use crate::config::document::DocumentError;
use crate::config::launchable::LaunchError;
use crate::config::project::ProjectError;
use crate::output::{self, BAD, STRONG, styled};

/// A failure with a hint of its own.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// A failure that says what went wrong.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    /// Adds what to do next.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        self.hints(Some(hint.into()))
    }

    /// Adds what to do next, where that is known.
    pub(crate) fn hints(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Tells a failure on standard error.
pub(crate) fn report(error: &anyhow::Error) {
    if is_broken_pipe(error) {
        // Whoever read our output has seen enough.
        return;
    }
    output::note(format_args!("{} {error:#}", styled(BAD, "error:")));
    if let Some(hint) = hint_for(error) {
        output::note(format_args!("{} {hint}", styled(STRONG, "hint:")));
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// What to do next, for every kind of failure that knows.
pub(crate) fn hint_for(error: &anyhow::Error) -> Option<String> {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return failure.hint.clone();
    }
    if let Some(error) = error.downcast_ref::<ProjectError>() {
        return match error {
            ProjectError::NotConfigured(_) | ProjectError::NoAgents(_) => {
                Some("configure an agent first: `agentcore configure -e my_agent.py`".to_owned())
            }
            ProjectError::UnknownAgent { .. } => {
                Some("name one of these with -a, or add it: `agentcore configure -e FILE -n NAME`".to_owned())
            }
            ProjectError::NoDefault(_) => {
                Some("name one with -a, or choose: `agentcore configure set-default NAME`".to_owned())
            }
            ProjectError::Document(error) => document_hint(error).map(str::to_owned),
        };
    }
    if let Some(error) = error.downcast_ref::<NoCredentials>() {
        return Some(error.hint());
    }
    if let Some(LaunchError::NoEntrypoint(name) | LaunchError::Entrypoint { name, .. }) = error.downcast_ref()
    {
        return Some(format!("name what is to run: `agentcore configure -n {name} -e my_agent.py`"));
    }
    if let Some(LaunchError::Protocol { name, .. }) = error.downcast_ref() {
        return Some(format!(
            "if it answers POST /invocations and GET /ping all the same: `agentcore configure -n {name} -p HTTP`"
        ));
    }
    error.downcast_ref::<ClientError>().and_then(ClientError::hint)
}

/// What to do about a file that is not as it has to be.
fn document_hint(error: &DocumentError) -> Option<&'static str> {
    match error {
        DocumentError::Read { .. } | DocumentError::Write { .. } => None,
        DocumentError::Syntax { .. }
        | DocumentError::Unwritable { .. }
        | DocumentError::NoMapping { .. }
        | DocumentError::Unfit { .. }
        | DocumentError::Shape { .. }
        | DocumentError::NotNested { .. } => Some(
            "correct it there, or move the file away and begin anew: `agentcore configure -e my_agent.py` \
             writes one",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_found_behind_context() {
        let failure = Failure::new("it broke").hint("mend it");
        let error = anyhow::Error::new(failure).context("while trying");
        assert_eq!(hint_for(&error).as_deref(), Some("mend it"));
        assert_eq!(format!("{error:#}"), "while trying: it broke");
        let error = anyhow::Error::new(ProjectError::NotConfigured("/x".into()));
        assert!(hint_for(&error).unwrap().contains("agentcore configure -e"));
    }

    #[test]
    fn a_reader_that_left_is_no_failure() {
        let error = anyhow::Error::new(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(is_broken_pipe(&error) && !is_broken_pipe(&anyhow::anyhow!("x")));
    }
}
