//! The tasks that have ended and can still be read, within bounds.

use std::collections::VecDeque;

use agentcore_protocol::{TaskId, TaskRecord, TaskStatus, Timestamp};
use rustc_hash::FxHashMap;
use serde_json::value::RawValue;

use super::particulars::Particulars;
use super::registry::End;

/// How much is kept of tasks that have ended. The oldest make room for the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FinishedLimits {
    /// Most tasks.
    pub count: usize,
    /// Most bytes of names, metadata, progress, results and errors, taken together. A task that
    /// alone is larger is kept without its result, or, if need be, without its progress and
    /// metadata, or not at all.
    pub bytes: usize,
}

impl Default for FinishedLimits {
    /// A thousand tasks, 16 MiB.
    fn default() -> Self {
        Self { count: 1000, bytes: 16 << 20 }
    }
}

/// A task that has ended. Only who asks for its record pays for making one.
pub(super) struct Ended {
    pub(super) task: Particulars,
    pub(super) end: End,
    pub(super) finished_at: Timestamp,
    /// In seconds.
    pub(super) duration: f64,
}

impl Ended {
    pub(super) fn record(&self, id: TaskId) -> TaskRecord {
        let (status, result, error) = match &self.end {
            End::Completed(result) => (TaskStatus::Completed, result.clone(), None),
            End::Failed(failure) => (TaskStatus::Failed, None, Some(failure.clone())),
            End::Cancelled => (TaskStatus::Cancelled, None, None),
        };
        let finished_at = Some(self.finished_at);
        TaskRecord { status, result, error, finished_at, ..self.task.record(id, self.duration) }
    }

    /// What it counts for: its texts and a round figure for the rest.
    fn size(&self) -> usize {
        const FIXED: usize = 256;
        let json = |raw: &Option<Box<RawValue>>| raw.as_ref().map_or(0, |raw| raw.get().len());
        let end = match &self.end {
            End::Completed(result) => json(result),
            End::Failed(failure) => failure.kind.len() + failure.message.len(),
            End::Cancelled => 0,
        };
        FIXED + self.task.name.len() + json(&self.task.metadata) + json(&self.task.progress) + end
    }

    /// Leaves out as little as makes it fit in `limit`; `None`: it cannot.
    fn within(mut self, limit: usize) -> Option<Self> {
        let leave_out: [fn(&mut Self); 3] = [
            |ended| {
                if let End::Completed(result) = &mut ended.end {
                    *result = None;
                }
            },
            |ended| ended.task.progress = None,
            |ended| ended.task.metadata = None,
        ];
        for leave_out in leave_out {
            if self.size() > limit {
                leave_out(&mut self);
            }
        }
        (self.size() <= limit).then_some(self)
    }
}

#[derive(Default)]
pub(super) struct Finished {
    limits: FinishedLimits,
    tasks: FxHashMap<TaskId, Ended>,
    oldest_first: VecDeque<TaskId>,
    bytes: usize,
}

impl Finished {
    pub(super) fn new(limits: FinishedLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    pub(super) fn set_limits(&mut self, limits: FinishedLimits) {
        self.limits = limits;
        while self.make_room().is_some() {}
    }

    /// Keeps a task; returns the one that made room for it, for the caller to drop when it suits.
    pub(super) fn insert(&mut self, id: TaskId, ended: Ended) -> Option<Ended> {
        // One that is too large would drive out all the others, and then itself.
        let ended = ended.within(self.limits.bytes)?;
        self.bytes += ended.size();
        self.oldest_first.push_back(id);
        self.tasks.insert(id, ended);
        let gone = self.make_room();
        while self.make_room().is_some() {}
        gone
    }

    /// Takes the oldest task out if there is too much.
    fn make_room(&mut self) -> Option<Ended> {
        if self.bytes <= self.limits.bytes && self.tasks.len() <= self.limits.count {
            return None;
        }
        let oldest = self.tasks.remove(&self.oldest_first.pop_front()?)?;
        self.bytes -= oldest.size();
        Some(oldest)
    }

    pub(super) fn get(&self, id: TaskId) -> Option<&Ended> {
        self.tasks.get(&id)
    }

    pub(super) fn oldest_first(&self) -> impl Iterator<Item = (TaskId, &Ended)> {
        self.oldest_first.iter().filter_map(|id| Some((*id, self.tasks.get(id)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::value::to_raw_value;

    fn ended(result_bytes: usize) -> Ended {
        let result = Some(to_raw_value(&"x".repeat(result_bytes)).unwrap());
        let started_at = Timestamp::default();
        Ended {
            task: Particulars { name: "t".into(), metadata: None, progress: None, started_at },
            end: End::Completed(result),
            finished_at: Timestamp::default(),
            duration: 0.0,
        }
    }

    #[test]
    fn a_result_that_is_too_large_goes_but_its_task_stays() {
        let mut finished = Finished::new(FinishedLimits { count: 10, bytes: 1000 });
        finished.insert(TaskId::from_random(1), ended(5000));
        let id = TaskId::from_random(1);
        let kept = finished.get(id).unwrap().record(id);
        assert_eq!(kept.status, TaskStatus::Completed);
        assert!(kept.result.is_none());
    }

    #[test]
    fn a_task_that_is_too_large_drives_no_other_out() {
        let mut finished = Finished::new(FinishedLimits { count: 10, bytes: 1000 });
        finished.insert(TaskId::from_random(1), ended(10));
        let large = || Some(to_raw_value(&"x".repeat(5000)).unwrap());
        let mut second = ended(5000);
        (second.task.progress, second.task.metadata) = (large(), large());
        finished.insert(TaskId::from_random(2), second);
        let mut third = ended(10);
        third.task.name = "x".repeat(5000).into();
        finished.insert(TaskId::from_random(3), third);
        let kept: Vec<_> = finished.oldest_first().map(|(id, _)| id).collect();
        assert_eq!(kept, [1, 2].map(TaskId::from_random));
    }

    proptest! {
        #[test]
        fn the_newest_are_kept_within_both_bounds(
            sizes in proptest::collection::vec(0usize..2000, 1..100),
            count in 1usize..20,
            bytes in 300usize..5000,
        ) {
            let mut finished = Finished::new(FinishedLimits { count, bytes });
            for (n, &result_bytes) in sizes.iter().enumerate() {
                finished.insert(TaskId::from_random(n as u64), ended(result_bytes));
            }
            let kept: Vec<_> = finished.oldest_first().map(|(id, _)| id).collect();
            let actual_bytes: usize = finished.oldest_first().map(|(_, ended)| ended.size()).sum();
            prop_assert_eq!(actual_bytes, finished.bytes);
            prop_assert!(actual_bytes <= bytes && kept.len() <= count);
            let newest = (sizes.len() - kept.len()..sizes.len()).map(|n| TaskId::from_random(n as u64));
            prop_assert!(kept.into_iter().eq(newest));
        }
    }
}
