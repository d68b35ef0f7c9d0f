//! Pictures that are nearly equal, found by a difference hash (dHash). Source: N. Krawetz, "Kind of Like That", 2013.
//!
//! A picture is reduced to 9 × 8 grey levels; each of 64 bits says whether a level is above its left neighbour. Copies
//! that were compressed again, rescaled or brightened differ by few bits: of Cheng's slices 96 % differ from a copy in
//! JPEG of quality 20 by at most [`DISTANCE_MAX`] bits, and from one of half the size all do. Of pairs of different
//! patients in that set, 0.11 % are that close as well, as heads resemble each other.

use std::collections::HashMap;

/// The most bits in which nearly equal pictures differ.
pub(crate) const DISTANCE_MAX: u32 = 3;

/// Parts of a hash. Of one more than the bits that may differ, at least one is equal.
const BANDS: u32 = DISTANCE_MAX + 1;
const BAND_BITS: u32 = 64 / BANDS;

/// Name of the column of hashes in the labels of a data set.
pub(crate) const COLUMN: &str = "picture_hash";

/// Formats a hash for the column.
pub(crate) fn text(hash: u64) -> String {
    format!("{hash:016x}")
}

/// Parses a hash of the column.
pub(crate) fn parse(text: &str) -> Option<u64> {
    u64::from_str_radix(text, 16).ok()
}

/// Calls `found` with each pair of nearly equal pictures, the lower index first, each pair once.
///
/// Pictures without any edge, whose hash is 0, are left out.
pub(crate) fn pairs(hashes: &[u64], mut found: impl FnMut(usize, usize)) {
    for band in 0..BANDS {
        let part = |hash: u64, band: u32| (hash >> (band * BAND_BITS)) & ((1 << BAND_BITS) - 1);
        let mut buckets: HashMap<u64, Vec<usize>> = HashMap::new();
        for (index, &hash) in hashes.iter().enumerate().filter(|(_, hash)| **hash != 0) {
            buckets.entry(part(hash, band)).or_default().push(index);
        }
        for bucket in buckets.values() {
            for (place, &left) in bucket.iter().enumerate() {
                for &right in &bucket[place + 1..] {
                    let differing = hashes[left] ^ hashes[right];
                    // A pair is found at its first equal band.
                    let first = || (0..band).all(|earlier| part(differing, earlier) != 0);
                    if differing.count_ones() <= DISTANCE_MAX && first() {
                        found(left, right);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_close_pair_is_found_once() {
        let mut state = 7_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state ^ (state >> 29)
        };
        let mut hashes: Vec<u64> = (0..200).map(|_| next()).collect();
        for index in 0..200 {
            let bits = (0..index % 6).fold(0, |bits, _| bits | 1 << (next() % 64));
            hashes.push(hashes[index] ^ bits);
        }
        hashes.extend([0, 0]);
        let mut all = Vec::new();
        for left in 0..400 {
            all.extend(
                (left + 1..400)
                    .filter(|&right| (hashes[left] ^ hashes[right]).count_ones() <= DISTANCE_MAX)
                    .map(|right| (left, right)),
            );
        }
        let mut found = Vec::new();
        pairs(&hashes, |left, right| found.push((left, right)));
        found.sort_unstable();
        assert!(found.len() >= 130);
        assert_eq!(found, all);
    }
}
