//! A value that several tasks change and wait for.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A value, and who waits for it to become another. It is never locked for longer than a look.
#[derive(Default)]
pub(crate) struct Watched<T> {
    value: Mutex<T>,
    changed: Notify,
}

impl<T> Watched<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: Mutex::new(value), changed: Notify::new() }
    }

    /// The value as it is. Who changes it by this tells nobody: see [`Watched::announce`].
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        // Those that change it cannot leave it half changed by a panic.
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes it, and has everybody look again who waits.
    pub(crate) fn edit(&self, edit: impl FnOnce(&mut T)) {
        edit(&mut self.lock());
        self.announce();
    }

    /// Has everybody look again who waits.
    pub(crate) fn announce(&self) {
        self.changed.notify_waiters();
    }

    /// Looks again and again until there is an answer.
    pub(crate) async fn wait<R>(&self, mut look: impl FnMut(&mut T) -> Option<R>) -> R {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Before the look, so that no change between the two is missed.
            changed.as_mut().enable();
            if let Some(found) = look(&mut self.lock()) {
                return found;
            }
            changed.await;
        }
    }
}
