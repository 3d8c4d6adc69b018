//! Control groups, versions 1 and 2: what bounds a sandbox's memory, processes and processors.
//!
//! A group is made below each hierarchy that a limit needs. Where none can be written, the limits
//! are not enforced and [`CgroupRoots::enforceable`] says so.

mod discover;
mod leaf;
mod settle;

use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};
use serde::{Deserialize, Serialize};

pub(crate) use leaf::Leaf;

/// The folders below which groups may be made, one a hierarchy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CgroupRoots {
    /// Version 2.
    pub unified: Option<PathBuf>,
    /// Version 1, controller `memory`.
    pub memory: Option<PathBuf>,
    /// Version 1, controller `pids`.
    pub pids: Option<PathBuf>,
    /// Version 1, controller `cpu`.
    pub cpu: Option<PathBuf>,
}

/// Which of the [`ResourceLimits`](crate::ResourceLimits) hold here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnforceableLimits {
    /// `memory_bytes`.
    pub memory: bool,
    /// `processes`.
    pub processes: bool,
    /// `cpus`.
    pub cpus: bool,
}

impl CgroupRoots {
    /// The control groups that this process is in, as far as groups can be made below them.
    pub fn discover() -> Self {
        discover::discover(Path::new("/proc/self")).keep_writable()
    }

    /// Makes room for the groups of sessions: for a host, before it starts any.
    pub fn settle(&mut self) {
        if let Some(own) = &mut self.unified {
            *own = settle::settle(own, std::process::id());
        }
    }

    /// Which limits can be enforced below these roots, once the host has [settled](Self::settle).
    pub fn enforceable(&self) -> EnforceableLimits {
        EnforceableLimits {
            memory: self.memory.is_some() || self.has_controller("memory"),
            processes: self.pids.is_some() || self.has_controller("pids"),
            cpus: self.cpu.is_some() || self.has_controller("cpu"),
        }
    }

    /// Whether version 2 offers this controller to groups below its root.
    fn has_controller(&self, controller: &str) -> bool {
        let Some(root) = &self.unified else { return false };
        if settle::is_inhabited(root) && settle::is_alone(root, std::process::id()) {
            return settle::has_controller(root, controller);
        }
        leaf::enable(root, controller).is_ok()
    }

    fn keep_writable(mut self) -> Self {
        for root in [&mut self.unified, &mut self.memory, &mut self.pids, &mut self.cpu] {
            if root.as_ref().is_some_and(|path| access(path, AccessFlags::W_OK).is_err()) {
                *root = None;
            }
        }
        self
    }
}
