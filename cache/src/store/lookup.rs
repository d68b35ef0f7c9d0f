//! Lookups by the thousand, without copies of names.

use std::sync::RwLockReadGuard;

use crate::format::record::{Head, Kind};
use crate::records::index::Index;
use crate::store::Store;
use crate::value::artifact::{ActionKey, OutputDigest};
use crate::value::digest::Digest;

/// Looks results up in what the store knows now; who holds one must not ask anything else of the store, as some of that waits for it.
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
    /// The same as [`Store::hit`] for many keys, each with the names of the outputs that are wanted of it.
    ///
    /// Gives whether the store has all outputs of each key, and the digests of what is wanted, one after the other; those of a key
    /// that is no hit mean nothing.
    pub fn outputs(&self, wanted: &[(ActionKey, &[String])]) -> (Vec<bool>, Vec<OutputDigest>) {
        // Step by step over all keys and not key by key: each step waits for memory that the one before has named, and so the
        // waits of many keys go on at once.
        let results: Vec<_> = wanted.iter().map(|(key, _)| self.index.place(Kind::Result, &key.0)).collect();
        let mut hits = Vec::with_capacity(wanted.len());
        let mut digests = Vec::with_capacity(wanted.len());
        let mut artifacts = Vec::with_capacity(wanted.len());
        for (number, ((_, names), result)) in wanted.iter().zip(results).enumerate() {
            let begin = digests.len();
            digests.resize(begin + names.len(), OutputDigest(Digest::from_bytes([0; 32])));
            let head = result.and_then(|place| self.index.head(&place));
            let mut find = |digest: OutputDigest| artifacts.push((number, self.index.place(Kind::Artifact, &digest.0)));
            hits.push(head.is_some_and(|head| take_outputs(&head, names, &mut digests[begin..], &mut find)));
        }
        let has = |digest: &Digest, size_bytes| self.store.has_blob(&self.index, digest, size_bytes);
        for (number, artifact) in artifacts {
            hits[number] &= artifact.is_some_and(|place| self.index.has_blobs(&place, has));
        }
        (hits, digests)
    }

    /// Whether a committed artifact has a file of that name.
    pub fn has_file(&self, digest: &OutputDigest, name: &str) -> bool {
        self.index.has_file(digest, name)
    }
}

/// Tells of each output of a result, and writes the digest of each that is wanted to its place; whether all were found.
fn take_outputs(
    head: &Head<'_>,
    names: &[String],
    digests: &mut [OutputDigest],
    tell: &mut impl FnMut(OutputDigest),
) -> bool {
    let mut found = 0;
    for output in head.outputs() {
        let Some((name, digest)) = output else { return false };
        tell(digest);
        if let Some(place) = names.iter().position(|known| known.as_bytes() == name) {
            digests[place] = digest;
            found += 1;
        }
    }
    found == names.len()
}
