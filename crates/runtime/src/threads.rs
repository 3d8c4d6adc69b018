//! The threads that a host runs on.

use std::io;

use tokio::runtime::{Builder, Runtime};

/// Most threads for what blocks: files, and the store. Each keeps the memory that its longest work
/// took; hundreds, which a thousand sessions that begin together would have, take more than those
/// sessions.
const MOST_BLOCKING: usize = 32;

/// A runtime for a [`Host`](crate::Host): a thread for each processor, and few for what blocks.
///
/// # Errors
/// The system gives no more threads or descriptors.
pub fn host_runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().max_blocking_threads(MOST_BLOCKING).enable_all().build()
}
