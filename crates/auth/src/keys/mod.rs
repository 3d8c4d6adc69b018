//! Access keys: who has one, what it allows, and where their secrets are kept.
//!
//! The keys of a host are in one JSON file in its state folder, for its owner alone. What has to
//! stay secret in it is encrypted under a [`MasterKey`], which comes from a file of its own or from
//! the environment; a secret is bound to the id, the owner and the rights beside it, so that nobody
//! who can write the file alone can give a key more rights.

mod error;
mod file;
mod generate;
mod master;
mod sealed;
mod store;

use agentcore_protocol::Timestamp;
use serde::{Deserialize, Serialize};

pub use error::KeyError;
pub use generate::is_access_key_id;
pub use master::{MASTER_KEY_FILE, MASTER_KEY_VARIABLE, MasterKey};
pub use store::{KEYS_FILE, KeyStore};

use crate::principal::{Identity, Principal, Rights};
use crate::sigv4::SigningSecret;

/// What is known of an access key, but for its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// Its id, which requests name.
    pub id: String,
    /// Whose it is. Keys of one owner reach the same sessions, so that a key can be replaced.
    pub owner: String,
    /// What it allows.
    pub rights: Rights,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_at: Timestamp,
}

/// An access key that requests can be verified with.
#[derive(Debug)]
pub struct AccessKey {
    record: KeyRecord,
    secret: SigningSecret,
    principal: Principal,
}

impl AccessKey {
    pub(crate) fn new(record: KeyRecord, secret: SigningSecret) -> Self {
        let identity = Identity::Key { id: record.id.clone(), owner: record.owner.clone() };
        let principal = Principal::new(identity, record.rights.clone());
        Self { record, secret, principal }
    }

    /// What is known of it.
    pub fn record(&self) -> &KeyRecord {
        &self.record
    }

    /// Its secret.
    pub fn secret(&self) -> &SigningSecret {
        &self.secret
    }

    /// Who signs with it.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }
}
