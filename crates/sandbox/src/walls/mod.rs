//! The walls between sessions: what an agent cannot get past.
//!
//! Three processes have a part in it:
//!
//! ```text
//! init           outside; lock, log, records, control socket, control groups
//! ├── inner      PID 1 of the namespaces: builds the root, then reaps what is orphaned
//! ├── agent      a child of init, inside
//! └── command    the same
//! ```
//!
//! [`enclosure`] makes the namespaces and the inner process, in this order:
//!
//! 1. init opens what the agent may see, while it still may read all of it ([`root`]);
//! 2. one `clone3` makes the inner process with every namespace;
//! 3. init maps the ids ([`identity`]);
//! 4. the inner process takes its id, does what [`Network::inside`](network::Network::inside) has to do, builds the root and
//!    gives up its privileges ([`inner`]), while init does what [`Network::outside`](network::Network::outside) has to do;
//! 5. whatever runs inside, the agent and commands alike, enters by [`Enclosure::enter`],
//!    gets a [`Seal`], and is a child of init all the same;
//! 6. the first to do so puts in what was still missing, and closes the root ([`Furnishing`]).
//!
//! All but the last two may have been done before there was an order ([`Prepared`]).
//!
//! Killing the inner process kills everything inside; the kernel kills it when init dies.

pub(crate) mod enclosure;
pub(crate) mod identity;
pub(crate) mod inner;
mod landlock;
pub(crate) mod network;
mod prepared;
mod privileges;
pub(crate) mod probe;
mod report;
pub(crate) mod root;
mod seal;
mod seccomp;
mod shortfall;
pub(crate) mod sys;

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

pub(crate) use enclosure::Enclosure;
pub use network::NetworkMode;
pub(crate) use prepared::{Furnishing, Prepared};
pub use report::{Missing, WallReport};
pub(crate) use seal::Seal;
pub use shortfall::Shortfall;

/// One of the walls. They are put up in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wall {
    /// Ids of its own: as root, agents are nobody whom the machine knows.
    User,
    /// Sees and signals no process but its own, and leaves none behind.
    Pid,
    /// A root with only what was declared, read-only, and private `/tmp`, `/dev` and `/proc`.
    Mount,
    /// No System V IPC and no message queues but its own.
    Ipc,
    /// A host name of its own.
    Uts,
    /// Sees no control group but its own.
    Cgroup,
    /// A network of its own, as its [`NetworkMode`] says.
    Network,
    /// No capabilities, and no program that gives any.
    Capabilities,
    /// The system calls that it has no use for are refused.
    Seccomp,
    /// What the kernel itself grants: files, TCP ports, signals, abstract sockets.
    Landlock,
}

impl Wall {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::User,
        Self::Pid,
        Self::Mount,
        Self::Ipc,
        Self::Uts,
        Self::Cgroup,
        Self::Network,
        Self::Capabilities,
        Self::Seccomp,
        Self::Landlock,
    ];

    /// The walls that are namespaces, but for the user namespace, which all of these need.
    const NAMESPACES: [Self; 6] = [Self::Pid, Self::Mount, Self::Ipc, Self::Uts, Self::Cgroup, Self::Network];

    /// Its name in logs and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Pid => "pid",
            Self::Mount => "mount",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::Cgroup => "cgroup",
            Self::Network => "network",
            Self::Capabilities => "capabilities",
            Self::Seccomp => "seccomp",
            Self::Landlock => "landlock",
        }
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of walls.
pub type Walls = BTreeSet<Wall>;
