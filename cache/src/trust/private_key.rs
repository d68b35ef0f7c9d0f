//! The private key of a user: a file of one line, `ed25519-private:` and 64 hexadecimal digits, for its owner alone.
//!
//! It lies outside of every store, and one key serves all projects of a user.

use std::fmt;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ed25519_dalek::{Signer as _, SigningKey};

use crate::error::StoreError;
use crate::files::disk;
use crate::trust::public_key::PublicKey;
use crate::trust::stamp::StampKey;
use crate::value::digest::Digest;

const PREFIX: &str = "ed25519-private:";
/// A longer file holds no key.
const BYTES_MAX: u64 = 1000;

/// A private key of ed25519 (RFC 8032).
#[derive(Clone)]
pub struct PrivateKey(SigningKey);

impl PrivateKey {
    /// Draws a new key from the random numbers of the system.
    pub fn generate() -> io::Result<Self> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(Self(SigningKey::from_bytes(&bytes)))
    }

    /// Reads a key file; `None` if there is none, or none that this user can see, as in the home of another one.
    ///
    /// Errors: others may read it; it holds no key.
    pub fn read(path: &Path) -> Result<Option<Self>, StoreError> {
        let file = match disk::open(path) {
            Err(_) if path.symlink_metadata().is_err() => return Ok(None),
            opened => opened?,
        };
        let refuse = |reason: String| StoreError::PrivateKey { path: path.to_owned(), reason };
        let mode = file.metadata().map_err(StoreError::io("read", path))?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(refuse(format!("its mode is {mode:04o}, so others can read or change it; chmod 600 it")));
        }
        let text = io::read_to_string(file.take(BYTES_MAX)).map_err(StoreError::io("read", path))?;
        let bytes = text.trim().strip_prefix(PREFIX).and_then(|hex| hex.parse::<Digest>().ok());
        let reason = || format!("it is not `{PREFIX}` and 64 hexadecimal digits; restore it, or move it away");
        let bytes = bytes.ok_or_else(|| refuse(reason()))?;
        Ok(Some(Self(SigningKey::from_bytes(bytes.as_bytes()))))
    }

    /// Writes a new key file durably, readable by its owner alone; makes its folder if that is missing.
    ///
    /// Errors: the file exists.
    pub fn write(&self, path: &Path) -> Result<(), StoreError> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        disk::create_private_dir(folder)?;
        let mut file = disk::create_new(path, 0o600)?;
        disk::append(&mut file, format!("{PREFIX}{}\n", Digest::from_bytes(self.0.to_bytes())).as_bytes(), path)?;
        disk::sync(&file, path)?;
        disk::sync_dir(folder)
    }

    /// The key that verifies what this one signs.
    pub fn public(&self) -> PublicKey {
        PublicKey::of(&self.0)
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// Derives the key for stamps.
    pub(crate) fn stamp_key(&self) -> StampKey {
        StampKey::derive(self.0.as_bytes())
    }
}

/// Shows the public key alone.
impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(of {})", self.public())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_written_once_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config/orchestrate/key");
        assert!(PrivateKey::read(&path).unwrap().is_none());
        let key = PrivateKey::generate().unwrap();
        key.write(&path).unwrap();
        assert_eq!(PrivateKey::read(&path).unwrap().unwrap().public(), key.public());
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        assert!(PrivateKey::generate().unwrap().write(&path).is_err());
        assert_eq!(PrivateKey::read(&path).unwrap().unwrap().public(), key.public());
        assert!(!format!("{key:?}").contains(&fs::read_to_string(&path).unwrap()[PREFIX.len()..40]));
    }

    #[test]
    fn a_key_that_others_can_read_or_that_is_none_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        PrivateKey::generate().unwrap().write(&path).unwrap();
        for mode in [0o640, 0o604, 0o660, 0o644] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = PrivateKey::read(&path).unwrap_err().to_string();
            assert!(error.contains("chmod 600") && error.contains(&path.display().to_string()), "{error}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        for text in ["", "ed25519-private:", "ssh-ed25519 AAAA", &format!("ed25519:{}", "0".repeat(64))] {
            fs::write(&path, text).unwrap();
            assert!(PrivateKey::read(&path).is_err(), "{text}");
        }
    }
}
