//! Trust: whose results are believed, in a store that others can write to.
//!
//! Anybody who may write to a store can plant a record that maps a key to any outputs. So a project can list public
//! keys; then a result counts only if one of their owners has signed it. Any other result is passed over as if it were
//! not there, and never hides a trusted one.
//!
//! | record or file | believed under trust |
//! |---|---|
//! | result | if signed by a trusted key (`signature.rs`) |
//! | artifact | if its digest is that of the names and digests of its files |
//! | blob | if it has its digest, as always |
//! | tombstone | always: it can only cause a miss |
//! | checkpoint, digests of external files | if this user's own key has stamped them (`stamp.rs`) |
//!
//! One's own key is trusted too. A project without a list believes everybody, and signs if the user has a key.
//!
//! Imports `value` and `files`.

pub(crate) mod private_key;
pub(crate) mod public_key;
pub(crate) mod signature;
pub(crate) mod stamp;

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::trust::private_key::PrivateKey;
use crate::trust::public_key::{PublicKey, Signer};
use crate::trust::signature::Signature;
use crate::trust::stamp::StampKey;
use crate::value::digest::{Digest, DigestMap};

/// The signers that a project believes, and the key with which this user signs.
#[derive(Debug, Default)]
pub struct Trust {
    /// `None` if everybody is believed.
    signers: Option<Vec<Signer>>,
    own: Option<PrivateKey>,
    seen: Mutex<Seen>,
}

/// Facts found out so far.
#[derive(Debug, Default)]
struct Seen {
    /// Verdicts on signatures, by [`Signature::digest`]: true if good.
    verdicts: DigestMap<bool>,
    /// Keys whose results were asked for and passed over.
    passed_over: BTreeSet<Digest>,
}

/// The right to use stamped files: checkpoints, and digests of external files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stamps {
    /// Everybody's files are believed, and none is stamped.
    Unneeded,
    /// Only files with this key's stamp are believed.
    With(StampKey),
    /// No file is believed, and none is written: there is no key to stamp it with.
    Impossible,
}

impl Trust {
    /// Believes these signers, or everybody if there is no list, and signs with the private key.
    pub fn new(signers: Option<Vec<Signer>>, own: Option<PrivateKey>) -> Self {
        Self { signers, own, seen: Mutex::default() }
    }

    /// Returns whether only some are believed.
    pub fn is_limited(&self) -> bool {
        self.signers.is_some()
    }

    /// Returns the key with which this user signs.
    pub fn own_key(&self) -> Option<&PrivateKey> {
        self.own.as_ref()
    }

    /// Returns the trust in files that only their writer reads again.
    pub fn stamps(&self) -> Stamps {
        match (&self.signers, &self.own) {
            (None, _) => Stamps::Unneeded,
            (Some(_), Some(own)) => Stamps::With(own.stamp_key()),
            (Some(_), None) => Stamps::Impossible,
        }
    }

    /// Returns whether a result with this signature counts; each signature is verified once.
    pub(crate) fn accepts(&self, signature: Option<Signature<'_>>) -> bool {
        let Some(signers) = &self.signers else { return true };
        let Some(signature) = signature else { return false };
        let own = self.own.as_ref().map(PrivateKey::public);
        let mut keys = signers.iter().map(|signer| &signer.key).chain(&own);
        let Some(key) = keys.find(|key| key.as_bytes() == signature.signer) else { return false };
        let digest = signature.digest();
        let seen = self.seen().verdicts.get(&digest).copied();
        seen.unwrap_or_else(|| {
            let verdict = signature.is_by(key);
            self.seen().verdicts.insert(digest, verdict);
            verdict
        })
    }

    /// Returns the name of a trusted signer; an empty one if it has none.
    pub fn name_of(&self, key: &PublicKey) -> Option<&str> {
        self.signers.iter().flatten().find(|signer| signer.key == *key).map(|signer| signer.name.as_str())
    }

    /// Notes that results of a key were asked for, and that nobody trusted has signed one.
    pub(crate) fn pass_over(&self, key: &Digest) {
        self.seen().passed_over.insert(*key);
    }

    /// Returns whether a key is noted.
    pub(crate) fn has_passed_over(&self, key: &Digest) -> bool {
        self.seen().passed_over.contains(key)
    }

    /// Returns the noted keys, sorted.
    pub(crate) fn passed_over(&self) -> Vec<Digest> {
        self.seen().passed_over.iter().copied().collect()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
