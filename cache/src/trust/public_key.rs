//! Public keys, as a project lists them: `ed25519:`, 64 hexadecimal digits, and a name for people.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::VerifyingKey;

use crate::value::digest::Digest;

/// First part of a public key in text.
const PREFIX: &str = "ed25519:";

/// A public key of ed25519 (RFC 8032).
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// A person or host whose results are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// Verifies the signatures.
    pub key: PublicKey,
    /// Name for people; nobody checks it.
    pub name: String,
}

impl PublicKey {
    pub(super) fn of(private: &ed25519_dalek::SigningKey) -> Self {
        Self(private.verifying_key())
    }

    /// Decodes the bytes in a record; `None` if they are no key, or one with which anybody could sign.
    pub(crate) fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        VerifyingKey::from_bytes(bytes).ok().filter(|key| !key.is_weak()).map(Self)
    }

    /// The 32 raw bytes.
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", Digest::from_bytes(*self.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = text.strip_prefix(PREFIX).and_then(|hex| hex.parse::<Digest>().ok());
        let bytes = bytes.ok_or_else(|| {
            format!("`{text}` is no public key; write `{PREFIX}` and 64 hexadecimal digits, as `store keygen` prints")
        })?;
        Self::from_bytes(bytes.as_bytes()).ok_or_else(|| format!("`{text}` is not a key of ed25519; copy it again"))
    }
}

impl FromStr for Signer {
    type Err = String;

    /// Parses `ed25519:HEX NAME`; the name may be missing.
    fn from_str(text: &str) -> Result<Self, String> {
        let (key, name) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), ""));
        Ok(Self { key: key.parse()?, name: name.trim().to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second test vector of RFC 8032, section 7.1.
    const RFC_KEY: &str = "ed25519:3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";

    #[test]
    fn a_signer_is_a_key_and_perhaps_a_name() {
        let signer: Signer = format!(" {RFC_KEY} \t Alice of the lab ").parse().unwrap();
        assert_eq!((signer.key.to_string().as_str(), signer.name.as_str()), (RFC_KEY, "Alice of the lab"));
        assert_eq!(RFC_KEY.parse::<Signer>().unwrap().name, "");
        assert_eq!(RFC_KEY.to_uppercase().replace("ED25519", "ed25519").parse::<Signer>().unwrap().key, signer.key);
    }

    #[test]
    fn a_text_that_is_no_key_or_a_weak_one_is_refused() {
        // The neutral element of the curve: anybody can sign with it.
        let weak = format!("ed25519:01{}", "00".repeat(31));
        for text in ["", "alice", "ed25519:", "ed25519:12 alice", &RFC_KEY[8..], &RFC_KEY[..70], &weak] {
            assert!(text.parse::<Signer>().is_err(), "{text}");
        }
    }

    #[test]
    fn signatures_are_those_of_the_standard() {
        let signature = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                         085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
        let half = |text: &str| *text.parse::<Digest>().unwrap().as_bytes();
        let bytes: [u8; 64] = [half(&signature[..64]), half(&signature[64..])].concat().try_into().unwrap();
        let key: PublicKey = RFC_KEY.parse().unwrap();
        assert!(key.verifies(b"\x72", &bytes) && !key.verifies(b"\x73", &bytes));
    }
}
