//! The mount wall: a root folder with only what was declared.
//!
//! [`plan`](Plan::of) decides what can be seen, as data; [`open`](Plan::open) takes hold of it where
//! it lies; [`build`](Plan::build) puts it together in a file system of its own and makes that the
//! root. Everything is at the path that it has outside.
//!
//! What is [common](Plan::common) to all agents can be built before there is one, if the [machine](Snapshot)
//! has not changed when there is; what is [beyond](Plan::beyond) that is [added](Plan::add_to_root).

mod build;
mod code;
mod incarnation;
mod lent;
mod needs;
mod plan;
mod reach;
mod resolver;
mod snapshot;
mod system;

use std::path::Path;

pub(crate) use build::{Trees, mount_proc_alone};
pub(crate) use lent::Lender;
pub(crate) use plan::Plan;
pub(crate) use snapshot::Snapshot;

use super::NetworkMode;
use crate::folder::IncarnationFolder;
use crate::wire::Order;

impl Plan {
    /// What the agent of this order may see.
    pub(crate) fn of(order: &Order, folder: &IncarnationFolder) -> std::io::Result<Self> {
        let mut plan = Self::system(order.limits.memory());
        // Other incarnations, and whatever else the host keeps to itself.
        let incarnations = folder.path().parent();
        for path in incarnations.into_iter().chain(order.hidden.iter().map(Path::new)) {
            plan.keep_private(path);
        }
        if order.network == NetworkMode::Egress {
            resolver::add(&mut plan);
        }
        code::add(&mut plan, order)?;
        needs::add(&mut plan, order);
        for path in &order.read_only {
            needs::add_declared(&mut plan, Path::new(path))?;
        }
        plan.hide_private();
        incarnation::add(&mut plan, folder);
        plan.put_in_order();
        Ok(plan)
    }

    /// What every agent sees that has such a network, but for its memory.
    pub(crate) fn common(network: NetworkMode) -> Self {
        let mut plan = Self::system(None);
        if network == NetworkMode::Egress {
            resolver::add(&mut plan);
        }
        plan.without_memory();
        plan.put_in_order();
        plan
    }

    /// The machine's own part, and nothing of anybody's.
    pub(crate) fn bare() -> Self {
        let mut plan = Self::system(None);
        plan.put_in_order();
        plan
    }

    fn system(memory_bytes: Option<u64>) -> Self {
        let mut plan = Self::default();
        system::add(&mut plan, memory_bytes);
        plan
    }
}
