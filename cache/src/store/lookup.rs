//! Lookups of many keys at once, without copies of names.

use crate::format::record::{Header, Kind};
use crate::store::open::Store;
use crate::value::artifact::{ActionKey, OutputDigest};
use crate::value::digest::Digest;

/// Keys that are looked up together if there are index files.
const KEYS_AT_ONCE: usize = 4096;

impl Store {
    /// Returns for each committed artifact whether it has a file of that name.
    pub fn have_file(&self, artifacts: &[OutputDigest], name: &str) -> Vec<bool> {
        let has_file = |part: &[OutputDigest]| {
            let digests: Vec<_> = part.iter().map(|artifact| artifact.0).collect();
            let index = self.index_with(Kind::Artifact, &digests);
            part.iter().map(|artifact| index.has_file(artifact, name)).collect::<Vec<_>>()
        };
        artifacts.chunks(KEYS_AT_ONCE).flat_map(has_file).collect()
    }

    /// Does the same as [`Store::hit`] for many keys, each with the names of its wanted outputs.
    ///
    /// Returns whether the store has all outputs of each key, and the digests of the wanted ones, one after the other;
    /// those of a miss mean nothing.
    pub fn outputs(&self, wanted: &[(ActionKey, &[String])]) -> (Vec<bool>, Vec<OutputDigest>) {
        if !self.index().coverage.has_files() {
            return self.outputs_at_once(wanted);
        }
        // Part by part, so that groups of records can leave the memory in between.
        let (mut hits, mut digests) = (Vec::with_capacity(wanted.len()), Vec::with_capacity(wanted.len()));
        for part in wanted.chunks(KEYS_AT_ONCE) {
            let (part_hits, part_digests) = self.outputs_at_once(part);
            hits.extend(part_hits);
            digests.extend(part_digests);
        }
        (hits, digests)
    }

    fn outputs_at_once(&self, wanted: &[(ActionKey, &[String])]) -> (Vec<bool>, Vec<OutputDigest>) {
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
