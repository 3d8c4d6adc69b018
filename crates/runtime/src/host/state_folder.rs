//! The folder that holds all a host knows, and the lock that keeps a second host out of it.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use agentcore_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use super::HostError;
use crate::api::HOST_TOKEN_FILE;

/// Name of the file in the state folder that tells other programs where the host serves.
pub const HOST_RECORD_FILE: &str = "host.json";
const LOCK_FILE: &str = "lock";
const INCARNATIONS: &str = "i";

/// What `host.json` says of a running host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRecord {
    /// The URL that it serves.
    pub url: String,
    /// Its process id.
    pub pid: u32,
    /// When it started, in milliseconds since the Unix epoch.
    pub started_at: Timestamp,
}

impl HostRecord {
    pub(super) fn new(address: SocketAddr, has_tls: bool, started_at: Timestamp) -> Self {
        let scheme = if has_tls { "https" } else { "http" };
        Self { url: format!("{scheme}://{address}"), pid: std::process::id(), started_at }
    }

    /// Reads what the host of `state` has left; `None` when there is none, or it is unreadable.
    pub fn read(state: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(state.join(HOST_RECORD_FILE)).ok()?).ok()
    }
}

/// The state folder, locked for as long as this lives.
pub(super) struct StateFolder {
    path: PathBuf,
    _lock: File,
}

impl StateFolder {
    /// Makes the folder, for its owner alone, and locks it.
    pub(super) fn take(path: &Path) -> Result<Self, HostError> {
        let failed = |step, path: &Path| {
            let path = path.to_owned();
            move |source| HostError::State { step, path, source }
        };
        make_private(&path.join(INCARNATIONS)).map_err(failed("make the folder", path))?;
        let path = path.canonicalize().map_err(failed("find", path))?;
        fs::set_permissions(&path, Permissions::from_mode(0o700)).map_err(failed("protect", &path))?;
        let lock_path = path.join(LOCK_FILE);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                let url = HostRecord::read(&path).map(|record| record.url);
                Err(HostError::AlreadyRunning { state: path, url })
            }
            Err(TryLockError::Error(source)) => Err(failed("lock", &lock_path)(source)),
        }
    }

    /// The folder, absolute.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the incarnations have their folders.
    pub(super) fn incarnations(&self) -> PathBuf {
        self.path.join(INCARNATIONS)
    }

    /// Tells other programs where the host serves.
    pub(super) fn announce(&self, record: &HostRecord) -> Result<(), HostError> {
        let path = self.path.join(HOST_RECORD_FILE);
        write_privately(&path, &serde_json::to_vec(record).unwrap_or_default())
            .map_err(|source| HostError::State { step: "write", path, source })
    }

    /// Takes back what [`announce`](Self::announce) told, and the lock with it.
    pub(super) fn release(self) {
        // A record that stays behind names a host that does not answer; readers must expect that
        // of a killed host anyway.
        for file in [HOST_RECORD_FILE, HOST_TOKEN_FILE] {
            let _ = fs::remove_file(self.path.join(file));
        }
    }
}

fn make_private(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file, for its owner alone, so that readers see all of it or nothing.
pub(crate) fn write_privately(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
    file.write_all(content)?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_host_is_refused_and_told_where_the_first_serves() {
        let folder = tempfile::tempdir().unwrap();
        let first = StateFolder::take(folder.path()).unwrap();
        let record =
            HostRecord::new("127.0.0.1:8080".parse().unwrap(), false, Timestamp::from_unix_millis(1));
        first.announce(&record).unwrap();
        let refused = StateFolder::take(folder.path()).err().unwrap().to_string();
        assert!(refused.contains("(it serves http://127.0.0.1:8080): stop it"), "{refused}");
        first.release();
        assert_eq!(HostRecord::read(folder.path()), None);
        StateFolder::take(folder.path()).unwrap();
    }

    #[test]
    fn state_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::take(&folder.path().join("deep/er")).unwrap();
        let mode = fs::metadata(state.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
