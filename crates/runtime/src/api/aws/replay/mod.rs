//! Retries that do not run an agent twice.
//!
//! AWS's SDKs send a request again when its answer is late, with the same `amz-sdk-invocation-id`.
//! An invocation with such an id runs in a task of its own, and its answer is recorded; whoever
//! comes with the same id hears the recording. Recordings are bounded: so many at once, so many
//! bytes, and for so long after their end. Beyond that an invocation is an ordinary one.

mod payload;
mod recording;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agentcore_protocol::SessionId;
use tokio::time::Instant;

use crate::key::Principal;

pub(super) use payload::{Passing, hash_of};
pub(super) use recording::{Ending, Recording, Unheard};

/// How long an answer is kept once it is whole. The patience of SDKs ends after their third try.
const KEPT: Duration = Duration::from_secs(5 * 60);
/// Most recordings at once.
const MOST: usize = 1_024;
/// Most bytes of all recordings together.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// What tells one invocation of an SDK from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) principal: Principal,
    pub(super) agent: Arc<str>,
    /// The session, if the caller has named one.
    pub(super) session: Option<SessionId>,
    pub(super) invocation: String,
}

/// The invocations that a retry can join.
#[derive(Default)]
pub(crate) struct Replays {
    known: Mutex<Known>,
    bytes: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Known {
    recordings: HashMap<Key, Arc<Recording>>,
    /// Those that are whole, the oldest first.
    whole: VecDeque<(Instant, Key)>,
}

/// Whose turn it is to run an invocation.
pub(super) enum Turn {
    /// Nobody has run it: run it, and record the answer.
    First(Arc<Recording>),
    /// Somebody runs it, or has.
    Again(Arc<Recording>),
    /// There is no room for one more recording: run it without.
    Unrecorded,
}

impl Replays {
    /// Takes a turn at an invocation.
    pub(super) fn turn(&self, key: &Key) -> Turn {
        let mut known = self.lock();
        known.drop_older_than(KEPT);
        if let Some(recording) = known.recordings.get(key) {
            return Turn::Again(recording.clone());
        }
        if known.recordings.len() >= MOST && !known.drop_oldest() {
            return Turn::Unrecorded;
        }
        let recording = Arc::new(Recording::new(self.bytes.clone()));
        known.recordings.insert(key.clone(), recording.clone());
        Turn::First(recording)
    }

    /// Whether an invocation of that name is recorded, in whichever session.
    pub(crate) fn knows(&self, principal: &Principal, agent: &str, invocation: &str) -> bool {
        let mut known = self.lock();
        known.drop_older_than(KEPT);
        known
            .recordings
            .keys()
            .any(|key| key.invocation == invocation && key.principal == *principal && &*key.agent == agent)
    }

    /// Makes room for `more` bytes, at the cost of the oldest recordings. Whether there is room.
    pub(super) fn make_room(&self, more: usize) -> bool {
        let has_room = || self.bytes.load(Ordering::Acquire) + more <= MOST_BYTES;
        let mut known = self.lock();
        while !has_room() {
            if !known.drop_oldest() {
                return false;
            }
        }
        true
    }

    /// The recording is whole: from now on its age counts.
    pub(super) fn keep(&self, key: Key) {
        self.lock().whole.push_back((Instant::now(), key));
    }

    /// The recording is of no use to anybody.
    pub(super) fn forget(&self, key: &Key) {
        self.lock().recordings.remove(key);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        // A panic cannot leave it half changed.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn drop_oldest(&mut self) -> bool {
        let Some((_, key)) = self.whole.pop_front() else { return false };
        self.recordings.remove(&key);
        true
    }

    fn drop_older_than(&mut self, age: Duration) {
        while self.whole.front().is_some_and(|(since, _)| since.elapsed() > age) {
            self.drop_oldest();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(invocation: usize) -> Key {
        let (principal, agent) = (Principal::local(), "writer".into());
        Key { principal, agent, session: None, invocation: invocation.to_string() }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_kept_for_a_while_after_its_end() {
        let replays = Replays::default();
        assert!(matches!(replays.turn(&key(1)), Turn::First(_)));
        tokio::time::advance(KEPT * 2).await;
        assert!(matches!(replays.turn(&key(1)), Turn::Again(_)), "it still runs");
        replays.keep(key(1));
        tokio::time::advance(KEPT).await;
        assert!(matches!(replays.turn(&key(1)), Turn::Again(_)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(matches!(replays.turn(&key(1)), Turn::First(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_whole_answer_makes_room_and_running_ones_stay() {
        let replays = Replays::default();
        for number in 0..MOST {
            assert!(matches!(replays.turn(&key(number)), Turn::First(_)));
        }
        assert!(matches!(replays.turn(&key(MOST)), Turn::Unrecorded));
        replays.keep(key(7));
        assert!(matches!(replays.turn(&key(MOST)), Turn::First(_)));
        assert!(matches!(replays.turn(&key(7)), Turn::Unrecorded));
        assert!(matches!(replays.turn(&key(8)), Turn::Again(_)));
    }

    #[tokio::test]
    async fn bytes_are_bounded_and_given_back() {
        let replays = Replays::default();
        let Turn::First(recording) = replays.turn(&key(1)) else { panic!("not the first") };
        let most = bytes::Bytes::from(vec![0; MOST_BYTES]);
        assert!(replays.make_room(most.len()));
        recording.add(most);
        assert!(!replays.make_room(1), "what still runs is not dropped");
        replays.keep(key(1));
        drop(recording);
        assert!(replays.make_room(1));
        assert!(matches!(replays.turn(&key(1)), Turn::First(_)));
    }
}
