//! The walls around whatever will run here: those that are ready, or others.

use std::rc::Rc;

use super::agent;
use super::ready::kill_descendants;
use crate::folder::IncarnationFolder;
use crate::walls::enclosure::Design;
use crate::walls::root::Plan;
use crate::walls::{Enclosure, Furnishing, Prepared, Wall};
use crate::wire::{InStep, Order, Step, StepError};

/// The walls, if there are any, and what is left to be put inside of them.
pub(super) type Enclosed = (Option<Rc<Enclosure>>, Option<Furnishing>);

/// Puts them up, in the way that is quickest.
pub(super) fn enclose(
    prepared: Option<Prepared>,
    order: &Order,
    folder: &IncarnationFolder,
) -> Result<Enclosed, StepError> {
    let design = Design::of(order, folder).in_step(Step::OpenRoot)?;
    let made = match prepared.map(|mut prepared| (prepared.lacks(&design), prepared)) {
        Some((Some(rest), prepared)) => furnish(prepared, rest, folder),
        unfit => {
            unfit.into_iter().for_each(|(_, prepared)| prepared.throw_away());
            enclose_anew(design, folder)
        }
    };
    // What carries its network may be there already.
    made.inspect_err(|_| kill_descendants())
}

fn furnish(prepared: Prepared, rest: Plan, folder: &IncarnationFolder) -> Result<Enclosed, StepError> {
    agent::give_folders(folder, prepared.identity()).in_step(Step::MakeFolders)?;
    let (enclosure, furnishing) = prepared.furnish(rest).in_step(Step::OpenRoot)?;
    Ok((Some(Rc::new(enclosure)), Some(furnishing)))
}

fn enclose_anew(design: Design, folder: &IncarnationFolder) -> Result<Enclosed, StepError> {
    agent::give_folders(folder, design.identity).in_step(Step::MakeFolders)?;
    if !design.is_enclosed() {
        return Ok((None, None));
    }
    let furnishing = design.has(Wall::Mount).then(Furnishing::default);
    Ok((Some(Rc::new(Enclosure::make(design)?)), furnishing))
}
