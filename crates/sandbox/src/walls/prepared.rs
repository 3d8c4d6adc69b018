//! An enclosure that stands before anybody has said what for.
//!
//! Most of an enclosure is the same for every agent: the namespaces, their network, and the machine's part of
//! the root. An init that has nothing to start yet makes it of what it expects. When there is an order, it is
//! planned as if nothing had been made. What stands is used if that plan has it, all of it, and if the
//! machine is as it was; then the rest is the [`Furnishing`]. Else it is thrown away.

use std::io;

use super::enclosure::{Design, Enclosure};
use super::identity::Identity;
use super::network::Network;
use super::root::{Lender, Plan, Snapshot, Trees};
use crate::wire::{Expected, InStep, Step, StepError};

/// An enclosure without what one agent alone has.
#[derive(Debug)]
pub(crate) struct Prepared {
    enclosure: Enclosure,
    lender: Lender,
    machine: Snapshot,
}

/// What the first program inside puts in before it does anything else.
#[derive(Debug, Default)]
pub(crate) struct Furnishing {
    plan: Plan,
    trees: Trees,
}

impl Prepared {
    /// Makes one, if there is something to be made.
    pub(crate) fn make(expected: Expected) -> Result<Option<Self>, StepError> {
        let Some(design) = Design::expected(expected).in_step(Step::OpenRoot)? else { return Ok(None) };
        let mut lender = Lender::ready(design.identity).in_step(Step::OpenRoot)?;
        let (machine, trees) = Snapshot::open(&design.root, &mut lender).in_step(Step::OpenRoot)?;
        let enclosure = Enclosure::with(design, Some(trees))?;
        Ok(Some(Self { enclosure, lender, machine }))
    }

    /// What this lacks to be as designed. `None` if it is something else.
    pub(crate) fn lacks(&mut self, design: &Design) -> Option<Plan> {
        let stands = self.enclosure.design();
        let is_as_designed = design.walls == stands.walls
            && is_same(design.network.as_ref(), stands.network.as_ref())
            && self.enclosure.stands()
            && self.machine.is_true();
        if is_as_designed { design.root.beyond(&stands.root) } else { None }
    }

    /// Whom it is for.
    pub(crate) fn identity(&self) -> Identity {
        self.enclosure.design().identity
    }

    /// Takes hold of what it lacks.
    pub(crate) fn furnish(mut self, plan: Plan) -> io::Result<(Enclosure, Furnishing)> {
        let trees = plan.open(Some(&mut self.lender))?;
        Ok((self.enclosure, Furnishing { plan, trees }))
    }

    /// Ends it. That takes milliseconds; init reaps it with everything else.
    pub(crate) fn throw_away(self) {
        self.enclosure.abandon();
    }
}

fn is_same(wanted: Option<&Network>, there: Option<&Network>) -> bool {
    match (wanted, there) {
        (Some(wanted), Some(there)) => wanted.is_as(there),
        (wanted, there) => wanted.is_none() && there.is_none(),
    }
}

impl Furnishing {
    /// Puts it into the root that the calling process has, and closes that root.
    pub(crate) fn put_in(&self) -> io::Result<()> {
        self.plan.add_to_root(&self.trees)
    }
}
