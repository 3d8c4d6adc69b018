//! Which app's tasks a call to an `#[async_task]` function means.
//!
//! Inside a handler, and inside tasks that it started, it is that app. Elsewhere it is the app
//! that this process serves: an author's own `tokio::spawn` or thread does not carry the scope
//! along, and yet its tasks must count.

use std::future::Future;
use std::sync::OnceLock;

use super::Tasks;

tokio::task_local! {
    static CURRENT: Tasks;
}

static SERVED: OnceLock<Tasks> = OnceLock::new();

impl Tasks {
    /// The tasks of the app on whose behalf this code runs: the one whose handler or task it is,
    /// else the one that this process serves. `None` before any app is served.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok().or_else(|| SERVED.get().cloned())
    }

    /// Makes this app's tasks the ones that [`current`](Self::current) falls back to in the whole
    /// process. The first app that is served does so itself; call it when the app is a service in
    /// a server of your own. `false` when another app has done so.
    pub fn set_process_default(&self) -> bool {
        SERVED.set(self.clone()).is_ok()
    }

    /// Runs `future` with this app's tasks as the current ones.
    pub(crate) fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self, future)
    }

    /// Runs `work` with this app's tasks as the current ones.
    pub(crate) fn sync_scope<T>(&self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self.clone(), work)
    }
}
