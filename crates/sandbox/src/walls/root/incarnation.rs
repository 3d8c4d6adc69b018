//! The incarnation's own folder: of all that is in it, what is the agent's.

use super::plan::{Bind, Plan, What};
use crate::folder::IncarnationFolder;

pub(super) fn add(plan: &mut Plan, folder: &IncarnationFolder) {
    for path in folder.own().into_iter().chain([folder.socket()]) {
        plan.add(path, What::Bind(Bind::ReadWrite));
    }
    if folder.launcher().exists() {
        plan.add(folder.launcher(), What::Bind(Bind::ReadOnly));
    }
}
