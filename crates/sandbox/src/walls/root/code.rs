//! The agent's code.

use std::io;
use std::path::Path;

use super::needs::Finder;
use super::plan::Plan;
use crate::folder::IncarnationFolder;
use crate::wire::Order;

/// Shows the code, but not the incarnations that may lie below it.
pub(super) fn add(plan: &mut Plan, order: &Order, folder: &IncarnationFolder) -> io::Result<()> {
    Finder::new(plan).show(Path::new(&order.code))?;
    if let Some(incarnations) = folder.path().parent() {
        plan.hide(incarnations);
    }
    Ok(())
}
