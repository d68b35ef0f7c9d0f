//! Results that lookups passed over, because nobody trusted has signed them; and signatures, for people.

use std::collections::BTreeMap;

use crate::files::disk;
use crate::format::record::Kind;
use crate::store::Store;
use crate::trust::public_key::PublicKey;
use crate::value::artifact::ActionKey;
use crate::value::digest::Digest;
use crate::value::producer::Producer;

/// The most results that are read to name their producers.
const READ_MAX: usize = 1000;

/// Results that were asked for and passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassedOver {
    /// The number of their keys.
    pub keys: usize,
    /// Their producers, as the results claim, of the first thousand.
    pub producers: BTreeMap<String, usize>,
}

/// The signature of a recorded result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signed {
    /// There is none.
    Unsigned,
    /// It is good.
    By(PublicKey),
    /// It does not fit the record.
    Falsely,
}

impl Store {
    /// Returns the results that lookups of this process have passed over so far.
    pub fn passed_over(&self) -> PassedOver {
        let keys = self.trust.passed_over();
        let index = self.index_with(Kind::Result, &keys[..keys.len().min(READ_MAX)]);
        let result = |key: &Digest| {
            let location = index.refused(key)?;
            index.result(&location, &disk::open(&index.packs[location.pack as usize].path).ok()?).ok()?
        };
        let mut producers = BTreeMap::new();
        for key in keys.iter().take(READ_MAX) {
            let producer = result(key).map_or_else(|| Producer::UNKNOWN.to_owned(), |result| result.produced_by());
            *producers.entry(producer).or_default() += 1;
        }
        PassedOver { keys: keys.len(), producers }
    }

    /// Returns whether a result of this key was passed over.
    pub fn is_passed_over(&self, key: &ActionKey) -> bool {
        self.trust.has_passed_over(&key.0)
    }

    /// Returns the signature of the result that is used for a key; verifies it.
    pub fn signed(&self, key: &ActionKey) -> Signed {
        let index = self.index_with(Kind::Result, &[key.0]);
        let header = index.location(Kind::Result, &key.0).and_then(|location| index.header(&location));
        let Some(signature) = header.and_then(|header| header.signature()) else { return Signed::Unsigned };
        let signer = PublicKey::from_bytes(signature.signer).filter(|signer| signature.is_by(signer));
        signer.map_or(Signed::Falsely, Signed::By)
    }
}
