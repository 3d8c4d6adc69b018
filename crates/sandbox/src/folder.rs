//! The folder of an incarnation: where each file is, and the two records that init leaves there.
//!
//! | name | what it is |
//! |---|---|
//! | `agent.sock` | the socket that the agent serves |
//! | `control.sock` | where init takes commands to run inside |
//! | `lock` | locked for as long as init lives |
//! | `init.json` | what init started, once it has |
//! | `exit` | how it ended, once it has |
//! | `log`, `log.1` | what the agent wrote, newest and before |
//! | `work/`, `home/`, `tmp/` | the agent's own folders |
//! | `journal/` | the agent's task journal |

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use agentcore_protocol::Timestamp;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::removal::remove_file_if_there;
use crate::{Exit, ExitStatus, NetworkMode, Walls};

/// Paths inside the folder of an incarnation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncarnationFolder {
    root: PathBuf,
}

impl IncarnationFolder {
    /// Name of the newest part of the log.
    pub const LOG: &str = "log";
    /// Name of the part of the log before it, if it has been rotated.
    pub const OLDER_LOG: &str = "log.1";

    /// The layout of the folder `root`, which need not exist.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The socket that the agent serves.
    pub fn socket(&self) -> PathBuf {
        self.root.join("agent.sock")
    }

    /// The newest part of the log.
    pub fn log(&self) -> PathBuf {
        self.root.join(Self::LOG)
    }

    /// The part of the log before [`log`](Self::log), if it has been rotated.
    pub fn older_log(&self) -> PathBuf {
        self.root.join(Self::OLDER_LOG)
    }

    /// The agent's working folder.
    pub fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// The agent's home folder.
    pub fn home(&self) -> PathBuf {
        self.root.join("home")
    }

    /// The agent's folder for temporary files.
    pub fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Where the agent keeps its task journal.
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// The folders that are the agent's to write to.
    pub(crate) fn own(&self) -> [PathBuf; 4] {
        [self.work(), self.home(), self.temporary(), self.journal()]
    }

    /// Opens a file below the folder to read, `name` being relative to it. Agents write here too:
    /// what they may have put in a file's place, a link or anything else, is refused.
    ///
    /// # Errors
    /// There is no such file, it cannot be read, or it is none.
    pub fn open(&self, name: impl AsRef<Path>) -> io::Result<File> {
        let folder = File::open(&self.root)?;
        // Without waiting: opening a pipe would, for whoever writes to it.
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let how = OpenHow::new()
            .flags(flags)
            .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
        let file = File::from(openat2(folder, name.as_ref(), how)?);
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(io::Error::new(io::ErrorKind::InvalidData, "it is no file")),
        }
    }

    pub(crate) fn control(&self) -> PathBuf {
        self.root.join("control.sock")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("lock")
    }

    pub(crate) fn init_record(&self) -> PathBuf {
        self.root.join("init.json")
    }

    pub(crate) fn exit_record(&self) -> PathBuf {
        self.root.join("exit")
    }

    pub(crate) fn launcher(&self) -> PathBuf {
        self.root.join(crate::python::LAUNCHER_FILE)
    }
}

/// What init started, and where to find it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InitRecord {
    /// The boot that it belongs to; process ids of another boot mean nothing.
    pub(crate) boot_id: String,
    pub(crate) init_pid: i32,
    /// The process that holds the namespaces, if the sandbox has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) inner_pid: Option<i32>,
    pub(crate) agent_pid: i32,
    /// The TCP port that the agent may bind.
    pub(crate) port: u16,
    /// The control groups that hold it.
    pub(crate) cgroups: Vec<PathBuf>,
    /// What it reaches of the network: all that the machine does, where an older init said nothing.
    #[serde(default)]
    pub(crate) network: NetworkMode,
    /// The walls that stand around it: none, where an older init said nothing.
    #[serde(default)]
    pub(crate) walls: Walls,
}

/// How an agent ended, as the file says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExitRecord {
    pub(crate) boot_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) signal: Option<i32>,
    pub(crate) out_of_memory: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) over_disk_limit: Option<u64>,
    pub(crate) at: Timestamp,
}

impl ExitRecord {
    pub(crate) fn new(exit: Exit, boot_id: &str) -> Self {
        let (code, signal) = match exit.status {
            ExitStatus::Code(code) => (Some(code), None),
            ExitStatus::Signal(signal) => (None, Some(signal)),
        };
        let Exit { out_of_memory, over_disk_limit, at, .. } = exit;
        Self { boot_id: boot_id.to_owned(), code, signal, out_of_memory, over_disk_limit, at }
    }

    pub(crate) fn exit(&self) -> Exit {
        let status = match (self.code, self.signal) {
            (_, Some(signal)) => ExitStatus::Signal(signal),
            (code, None) => ExitStatus::Code(code.unwrap_or_default()),
        };
        let Self { out_of_memory, over_disk_limit, at, .. } = *self;
        Exit { status, out_of_memory, over_disk_limit, at }
    }
}

/// The most that is read of a record: they are much shorter, whoever wrote them.
const LONGEST_RECORD: u64 = 64 << 10;

/// Reads a record; `None` when it is absent or was cut short by a crash of the machine.
pub(crate) fn read_record<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
    match IncarnationFolder::new(folder).open(name) {
        Ok(file) => {
            let mut text = Vec::new();
            file.take(LONGEST_RECORD).read_to_end(&mut text)?;
            Ok(serde_json::from_slice(&text).ok())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a record so that a reader finds all of it or nothing.
pub(crate) fn write_record<T: Serialize>(path: &Path, record: &T) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    // In one piece: it is written while somebody waits for the agent's first answer.
    let mut text = serde_json::to_vec(record)?;
    text.push(b'\n');
    // What is there is not ours to follow or to fill.
    remove_file_if_there(&unfinished)?;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(&text)?;
    drop(file);
    fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn an_exit_survives_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = IncarnationFolder::new(folder.path()).exit_record();
        for status in [ExitStatus::Code(0), ExitStatus::Code(3), ExitStatus::Signal(9)] {
            let at = Timestamp::from_unix_millis(7);
            let exit = Exit { status, out_of_memory: true, over_disk_limit: Some(1), at };
            write_record(&path, &ExitRecord::new(exit, "boot")).unwrap();
            assert_eq!(read_record::<ExitRecord>(&path).unwrap().unwrap().exit(), exit);
        }
    }

    #[test]
    fn what_an_agent_put_in_a_files_place_is_refused() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let incarnation = IncarnationFolder::new(folder.path());
        let secret = elsewhere.path().join("secret");
        fs::write(&secret, "{}").unwrap();
        symlink(&secret, incarnation.log()).unwrap();
        symlink(elsewhere.path(), incarnation.journal()).unwrap();
        nix::unistd::mkfifo(&incarnation.older_log(), nix::sys::stat::Mode::S_IRWXU).unwrap();
        for name in ["log", "journal/secret", "log.1", ".", "../secret"] {
            assert!(incarnation.open(name).is_err(), "{name}");
        }
        fs::write(incarnation.exit_record(), "x").unwrap();
        let mut text = String::new();
        incarnation.open("exit").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
        assert_eq!(incarnation.open("none").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_record_is_never_written_through_a_link() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = IncarnationFolder::new(folder.path()).exit_record();
        let victim = elsewhere.path().join("victim");
        fs::write(&victim, "untouched").unwrap();
        symlink(&victim, path.with_extension("new")).unwrap();
        symlink(&victim, &path).unwrap();
        let (status, at) = (ExitStatus::Code(0), Timestamp::from_unix_millis(7));
        let exit = Exit { status, out_of_memory: false, over_disk_limit: None, at };
        assert!(read_record::<ExitRecord>(&path).is_err());
        write_record(&path, &ExitRecord::new(exit, "boot")).unwrap();
        assert_eq!(fs::read_to_string(victim).unwrap(), "untouched");
        assert_eq!(read_record::<ExitRecord>(&path).unwrap().unwrap().exit(), exit);
    }

    #[test]
    fn half_a_record_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("exit");
        assert_eq!(read_record::<ExitRecord>(&path).unwrap(), None);
        fs::write(&path, br#"{"boot_id":"x","code"#).unwrap();
        assert_eq!(read_record::<ExitRecord>(&path).unwrap(), None);
    }
}
