//! Random numbers that depend on seed and purpose alone: not on threads, nor on earlier draws.

use orchestrate_cache::Digest;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The common part of all random numbers of one run of a stage.
#[derive(Clone, Debug)]
pub struct Seed(Vec<u8>);

impl Seed {
    /// Mixes a seed with a kind of stage and some of its params.
    pub fn new(kind: &str, seed: u64, params: &[&str]) -> Self {
        let mut bytes = seed.to_le_bytes().to_vec();
        append(&mut bytes, kind);
        params.iter().for_each(|param| append(&mut bytes, param));
        Self(bytes)
    }

    /// The stream of random numbers for one purpose, such as `shuffle`, and one case of it, such as an epoch.
    pub fn generator(&self, purpose: &str, case: &str) -> Generator {
        let mut bytes = self.0.clone();
        append(&mut bytes, purpose);
        append(&mut bytes, case);
        Generator(ChaCha8Rng::from_seed(*Digest::of(&bytes).as_bytes()))
    }
}

/// Appends a text after its length, so that no two lists of texts give the same bytes.
fn append(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

/// A stream of random numbers: ChaCha with eight rounds, the same on every machine.
#[derive(Debug)]
pub struct Generator(ChaCha8Rng);

impl Generator {
    /// Uniform in `[0, 1)`, a multiple of 2⁻⁵³.
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in `low..high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform in `0..bound`; the bias is below `bound` / 2⁶⁴.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.0.next_u64()) * bound as u128) >> 64) as usize
    }

    /// Puts items into a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Seed;

    fn first(seed: &Seed, purpose: &str, case: &str) -> f64 {
        seed.generator(purpose, case).unit()
    }

    #[test]
    fn streams_differ_by_seed_params_purpose_and_case_only() {
        let seed = Seed::new("train", 7, &["tiny", "1"]);
        let value = first(&seed, "shuffle", "1");
        assert_eq!(value, first(&Seed::new("train", 7, &["tiny", "1"]), "shuffle", "1"));
        assert_ne!(value, first(&Seed::new("train", 8, &["tiny", "1"]), "shuffle", "1"));
        assert_ne!(value, first(&Seed::new("train", 7, &["tiny", "2"]), "shuffle", "1"));
        assert_ne!(value, first(&Seed::new("train", 7, &["tin", "y1"]), "shuffle", "1"));
        assert_ne!(value, first(&seed, "augment", "1"));
        assert_ne!(value, first(&seed, "shuffle", "2"));
    }

    #[test]
    fn shuffle_keeps_every_item_and_below_stays_below() {
        let mut generator = Seed::new("test", 0, &[]).generator("shuffle", "");
        let mut items: Vec<u32> = (0..100).collect();
        generator.shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
        let mut counts = [0; 3];
        (0..3000).for_each(|_| counts[generator.below(3)] += 1);
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
    }
}
