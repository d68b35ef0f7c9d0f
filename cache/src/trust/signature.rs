//! Signatures of results: the last fields in the header of a result's record, so that a hit reads no body.
//!
//! | size | field |
//! |---|---|
//! | 1 | 1, for ed25519; a reader takes any other for unsigned |
//! | 32 | public key of the signer |
//! | 32 | BLAKE3 digest of the body |
//! | 64 | signature of [`DOMAIN`] and of all fields before it: key, times, outputs, the three above |
//!
//! So a signature holds for one key and one body alone. It holds in any store, as a result does, and for ever: a signed
//! result can be taken back only with the key of its signer.

use crate::files::frame::Reader;
use crate::trust::private_key::PrivateKey;
use crate::trust::public_key::PublicKey;
use crate::value::digest::{Digest, Digester};

/// Precedes the signed bytes, so that they mean nothing elsewhere.
const DOMAIN: &[u8] = b"orchestrate result 1\0";
const ED25519: u8 = 1;

/// The signature in a header, good or not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signature<'a> {
    /// All fields before the signature.
    signed: &'a [u8],
    /// The claimed signer.
    pub(crate) signer: &'a [u8; 32],
    /// The digest that the body must have.
    pub(crate) body: Digest,
    bytes: &'a [u8; 64],
}

impl<'a> Signature<'a> {
    /// Decodes the signature that starts at an offset of a header's fields; `None` if there is none.
    pub(crate) fn parse(fields: &'a [u8], at: usize) -> Option<Self> {
        let mut reader = Reader(fields.get(at..)?);
        if reader.take(1)? != [ED25519] {
            return None;
        }
        let signer = reader.take(32)?.try_into().ok()?;
        let body = reader.digest()?;
        let signed = &fields[..fields.len() - reader.0.len()];
        Some(Self { signed, signer, body, bytes: reader.take(64)?.try_into().ok()? })
    }

    /// Verifies the signature: tens of microseconds.
    pub(crate) fn is_by(&self, key: &PublicKey) -> bool {
        key.as_bytes() == self.signer && key.verifies(&[DOMAIN, self.signed].concat(), self.bytes)
    }

    /// The digest of all that a verdict depends on.
    pub(crate) fn digest(&self) -> Digest {
        let mut digester = Digester::default();
        digester.update(self.bytes);
        digester.update(self.signed);
        digester.digest()
    }
}

/// Appends the signature of a result to the fields of its header.
pub(crate) fn sign(fields: &mut Vec<u8>, body: &[u8], key: &PrivateKey) {
    fields.push(ED25519);
    fields.extend(key.public().as_bytes());
    fields.extend(Digest::of(body).as_bytes());
    let signature = key.sign(&[DOMAIN, fields].concat());
    fields.extend(signature);
}
