//! Which walls stand on this machine.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Wall, Walls};

/// A wall that cannot be put up here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The wall.
    pub wall: Wall,
    /// Why not, in words.
    pub reason: String,
}

/// What the kernel and this user's rights allow.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WallReport {
    /// The walls that stand.
    pub standing: Walls,
    /// Those that do not.
    pub missing: Vec<Missing>,
}

impl WallReport {
    /// Takes a wall as standing, or not.
    pub(crate) fn add(&mut self, wall: Wall, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => drop(self.standing.insert(wall)),
            Err(reason) => self.missing.push(Missing { wall, reason }),
        }
    }

    /// Whether every wall stands.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.standing.len() == Wall::ALL.len()
    }
}

impl fmt::Display for WallReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.standing.iter().map(|wall| wall.name()).collect();
        write!(
            f,
            "{}",
            if names.is_empty() { "none stands".to_owned() } else { names.join(", ") + " stand" }
        )?;
        for Missing { wall, reason } in &self.missing {
            write!(f, "; {wall} does not: {reason}")?;
        }
        Ok(())
    }
}
