//! Filters for misses: split block Bloom filters, as in Parquet.
//!
//! A filter has blocks of 32 bytes. The upper half of a number chooses the block, the lower half one bit in each of its
//! eight words. With [`BITS_PER_ENTRY`] bits for each number, about one in two hundred absent numbers passes.
//!
//! Source: Putze, Sanders, Singler, *Cache-, Hash- and Space-Efficient Bloom Filters*, 2007; the constants are those of
//! the Parquet format.

/// Space of a filter: about 0.5 % of absent numbers pass.
const BITS_PER_ENTRY: u64 = 12;
const WORDS: usize = 8;
const BLOCK_BYTES: u64 = 32;
const SALTS: [u32; WORDS] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// A set of random numbers that forgets none, and seldom claims one that it does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter(Vec<[u32; WORDS]>);

/// Returns the length of a filter for so many numbers.
pub(crate) fn bytes_for(entries: u64) -> u64 {
    entries.saturating_mul(BITS_PER_ENTRY).div_ceil(BLOCK_BYTES * 8).max(1) * BLOCK_BYTES
}

impl Filter {
    /// Makes an empty filter for so many numbers.
    pub(crate) fn new(entries: u64) -> Self {
        let blocks = usize::try_from(bytes_for(entries) / BLOCK_BYTES).expect("a filter fits the memory");
        Self(vec![[0; WORDS]; blocks])
    }

    /// Decodes a filter; `None` if it has no whole number of blocks.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks::<4>();
        let (blocks, more) = words.as_chunks::<WORDS>();
        let is_whole = rest.is_empty() && more.is_empty() && !blocks.is_empty();
        is_whole.then(|| Self(blocks.iter().map(|block| block.map(u32::from_le_bytes)).collect()))
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        self.0.iter().flatten().flat_map(|word| word.to_le_bytes()).collect()
    }

    pub(crate) fn insert(&mut self, number: u64) {
        let at = self.block(number);
        self.0[at].iter_mut().zip(bits(number)).for_each(|(word, bit)| *word |= bit);
    }

    /// Returns false if the number was never inserted.
    pub(crate) fn may_have(&self, number: u64) -> bool {
        self.0[self.block(number)].iter().zip(bits(number)).all(|(word, bit)| word & bit != 0)
    }

    fn block(&self, number: u64) -> usize {
        ((number >> 32) as usize * self.0.len()) >> 32
    }
}

fn bits(number: u64) -> [u32; WORDS] {
    SALTS.map(|salt| 1 << ((number as u32).wrapping_mul(salt) >> 27))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::digest::Digest;

    #[test]
    fn no_number_is_forgotten_and_few_absent_ones_pass() {
        let number = |name: u64| Digest::of(&name.to_le_bytes()).prefix();
        let mut filter = Filter::new(10_000);
        (0..10_000).for_each(|name| filter.insert(number(name)));
        let filter = Filter::decode(&filter.encode()).unwrap();
        assert!((0..10_000).all(|name| filter.may_have(number(name))));
        let passed = (10_000..110_000).filter(|name| filter.may_have(number(*name))).count();
        assert!(passed < 1000, "{passed} of 100,000");
        assert_eq!(Filter::decode(&[0; 33]), None);
    }
}
