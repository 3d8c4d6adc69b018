//! What the host and init say to each other: one order and one reply at the start, then a request
//! and a reply for each command that runs inside.

use std::ffi::OsString;
use std::io;

use serde::{Deserialize, Serialize};

use crate::cgroup::CgroupRoots;
use crate::folder::InitRecord;
use crate::walls::{NetworkMode, Walls};
use crate::{ExitStatus, ProcessOptions, ResourceLimits, SandboxSpec};

/// What init is told before there is an order.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Outlook {
    /// Below which control groups limits are enforced.
    pub(crate) cgroups: CgroupRoots,
    /// What the order will probably ask for; none if it comes at once.
    pub(crate) expected: Option<Expected>,
}

/// What can be made before there is an order, by what it depends on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Expected {
    pub(crate) walls: Walls,
    pub(crate) network: NetworkMode,
}

/// What init is to start. Paths are `OsString`s because serde keeps those whole even when they are
/// not UTF-8.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) folder: OsString,
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    pub(crate) code: OsString,
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) limits: Limits,
    pub(crate) boot_id: String,
    /// The walls to put up. All of them can be: the host has found out before.
    pub(crate) walls: Walls,
    pub(crate) network: NetworkMode,
    pub(crate) read_only: Vec<OsString>,
    pub(crate) hidden: Vec<OsString>,
    pub(crate) confined: bool,
}

/// [`ResourceLimits`] on the wire.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Limits {
    memory_bytes: Option<u64>,
    processes: Option<u64>,
    cpus: Option<f64>,
    log_bytes: Option<u64>,
    disk_bytes: Option<u64>,
}

impl Limits {
    pub(crate) fn memory(&self) -> Option<u64> {
        self.memory_bytes
    }
}

impl From<ResourceLimits> for Limits {
    fn from(limits: ResourceLimits) -> Self {
        let ResourceLimits { memory_bytes, processes, cpus, log_bytes, disk_bytes } = limits;
        Self { memory_bytes, processes, cpus, log_bytes, disk_bytes }
    }
}

impl From<Limits> for ResourceLimits {
    fn from(limits: Limits) -> Self {
        let Limits { memory_bytes, processes, cpus, log_bytes, disk_bytes } = limits;
        Self { memory_bytes, processes, cpus, log_bytes, disk_bytes }
    }
}

impl Order {
    pub(crate) fn new(spec: &SandboxSpec, options: &ProcessOptions, boot_id: &str) -> Self {
        Self {
            folder: spec.folder.clone().into(),
            program: spec.program.clone().into(),
            args: spec.args.clone(),
            code: spec.code.clone().into(),
            env: spec.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            limits: spec.limits.into(),
            boot_id: boot_id.to_owned(),
            walls: options.walls.clone(),
            network: spec.network,
            read_only: spec.read_only.iter().map(OsString::from).collect(),
            hidden: options.hidden.iter().map(OsString::from).collect(),
            confined: spec.confined,
        }
    }
}

/// How the order went.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The agent's program is started.
    Started(InitRecord),
    /// The program cannot be executed.
    ProgramFailed {
        /// The system's error number.
        errno: i32,
    },
    /// The sandbox cannot be set up.
    SetupFailed(Failure),
}

/// A step that failed, on the wire.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// What was being done.
    pub(crate) step: Step,
    /// The system's error number, 0 when it is not the system's.
    pub(crate) errno: i32,
    /// The error in words.
    pub(crate) message: String,
}

impl From<StepError> for Failure {
    fn from(StepError { step, source }: StepError) -> Self {
        Self { step, errno: source.raw_os_error().unwrap_or_default(), message: source.to_string() }
    }
}

impl From<Failure> for StepError {
    fn from(Failure { step, errno, message }: Failure) -> Self {
        let source = if errno == 0 { io::Error::other(message) } else { io::Error::from_raw_os_error(errno) };
        Self { step, source }
    }
}

/// The steps of setting a sandbox up, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    BecomeInit,
    ReadOrder,
    MakeFolders,
    LinkCode,
    OpenLog,
    BindSocket,
    ClaimPort,
    MakeCgroup,
    OpenRoot,
    MakeNamespaces,
    MapIds,
    MakeNetwork,
    JoinNetwork,
    BuildRoot,
    EnterCgroup,
    EnterNamespaces,
    LimitFiles,
    LimitProcesses,
    GiveUpPrivileges,
    RestrictAccess,
    FilterSystemCalls,
    Fork,
    Record,
}

impl Step {
    /// The step as what follows "cannot".
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::BecomeInit => "set up the init process",
            Self::ReadOrder => "read what to start",
            Self::MakeFolders => "make the sandbox's folders",
            Self::LinkCode => "link the agent's code into the working folder",
            Self::OpenLog => "open the log",
            Self::BindSocket => "bind the agent's socket",
            Self::ClaimPort => "find a free TCP port for the agent",
            Self::MakeCgroup => "make a control group with these limits",
            Self::OpenRoot => "open what the agent may see",
            Self::MakeNamespaces => "make the sandbox's namespaces",
            Self::MapIds => "give the agent an id of its own",
            Self::MakeNetwork => "connect the sandbox's network",
            Self::JoinNetwork => "set up the sandbox's network",
            Self::BuildRoot => "build the agent's root folder",
            Self::EnterCgroup => "enter the control group",
            Self::EnterNamespaces => "enter the sandbox's namespaces",
            Self::LimitFiles => "bound the size of the agent's files",
            Self::LimitProcesses => "bound the number of the agent's processes",
            Self::GiveUpPrivileges => "give up privileges",
            Self::RestrictAccess => "restrict access with Landlock",
            Self::FilterSystemCalls => "filter system calls",
            Self::Fork => "fork",
            Self::Record => "write down what was started",
        }
    }
}

/// A step that failed.
#[derive(Debug)]
pub(crate) struct StepError {
    pub(crate) step: Step,
    pub(crate) source: io::Error,
}

/// Names the step that an error belongs to.
pub(crate) trait InStep<T> {
    fn in_step(self, step: Step) -> Result<T, StepError>;
}

impl<T, E: Into<io::Error>> InStep<T> for Result<T, E> {
    fn in_step(self, step: Step) -> Result<T, StepError> {
        self.map_err(|source| StepError { step, source: source.into() })
    }
}

/// How a command that ran inside ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum CommandReply {
    Code(i32),
    Signal(i32),
    /// It could not be started; the system's error number.
    Failed(i32),
}

impl From<ExitStatus> for CommandReply {
    fn from(status: ExitStatus) -> Self {
        match status {
            ExitStatus::Code(code) => Self::Code(code),
            ExitStatus::Signal(signal) => Self::Signal(signal),
        }
    }
}

impl CommandReply {
    pub(crate) fn into_result(self) -> io::Result<ExitStatus> {
        match self {
            Self::Code(code) => Ok(ExitStatus::Code(code)),
            Self::Signal(signal) => Ok(ExitStatus::Signal(signal)),
            Self::Failed(errno) => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}
