//! How commands that tell of work end, so that scripts know what came of it.

use std::process::ExitCode;

use crate::failure::{self, Failure};

/// What came of some work. The help of each command that ends so has the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It ended well: 0.
    Completed,
    /// It failed, or was cancelled: 1, as when the command itself fails.
    Failed,
    /// Nobody knows how it would have ended: 3.
    Lost,
    /// It has not ended: 4.
    NotYet,
}

/// What the help says of it.
pub(crate) const EXIT_CODES: &str = "\
Exit codes: 0 it completed, 1 it failed or was cancelled (or this command failed), 2 the command line \
is wrong, 3 it was interrupted or lost, 4 it has not ended";

impl Verdict {
    /// Of an invocation's state, or a task's status.
    pub(crate) fn of(state: &str) -> Self {
        match state {
            "completed" => Self::Completed,
            "interrupted" | "lost" => Self::Lost,
            "accepted" | "running" => Self::NotYet,
            _ => Self::Failed,
        }
    }

    /// The code, after telling what there is to tell.
    pub(crate) fn told(self, failure: Failure) -> ExitCode {
        failure::report(&failure.into());
        self.code()
    }

    /// The code.
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Completed => 0,
            Self::Failed => 1,
            Self::Lost => 3,
            Self::NotYet => 4,
        })
    }
}
