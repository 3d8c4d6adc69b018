//! What a sandbox goes without.

use std::fmt;

use super::{NetworkMode, Wall, Walls};
use crate::{EnforceableLimits, ResourceLimits};

/// The walls and limits that a sandbox does not have, though it could or should.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shortfall {
    /// Walls that do not stand around it; the network is none where it is the machine's own.
    pub walls: Walls,
    /// What is to be limited and is not.
    pub limits: Vec<&'static str>,
}

impl Shortfall {
    /// Of a sandbox with these walls and this network.
    pub(crate) fn of(standing: &Walls, network: NetworkMode) -> Self {
        let is_shared = |wall: Wall| wall == Wall::Network && network == NetworkMode::Host;
        let is_missing = |wall: &Wall| !standing.contains(wall) || is_shared(*wall);
        Self { walls: Wall::ALL.into_iter().filter(is_missing).collect(), limits: Vec::new() }
    }

    /// The same, where these of the limits are to be kept.
    pub(crate) fn with_limits(mut self, wanted: &ResourceLimits, kept: EnforceableLimits) -> Self {
        let limits = [
            ("memory", wanted.memory_bytes.is_some_and(|most| most > 0), kept.memory),
            ("processes", wanted.processes.is_some_and(|most| most > 0), kept.processes),
            ("cpus", wanted.cpus.is_some_and(|most| most > 0.0), kept.cpus),
        ];
        self.limits = limits
            .into_iter()
            .filter(|(_, is_wanted, is_kept)| *is_wanted && !is_kept)
            .map(|it| it.0)
            .collect();
        self
    }

    /// Whether there is nothing that it goes without.
    pub fn is_empty(&self) -> bool {
        self.walls.is_empty() && self.limits.is_empty()
    }
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let walls: Vec<&str> = self.walls.iter().map(|wall| wall.name()).collect();
        let parts = [("no wall: ", walls.join(", ")), ("no limit on: ", self.limits.join(", "))];
        let said: Vec<String> = parts
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(what, names)| format!("{what}{names}"))
            .collect();
        f.write_str(&said.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_network_and_limits_that_nobody_keeps_are_told() {
        let all = Walls::from(Wall::ALL);
        assert!(Shortfall::of(&all, NetworkMode::Egress).is_empty());
        let wanted = ResourceLimits { memory_bytes: Some(1), cpus: Some(1.0), ..ResourceLimits::default() };
        let kept = EnforceableLimits { memory: false, processes: false, cpus: true };
        let shortfall = Shortfall::of(&all, NetworkMode::Host).with_limits(&wanted, kept);
        assert_eq!(shortfall.to_string(), "no wall: network; no limit on: memory");
    }
}
