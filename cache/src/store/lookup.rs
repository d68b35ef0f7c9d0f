//! Lookups of many keys at once, without copies of names.

use std::sync::RwLockReadGuard;

use crate::format::record::{Header, Kind};
use crate::records::index::Index;
use crate::store::open::Store;
use crate::value::artifact::{ActionKey, OutputDigest};
use crate::value::digest::Digest;

/// Lookups in the present index; while one lives, its thread must not use the store otherwise: some methods wait for
/// it.
#[derive(Debug)]
pub struct Lookup<'s> {
    store: &'s Store,
    index: RwLockReadGuard<'s, Index>,
}

impl Store {
    /// Begins some lookups.
    pub fn look_up(&self) -> Lookup<'_> {
        Lookup { store: self, index: self.index() }
    }
}

impl Lookup<'_> {
    /// Does the same as [`Store::hit`] for many keys, each with the names of its wanted outputs.
    ///
    /// Returns whether the store has all outputs of each key, and the digests of the wanted ones, one after the other;
    /// those of a miss mean nothing.
    pub fn outputs(&self, wanted: &[(ActionKey, &[String])]) -> (Vec<bool>, Vec<OutputDigest>) {
        // Step by step over all keys, not key by key: each step waits for memory named by the one before, so the
        // waits of many keys overlap.
        let results: Vec<_> = wanted.iter().map(|(key, _)| self.index.location(Kind::Result, &key.0)).collect();
        let mut hits = Vec::with_capacity(wanted.len());
        let mut digests = Vec::with_capacity(wanted.len());
        let mut artifacts = Vec::with_capacity(wanted.len());
        for (number, ((_, names), result)) in wanted.iter().zip(results).enumerate() {
            let begin = digests.len();
            digests.resize(begin + names.len(), OutputDigest(Digest::from_bytes([0; 32])));
            let header = result.and_then(|location| self.index.header(&location));
            let mut find =
                |digest: OutputDigest| artifacts.push((number, self.index.location(Kind::Artifact, &digest.0)));
            hits.push(header.is_some_and(|header| take_outputs(&header, names, &mut digests[begin..], &mut find)));
        }
        let has = |digest: &Digest, size_bytes| self.store.has_blob(&self.index, digest, size_bytes);
        for (number, artifact) in artifacts {
            hits[number] &= artifact.is_some_and(|location| self.index.has_blobs(&location, has));
        }
        (hits, digests)
    }

    /// Returns whether a committed artifact has a file of that name.
    pub fn has_file(&self, digest: &OutputDigest, name: &str) -> bool {
        self.index.has_file(digest, name)
    }
}

/// Passes each output of a result to `tell`, and copies the digest of each wanted one; returns whether all were found.
fn take_outputs(
    header: &Header<'_>,
    names: &[String],
    digests: &mut [OutputDigest],
    tell: &mut impl FnMut(OutputDigest),
) -> bool {
    let mut found = 0;
    for output in header.outputs() {
        let Some((name, digest)) = output else { return false };
        tell(digest);
        if let Some(slot) = names.iter().position(|known| known.as_bytes() == name) {
            digests[slot] = digest;
            found += 1;
        }
    }
    found == names.len()
}
