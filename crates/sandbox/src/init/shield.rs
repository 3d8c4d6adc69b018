//! What keeps the kernel from ending init when memory runs out in the groups that it shares with its
//! agent: the agent is whom the bound is for.

use std::{fs, io};

const SCORE: &str = "/proc/self/oom_score_adj";
/// Never this one.
const NEVER: &str = "-1000";

/// Stands in front of this process and of those that it starts, unless they put it down.
#[derive(Debug)]
pub(super) struct Shield {
    before: String,
}

impl Shield {
    /// Takes it up. Only root may.
    pub(super) fn take_up() -> io::Result<Self> {
        let before = fs::read_to_string(SCORE)?;
        fs::write(SCORE, NEVER)?;
        Ok(Self { before: before.trim().to_owned() })
    }

    /// Puts it down, for good if the calling process may take it up.
    pub(super) fn put_down(&self) -> io::Result<()> {
        fs::write(SCORE, &self.before)
    }
}
