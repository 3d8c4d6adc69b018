//! What goes wrong with access keys.

use std::io;
use std::path::PathBuf;

use super::master::MASTER_KEY_VARIABLE;

/// What goes wrong with access keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file cannot be read or written.
    #[error("cannot {step} {path}: {source}")]
    Io {
        /// What was being done, as in "read".
        step: &'static str,
        /// To what.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Others than its owner can read or write a file that has secrets.
    #[error("{0} can be reached by others than its owner: run `chmod 600` on it")]
    Exposed(PathBuf),
    /// The file is not what this program writes.
    #[error(
        "{path} cannot be understood: {reason}. Restore it from a backup, or remove it and make new keys"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// There are keys, and nothing to decrypt them with.
    #[error(
        "there are access keys, but no master key to decrypt them: restore {0}, or give the key in {MASTER_KEY_VARIABLE}"
    )]
    NoMasterKey(PathBuf),
    /// The master key is malformed.
    #[error("{0} holds no master key: it has 32 bytes in base64, as `openssl rand -base64 32` prints them")]
    InvalidMasterKey(String),
    /// A secret cannot be decrypted.
    #[error(
        "the secret of access key {0} cannot be decrypted: the master key is another one, or the file was changed \
         by hand"
    )]
    Sealed(String),
    /// There is no such key.
    #[error("there is no access key {0}: `agentcore keys list` shows those there are")]
    Unknown(String),
    /// A key with no rights is of no use.
    #[error("an access key needs at least one right: to invoke, to administer, or to operate the host")]
    NoRights,
    /// The name of an owner is unusable.
    #[error("{0:?} cannot be the owner of a key: use 1 to 64 letters, digits and `._@-`")]
    InvalidOwner(String),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
}
