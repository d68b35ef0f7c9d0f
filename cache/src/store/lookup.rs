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
    index: RwLockReadGuard<'s, Index>,
}

impl Store {
    /// Begins some lookups of artifacts that were looked up before.
    pub fn look_up(&self) -> Lookup<'_> {
        Lookup { index: self.index() }
    }

    /// Does the same as [`Store::hit`] for many keys, each with the names of its wanted outputs.
    ///
    /// Returns whether the store has all outputs of each key, and the digests of the wanted ones, one after the other;
    /// those of a miss mean nothing.
    pub fn outputs(&self, wanted: &[(ActionKey, &[String])]) -> (Vec<bool>, Vec<OutputDigest>) {
        // Step by step over all keys, not key by key: each step waits for memory named by the one before, so the
        // waits of many keys overlap.
        let keys: Vec<_> = wanted.iter().map(|(key, _)| key.0).collect();
        let index = self.index_with(Kind::Result, &keys);
        let results: Vec<_> = keys.iter().map(|key| index.location(Kind::Result, key)).collect();
        let mut hits = Vec::with_capacity(wanted.len());
        let mut digests = Vec::with_capacity(wanted.len());
        let (mut readers, mut artifacts) =
            (Vec::with_capacity(wanted.len()), Vec::<Digest>::with_capacity(wanted.len()));
        for (number, ((_, names), result)) in wanted.iter().zip(results).enumerate() {
            let begin = digests.len();
            digests.resize(begin + names.len(), OutputDigest(Digest::from_bytes([0; 32])));
            let header = result.and_then(|location| index.header(&location));
            let mut find = |digest: OutputDigest| {
                readers.push(number);
                artifacts.push(digest.0);
            };
            hits.push(header.is_some_and(|header| take_outputs(&header, names, &mut digests[begin..], &mut find)));
        }
        drop(index);
        for (number, is_complete) in readers.into_iter().zip(self.are_complete(&artifacts)) {
            hits[number] &= is_complete;
        }
        (hits, digests)
    }

    /// Returns for each artifact whether it and all its blobs are there.
    pub(crate) fn are_complete(&self, artifacts: &[Digest]) -> Vec<bool> {
        let index = self.index_with(Kind::Artifact, artifacts);
        let locations: Vec<_> = artifacts.iter().map(|digest| index.location(Kind::Artifact, digest)).collect();
        let mut blobs = Vec::new();
        if index.coverage.has_files() {
            let headers = locations.iter().flatten().filter_map(|location| index.header(location));
            blobs.extend(headers.flat_map(|header| header.raw_files().flatten()).map(|(digest, _, _)| digest));
        }
        drop(index);
        let index = self.index_with(Kind::Blob, &blobs);
        let has = |digest: &Digest, size_bytes| self.has_blob(&index, digest, size_bytes);
        // Once more by digest, as the index may have changed.
        let find = |digest| index.location(Kind::Artifact, digest);
        artifacts.iter().map(|digest| find(digest).is_some_and(|location| index.has_blobs(&location, has))).collect()
    }
}

impl Lookup<'_> {
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
