//! Finding out which walls stand, by putting them up around nothing.

use std::io;

use super::enclosure::{Design, Enclosure};
use super::identity::Identity;
use super::landlock::Grant;
use super::network::Network;
use super::seccomp::Filters;
use super::{Wall, WallReport, Walls, privileges, root, sys};
use crate::wire::StepError;

/// What the kernel, and the rights of this process, allow. The process must have one thread.
pub(crate) fn look() -> WallReport {
    let mut report = WallReport::default();
    let namespaces = Wall::NAMESPACES.into_iter().filter(|wall| *wall != Wall::Network);
    let all: Walls = namespaces.clone().chain([Wall::User]).collect();
    if attempt(all.clone()).is_ok() {
        report.standing = all;
    } else {
        look_one_by_one(&mut report, namespaces);
    }
    report.add(Wall::Network, network());
    report.add(Wall::Capabilities, in_a_child(privileges::give_up));
    report.add(Wall::Landlock, in_a_child(|| Grant::default().restrict()));
    report.add(Wall::Seccomp, in_a_child(|| Filters::compile()?.put_up()));
    report
}

fn look_one_by_one(report: &mut WallReport, namespaces: impl Iterator<Item = Wall>) {
    report.add(Wall::User, attempt([Wall::User].into()));
    for wall in namespaces {
        report.add(wall, attempt([Wall::User, wall].into()));
    }
}

fn network() -> Result<(), String> {
    let network = Network::rehearse().map_err(|error| error.to_string())?;
    attempt_with([Wall::User, Wall::Network].into(), Some(network))
}

fn attempt(walls: Walls) -> Result<(), String> {
    attempt_with(walls, None)
}

fn attempt_with(walls: Walls, network: Option<Network>) -> Result<(), String> {
    let identity = Identity::of_nobody();
    let design = Design { walls, network, identity, root: root::Plan::bare() };
    match Enclosure::make(design) {
        Ok(enclosure) => {
            let entered = in_a_child(|| enclosure.enter());
            enclosure.tear_down();
            entered
        }
        Err(StepError { step, source }) => Err(format!("cannot {}: {source}", step.as_str())),
    }
}

// What is put up around a process cannot be taken down again: have another try it.
fn in_a_child(put_up: impl FnOnce() -> io::Result<()>) -> Result<(), String> {
    sys::in_a_child(put_up).map_err(|error| error.to_string())
}
