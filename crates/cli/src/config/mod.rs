//! What a project says about its agents, and what follows from it.
//!
//! | module | what it knows |
//! |---|---|
//! | [`document`] | a YAML file whose unknown keys survive a change, written atomically |
//! | [`lock`] | one command at a time changes it |
//! | [`project`] | `.bedrock_agentcore.yaml`, as AWS's toolkit reads and writes it |
//! | [`agent`] | one agent in it |
//! | [`name`] | names of agents, and the name that a path suggests |
//! | [`entrypoint`] | what `--entrypoint` may be: a script, a folder, a program, a Cargo project |
//! | [`python`] | which interpreter runs a Python agent |
//! | [`cargo`] | building an agent that is a Cargo project |
//! | [`launchable`] | all of it put together: what is to be started |
//! | [`state`] | where a host keeps its state |

pub(crate) mod agent;
pub(crate) mod cargo;
pub(crate) mod document;
pub(crate) mod entrypoint;
pub(crate) mod launchable;
mod lock;
pub(crate) mod name;
pub(crate) mod project;
pub(crate) mod python;
pub(crate) mod state;
