//! Finding sandboxes of an earlier host.

use std::fs::{OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::sandbox::ProcessSandbox;
use super::{Context, post_mortem};
use crate::Adopted;
use crate::folder::{IncarnationFolder, InitRecord, read_record};
use crate::pidfd::PidFd;

/// Between two looks at a sandbox that is just being started or ended.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What became of the sandbox in `folder`.
pub(super) async fn adopt(context: &Arc<Context>, folder: &Path) -> io::Result<Adopted> {
    let folder = IncarnationFolder::new(folder);
    let settle = async {
        loop {
            if let Some(found) = look(context, &folder).await? {
                return Ok(found);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    let limit = context.options.start_limit;
    tokio::time::timeout(limit, settle).await.unwrap_or_else(|_| {
        let path = folder.path().display();
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("the sandbox in {path} neither starts nor ends")))
    })
}

// `None`: init lives but has not started the agent yet.
async fn look(context: &Arc<Context>, folder: &IncarnationFolder) -> io::Result<Option<Adopted>> {
    let record = this_boot(context, read_record(&folder.init_record())?);
    if !is_locked(folder)? {
        // Read again: init may have started the agent and ended since.
        let record = record.or(this_boot(context, read_record(&folder.init_record())?));
        let exit = post_mortem::examine(context, folder, record.as_ref()).await;
        return Ok(Some(exit.map_or(Adopted::Gone, Adopted::Exited)));
    }
    let Some(record) = record else { return Ok(None) };
    let Ok(init) = PidFd::open(record.init_pid) else { return Ok(None) };
    // Locked still, so the process is init still and the descriptor is on it.
    if !is_locked(folder)? {
        return Ok(None);
    }
    let sandbox = ProcessSandbox::watch(Arc::clone(context), folder.clone(), record, init)?;
    Ok(Some(Adopted::Running(sandbox)))
}

fn this_boot(context: &Context, record: Option<InitRecord>) -> Option<InitRecord> {
    record.filter(|record| record.boot_id == context.boot_id)
}

fn is_locked(folder: &IncarnationFolder) -> io::Result<bool> {
    let file = match OpenOptions::new().read(true).open(folder.lock()) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match file.try_lock_shared() {
        // Closing the file gives it back.
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
