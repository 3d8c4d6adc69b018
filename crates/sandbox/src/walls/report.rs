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

    // In one environment several are missing for the same reason.
    fn missing_by_reason(&self) -> Vec<(&str, Vec<&str>)> {
        let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
        for Missing { wall, reason } in &self.missing {
            match reasons.iter_mut().find(|(known, _)| known == reason) {
                Some((_, walls)) => walls.push(wall.name()),
                None => reasons.push((reason, vec![wall.name()])),
            }
        }
        reasons
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
            match names.as_slice() {
                [] => "none stands".to_owned(),
                [one] => format!("{one} stands"),
                names => names.join(", ") + " stand",
            }
        )?;
        for (reason, walls) in self.missing_by_reason() {
            let verb = if walls.len() == 1 { "does" } else { "do" };
            write!(f, "; {} {verb} not: {reason}", walls.join(", "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_walls_share_is_said_once() {
        let mut report = WallReport::default();
        assert_eq!(report.to_string(), "none stands");
        for (wall, outcome) in [
            (Wall::User, Err("no namespaces")),
            (Wall::Network, Err("no pasta")),
            (Wall::Pid, Err("no namespaces")),
            (Wall::Seccomp, Ok(())),
        ] {
            report.add(wall, outcome.map_err(str::to_owned));
        }
        let told = "seccomp stands; user, pid do not: no namespaces; network does not: no pasta";
        assert_eq!(report.to_string(), told);
    }
}
