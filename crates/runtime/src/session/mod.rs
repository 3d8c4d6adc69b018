//! Sessions: one actor per incarnation around a pure lifecycle, and the manager that finds them.

mod actor;
mod gate;
mod handle;
mod leftovers;
mod lifecycle;
mod manager;
mod ping;
pub(crate) mod reason;

pub(crate) use actor::{Environment, usage};
pub(crate) use handle::{Ended, InFlight, SessionHandle};
pub(crate) use manager::{Admission, Agent, Manager, NotAdmitted, ReconcileError};
pub(crate) use ping::ping;
