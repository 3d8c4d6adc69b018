//! The key that the secrets of access keys are encrypted under.

use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{KeyError, file, generate};

/// Name of the file in the state folder that holds the master key, unless the environment does.
pub const MASTER_KEY_FILE: &str = "master.key";
/// The environment variable that holds it otherwise: 32 bytes in base64.
pub const MASTER_KEY_VARIABLE: &str = "AGENTCORE_MASTER_KEY";

const LENGTH: usize = 32;

/// The key that the secrets of access keys are encrypted under. Never shown, overwritten when it is
/// dropped.
pub struct MasterKey(Zeroizing<[u8; LENGTH]>);

impl MasterKey {
    /// Reads what `variable` (the value of [`MASTER_KEY_VARIABLE`], if it is set) or else the file in
    /// the state folder says. `None` when there is neither.
    ///
    /// # Errors
    /// What is there is no key, or the file can be read by others.
    pub fn find(variable: Option<&str>, state: &Path) -> Result<Option<Self>, KeyError> {
        if let Some(text) = variable {
            return Self::parse(text, MASTER_KEY_VARIABLE).map(Some);
        }
        let path = state.join(MASTER_KEY_FILE);
        match file::read_private(&path)? {
            Some(text) => {
                let text = std::str::from_utf8(&text).unwrap_or_default();
                Self::parse(text, &path.display().to_string()).map(Some)
            }
            None => Ok(None),
        }
    }

    /// As [`find`](Self::find), but makes a key, and the file, where there is none.
    ///
    /// # Errors
    /// As `find`, or the file cannot be written.
    pub fn find_or_create(variable: Option<&str>, state: &Path) -> Result<Self, KeyError> {
        if let Some(found) = Self::find(variable, state)? {
            return Ok(found);
        }
        let key = Self(generate::bytes()?);
        let text = Zeroizing::new(format!("{}\n", STANDARD.encode(key.0.as_slice())));
        file::write_private(&state.join(MASTER_KEY_FILE), text.as_bytes())?;
        Ok(key)
    }

    fn parse(text: &str, place: &str) -> Result<Self, KeyError> {
        let invalid = || KeyError::InvalidMasterKey(place.to_owned());
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| invalid())?);
        let mut key = Zeroizing::new([0; LENGTH]);
        if bytes.len() != LENGTH {
            return Err(invalid());
        }
        key.copy_from_slice(&bytes);
        Ok(Self(key))
    }

    pub(super) fn bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_goes_before_the_file_and_the_file_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        assert!(MasterKey::find(None, folder.path()).unwrap().is_none());
        let made = MasterKey::find_or_create(None, folder.path()).unwrap();
        let found = MasterKey::find_or_create(None, folder.path()).unwrap();
        assert_eq!(made.bytes(), found.bytes());
        let text = STANDARD.encode([7; LENGTH]);
        assert_eq!(MasterKey::find(Some(&text), folder.path()).unwrap().unwrap().bytes(), &[7; LENGTH]);
        assert_eq!(format!("{made:?}"), "MasterKey(hidden)");
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_shown() {
        let folder = tempfile::tempdir().unwrap();
        for bad in ["", "password", "AAAA", &STANDARD.encode([7; 33])] {
            let error = MasterKey::find(Some(bad), folder.path()).unwrap_err().to_string();
            assert!(error.starts_with("AGENTCORE_MASTER_KEY holds no master key"), "{error}");
            assert!(bad.is_empty() || !error.contains(bad), "{error}");
        }
    }
}
