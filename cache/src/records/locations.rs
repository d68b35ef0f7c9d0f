//! Table of the locations of one kind of record, by digest or key.
//!
//! It stores locations only; digests are read from the record headers, which are in memory anyway and are needed next.
//! So a table of a hundred thousand results has two megabytes, and a lookup seldom waits for memory twice.

use hashbrown::HashTable;

use crate::format::pack::Pack;
use crate::value::digest::Digest;

/// The location of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    /// Number of the pack in the index.
    pub(crate) pack: u32,
    /// Offset of the header among the headers of the pack.
    pub(crate) header_at: u32,
    /// Offset of the body in the file of the pack.
    pub(crate) body_at: u64,
}

impl Location {
    /// Returns the digest or key in the record's header.
    pub(crate) fn digest(&self, packs: &[Pack]) -> Digest {
        let bytes = packs[self.pack as usize].digest_at(self.header_at);
        Digest::from_bytes(*bytes.expect("a location is that of a record"))
    }
}

/// The locations of one kind of record; they belong to one list of packs.
#[derive(Debug, Default)]
pub(crate) struct Locations(HashTable<Location>);

impl Locations {
    /// Reserves room at once: growing step by step would move each location several times.
    pub(crate) fn reserve(&mut self, packs: &[Pack], additional: usize) {
        self.0.reserve(additional, |location| location.digest(packs).prefix());
    }

    /// Adds a record, unless one `is_same`.
    pub(crate) fn insert(
        &mut self,
        packs: &[Pack],
        digest: &Digest,
        location: Location,
        is_same: impl Fn(&Location) -> bool,
    ) {
        let entry = self.0.entry(digest.prefix(), is_same, |location| location.digest(packs).prefix());
        entry.or_insert(location);
    }

    /// Iterates over the records of a digest.
    pub(crate) fn all<'l>(&'l self, packs: &'l [Pack], digest: &'l Digest) -> impl Iterator<Item = &'l Location> {
        self.0.iter_hash(digest.prefix()).filter(move |known| known.digest(packs) == *digest)
    }

    /// Removes one record of a digest.
    pub(crate) fn remove(&mut self, digest: &Digest, location: &Location) {
        if let Ok(entry) = self.0.find_entry(digest.prefix(), |known| known == location) {
            entry.remove();
        }
    }

    /// Keeps the records that pass a test.
    pub(crate) fn retain(&mut self, stays: impl Fn(&Location) -> bool) {
        self.0.retain(|location| stays(location));
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Iterates over all locations, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Location> + '_ {
        self.0.iter().copied()
    }
}
