//! Learns from the kernel when something is written into a folder: one inotify instance for all.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use inotify::{EventMask, EventStream, Inotify, WatchDescriptor, WatchMask, Watches};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// Bytes of events that are taken at once.
const BUFFER: usize = 4 << 10;

/// Watches folders, unless the kernel gives no means to.
pub(super) struct Watcher(Option<Running>);

struct Running {
    shared: Arc<Shared>,
    task: AbortHandle,
}

struct Shared {
    watches: Mutex<Watches>,
    listeners: Mutex<HashMap<WatchDescriptor, Arc<Notify>>>,
}

/// A folder that is watched for as long as this lives.
pub(super) struct Watch {
    shared: Arc<Shared>,
    descriptor: WatchDescriptor,
    changed: Arc<Notify>,
}

impl Watcher {
    pub(super) fn start() -> Self {
        let begun = Inotify::init().and_then(|inotify| {
            let watches = inotify.watches();
            Ok((watches, inotify.into_event_stream([0; BUFFER])?))
        });
        match begun {
            Ok((watches, events)) => {
                let shared = Arc::new(Shared { watches: Mutex::new(watches), listeners: Mutex::default() });
                let task = tokio::spawn(listen(shared.clone(), events)).abort_handle();
                Self(Some(Running { shared, task }))
            }
            Err(error) => {
                tracing::warn!(%error, "inotify cannot be used: task journals are looked at every second");
                Self(None)
            }
        }
    }

    /// Watches a folder, which must not be a link. `Ok(None)`: nothing can be watched.
    pub(super) fn watch(&self, folder: &Path) -> io::Result<Option<Watch>> {
        let Some(Running { shared, .. }) = &self.0 else { return Ok(None) };
        let mask = WatchMask::MODIFY
            | WatchMask::CREATE
            | WatchMask::MOVED_TO
            | WatchMask::ONLYDIR
            | WatchMask::DONT_FOLLOW;
        let changed = Arc::new(Notify::new());
        // Held over both, so that no event finds nobody to be told of it.
        let mut listeners = lock(&shared.listeners);
        let descriptor = lock(&shared.watches).add(folder, mask)?;
        listeners.insert(descriptor.clone(), changed.clone());
        drop(listeners);
        Ok(Some(Watch { shared: shared.clone(), descriptor, changed }))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some(running) = &self.0 {
            running.task.abort();
        }
    }
}

impl Watch {
    /// Returns once something was written since the last time that this returned.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        lock(&self.shared.listeners).remove(&self.descriptor);
        // It is gone already when the folder is.
        let _ = lock(&self.shared.watches).remove(self.descriptor.clone());
    }
}

async fn listen(shared: Arc<Shared>, mut events: EventStream<[u8; BUFFER]>) {
    while let Some(event) = events.next().await {
        let listeners = lock(&shared.listeners);
        match event {
            // Some events were lost: nobody knows whose.
            Ok(event) if event.mask.contains(EventMask::Q_OVERFLOW) => {
                listeners.values().for_each(|listener| listener.notify_one());
            }
            Ok(event) => {
                if let Some(listener) = listeners.get(&event.wd) {
                    listener.notify_one();
                }
            }
            Err(error) => {
                drop(listeners);
                tracing::error!(%error, "inotify failed: task journals are looked at every now and then");
                return;
            }
        }
    }
}

// No change of these is made halfway by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_into_a_folder_wakes_the_one_who_watches_it_and_no_other() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let watcher = Watcher::start();
        let watch = watcher.watch(one.path()).unwrap().unwrap();
        let idle = watcher.watch(other.path()).unwrap().unwrap();
        std::fs::write(one.path().join("file"), "x").unwrap();
        tokio::select! {
            biased;
            () = idle.changed() => panic!("nothing happened there"),
            () = watch.changed() => {}
        }
    }

    #[tokio::test]
    async fn a_folder_that_is_a_link_or_missing_is_not_watched() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(other.path(), &link).unwrap();
        let watcher = Watcher::start();
        assert!(watcher.watch(&link).is_err());
        assert!(watcher.watch(&folder.path().join("none")).is_err());
    }
}
