//! The network that the agent is in: init's own, or one of the session.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use super::listener;
use super::porter::{Porter, Wanted};
use crate::proc::Proc;
use crate::walls::Enclosure;

/// Where an agent that listens on TCP is found and reached.
pub(super) enum Place {
    /// Among all programs of the machine: the listener must be one of init's descendants.
    Here(Proc),
    /// Alone. The porter is sent for when it is needed.
    Apart { enclosure: Rc<Enclosure>, porter: Option<Porter> },
}

impl Place {
    /// The place of what runs behind these walls.
    pub(super) fn of(enclosure: Option<&Rc<Enclosure>>) -> Self {
        match enclosure {
            Some(enclosure) if enclosure.has_network() => {
                Self::Apart { enclosure: Rc::clone(enclosure), porter: None }
            }
            _ => Self::Here(Proc::default()),
        }
    }

    /// Where the agent listens, if it listens on one of these ports, the first that it has.
    pub(super) fn listener(&mut self, ports: &[u16]) -> Option<SocketAddr> {
        match self {
            Self::Here(proc) => listener::find(proc, std::process::id().cast_signed(), ports),
            Self::Apart { .. } => listener::find_any(&self.socket(Wanted::Diagnosis).ok()?, ports),
        }
    }

    /// A socket that connects there.
    pub(super) fn socket(&mut self, wanted: Wanted) -> io::Result<OwnedFd> {
        match self {
            Self::Here(_) => wanted.make(),
            Self::Apart { enclosure, porter } => {
                let sent = match porter.take() {
                    Some(porter) => porter,
                    None => Porter::start(enclosure)?,
                };
                // One that fails is not asked again.
                let socket = sent.fetch(wanted)?;
                *porter = Some(sent);
                Ok(socket)
            }
        }
    }
}
