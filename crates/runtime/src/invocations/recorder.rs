//! Takes down an agent's answer: into memory while it is small, into a file as soon as it is not or
//! comes as a stream.

use std::convert::Infallible;
use std::fs::File;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, sleep_until};

use super::files::{Files, Part, sync, write_at};
use super::live::Live;
use super::record::{Answer, Head};
use crate::store::{Store, Write};

/// Largest answer that is kept in the database.
const MOST_HELD: usize = 16 * 1024;
/// Between two syncs of one file: all that came in meanwhile share the next one.
const PACE: Duration = Duration::from_millis(10);
/// How long to wait for room on a disk that is full.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// Takes down one answer.
pub(crate) struct Recorder {
    live: Arc<Live>,
    files: Files,
    store: Store,
    head: Option<Arc<Head>>,
    held: Vec<Bytes>,
    held_bytes: usize,
    file: Option<Arc<File>>,
}

impl Recorder {
    pub(crate) fn new(live: Arc<Live>, files: Files, store: Store) -> Self {
        Self { live, files, store, head: None, held: Vec::new(), held_bytes: 0, file: None }
    }

    /// The answer begins.
    pub(crate) async fn begin(&mut self, head: Head, is_stream: bool) {
        let head = Arc::new(head);
        self.head = Some(head.clone());
        if is_stream {
            self.open_file().await;
        }
        self.live.begin(head);
    }

    /// More of the answer has come in.
    pub(crate) async fn add(&mut self, pieces: Vec<Bytes>) {
        let more: usize = pieces.iter().map(Bytes::len).sum();
        if more == 0 {
            return;
        }
        if self.file.is_none() && self.held_bytes + more > MOST_HELD {
            self.open_file().await;
        }
        match &self.file {
            Some(file) => {
                let at = self.live.progress().0;
                until_done("write", &self.live, || write_at(file, at, pieces.clone())).await;
            }
            None => {
                self.held_bytes += more;
                self.held.extend(pieces.iter().cloned());
            }
        }
        self.live.add(pieces);
    }

    /// The agent has ended its answer, or will not. Returns once all of it is on disk, but for what
    /// goes to the database with the end of the invocation.
    pub(crate) async fn end(self, complete: bool) -> Option<Answer> {
        if let Some(file) = &self.file {
            until_done("sync", &self.live, || sync(file)).await;
        }
        self.live.answer(complete)
    }

    /// From now on the answer is in a file, and what it begins with is on record, so that what comes
    /// in can be read after the host has died.
    async fn open_file(&mut self) {
        let (id, files) = (self.live.id, self.files.clone());
        let file = until_done("create", &self.live, || files.create(id, Part::Answer)).await;
        let held = std::mem::take(&mut self.held);
        until_done("write", &self.live, || write_at(&file, 0, held.clone())).await;
        if let Some(head) = &self.head {
            self.store.write_until_done(|| Write::Answering { id, head: head.clone() }).await;
        }
        self.live.in_file(file.clone());
        self.file = Some(file);
    }
}

/// Syncs the file of a live answer, for ever, as often as there is something new.
pub(crate) async fn keep_synced(live: &Live) -> Infallible {
    loop {
        let written = live.unsynced().await;
        let next = Instant::now() + PACE;
        let Some(file) = live.file() else { continue };
        until_done("sync", live, || sync(&file)).await;
        live.synced(written);
        sleep_until(next).await;
    }
}

/// Does it until it is done: what the host has acknowledged is not given up because a disk is full.
async fn until_done<T, F: Future<Output = io::Result<T>>>(
    step: &'static str,
    live: &Live,
    mut attempt: impl FnMut() -> F,
) -> T {
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(error) => tracing::error!(
                invocation.id = %live.id, step, error = %error,
                "cannot keep an answer; it is tried again every second"
            ),
        }
        sleep(FULL_PAUSE).await;
    }
}
