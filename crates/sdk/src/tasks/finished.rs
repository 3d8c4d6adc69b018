//! The tasks that have ended and can still be read, within bounds.

use std::collections::VecDeque;
use std::sync::Arc;

use agentcore_protocol::{TaskId, TaskRecord};
use rustc_hash::FxHashMap;

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

#[derive(Default)]
pub(super) struct Finished {
    limits: FinishedLimits,
    records: FxHashMap<TaskId, Arc<TaskRecord>>,
    oldest_first: VecDeque<TaskId>,
    bytes: usize,
}

impl Finished {
    pub(super) fn new(limits: FinishedLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    pub(super) fn set_limits(&mut self, limits: FinishedLimits) {
        self.limits = limits;
        self.make_room();
    }

    pub(super) fn insert(&mut self, mut record: TaskRecord) {
        let parts: [fn(&mut TaskRecord); 3] =
            [|r| r.result = None, |r| r.progress = None, |r| r.metadata = None];
        for leave_out in parts {
            if size(&record) > self.limits.bytes {
                leave_out(&mut record);
            }
        }
        if size(&record) > self.limits.bytes {
            // It would drive out all the others, and then itself.
            return;
        }
        self.bytes += size(&record);
        self.oldest_first.push_back(record.task_id);
        self.records.insert(record.task_id, Arc::new(record));
        self.make_room();
    }

    fn make_room(&mut self) {
        while self.bytes > self.limits.bytes || self.records.len() > self.limits.count {
            let Some(oldest) = self.oldest_first.pop_front() else { break };
            if let Some(record) = self.records.remove(&oldest) {
                self.bytes -= size(&record);
            }
        }
    }

    pub(super) fn get(&self, id: TaskId) -> Option<&Arc<TaskRecord>> {
        self.records.get(&id)
    }

    pub(super) fn oldest_first(&self) -> impl Iterator<Item = &Arc<TaskRecord>> {
        self.oldest_first.iter().filter_map(|id| self.records.get(id))
    }
}

/// What a record counts for: its texts and a round figure for the rest.
fn size(record: &TaskRecord) -> usize {
    const FIXED: usize = 256;
    let json = |raw: &Option<Box<serde_json::value::RawValue>>| raw.as_ref().map_or(0, |raw| raw.get().len());
    let error = record.error.as_ref().map_or(0, |error| error.kind.len() + error.message.len());
    FIXED + record.name.len() + error + json(&record.metadata) + json(&record.progress) + json(&record.result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use agentcore_protocol::{TaskStatus, Timestamp};
    use proptest::prelude::*;
    use serde_json::value::to_raw_value;

    fn record(n: u64, result_bytes: usize) -> TaskRecord {
        TaskRecord {
            task_id: TaskId::from_random(n),
            name: "t".into(),
            status: TaskStatus::Completed,
            metadata: None,
            progress: None,
            result: Some(to_raw_value(&"x".repeat(result_bytes)).unwrap()),
            error: None,
            started_at: Timestamp::default(),
            finished_at: Some(Timestamp::default()),
            duration: 0.0,
        }
    }

    #[test]
    fn a_result_that_is_too_large_goes_but_its_task_stays() {
        let mut finished = Finished::new(FinishedLimits { count: 10, bytes: 1000 });
        finished.insert(record(1, 5000));
        let kept = finished.get(TaskId::from_random(1)).unwrap();
        assert_eq!(kept.status, TaskStatus::Completed);
        assert!(kept.result.is_none());
    }

    #[test]
    fn a_task_that_is_too_large_drives_no_other_out() {
        let mut finished = Finished::new(FinishedLimits { count: 10, bytes: 1000 });
        finished.insert(record(1, 10));
        let large = || Some(to_raw_value(&"x".repeat(5000)).unwrap());
        finished.insert(TaskRecord { progress: large(), metadata: large(), ..record(2, 5000) });
        finished.insert(TaskRecord { name: "x".repeat(5000), ..record(3, 10) });
        let kept: Vec<_> = finished.oldest_first().map(|record| record.task_id).collect();
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
                finished.insert(record(n as u64, result_bytes));
            }
            let kept: Vec<_> = finished.oldest_first().map(|record| record.task_id).collect();
            let actual_bytes: usize = finished.oldest_first().map(|record| size(record)).sum();
            prop_assert_eq!(actual_bytes, finished.bytes);
            prop_assert!(actual_bytes <= bytes && kept.len() <= count);
            let newest = (sizes.len() - kept.len()..sizes.len()).map(|n| TaskId::from_random(n as u64));
            prop_assert!(kept.into_iter().eq(newest));
        }
    }
}
