//! The keys of one host, on disk and in memory.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use agentcore_protocol::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::file::{self, Version, failed};
use super::sealed::SealedKey;
use super::{AccessKey, KeyError, KeyRecord, MasterKey, generate};
use crate::principal::Rights;
use crate::sigv4::SigningSecret;

/// Name of the file in the state folder that holds the keys.
pub const KEYS_FILE: &str = "keys.json";
const LOCK_FILE: &str = "keys.lock";
const OWNER_MAX: usize = 64;

/// The access keys of one host. Another process may make and revoke keys meanwhile: what it wrote
/// holds from the next request on.
#[derive(Debug)]
pub struct KeyStore {
    state: PathBuf,
    path: PathBuf,
    variable: Option<Zeroizing<String>>,
    loaded: RwLock<Loaded>,
}

#[derive(Debug, Default)]
struct Loaded {
    version: Option<Version>,
    keys: HashMap<String, Arc<AccessKey>>,
}

/// What the file says.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    keys: Vec<SealedKey>,
}

impl KeyStore {
    /// The keys in the state folder `state`. The master key is `variable` (the value of
    /// [`MASTER_KEY_VARIABLE`](super::MASTER_KEY_VARIABLE)) if there is one, else in a file there.
    ///
    /// # Errors
    /// There are keys that cannot be read or decrypted.
    pub fn open(state: &Path, variable: Option<String>) -> Result<Self, KeyError> {
        let store = Self {
            state: state.to_owned(),
            path: state.join(KEYS_FILE),
            variable: variable.map(Zeroizing::new),
            loaded: RwLock::default(),
        };
        store.refresh()?;
        Ok(store)
    }

    /// Makes a key. Its secret is in what is returned, and is shown by nothing else ever again.
    ///
    /// `owner` is whose it is; the key's own id unless it is said.
    ///
    /// # Errors
    /// It has no rights or an unusable owner, or the file cannot be written.
    pub fn create(
        &self,
        owner: Option<&str>,
        rights: Rights,
        now: Timestamp,
    ) -> Result<Arc<AccessKey>, KeyError> {
        if rights.is_empty() {
            return Err(KeyError::NoRights);
        }
        if let Some(owner) = owner.filter(|owner| !is_owner(owner)) {
            return Err(KeyError::InvalidOwner(owner.to_owned()));
        }
        let id = generate::id()?;
        let record =
            KeyRecord { owner: owner.unwrap_or(&id).to_owned(), id: id.clone(), rights, created_at: now };
        let secret = generate::secret()?;
        self.change(|content| {
            let master = self.master_for(content)?;
            content.keys.push(SealedKey::seal(record.clone(), &secret, &master)?);
            Ok(())
        })?;
        Ok(Arc::new(AccessKey::new(record, SigningSecret::new(secret))))
    }

    /// Takes a key back. Requests that are running go on; the next one is refused.
    ///
    /// # Errors
    /// There is no such key, or the file cannot be written.
    pub fn revoke(&self, id: &str) -> Result<(), KeyError> {
        self.change(|content| {
            let before = content.keys.len();
            content.keys.retain(|key| key.record.id != id);
            if content.keys.len() == before { Err(KeyError::Unknown(id.to_owned())) } else { Ok(()) }
        })
    }

    /// All keys, oldest first.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn list(&self) -> Result<Vec<KeyRecord>, KeyError> {
        let content = self.read()?;
        Ok(content.keys.into_iter().map(|key| key.record).collect())
    }

    /// The key of that id; `None` when there is none.
    ///
    /// # Errors
    /// The file was changed, and cannot be read or decrypted: then nobody gets in.
    pub fn find(&self, id: &str) -> Result<Option<Arc<AccessKey>>, KeyError> {
        self.refresh()?;
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        Ok(loaded.keys.get(id).cloned())
    }

    /// Whether there is any key.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn is_empty(&self) -> Result<bool, KeyError> {
        self.refresh()?;
        Ok(self.loaded.read().unwrap_or_else(PoisonError::into_inner).keys.is_empty())
    }

    /// Reads the file if it is not the one that was read before. Looking at it costs a microsecond,
    /// so a key that was revoked is refused at once.
    fn refresh(&self) -> Result<(), KeyError> {
        let version = Version::of(&self.path)?;
        if self.loaded.read().unwrap_or_else(PoisonError::into_inner).version == version {
            return Ok(());
        }
        let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        // What is in memory may no longer hold; should reading fail, nothing does.
        *loaded = Loaded::default();
        let content = self.read()?;
        let mut keys = HashMap::with_capacity(content.keys.len());
        if !content.keys.is_empty() {
            let master = self.master()?.ok_or_else(|| KeyError::NoMasterKey(self.state.clone()))?;
            for sealed in content.keys {
                let secret = SigningSecret::new(sealed.open(&master)?);
                keys.insert(sealed.record.id.clone(), Arc::new(AccessKey::new(sealed.record, secret)));
            }
        }
        // Of the file as it was looked at first: if it was replaced since, it is read again.
        *loaded = Loaded { version, keys };
        Ok(())
    }

    fn master(&self) -> Result<Option<MasterKey>, KeyError> {
        MasterKey::find(self.variable(), &self.state)
    }

    /// The master key that one more key is to be encrypted under: made if this is the first.
    fn master_for(&self, content: &Content) -> Result<MasterKey, KeyError> {
        if content.keys.is_empty() {
            return MasterKey::find_or_create(self.variable(), &self.state);
        }
        let master = self.master()?.ok_or_else(|| KeyError::NoMasterKey(self.state.clone()))?;
        // A key under another master key would lock everybody out.
        content.keys.iter().try_for_each(|key| key.open(&master).map(drop))?;
        Ok(master)
    }

    fn variable(&self) -> Option<&str> {
        self.variable.as_ref().map(|text| text.as_str())
    }

    fn read(&self) -> Result<Content, KeyError> {
        let Some(bytes) = file::read_private(&self.path)? else { return Ok(Content::default()) };
        serde_json::from_slice(&bytes)
            .map_err(|error| KeyError::Unreadable { path: self.path.clone(), reason: error.to_string() })
    }

    /// Changes the file, with other programs that do so kept out.
    fn change(&self, change: impl FnOnce(&mut Content) -> Result<(), KeyError>) -> Result<(), KeyError> {
        let _lock = self.lock()?;
        let mut content = self.read()?;
        change(&mut content)?;
        let bytes = serde_json::to_vec_pretty(&content)
            .map_err(|error| KeyError::Unreadable { path: self.path.clone(), reason: error.to_string() })?;
        file::write_private(&self.path, &bytes)
    }

    fn lock(&self) -> Result<File, KeyError> {
        let path = self.state.join(LOCK_FILE);
        let mut options = OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).mode(0o600).open(&path);
        let lock = lock.map_err(failed("open", &path))?;
        lock.lock().map_err(failed("lock", &path))?;
        Ok(lock)
    }
}

fn is_owner(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
    (1..=OWNER_MAX).contains(&name.len()) && name.bytes().all(plain)
}

#[cfg(test)]
mod tests;
