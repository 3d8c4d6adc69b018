//! The agent's code.

use std::io;
use std::path::Path;

use super::needs::Finder;
use super::plan::Plan;
use crate::wire::Order;

/// Shows the code, which has to be there. The host's state may lie below it, but not around it.
pub(super) fn add(plan: &mut Plan, order: &Order) -> io::Result<()> {
    Finder::new(plan, None).show_declared(Path::new(&order.code))
}
