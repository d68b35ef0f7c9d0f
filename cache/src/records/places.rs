//! Where the records of one kind are, by digest or key.
//!
//! A place is all that is kept of a record: its digest stands in its head, which is in memory anyway and is read next. So a table
//! of a hundred thousand results has two megabytes, and a lookup seldom waits for memory twice.

use hashbrown::HashTable;

use crate::format::pack::Pack;
use crate::value::digest::{Digest, prefix};

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Number of the pack among those of the index.
    pub(crate) pack: u32,
    pub(crate) head_at: u32,
    pub(crate) body_at: u64,
}

impl Place {
    /// The digest or key in the head of the record.
    pub(crate) fn digest<'p>(&self, packs: &'p [Pack]) -> &'p [u8; 32] {
        packs[self.pack as usize].digest_at(self.head_at).expect("a place is that of a record")
    }
}

/// The places of the records of one kind, at most one for each digest; they belong to one list of packs.
#[derive(Debug, Default)]
pub(crate) struct Places(HashTable<Place>);

impl Places {
    /// Makes room at once: growing step by step would move each place several times.
    pub(crate) fn reserve(&mut self, packs: &[Pack], additional: usize) {
        self.0.reserve(additional, |place| prefix(place.digest(packs)));
    }

    /// Adds a record, unless there is one with that digest.
    pub(crate) fn insert_first(&mut self, packs: &[Pack], digest: &Digest, place: Place) {
        let is_same = |known: &Place| known.digest(packs) == digest.as_bytes();
        let entry = self.0.entry(prefix(digest.as_bytes()), is_same, |place| prefix(place.digest(packs)));
        entry.or_insert(place);
    }

    pub(crate) fn get(&self, packs: &[Pack], digest: &Digest) -> Option<Place> {
        let is_same = |known: &Place| known.digest(packs) == digest.as_bytes();
        self.0.find(prefix(digest.as_bytes()), is_same).copied()
    }

    pub(crate) fn remove(&mut self, packs: &[Pack], digest: &Digest) {
        let is_same = |known: &Place| known.digest(packs) == digest.as_bytes();
        if let Ok(entry) = self.0.find_entry(prefix(digest.as_bytes()), is_same) {
            entry.remove();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// All places, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Place> + '_ {
        self.0.iter().copied()
    }
}
